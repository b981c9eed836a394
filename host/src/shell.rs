//! Paths in commands that people copy into a shell.

use std::path::Path;

/// A path as a POSIX shell takes it back: unchanged where no character means anything to a shell, else in quotes.
#[must_use]
pub fn quote(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain) {
        return text;
    }
    // A path that begins like an option stays one argument, but not an option.
    let text = if text.starts_with('-') { format!("./{text}") } else { text };
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_a_quoted_path_back() {
        for path in
            ["/srv/node0", "a b", "it's", "$HOME/`id`", "a\nb", "nœud", "*", "a\\b", "\"x\"", "~", "#a"]
        {
            let script = format!("printf %s {}", quote(Path::new(path)));
            let output = Command::new("sh").arg("-c").arg(script).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), path);
        }
        assert_eq!(quote(Path::new("/srv/node-0.d")), "/srv/node-0.d");
        assert_eq!(quote(Path::new("-x")), "'./-x'");
    }
}
