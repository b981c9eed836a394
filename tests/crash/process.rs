//! A node as a process of its own, started by these tests and ended by them whatever happens.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dseq::abci::transport::ListenAddr;
use dseq::node::home::NodeHome;
use rustix::process::{Pid, Resource, Rlimit, Signal};
use tempfile::TempDir;

use super::strace::{self, Call, Fault, Point};
use super::support::client::Client;
use super::support::consensus::{Chain, Progress};

/// Nothing here takes this long; it only keeps a broken node from hanging the tests.
const WATCHDOG: Duration = Duration::from_secs(60);

/// Pause before looking again. It decides how long a test takes, never how it ends.
const POLL: Duration = Duration::from_millis(1);

/// A node's home on the disk of the build, and beside it what strace writes.
pub(crate) struct Place {
    _dir: Option<TempDir>,
    pub(crate) home: PathBuf,
    log: PathBuf,
}

impl Place {
    /// An empty home.
    pub(crate) fn new() -> Self {
        let dir = TempDir::new_in(scratch()).expect("the target folder takes a folder");
        let mut place = Self::at(dir.path());
        place._dir = Some(dir);
        place
    }

    /// An empty home in a folder that somebody else removes.
    pub(crate) fn at(dir: &Path) -> Self {
        let dir = dir.canonicalize().expect("the folder is there");
        refuse_memory(&dir);
        let (home, log) = (dir.join("home"), dir.join("strace.log"));
        std::fs::create_dir_all(home.join("config")).unwrap();
        std::fs::write(home.join("config/genesis.json"), "{}").unwrap();
        // In the way of the index of receipts, which is derived, and written by a thread of its own: its calls would keep faults
        // away from those that count.
        std::fs::write(home.join("index"), "").unwrap();
        Self { _dir: None, home, log }
    }

    /// Another place with the same log and plugins.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        for dir in ["sequence", "plugins"].map(Path::new) {
            let Ok(files) = std::fs::read_dir(self.home.join(dir)) else { continue };
            std::fs::create_dir(copy.home.join(dir)).unwrap();
            for file in files.map(Result::unwrap) {
                std::fs::copy(file.path(), copy.home.join(dir).join(file.file_name())).unwrap();
            }
        }
        copy
    }

    pub(crate) fn sequence_dir(&self) -> PathBuf {
        self.home.join("sequence")
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.home.join(name)).unwrap_or_else(|error| panic!("cannot read {name}: {error}"))
    }
}

/// A folder of this process on the disk of the build. What it holds at the end goes when the tests run again.
pub(crate) fn scratch() -> &'static Path {
    static SCRATCH: OnceLock<PathBuf> = OnceLock::new();
    SCRATCH.get_or_init(|| {
        let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("crash");
        let of_process = |pid: &str| all.join(pid);
        for old in std::fs::read_dir(&all).into_iter().flatten().map(Result::unwrap) {
            let pid = old.file_name().into_string().unwrap();
            if !Path::new("/proc").join(&pid).exists() {
                // One that cannot be removed is in nobody's way.
                let _ = std::fs::remove_dir_all(of_process(&pid));
            }
        }
        let own = of_process(&std::process::id().to_string());
        std::fs::create_dir_all(&own).expect("the target folder takes a folder");
        own
    })
}

/// A crash test on a file system in memory would prove nothing about a disk.
fn refuse_memory(dir: &Path) {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    let kind = u64::try_from(rustix::fs::statfs(dir).unwrap().f_type).unwrap();
    assert!(![TMPFS, RAMFS].contains(&kind), "{} is in memory; build into a folder on disk", dir.display());
}

/// A running node: `dseq serve`, possibly under strace.
pub(crate) struct Process {
    child: Child,
    /// A strace that joined later. One that was there from the start ends with the node.
    tracer: Option<Child>,
    stderr: Option<JoinHandle<String>>,
    is_traced: bool,
    home: PathBuf,
    log: PathBuf,
}

/// How a node ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// What it said on standard error.
    pub(crate) words: String,
    /// Its calls, as far as they were traced.
    pub(crate) calls: Vec<Call>,
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, saying {:?}", self.status, self.words)
    }
}

impl Ended {
    pub(crate) fn was_killed_by(&self, signal: Signal) -> bool {
        self.status.signal() == Some(signal.as_raw())
    }
}

impl Process {
    /// Starts a node that nobody hinders.
    pub(crate) fn start(place: &Place) -> Self {
        Self::spawn(place, Command::new(env!("CARGO_BIN_EXE_dseq")), false)
    }

