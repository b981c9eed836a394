//! The commands on docs/read.md do what the page says.

use std::process::Command;

use super::log::node;

const PAGE: &str = include_str!("../../docs/read.md");

#[test]
fn every_command_on_the_page_of_reading_works() {
    if Command::new("curl").arg("--version").output().is_err() {
        eprintln!("SKIPPED: curl is not installed");
        return;
    }
    let mut node = node();
    for _ in 0..3 {
        node.commit(&[vec![b'x'; 700], vec![b'y'; 300]]);
    }
    let address = node.http.address().to_string();
    let commands: Vec<&str> = PAGE.lines().filter(|line| line.starts_with("curl ")).collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        let dir = tempfile::tempdir().unwrap();
        // What an interrupted download has left.
        std::fs::write(dir.path().join("sequence.bin"), "xxx").unwrap();
        let is_live = command.contains("live=");
        let (code, _) = command.split_once('#').unwrap_or((command, ""));
        let code =
            format!("{} --silent --show-error --fail", code.trim().replace("localhost:6900", &address));
        let code = if is_live { format!("{code} --max-time 1") } else { code };
        let done = Command::new("sh").arg("-c").arg(&code).current_dir(dir.path()).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        // 28: it would have gone on.
        let expected = if is_live { Some(28) } else { Some(0) };
        assert_eq!(done.status.code(), expected, "{command}: {said}");
        if command.contains("-o sequence.bin") {
            assert_eq!(std::fs::read(dir.path().join("sequence.bin")).unwrap().len(), 3000, "{command}");
        } else if !command.contains("-o ") && !command.contains("=now") {
            assert!(!done.stdout.is_empty(), "{command}");
        }
    }
}
