//! What is different where a person looks on: dumps, colors, progress, and the live view.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::json;

use super::mock::{Log, Node, Reply};
use super::played::{Played, Says};
use super::{dseq, home, text};

const OWN: OpenptFlags = OpenptFlags::RDWR.union(OpenptFlags::NOCTTY).union(OpenptFlags::CLOEXEC);
/// How long a program may take until it shows what it should, or ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// A terminal, and what it was told to show.
struct Terminal {
    screen: File,
    shown: Vec<u8>,
}

impl Terminal {
    fn open(columns: u16, rows: u16) -> Self {
        let screen = openpt(OWN).unwrap();
        unlockpt(&screen).unwrap();
        let size = Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&screen, size).unwrap();
        Self { screen: File::from(screen), shown: Vec::new() }
    }

    /// The end that a program reads from and writes to.
    fn end(&self) -> Stdio {
        ioctl_tiocgptpeer(&self.screen, OWN).unwrap().into()
    }

    /// Waits until this is so of what is shown, or until every program has closed the terminal.
    fn wait(&mut self, is_enough: impl Fn(&str) -> bool) {
        let began = Instant::now();
        let mut part = [0; 4096];
        while !is_enough(&String::from_utf8_lossy(&self.shown)) {
            assert!(began.elapsed() < PATIENCE, "{:?}", String::from_utf8_lossy(&self.shown));
            let second = rustix::time::Timespec { tv_sec: 1, tv_nsec: 0 };
            if poll(&mut [PollFd::new(&self.screen, PollFlags::IN)], Some(&second)).unwrap() == 0 {
                continue;
            }
            // An error: nobody has its other end any more.
            let Ok(length @ 1..) = self.screen.read(&mut part) else { break };
            self.shown.extend_from_slice(&part[..length]);
        }
    }

    /// All that is shown until every program has closed the terminal.
    fn all(mut self) -> String {
        self.wait(|_| false);
        String::from_utf8(self.shown).unwrap()
    }
}

/// A program that ends with its test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    fn code(mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `dseq` as in an ordinary terminal.
fn in_terminal(args: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = dseq(args);
    command.env("TERM", "xterm-256color").env_remove("NO_COLOR").envs(variables.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[test]
fn bytes_are_dumped_on_a_terminal_in_color_unless_it_is_unwanted() {
    let node = Log::new(b"\x1b[2Jfour and more bytes", 23).node();
    let address = node.address.to_string();
    let read = |variables: &[(&str, &str)]| {
        let terminal = Terminal::open(80, 24);
        let mut command = in_terminal(&["read", "--node", &address], variables);
        let running = Running::start(command.stdout(terminal.end()));
        // Its copy of the other end would keep the terminal in use.
        drop(command);
        let shown = terminal.all();
        assert_eq!(running.code(), Some(0));
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
        let mut terminal = Terminal::open(80, 24);
        let mut command = in_terminal(&["serve", "--home", text(home.path())], variables);
        let running = Running::start(command.stderr(terminal.end()));
        drop(command);
        terminal.wait(|shown| shown.contains("serving ABCI"));
        running.signal(Signal::TERM);
        let shown = terminal.all();
        assert!(shown.contains("serving ABCI"), "{shown:?}");
        shown
    };
    assert!(log(&[]).contains("\u{1b}["));
    assert!(!log(&[("NO_COLOR", "1")]).contains('\u{1b}'));
    assert!(!log(&[("TERM", "dumb")]).contains('\u{1b}'));
}

#[test]
fn progress_is_shown_on_a_terminal_that_does_not_show_the_receipts() {
    let node = Node::start(|_| {
        // Longer than it takes until progress is drawn again.
        std::thread::sleep(Duration::from_millis(500));
        Reply::problem(422, "rejected", false, &json!({ "plugin": "p", "codespace": "plugin/p", "code": 7 }))
    });
    let address = node.address.to_string();
    let submit = |with_receipts: bool| {
        let terminal = Terminal::open(80, 24);
        let mut command =
            in_terminal(&["submit", "--lines", "-", "--concurrency", "1", "--node", &address], &[]);
        command.stdin(Stdio::piped()).stderr(terminal.end());
        if with_receipts {
            command.stdout(terminal.end());
        }
        let mut running = Running::start(&mut command);
        drop(command);
        running.0.stdin.take().unwrap().write_all(b"one\ntwo\n").unwrap();
        let shown = terminal.all();
        assert_eq!(running.code(), Some(4), "{shown:?}");
        shown
    };
    let shown = submit(false);
    // A line of progress begins with the time; the summary after it does not.
    assert!(shown.contains("00:00:") && shown.contains("0 committed, 1 rejected"), "{shown:?}");
    let shown = submit(true);
    assert!(!shown.contains("00:00:") && shown.contains("rejected   tx "), "{shown:?}");
}

#[test]
fn submit_does_not_wait_for_a_person_to_type_a_transaction() {
    let terminal = Terminal::open(80, 24);
    let mut command = in_terminal(&["submit", "--node", "127.0.0.1:1"], &[]);
    let output = command.stdin(terminal.end()).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("give a transaction"), "{said}");
}

#[test]
fn the_live_view_fits_the_screen_and_leaves_it_as_it_was() {
    let (columns, rows) = (20, 6);
    let node = Played::start(Says::one_of_four(0));
    let mut terminal = Terminal::open(columns, rows);
    let mut command = in_terminal(&["status", "--follow", "--node", &node.rpc], &[]);
    let running = Running::start(command.stdout(terminal.end()));
    drop(command);
    terminal.wait(|shown| shown.contains("height"));
    running.signal(Signal::INT);
    let shown = terminal.all();
    assert_eq!(running.code(), Some(0), "Ctrl-C is how it ends");
    assert!(shown.starts_with("\u{1b}[?1049h\u{1b}[?25l"), "{shown:?}");
    assert!(shown.ends_with("\u{1b}[?25h\u{1b}[?1049l"), "{shown:?}");
    let frames: Vec<&str> = shown.split("\u{1b}[H").skip(1).collect();
    assert!(!frames.is_empty(), "{shown:?}");
    for frame in frames {
        let lines: Vec<&str> = frame.split("\u{1b}[J").next().unwrap().lines().collect();
        assert!(lines.len() <= rows.into(), "{lines:?}");
        // The terminal adds a carriage return to each line feed, before which there is one already.
        let width = |line: &&str| line.trim_end_matches('\r').trim_end_matches("\u{1b}[K").chars().count();
        assert!(lines.iter().map(width).all(|width| width <= columns.into()), "{lines:?}");
    }
}
