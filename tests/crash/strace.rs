//! Asking strace to watch or hinder, and reading what it saw.

use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Every call that can change what a crash leaves behind, and the answers on the socket. The question mark lets
/// strace pass over those that a processor does not have.
const CHANGES: &str = "?mkdir,mkdirat,?open,openat,?creat,write,writev,pwrite64,pwritev,?pwritev2,ftruncate,\
     fallocate,fsync,fdatasync,?sync_file_range,?rename,?renameat,renameat2,?link,linkat,?unlink,unlinkat,sendto";

/// Reads of the log; they change nothing, but they can fail.
const READS: &str = "pread64";

/// What strace is to do to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL on entry: the call has no effect any more.
    Kill,
    /// The call fails without effect.
    Error(&'static str),
}

/// One call of a run that always makes the same ones: the n-th of its kind in one thread. strace counts so.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// The call, as it was when nobody interfered.
    pub(crate) call: Call,
    /// Which of its kind in its thread, counted from 1.
    ordinal: usize,
    /// Which of its kind on its path in its thread, counted from 1.
    ordinal_on_path: usize,
    /// How many answers were sent before it.
    pub(crate) answers_before: usize,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} number {} (on {})", self.call.syscall, self.ordinal, self.call.target)
    }
}

/// One system call as strace saw it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The calling thread.
    pub(crate) thread: String,
    /// Its name.
    pub(crate) syscall: String,
    /// What it works on: a path relative to the home (`.` is the home itself), [`ANSWER`], or anything else as
    /// strace prints it.
    pub(crate) target: String,
    /// The whole line.
    pub(crate) line: String,
}

/// Files that are opened relative to a process's folder in `/proc`, now and then: metrics are made of them.
const OF_PROC: [&str; 2] = ["stat", "status"];

/// The target of a call that sends on the socket.
pub(crate) const ANSWER: &str = "an answer";

impl Call {
    /// Whether it works on something in the home.
    pub(crate) fn is_in_home(&self) -> bool {
        let is_relative = !self.target.starts_with('/') && !self.target.contains(':');
        is_relative && self.target != ANSWER && !OF_PROC.contains(&&*self.target)
    }

    /// Whether it works on the files that must survive, or on their folders.
    pub(crate) fn is_in_state(&self) -> bool {
        let is_below = |dir: &str| self.target.starts_with(dir);
        self.is_in_home() && (self.target == "." || is_below("sequence") || is_below("plugins"))
    }

    /// Whether the file is opened to be made where it does not exist.
    pub(crate) fn creates(&self) -> bool {
        self.syscall.starts_with("open") && self.line.contains("O_CREAT")
    }

    /// Whether the kernel said it failed.
    pub(crate) fn failed(&self) -> bool {
        self.line.contains(") = -1 ") || self.line.contains(" = -1 E")
    }

    /// The last argument as a number: the length of a file, or the offset of a write.
    pub(crate) fn last_number(&self) -> Option<u64> {
        let (arguments, _) = self.line.rsplit_once(')')?;
        arguments.rsplit_once(", ")?.1.parse().ok()
    }

    /// The second path of a rename, relative to the home.
    pub(crate) fn destination(&self, home: &Path) -> Option<String> {
        let path = self.line.split('"').nth(3)?;
        Some(relative(path, home))
    }
}

/// The arguments of strace for one process with all its threads: what to write where, and what to do to it.
pub(crate) fn arguments(log: &Path, home: &Path, point: Option<(&Point, Fault)>) -> Vec<String> {
    let fixed = ["--follow-forks", "--decode-fds=path,socket", "--string-limit=0", "--signal=none"];
    let mut arguments: Vec<String> = fixed.map(str::to_owned).into();
    arguments.push(format!("--output={}", log.display()));
    arguments.push(format!("--trace={CHANGES},{READS}"));
    match point {
        None => {}
        Some((point, Fault::Kill)) => {
            arguments.push(format!("--inject={}:signal=KILL:when={}", point.call.syscall, point.ordinal));
        }
        // Each thread whose n-th call of this kind it is would meet the error: only on this path it is one thread.
        Some((point, Fault::Error(errno))) => {
            arguments.push(format!("--trace-path={}", absolute(&point.call.target, home).display()));
            let (syscall, ordinal) = (&point.call.syscall, point.ordinal_on_path);
            arguments.push(format!("--inject={syscall}:error={errno}:when={ordinal}"));
        }
    }
    arguments
}

/// The calls in a log, in order.
pub(crate) fn calls(log: &Path, home: &Path) -> Vec<Call> {
    let text = std::fs::read_to_string(log).expect("strace wrote its log");
    text.lines().filter_map(|line| parse(line, home)).collect()
}

fn parse(line: &str, home: &Path) -> Option<Call> {
    let (thread, rest) = line.split_once(' ')?;
    let rest = rest.trim_start();
    // The end of a thread, a signal, the return of a call told before, a call that strace came in the middle of.
    if rest.starts_with(['+', '-', '<', '?']) {
        return None;
    }
    let (syscall, arguments) = rest.split_once('(')?;
    let by_path = ["mkdir", "open", "creat", "rename", "link", "unlink"];
    let target = if syscall == "sendto" && arguments.contains("abci.sock\"]>") {
        ANSWER.to_owned()
    } else if by_path.iter().any(|name| syscall.starts_with(name)) {
        relative(arguments.split('"').nth(1)?, home)
    } else {
        relative(arguments.split_once('<')?.1.split_once('>')?.0, home)
    };
    Some(Call { thread: thread.to_owned(), syscall: syscall.to_owned(), target, line: line.to_owned() })
}

