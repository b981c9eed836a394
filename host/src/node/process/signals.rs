//! The signals that ask a process of ours to end in order.

use std::io;
use std::sync::mpsc::Sender;
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, SIGINT and SIGHUP from now on.
#[derive(Debug)]
pub struct StopSignals {
    term: Signal,
    int: Signal,
    /// None when it was ignored before: whoever starts us with `nohup` wants us to outlive the terminal.
    hup: Option<Signal>,
}

impl StopSignals {
    /// Listens from now on; needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn new() -> io::Result<Self> {
        let hup = if hangup_is_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())?, hup })
    }

    /// Waits for one, and names it.
    pub async fn recv(&mut self) -> &'static str {
        let hup = async {
            match &mut self.hup {
                Some(hup) => hup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
            _ = hup => "SIGHUP",
        }
    }
}

/// Sends the name of each such signal to whoever waits for it, for code that is not asynchronous.
///
/// # Errors
///
/// When the kernel refuses.
pub fn forward(to: Sender<&'static str>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Registered before the thread starts: a signal that comes right now must not end us the hard way.
    let mut signals = runtime.block_on(async { StopSignals::new() })?;
    thread::spawn(move || {
        // Goes on when nobody receives any more: without a listener signals would end the process the hard way,
        // and cut short the draining that the first one began.
        loop {
            let _ = to.send(runtime.block_on(signals.recv()));
        }
    });
    Ok(())
}

/// Whether SIGHUP is ignored: the first bit of the mask in `/proc/self/status`.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
