//! What is different where a person looks on: dumps, colors, progress, and the live view.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::json;

use super::mock::{Log, Node, Reply};
use super::played::{Played, Says};
use super::{dseq, home, text};

const OWN: OpenptFlags = OpenptFlags::RDWR.union(OpenptFlags::NOCTTY).union(OpenptFlags::CLOEXEC);

/// A terminal of 80 columns and 24 rows.
struct Terminal(File);

impl Terminal {
    fn open() -> Self {
        let screen = openpt(OWN).unwrap();
        unlockpt(&screen).unwrap();
        let size = Winsize { ws_col: 80, ws_row: 24, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&screen, size).unwrap();
        Self(File::from(screen))
    }

    /// The end that a program reads from and writes to.
    fn end(&self) -> Stdio {
        ioctl_tiocgptpeer(&self.0, OWN).unwrap().into()
    }

    /// What is shown until these words are, or else until all programs have closed it.
    fn shown_until(&mut self, words: &str) -> String {
        let (mut shown, mut part) = (Vec::new(), [0; 4096]);
        // An error: nobody has its other end any more.
        while let Ok(length @ 1..) = self.0.read(&mut part) {
            shown.extend_from_slice(&part[..length]);
            if !words.is_empty() && String::from_utf8_lossy(&shown).contains(words) {
                break;
            }
        }
        String::from_utf8(shown).unwrap()
    }

    fn shown(&mut self) -> String {
        self.shown_until("")
    }
}

/// `dseq` as in an ordinary terminal.
fn in_terminal(args: &[&str]) -> Command {
    let mut command = dseq(args);
    command.env("TERM", "xterm-256color").env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

fn interrupt(child: &Child) {
    kill_process(Pid::from_child(child), Signal::INT).unwrap();
}

#[test]
fn bytes_are_dumped_on_a_terminal_in_color_unless_it_is_unwanted() {
    let node = Log::new(b"\x1b[2Jfour and more bytes", 23).node();
    let address = node.address.to_string();
    let read = |variables: &[(&str, &str)]| {
        let mut terminal = Terminal::open();
        let mut command = in_terminal(&["read", "--node", &address]);
        command.envs(variables.iter().copied()).stdout(terminal.end()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        // Its copy of the other end would keep the terminal in use.
        drop(command);
        let shown = terminal.shown();
        assert!(child.wait().unwrap().success());
        shown
    };
    let plain = "         0  1b 5b 32 4a 66 6f 75 72  20 61 6e 64 20 6d 6f 72  |.[2Jfour and mor|\r\n        16  65 20 62 79 74 65 73                              |e bytes|\r\n";
    assert_eq!(read(&[("NO_COLOR", "1")]), plain);
    assert_eq!(read(&[("TERM", "dumb")]), plain);
    let colored = read(&[]);
    assert!(colored.starts_with("\u{1b}[36m") && !colored.contains("\u{1b}[2J"), "{colored:?}");
    // An empty variable asks for nothing, by no-color.org.
    assert_eq!(read(&[("NO_COLOR", "")]), colored);
}

#[test]
fn a_log_has_colors_on_a_terminal_unless_they_are_unwanted() {
    let log = |variables: &[(&str, &str)]| {
        let home = home();
        let mut terminal = Terminal::open();
        let mut command = in_terminal(&["serve", "--home", text(home.path())]);
        command.envs(variables.iter().copied()).stdout(Stdio::null()).stderr(terminal.end());
        let mut child = command.spawn().unwrap();
        drop(command);
        let mut shown = terminal.shown_until("serving ABCI");
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        shown += &terminal.shown();
        child.wait().unwrap();
        assert!(shown.contains("serving ABCI"), "{shown:?}");
        shown
    };
    assert!(log(&[]).contains("\u{1b}["));
    assert!(!log(&[("NO_COLOR", "1")]).contains('\u{1b}'));
}

#[test]
fn progress_is_shown_on_a_terminal_that_does_not_show_the_receipts() {
    let node = Node::start(|_| {
        // Longer than it takes until progress is drawn.
        std::thread::sleep(Duration::from_millis(500));
        Reply::problem(422, "rejected", false, &json!({ "plugin": "p", "codespace": "plugin/p", "code": 7 }))
    });
    let address = node.address.to_string();
    // `receipts`: whether they go to the terminal, too.
    let submit = |receipts: bool| {
        let mut terminal = Terminal::open();
        let mut command = in_terminal(&["submit", "--lines", "-", "--concurrency", "1", "--node", &address]);
        command.stdin(Stdio::piped()).stderr(terminal.end());
        command.stdout(if receipts { terminal.end() } else { Stdio::null() });
        let mut child = command.spawn().unwrap();
        drop(command);
        child.stdin.take().unwrap().write_all(b"one\ntwo\n").unwrap();
        let shown = terminal.shown();
        child.wait().unwrap();
        shown
    };
    let shown = submit(false);
    assert!(shown.contains("00:00:0") && shown.contains("0 committed, 1 rejected"), "{shown:?}");
    let shown = submit(true);
    assert!(!shown.contains("00:00:0") && shown.contains("rejected   tx "), "{shown:?}");
}

#[test]
fn submit_does_not_wait_for_a_person_to_type_a_transaction() {
    let terminal = Terminal::open();
    let mut command = in_terminal(&["submit", "--node", "127.0.0.1:1"]);
    let output = command.stdin(terminal.end()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("give a transaction"), "{said}");
}

#[test]
fn the_live_view_fits_the_screen_and_leaves_it_as_it_was() {
    let node = Played::start(Says::one_of_four(0));
    let mut terminal = Terminal::open();
    let mut command = in_terminal(&["status", "--follow", "--node", &node.rpc]);
    let mut child = command.stdout(terminal.end()).stderr(Stdio::null()).spawn().unwrap();
    drop(command);
    let mut shown = terminal.shown_until("height");
    interrupt(&child);
    shown += &terminal.shown();
    assert!(child.wait().unwrap().success(), "Ctrl-C is how it ends");
    assert!(shown.starts_with("\u{1b}[?1049h\u{1b}[?25l"), "{shown:?}");
    assert!(shown.ends_with("\u{1b}[?25h\u{1b}[?1049l"), "{shown:?}");
    let lines = shown.split("\r\n").map(|line| line.split("\u{1b}[").next().unwrap_or_default());
    assert!(lines.into_iter().all(|line| line.chars().count() <= 80), "{shown:?}");
}