/// The path of a target in the home.
pub(crate) fn absolute(target: &str, home: &Path) -> PathBuf {
    if target == "." { home.to_owned() } else { home.join(target) }
}

fn relative(path: &str, home: &Path) -> String {
    match Path::new(path).strip_prefix(home) {
        Ok(inside) if inside.as_os_str().is_empty() => ".".to_owned(),
        Ok(inside) => inside.display().to_string(),
        Err(_) => path.to_owned(),
    }
}

/// The points of those calls that `wanted` picks.
///
/// strace acts on the first thread that makes its n-th call of a kind: a call that comes after such a one in another
/// thread could never be met, which is a hole in the tests and therefore refused.
pub(crate) fn points(calls: &[Call], wanted: impl Fn(&Call) -> bool) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    for (index, call) in calls.iter().enumerate() {
        let same = |other: &&Call| other.syscall == call.syscall;
        let in_thread = |thread: &str, upto: &[Call]| {
            upto.iter().filter(same).filter(|other| other.thread == thread).count()
        };
        let ordinal = in_thread(&call.thread, &calls[..=index]);
        if !wanted(call) {
            continue;
        }
        let mut earlier = calls[..index].iter().filter(same);
        let shadow = earlier.find(|other| in_thread(&other.thread, &calls[..index]) >= ordinal);
        let shadow = shadow.map(|other| &other.line);
        assert_eq!(shadow, None, "another thread keeps faults away from\n{}", call.line);
        let on_path = |other: &&Call| {
            other.syscall == call.syscall && other.thread == call.thread && other.target == call.target
        };
        let ordinal_on_path = calls[..=index].iter().filter(on_path).count();
        let answers_before = calls[..index].iter().filter(|call| call.target == ANSWER).count();
        points.push(Point { call: call.clone(), ordinal, ordinal_on_path, answers_before });
    }
    points
}

/// The point, and those beside it. Now and then a thread samples `/proc`, which counts as a call of its kind, so that the same call may
/// be another one's number in the next life.
pub(crate) fn about(point: &Point) -> impl Iterator<Item = Point> {
    let at = |ordinal| Point { ordinal, ..point.clone() };
    [0, -1, 1, -2, 2]
        .into_iter()
        .filter_map(|by| point.ordinal.checked_add_signed(by))
        .filter(|n| *n > 0)
        .map(at)
}

/// Whether a fault met the call it was meant for, which is the last of its kind.
pub(crate) fn is_met(calls: &[Call], point: &Point) -> bool {
    let last = calls.iter().rfind(|call| call.syscall == point.call.syscall);
    last.is_some_and(|call| call.target == point.call.target)
}

/// Prints past the test harness, which keeps what a passing test prints to itself.
pub(crate) fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").expect("standard error takes text");
}

/// Whether these tests are to be skipped, which is said; without strace they fail.
pub(crate) fn is_skipped() -> bool {
    static SKIPPED: OnceLock<bool> = OnceLock::new();
    *SKIPPED.get_or_init(|| {
        if let Ok(reason) = std::env::var("DSEQ_SKIP_CRASH") {
            say(&format!("SKIPPED: the crash tests that need strace, because DSEQ_SKIP_CRASH says: {reason}"));
            return true;
        }
        let tried = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
        let words = match tried {
            Ok(output) if output.status.success() => return false,
            Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
            Err(error) => error.to_string(),
        };
        panic!(
            "crash tests need strace, and it does not run here ({words}); install it and allow ptrace, or set \
             DSEQ_SKIP_CRASH to the reason why they are skipped"
        );
    })
}

#[test]
fn a_line_of_strace_is_understood() {
    let home = Path::new("/srv/home");
    let call = parse("12  pwrite64(9</srv/home/sequence/commit>, \"\"..., 8192, 16) = 8192", home).unwrap();
    assert_eq!((call.syscall.as_str(), call.target.as_str()), ("pwrite64", "sequence/commit"));
    assert_eq!((call.last_number(), call.failed(), call.is_in_state()), (Some(16), false, true));
    let call =
        parse("7 openat(AT_FDCWD</srv>, \"/srv/home\", O_RDONLY|O_CLOEXEC) = -1 ENOENT (No)", home).unwrap();
    assert_eq!((call.target.as_str(), call.creates(), call.failed()), (".", false, true));
    let call = parse("7 unlink(\"/srv/home/run/abci.sock\") = 0", home).unwrap();
    assert_eq!((call.is_in_home(), call.is_in_state()), (true, false));
    let socket = "<UNIX-STREAM:[5->4,\"/srv/home/run/abci.sock\"]>";
    assert_eq!(
        parse(&format!("7 sendto(9{socket}, \"\"..., 3, 0, NULL, 0) = 3"), home).unwrap().target,
        ANSWER
    );
    let call = parse("7  rename(\"/srv/home/a.tmp\", \"/srv/home/a\") = 0", home).unwrap();
    assert_eq!(call.destination(home).as_deref(), Some("a"));
    assert!(parse("7  +++ killed by SIGKILL +++", home).is_none());
    assert!(parse("7  <... fsync resumed>) = 0", home).is_none());
}

#[test]
fn a_call_that_no_fault_can_reach_is_refused() {
    let call = |thread: &str, line: &str| parse(&format!("{thread} {line}"), Path::new("/h")).unwrap();
    let calls = [call("1", "fsync(3</h/a>) = 0"), call("2", "fsync(3</h/b>) = 0")];
    assert_eq!(points(&calls, |call| call.target == "a").len(), 1);
    assert!(std::panic::catch_unwind(|| points(&calls, |call| call.target == "b")).is_err());
}
