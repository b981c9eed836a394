//! Reads CometBFT's log for the reason why it fails.

use std::collections::VecDeque;

use serde_json::Value;

/// How many of its last lines are shown when none of them tells a reason.
const LAST_LINES: usize = 5;
/// Maximum length of a line that is shown, in characters; of a longer one both ends.
const LINE_CHARS_MAX: usize = 600;
/// The same of a reason, which is to be complete: the longest that were seen name a file and an error or two.
const REASON_CHARS_MAX: usize = 4000;
/// How many lines a reason may have, e.g. one for each bad setting.
const REASON_LINES_MAX: usize = 12;

/// The message of the log line with which CometBFT's consensus ends, while its process goes on.
const CONSENSUS_FAILURE: &str = "CONSENSUS FAILURE!!!";
/// How lines begin with which CometBFT, or Go for it, says why the process ends. Seen in 0.38.26 and 0.39.4.
const ENDS: &[&str] = &["panic: ", "fatal error: ", "ERROR: ", "Error reading PrivValidator "];

/// How a function of CometBFT's own is called in a stack: some panics tell nothing without the place.
const OWN_FRAME: &str = "github.com/cometbft/cometbft/";

/// Reasons that stay until somebody mends a file.
const STAYS: &[&str] = &[
    "While parsing config",
    "error(s) decoding",
    "decoding failed due to the following error(s):",
    "error in config file",
    "failed to parse log level",
    "failed to parse default log level",
    "unknown flag",
    // With its quote, as the flags' parser says it; without, it is what the system says of a call (EINVAL).
    "invalid argument \"",
    "failed to load or gen node key",
    "Error reading PrivValidator",
    "priv_validator_key.json: ",
    "priv_validator_state.json: ",
    "GenesisDoc",
    "info.Moniker",
    "could not add peer",
    "seed node configuration has error",
    "invalid address (",
    "invalid listening address",
    "unknown db_backend",
];
/// What makes such a reason one that may pass.
const PASSES: &[&str] = &[
    "no space left on device",
    "quota exceeded",
    "input/output error",
    "too many open files",
    "cannot allocate memory",
    "resource temporarily unavailable",
    "lookup ",
    "i/o timeout",
];

/// What one run of CometBFT has said that may be shown later.
#[derive(Debug, Default)]
pub struct Words {
    consensus_failure: Option<String>,
    reason: Vec<String>,
    /// Whether the next lines still belong to the reason.
    open: bool,
    /// Whether the stack of a panic follows whose first frame in CometBFT's own code was not seen yet.
    stack_follows: bool,
    last: VecDeque<String>,
}

impl Words {
    /// Takes its next line.
    pub fn take(&mut self, line: &str) {
        if self.consensus_failure.is_none() {
            self.consensus_failure = consensus_failure(line).map(|reason| shown(&reason, REASON_CHARS_MAX));
        }
        if line.starts_with("goroutine ") {
            self.stack_follows = self.open;
            self.open = false;
        }
        if self.stack_follows && line.starts_with(OWN_FRAME) {
            self.stack_follows = false;
            self.reason.push(format!("(in {line})"));
        }
        if self.reason.is_empty() && ENDS.iter().any(|begin| line.starts_with(begin)) {
            self.open = true;
        }
        if self.open && !line.trim().is_empty() && self.reason.len() < REASON_LINES_MAX {
            self.reason.push(line.strip_prefix("ERROR: ").unwrap_or(line).trim().to_owned());
        }
        if !line.trim().is_empty() {
            self.last.push_back(shown(line, LINE_CHARS_MAX));
            if self.last.len() > LAST_LINES {
                self.last.pop_front();
            }
        }
    }

    /// The reason it gave, and then the last lines of its log.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.reason.iter().chain(&self.last).map(String::as_str)
    }

    /// Why its consensus ended, if it did.
    #[must_use]
    pub fn consensus_failure(&self) -> Option<&str> {
        self.consensus_failure.as_deref()
    }

    /// Why it will end each time until somebody mends a file, if it said so.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        // Where CometBFT itself gives up on a file of its key, it says only what the system said.
        let said = if self.reason.is_empty() {
            self.last.back().cloned().filter(|line| line.starts_with("open ") || line.starts_with("read "))?
        } else {
            self.reason.join(" ")
        };
        let stays = STAYS.iter().any(|part| said.contains(part)) && !said.starts_with("panic: ");
        (stays && !PASSES.iter().any(|part| said.contains(part))).then(|| shown(&said, REASON_CHARS_MAX))
    }

    /// Why it ended: the reason it gave, or else the last lines of its log.
    #[must_use]
    pub fn at_its_end(&self) -> String {
        if let Some(reason) = &self.consensus_failure {
            return format!(": {CONSENSUS_FAILURE} {reason}");
        }
        if !self.reason.is_empty() {
            return format!(": {}", shown(&self.reason.join(" "), REASON_CHARS_MAX));
        }
        if self.last.is_empty() {
            return " without writing anything to its log".to_owned();
        }
        let lines: Vec<String> = self.last.iter().map(|line| format!("  {line}")).collect();
        format!("; the end of its log:\n{}", lines.join("\n"))
    }
}