    /// Starts a node that is told of a file grown too large instead of being killed for it.
    pub(crate) fn start_ignoring_sigxfsz(place: &Place) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", r#"trap "" XFSZ; exec "$@""#, "sh", env!("CARGO_BIN_EXE_dseq")]);
        Self::spawn(place, command, false)
    }

    /// Starts a node whose first thread has so many KiB of stack, and whose others have as little unless they say more.
    pub(crate) fn start_with_stack(place: &Place, kib: u32) -> Self {
        let mut command = Command::new("sh");
        let script = format!(r#"ulimit -s {kib}; RUST_MIN_STACK={} exec "$@""#, u64::from(kib) << 10);
        command.args(["-c", script.as_str(), "sh", env!("CARGO_BIN_EXE_dseq")]);
        Self::spawn(place, command, false)
    }

    /// Starts a node under strace. It is our child nevertheless, and strace its grandchild (`-D`).
    pub(crate) fn start_traced(place: &Place, point: Option<(&Point, Fault)>) -> Self {
        let mut command = Command::new("strace");
        command
            .arg("-D")
            .args(strace::arguments(&place.log, &place.home, point))
            .arg(env!("CARGO_BIN_EXE_dseq"));
        Self::spawn(place, command, true)
    }

    fn spawn(place: &Place, mut command: Command, is_traced: bool) -> Self {
        command.args([
            "serve",
            "--supervised",
            "--log-level",
            "error",
            "--disk-free-bytes-low",
            "0",
            "--http",
            "off",
        ]);
        command.arg("--home").arg(&place.home).env_clear().current_dir(scratch());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        // A node whose standard input ends stops by itself: it cannot outlive these tests, however they end.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the node starts");
        let stderr = child.stderr.take().expect("it was asked for");
        let stderr = Some(std::thread::spawn(move || read_to_end(stderr)));
        let (home, log) = (place.home.clone(), place.log.clone());
        Self { child, tracer: None, stderr, is_traced, home, log }
    }

    /// Lets strace join a running node, and waits until it has.
    pub(crate) fn attach(&mut self, point: Option<(&Point, Fault)>) {
        let mut command = Command::new("strace");
        command
            .args(strace::arguments(&self.log, &self.home, point))
            .arg(format!("--attach={}", self.child.id()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let tracer = self.tracer.insert(command.spawn().expect("strace starts"));
        let mut stderr = BufReader::new(tracer.stderr.take().expect("it was asked for"));
        let mut line = String::new();
        stderr.read_line(&mut line).expect("strace says that it joined");
        assert!(line.contains("attached"), "strace does not join: {line}");
        // strace goes on to say which threads come; nobody may let it wait.
        std::thread::spawn(move || io::copy(&mut stderr, &mut io::sink()));
        self.is_traced = true;
    }

    /// Waits until the node listens; an error when it ended before.
    pub(crate) fn connect(&mut self) -> io::Result<Client> {
        let address = ListenAddr::Unix(NodeHome::new(&self.home).abci_socket());
        let started = Instant::now();
        loop {
            if let Ok(client) = Client::try_connect(&address) {
                return Ok(client);
            }
            if self.child.try_wait()?.is_some() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            assert!(started.elapsed() < WATCHDOG, "the node neither listens nor ends");
            std::thread::sleep(POLL);
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Bounds the length of the files the node may write from now on, in bytes. A write across the bound is cut
    /// short there; a write beyond it ends in SIGXFSZ, for which the node shall leave no core file.
    pub(crate) fn limit_files(&self, bytes: u64) {
        for (resource, bytes) in [(Resource::Core, 0), (Resource::Fsize, bytes)] {
            let limit = Rlimit { current: Some(bytes), maximum: None };
            rustix::process::prlimit(Some(self.pid()), resource, limit).expect("our child takes a limit");
        }
    }

    /// Asks the node to stop.
    pub(crate) fn terminate(&self) {
        rustix::process::kill_process(self.pid(), Signal::TERM).expect("our child takes a signal");
    }

    /// Waits until the node has ended.
    pub(crate) fn ended(mut self) -> Ended {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("our child can be waited for") {
                break status;
            }
            let log = || std::fs::read_to_string(&self.log).unwrap_or_default();
            assert!(started.elapsed() < WATCHDOG, "the node does not end; its calls, if traced:\n{}", log());
            std::thread::sleep(POLL);
        };
        // The end of standard error is the end of a strace that was there from the start, too.
        let words = self.stderr.take().and_then(|thread| thread.join().ok()).expect("read to the end");
        if let Some(mut tracer) = self.tracer.take() {
            tracer.wait().expect("strace ends with the node");
        }
        let calls = if self.is_traced { strace::calls(&self.log, &self.home) } else { Vec::new() };
        Ended { status, words, calls }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        for child in [Some(&mut self.child), self.tracer.as_mut()].into_iter().flatten() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn read_to_end(mut stderr: ChildStderr) -> String {
    let mut bytes = Vec::new();
    stderr.read_to_end(&mut bytes).expect("a pipe can be read");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// When strace is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Watched {
    /// From the first instruction; the node is stopped as soon as it listens.
    Starting,
    /// From when it listens: InitChain or the handshake, blocks, and the orderly stop.
    Serving,
}

/// One life of a process, up to its end.
pub(crate) struct Life {
    pub(crate) progress: Progress,
    pub(crate) ended: Ended,
}

/// Starts a node, lets it follow the chain up to a height, stops it; all as far as it gets.
pub(crate) fn live(
    place: &Place,
    chain: &Chain,
    height: i64,
    watched: Watched,
    point: Option<(&Point, Fault)>,
) -> Life {
    let mut progress = Progress::default();
    let mut process = match watched {
        Watched::Starting => Process::start_traced(place, point),
        Watched::Serving => Process::start(place),
    };
    let followed = process.connect().and_then(|mut client| match watched {
        Watched::Starting => Ok(()),
        Watched::Serving => {
            process.attach(point);
            chain.try_follow(&mut client, height, &mut progress).map(drop)
        }
    });
    if followed.is_ok() {
        process.terminate();
    }
    Life { progress, ended: process.ended() }
}
