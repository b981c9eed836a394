//! The app as a running server: log and pipeline opened, socket served, until asked to stop.

use super::halt::Halt;
use super::service::{Service, ServiceOptions};
use super::transport::{ListenAddr, ServeError, Server, ShutdownHandle};

/// What the app needs to run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Where CometBFT connects to.
    pub listen: ListenAddr,
    /// The node's folders.
    pub service: ServiceOptions,
}

/// Opens the node's state, listens, and serves until shut down.
///
/// `on_ready` is called once with the handle that shuts the server down, as soon as it listens.
///
/// # Errors
///
/// The reason the app cannot start or had to stop by itself; see [`Halt::exit_code`].
pub fn run(options: &RunOptions, on_ready: impl FnOnce(ShutdownHandle)) -> Result<(), Halt> {
    let service = Service::open(&options.service)?;
    let server = Server::bind(&options.listen)?;
    tracing::info!(listen = %options.listen, "serving ABCI");
    on_ready(server.shutdown_handle());
    server.run(service).map_err(|error| match error {
        ServeError::HandlerPanicked { method, payload } => match payload.downcast::<Halt>() {
            Ok(halt) => *halt,
            Err(payload) => Halt::Serve(ServeError::HandlerPanicked { method, payload }),
        },
        other => Halt::Serve(other),
    })
}