/// The error with which consensus failed, if that is what a log line tells, in either of CometBFT's formats.
///
/// The message has to stand in its place: what peers and producers write stands in log lines too.
fn consensus_failure(line: &str) -> Option<String> {
    if line.starts_with('{') {
        let fields: Value = serde_json::from_str(line).ok()?;
        return (fields["_msg"] == CONSENSUS_FAILURE).then(|| match &fields["err"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
    }
    let (_, message) = line.strip_prefix("E[")?.split_once("] ")?;
    let fields = message.strip_prefix(CONSENSUS_FAILURE)?;
    let Some((_, error)) = fields.split_once(" err=") else { return Some(fields.trim().to_owned()) };
    let Some(quoted) = error.strip_prefix('"') else {
        return Some(error.split(" stack=").next().unwrap_or(error).to_owned());
    };
    let mut escaped = false;
    let text: String = quoted
        .chars()
        .take_while(|one| {
            let ends = *one == '"' && !escaped;
            escaped = *one == '\\' && !escaped;
            !ends
        })
        .collect();
    Some(text.replace("\\n", " "))
}

/// A line as it may stand in a log of ours: bounded, on one line. Control characters are escaped where it is printed.
fn shown(line: &str, chars_max: usize) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let chars: Vec<char> = words.join(" ").chars().collect();
    if chars.len() <= chars_max {
        return chars.into_iter().collect();
    }
    let half = chars_max / 2;
    let (begin, end) = (chars.iter().take(half), chars.iter().skip(chars.len().saturating_sub(half)));
    format!("{} ... {}", begin.collect::<String>(), end.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Words {
        let mut words = Words::default();
        text.lines().for_each(|line| words.take(line));
        words
    }

    #[test]
    fn the_reason_of_a_panic_is_shown_and_not_the_end_of_its_stack() {
        let text = "I[2026-11-26|15:01:13.752] some line module=x\n\
                    panic: failed to write a message\n  of two lines: file too large [recovered]\n\n\
                    goroutine 1 [running]:\nmain.main()\n\t/src/main.go:7 +0x1\nexit status 2\n";
        assert_eq!(
            words(text).at_its_end(),
            ": panic: failed to write a message of two lines: file too large [recovered]"
        );
        let text = "panic: runtime error: nil pointer dereference\n[signal SIGSEGV]\n\ngoroutine 1 [running]:\n\
                    github.com/cometbft/cometbft/p2p.(*NodeKey).PubKey(...)\n\t/p2p/key.go:50\n\
                    github.com/cometbft/cometbft/node.NewNode(0x1)\n\t/node/node.go:7\n";
        assert_eq!(
            words(text).at_its_end(),
            ": panic: runtime error: nil pointer dereference [signal SIGSEGV] (in github.com/cometbft/cometbft/p2p.(*NodeKey).PubKey(...))"
        );
        let text = "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [running]:\nx\n";
        assert_eq!(words(text).at_its_end(), ": fatal error: all goroutines are asleep - deadlock!");
    }

    #[test]
    fn without_a_reason_the_end_of_the_log_is_shown_in_bounds() {
        assert_eq!(
            words("1\n2\n3\n4\n5\n6\n").at_its_end(),
            "; the end of its log:\n  2\n  3\n  4\n  5\n  6"
        );
        assert_eq!(words("red\nblue  green").at_its_end(), "; the end of its log:\n  red\n  blue green");
        assert_eq!(words("").at_its_end(), " without writing anything to its log");
        let long = |chars| words(&format!("panic: {}", "x".repeat(chars))).at_its_end();
        assert_eq!(long(3900).matches('x').count(), 3900);
        assert!(long(10_000).len() < REASON_CHARS_MAX + 20);
        assert!(words(&"x".repeat(10_000)).at_its_end().len() < 700);
    }

    /// As 0.38.26 and 0.39.4 say it when a write to the WAL fails, in both formats of the log.
    #[test]
    fn a_consensus_failure_is_recognized_with_its_error() {
        let plain = "E[2026-11-26|15:01:13.752] CONSENSUS FAILURE!!!                         module=consensus \
                     err=\"failed to write {[BlockPart H:5]\\n \\\"x\\\"} msg to consensus WAL: file too large\" \
                     stack=\"goroutine 49 [running]:\\nruntime/debug.Stack()\\n\"";
        let reason = "failed to write {[BlockPart H:5] \\\"x\\\"} msg to consensus WAL: file too large";
        assert_eq!(words(plain).consensus_failure(), Some(reason));
        let json = "{\"_msg\":\"CONSENSUS FAILURE!!!\",\"err\":\"wrong \\\"x\\\"\",\"level\":\"error\",\"stack\":\"goroutine 49\"}";
        assert_eq!(words(json).consensus_failure(), Some("wrong \"x\""));
        let bare = "E[x] CONSENSUS FAILURE!!! module=consensus err=EOF stack=\"goroutine\"";
        assert_eq!(words(bare).consensus_failure(), Some("EOF"));
        for other in [
            "panic: x",
            "I[x] CONSENSUS FAILURE!!! module=x",
            "I[x] Added peer module=p2p peer=\"E[x] CONSENSUS FAILURE!!! err=x\"",
            "E[x] Rejected module=mempool err=\"] CONSENSUS FAILURE!!! err=x\"",
            "{\"_msg\":\"x\",\"err\":\"CONSENSUS FAILURE!!!\"}",
        ] {
            assert_eq!(words(other).consensus_failure(), None, "{other}");
        }
    }

    /// Each as both versions say it.
    #[test]
    fn what_only_a_mended_file_helps_is_a_refusal() {
        for text in [
            "ERROR: While parsing config: toml: incomplete number",
            "ERROR: 1 error(s) decoding:\n\n* cannot parse 'p2p.max_num_inbound_peers' as int",
            "ERROR: decoding failed due to the following error(s):\n\n'consensus.timeout_commit' time: unknown unit",
            "ERROR: error in config file: error in [p2p] section: max_num_inbound_peers can't be negative",
            "ERROR: failed to parse default log level (pair *:loud, list *:loud): expected either",
            "ERROR: failed to create node: failed to load or gen node key h/config/node_key.json: invalid character 'g'",
            "Error reading PrivValidator key from h/config/priv_validator_key.json: invalid character 'g'\n",
            "Error reading PrivValidator state from h/data/priv_validator_state.json: invalid character 'g'\n",
            "open h/data/priv_validator_state.json: no such file or directory",
            "read h/config/priv_validator_key.json: is a directory",
            "ERROR: failed to create node: error reading GenesisDoc at h/config/genesis.json: invalid character 'g'",
            "ERROR: failed to create node: couldn't read GenesisDoc file: open h/config/genesis.json: no such file or directory",
            "ERROR: failed to create node: info.Moniker must be valid non-empty ASCII text without tabs, but got nœud",
            "ERROR: failed to create node: could not add peers from persistent_peers field: address (nonsense) does not contain ID",
            "ERROR: failed to start node: failed to start PEX: seed node configuration has error: address (nonsense) does not contain ID",
            "ERROR: invalid argument \"x\" for \"--p2p.pex\" flag: strconv.ParseBool: parsing \"x\": invalid syntax",
            "ERROR: failed to create node: invalid address (nonsense): address nonsense: missing port in address",
            "ERROR: failed to start node: invalid listening address nonsense (use fully formed addresses)",
            "ERROR: failed to create node: unknown db_backend nosuchdb, expected one of memdb,goleveldb",
        ] {
            let refusal = words(text).refusal().expect(text);
            let last = text.trim().lines().next_back().unwrap().trim_start_matches("ERROR: ");
            assert!(refusal.ends_with(last), "{refusal}");
        }
    }

    #[test]
    fn what_may_pass_is_no_refusal() {
        for text in [
            "ERROR: failed to create node: failed to load or gen node key h: write h: no space left on device",
            "ERROR: failed to start node: failed to listen on 127.0.0.1:7: bind: address already in use",
            "ERROR: failed to create node: error during handshake: error on replay: EOF",
            "ERROR: failed to create node: invalid address (x:1): lookup x: server misbehaving",
            "panic: invalid argument",
            "ERROR: failed to start node: sync h/data/cs.wal/wal: invalid argument",
            "ERROR: failed to start node: rename h/config/addrbook.json: invalid address",
            "ERROR: failed to create node: decoding failed",
            "open h/data/cs.wal/wal: permission denied",
            "no genesis here",
        ] {
            assert_eq!(words(text).refusal(), None, "{text}");
        }
    }
}
