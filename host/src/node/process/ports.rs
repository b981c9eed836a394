//! Whether TCP addresses of this machine can be listened on, and else who does, as far as this user may know.

use std::fmt;
use std::io;
use std::net::TcpListener;

use procfs::net::{TcpNetEntry, TcpState};
use procfs::process::{FDInfo, FDTarget, Process};

use super::command;
use crate::node::address::Address;

/// An address that cannot be listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// The address.
    pub address: Address,
    /// Why not.
    pub why: Why,
}

/// Why an address cannot be listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Somebody else does. Who, if this user may know: pid and command line.
    Held(Option<(u32, String)>),
    /// The kernel says this.
    Refused(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, why } = self;
        let port = address.port;
        match why {
            Why::Held(Some((pid, command))) => write!(f, "port {port} is held by pid {pid}: {command}"),
            Why::Held(None) => {
                write!(f, "port {port} is held by a process of another user, or one just ending")
            }
            Why::Refused(words) => write!(f, "cannot listen on {address}: {words}"),
        }
    }
}

/// Those of these addresses that cannot be listened on, in order.
#[must_use]
pub fn unusable(addresses: &[Address]) -> Vec<Unusable> {
    let look = |address: &Address| {
        let err = TcpListener::bind((address.host.as_str(), address.port)).err()?;
        let held = err.kind() == io::ErrorKind::AddrInUse;
        let why = if held { Why::Held(holder(address.port)) } else { Why::Refused(err.to_string()) };
        Some(Unusable { address: address.clone(), why })
    };
    addresses.iter().filter_map(look).collect()
}

/// The process that listens on a port.
fn holder(port: u16) -> Option<(u32, String)> {
    let tables = [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten();
    let listens = |entry: &TcpNetEntry| entry.state == TcpState::Listen && entry.local_address.port() == port;
    let inodes: Vec<u64> = tables.filter(listens).map(|entry| entry.inode).collect();
    let holder = procfs::process::all_processes().ok()?.flatten().find(|one| has_socket(one, &inodes))?;
    let pid = u32::try_from(holder.pid).ok()?;
    Some((pid, command(&holder).unwrap_or_else(|| "(unknown command)".to_owned())))
}

fn has_socket(process: &Process, inodes: &[u64]) -> bool {
    let Ok(descriptors) = process.fd() else { return false };
    let is_one = |fd: FDInfo| matches!(fd.target, FDTarget::Socket(inode) if inodes.contains(&inode));
    descriptors.flatten().any(is_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_port_is_named_with_the_pid_and_command_that_hold_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = unusable(&[Address::loopback(port)]);
        assert_eq!(found.len(), 1);
        let Why::Held(Some((pid, command))) = &found[0].why else { panic!("{found:?}") };
        assert_eq!(*pid, std::process::id());
        assert!(found[0].to_string().ends_with(&format!("is held by pid {pid}: {command}")), "{found:?}");
        drop(listener);
        // A test beside this one may just have forked, and its child holds the socket until it runs its program.
        let freed = (0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            unusable(&[Address::loopback(port)]).is_empty()
        });
        assert!(freed);
    }

    #[test]
    fn an_address_that_nobody_holds_but_that_is_not_ours_has_its_own_words() {
        // A documentation address, which no machine has.
        let found = unusable(&[Address::new("192.0.2.1", 4000)]);
        assert!(found[0].to_string().starts_with("cannot listen on 192.0.2.1:4000: "), "{found:?}");
        let found = unusable(&[Address::new("2001:db8::1", 4000)]);
        assert!(found[0].to_string().starts_with("cannot listen on [2001:db8::1]:4000: "), "{found:?}");
    }
}
