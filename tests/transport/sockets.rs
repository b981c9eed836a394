//! The file of a unix socket, and what stands in the way of binding one.
use std::{
    fs,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::UnixListener,
    },
    path::Path,
};

use dseq::abci::transport::{BindError, ListenAddr, Server};
use tempfile::TempDir;

use crate::{
    client::Client,
    harness::{App, Socket, start},
};

fn bind(path: &Path) -> Result<Server, BindError> {
    Server::bind(&ListenAddr::Unix(path.to_owned()))
}

fn bind_error(path: &Path) -> BindError {
    bind(path).err().expect("the address cannot be bound")
}

fn path_of(addr: &ListenAddr) -> &Path {
    match addr {
        ListenAddr::Unix(path) => path,
        ListenAddr::Tcp { .. } => panic!("{addr} has no path"),
    }
}

#[test]
fn a_socket_that_a_dead_server_left_is_replaced() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("abci.sock");
    // Dropping the standard library's listener leaves its file behind, as a killed process does.
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server = bind(&path).unwrap();
    Client::connect(server.addr());
}

#[test]
fn a_socket_that_a_server_listens_on_is_refused_and_left_alone() {
    let server = start(Socket::Unix, App::new());
    let path = path_of(&server.addr);
    let error = bind_error(path);
    assert!(matches!(error, BindError::InUse(_)), "{error:?}");
    assert!(error.to_string().contains("another process is listening"), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert_eq!(server.client().echo("still there"), "still there");
    server.stop();
}

#[test]
fn a_socket_whose_server_accepts_nobody_is_refused_as_well() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("abci.sock");
    let listener = UnixListener::bind(&path).unwrap();
    // Fill the queue of connections that nobody accepts; a probe that waited for a place would hang.
    rustix::net::listen(&listener, 0).unwrap();
    let waiting = std::os::unix::net::UnixStream::connect(&path).unwrap();
    assert!(matches!(bind_error(&path), BindError::InUse(_)));
    drop(waiting);
}

#[test]
fn a_file_that_is_no_socket_is_refused_and_left_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("abci.sock");
    fs::write(&path, "precious").unwrap();
    let error = bind_error(&path);
    assert!(matches!(error, BindError::NotASocket(_)), "{error:?}");
    assert!(error.to_string().contains("is not a socket"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");

    // A link is not followed, wherever it leads.
    let link = dir.path().join("link.sock");
    let live = dir.path().join("live.sock");
    let _listener = UnixListener::bind(&live).unwrap();
    std::os::unix::fs::symlink(&live, &link).unwrap();
    assert!(matches!(bind_error(&link), BindError::NotASocket(_)));
    assert!(link.is_symlink());
}

#[test]
fn a_path_that_fits_in_no_socket_address_is_refused_with_its_length() {
    let dir = TempDir::new().unwrap();
    let room = 107 - dir.path().as_os_str().len() - 1;
    let longest = dir.path().join("s".repeat(room));
    assert_eq!(longest.as_os_str().len(), 107);
    let server = bind(&longest).unwrap();
    Client::connect(server.addr());

    let error = bind_error(&dir.path().join("s".repeat(room + 1)));
    assert!(error.to_string().contains("is 108 bytes long and the system takes at most 107"), "{error}");
}

#[test]
fn a_folder_that_does_not_exist_is_named() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("missing/abci.sock");
    let error = bind_error(&path);
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn the_socket_is_the_owners_alone() {
    let server = start(Socket::Unix, App::new());
    let metadata = fs::symlink_metadata(path_of(&server.addr)).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    server.stop();
}

#[test]
fn the_socket_is_removed_when_the_server_ends_however_it_ends() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("abci.sock");
    drop(bind(&path).unwrap());
    assert!(!path.exists(), "a server that never ran leaves its socket");

    let server = bind(&path).unwrap();
    server.shutdown_handle().shutdown();
    server.run(App::new()).unwrap();
    assert!(!path.exists(), "a server that was shut down leaves its socket");

    let server = bind(&path).unwrap();
    let addr = server.addr().clone();
    let running = std::thread::spawn(move || server.run(App::new().on_query(|_| panic!("on purpose"))));
    let mut client = Client::connect(&addr);
    let _ = client.try_call(crate::client::ask_query("", ""));
    assert!(running.join().unwrap().is_err());
    assert!(!path.exists(), "a server that panicked leaves its socket");
}

#[test]
fn a_file_that_took_the_sockets_place_is_not_removed() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("abci.sock");
    let server = bind(&path).unwrap();
    // Not removed first: the file system might give the new file the old one's number.
    fs::rename(&path, dir.path().join("elsewhere.sock")).unwrap();
    let successor = bind(&path).unwrap();
    drop(server);
    assert!(path.exists());
    drop(successor);
    assert!(!path.exists());
}

#[test]
fn a_relative_path_is_relative_to_the_working_folder() {
    let here = std::env::current_dir().unwrap();
    let dir = TempDir::new_in(&here).unwrap();
    let path = dir.path().strip_prefix(&here).unwrap().join("abci.sock");
    let server = Server::bind(&format!("unix://{}", path.display()).parse().unwrap()).unwrap();
    assert!(dir.path().join("abci.sock").exists());
    Client::connect(server.addr());
}

#[test]
fn a_tcp_port_that_is_taken_is_named() {
    let server = start(Socket::Tcp, App::new());
    let error = Server::bind(&server.addr).err().expect("the port is taken");
    assert!(error.to_string().contains(&server.addr.to_string()), "{error}");
    server.stop();
}
