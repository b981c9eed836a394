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

/// Whether SIGHUP, which is signal 1 and so the mask's first bit, is ignored.
fn hangup_is_ignored() -> bool {
    let status = procfs::process::Process::myself().and_then(|own| own.status());
    status.is_ok_and(|status| status.sigign & 1 == 1)
}
