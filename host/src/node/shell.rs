//! Words for a shell: what we tell people to run must do what it says when it is pasted.

use std::path::Path;

/// A path as one word of a POSIX shell; in quotes where it needs them.
#[must_use]
pub fn word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('-') {
        return text.into_owned();
    }
    let text = if text.starts_with('-') { format!("./{text}") } else { text.into_owned() };
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_where_a_shell_would_read_more_into_it() {
        let expected = [
            ("build/localnet", "build/localnet"),
            ("/tmp/two words", "'/tmp/two words'"),
            ("it's", "'it'\\''s'"),
            ("$HOME", "'$HOME'"),
            ("~x", "'~x'"),
            ("nœud", "'nœud'"),
            ("-x", "'./-x'"),
            ("", "''"),
        ];
        for (path, quoted) in expected {
            assert_eq!(word(Path::new(path)), quoted);
        }
    }

    #[test]
    fn a_shell_reads_a_word_as_the_path_it_was() {
        for path in ["a b", "it's", "$HOME", "`x`", "a\tb", "*", "\\", "\"", "#x", "!x", "&", "(", "~"] {
            let line = format!("printf %s {}", word(Path::new(path)));
            let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), path);
        }
    }
}
