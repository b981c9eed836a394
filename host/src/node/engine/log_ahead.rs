//! Recognizes a sequence log that has more blocks than CometBFT: CometBFT refuses to run beside it, and does not say what to do.

use std::path::Path;

/// What to do, if CometBFT's last lines say that the log is ahead of its blocks.
pub(crate) fn remedy<'a>(words: impl IntoIterator<Item = &'a str>, sequence_dir: &Path) -> Option<String> {
    let (app, core) = words.into_iter().find_map(heights)?;
    let dir = sequence_dir.display();
    Some(format!(
        "the log in {dir} is ahead of CometBFT's blocks: it ends with block {app}, they end with block {core}. This \
         happens after `cometbft rollback --hard`, or when CometBFT's data was restored from an older copy. Move {dir} away: \
         the node rebuilds it from CometBFT's blocks and its peers'"
    ))
}

/// As CometBFT 0.38 and 0.39 put it.
fn heights(line: &str) -> Option<(u64, u64)> {
    let (_, rest) = line.split_once("app block height (")?;
    let (app, rest) = rest.split_once(") is higher than core (")?;
    let (core, _) = rest.split_once(')')?;
    Some((app.parse().ok()?, core.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_ahead_is_recognised_and_nothing_else_is() {
        let said = "ERROR: failed to create node: error during handshake: error on replay: app block height (7) is higher than core (6)";
        let remedy = |line| remedy(["Usage:", line], Path::new("/home/x/sequence"));
        let words = remedy(said).unwrap();
        assert!(
            words.contains("block 7, they end with block 6") && words.contains("Move /home/x/sequence away"),
            "{words}"
        );
        assert_eq!(remedy("app block height (7) is too far below block store base (9)"), None);
    }
}
