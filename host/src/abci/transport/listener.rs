//! Opens the listening socket, and removes the file of a unix socket when it is no longer listened on.
use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            ffi::OsStrExt,
            fs::{FileTypeExt, MetadataExt},
        },
    },
    path::{Path, PathBuf, absolute},
};

use rustix::{
    fs::Mode,
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt},
};

use super::ListenAddr;

/// Maximum length of a unix socket's path, in bytes: `sun_path` is 108 bytes on Linux, one of them the closing zero.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Connections the kernel keeps waiting to be accepted. CometBFT opens four.
const BACKLOG: i32 = 128;

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The path does not fit into a socket address.
    #[error(
        "the ABCI socket path {} is {bytes} bytes long and the system takes at most {SOCKET_PATH_BYTES_MAX}; \
         use a shorter or a relative path",
        path.display()
    )]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length.
        bytes: usize,
    },
    /// A process accepts connections on that path.
    #[error("another process is listening on the ABCI socket {}; stop it or use another path", .0.display())]
    InUse(PathBuf),
    /// Something that is not a socket has that path. It is left alone.
    #[error("{} exists and is not a socket; move it away or use another path for the ABCI socket", .0.display())]
    NotASocket(PathBuf),
    /// The system refused.
    ///
    /// Fix the cause that follows the message, or set another address with `abci` in dseq.toml.
    #[error("cannot {action} for the ABCI address {addr}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// Where.
        addr: ListenAddr,
        /// The system's reason.
        source: io::Error,
    },
}

/// A listening socket that never blocks in `accept`.
pub(super) struct Listener {
    socket: OwnedFd,
    addr: ListenAddr,
    file: Option<SocketFile>,
}

impl Listener {
    pub(super) fn bind(addr: &ListenAddr) -> Result<Self, BindError> {
        match addr {
            ListenAddr::Unix(path) => Self::bind_unix(addr, path),
            ListenAddr::Tcp { host, port } => Self::bind_tcp(addr, host, *port),
        }
    }

    fn bind_unix(addr: &ListenAddr, path: &Path) -> Result<Self, BindError> {
        let bytes = path.as_os_str().as_bytes().len();
        if bytes > SOCKET_PATH_BYTES_MAX {
            return Err(BindError::PathTooLong { path: path.to_owned(), bytes });
        }
        let failed =
            |action| move |error: io::Error| BindError::Io { action, addr: addr.clone(), source: error };
        let name =
            SocketAddrUnix::new(path).map_err(io::Error::from).map_err(failed("form a socket name"))?;
        // Two servers that find the same stale file at the same moment could take it from each other. The
        // lock of the node's home keeps two nodes apart; this only has to tell a live socket from a dead one.
        remove_stale(addr, path, &name)?;
        let socket = unix_socket().map_err(failed("open a socket"))?;
        rustix::net::bind(&socket, &name).map_err(io::Error::from).map_err(failed("bind the socket"))?;
        let file = SocketFile::of(path).map_err(failed("look at the new socket"))?;
        // Nobody can connect before `listen`, so there is no moment in which others could.
        rustix::fs::chmod(path, Mode::RUSR | Mode::WUSR)
            .map_err(io::Error::from)
            .map_err(failed("restrict the socket to its owner"))?;
        rustix::net::listen(&socket, BACKLOG).map_err(io::Error::from).map_err(failed("listen"))?;
        Ok(Self { socket, addr: addr.clone(), file: Some(file) })
    }

    fn bind_tcp(addr: &ListenAddr, host: &str, port: u16) -> Result<Self, BindError> {
        let failed =
            |action| move |error: io::Error| BindError::Io { action, addr: addr.clone(), source: error };
        let listener = TcpListener::bind((host, port)).map_err(failed("listen"))?;
        listener.set_nonblocking(true).map_err(failed("prepare the socket"))?;
        let local = listener.local_addr().map_err(failed("read the socket's address"))?;
        if !local.ip().is_loopback() {
            tracing::warn!(listen = %local, "the ABCI socket has no authentication and listens beyond this host");
        }
        Ok(Self { socket: listener.into(), addr: tcp_addr(local), file: None })
    }

    /// The address listened on; a port that the system chose is filled in.
    pub(super) fn addr(&self) -> &ListenAddr {
        &self.addr
    }

    /// The next waiting connection, or `None` when there is none.
    pub(super) fn accept(&self) -> io::Result<Option<OwnedFd>> {
        match rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC) {
            Ok(socket) => {
                // An answer must not wait for the acknowledgement of the one before it. Where that can't be set,
                // the client is gone already.
                if self.file.is_none() && sockopt::set_tcp_nodelay(&socket, true).is_err() {
                    return Ok(None);
                }
                Ok(Some(socket))
            }
            Err(error) if is_about_one_connection(error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether `accept` reports nothing waiting, or an error of the connection it would have answered with: Linux hands
/// out a new connection's pending network errors this way (accept(2)).
fn is_about_one_connection(error: Errno) -> bool {
    matches!(
        error,
        Errno::WOULDBLOCK
            | Errno::INTR
            | Errno::CONNABORTED
            | Errno::NETDOWN
            | Errno::PROTO
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::OPNOTSUPP
            | Errno::NETUNREACH
            | Errno::PERM
    )
}

fn tcp_addr(addr: SocketAddr) -> ListenAddr {
    ListenAddr::Tcp { host: addr.ip().to_string(), port: addr.port() }
}

fn unix_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?)
}

/// Removes the socket that a server which is gone left at `path`. Anything else there is an error.
fn remove_stale(addr: &ListenAddr, path: &Path, name: &SocketAddrUnix) -> Result<(), BindError> {
    let failed = |action, source| BindError::Io { action, addr: addr.clone(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at the socket's path", error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    // The socket does not block: a server whose backlog is full answers EAGAIN, and it is alive.
    let probe = unix_socket().map_err(|error| failed("open a socket", error))?;
    match rustix::net::connect(&probe, name) {
        Ok(()) | Err(Errno::AGAIN) => Err(BindError::InUse(path.to_owned())),
        Err(Errno::CONNREFUSED) => {
            tracing::info!(path = %path.display(), "removing the ABCI socket of a server that is gone");
            fs::remove_file(path).map_err(|error| failed("remove the stale socket", error))
        }
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(failed("ask who listens on the socket", error.into())),
    }
}

/// The file of a bound unix socket. It is removed on drop, unless the path names another file by then.
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { path: absolute(path)?, device: metadata.dev(), inode: metadata.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| metadata.dev() == self.device && metadata.ino() == self.inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the ABCI socket");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accepted_tcp_connection_delays_nothing() {
        let listener = Listener::bind(&"tcp://127.0.0.1:0".parse().unwrap()).unwrap();
        let ListenAddr::Tcp { host, port } = listener.addr() else { panic!("not TCP") };
        let _client = std::net::TcpStream::connect((host.as_str(), *port)).unwrap();
        let socket = listener.accept().unwrap().expect("a connection is waiting");
        assert!(sockopt::tcp_nodelay(&socket).unwrap());
    }

    #[test]
    fn accepting_does_not_wait() {
        let dir = tempfile::tempdir().unwrap();
        for addr in ["tcp://127.0.0.1:0".to_owned(), format!("unix://{}/abci.sock", dir.path().display())] {
            let listener = Listener::bind(&addr.parse().unwrap()).unwrap();
            assert!(listener.accept().unwrap().is_none());
        }
    }
}
