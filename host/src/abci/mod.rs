//! Seam for `dseq serve`; the application replaces it.

use std::path::PathBuf;
use std::sync::mpsc::Receiver;

/// What the app needs to run.
#[derive(Debug)]
pub struct RunOptions {
    /// Where the sequence is.
    pub sequence_dir: PathBuf,
    /// Where plugins are looked for.
    pub plugins_dir: PathBuf,
    /// Where to listen.
    pub listen: String,
    /// Free space below which no more transactions are taken, in bytes.
    pub disk_free_bytes_low: u64,
    /// Receives the reason when the app is to drain and return.
    pub shutdown: Receiver<&'static str>,
}

/// Why the app ended.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct RunError {
    /// What went wrong.
    pub message: String,
    /// Whether running again can't help.
    pub refused: bool,
}

/// Runs the app until it is told to stop.
///
/// # Errors
///
/// When the socket cannot be bound.
pub fn run(options: RunOptions) -> Result<(), RunError> {
    let path = options.listen.strip_prefix("unix://").unwrap_or_default();
    let _ = std::fs::remove_file(path);
    let error = |err: std::io::Error| RunError { message: err.to_string(), refused: false };
    let _listener = std::os::unix::net::UnixListener::bind(path).map_err(error)?;
    let _ = options.shutdown.recv();
    Ok(())
}
