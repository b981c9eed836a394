//! Whether TCP addresses of this machine can be listened on, and else who does, as far as `/proc` tells this user.

use std::fmt;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::Path;

use super::command_of;
use crate::node::engine::listen;

/// An address that cannot be listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unusable {
    /// Its host, as it was asked for.
    pub host: String,
    /// Its port.
    pub port: u16,
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
        let Self { host, port, why } = self;
        match why {
            Why::Held(Some((pid, command))) => write!(f, "port {port} is held by pid {pid}: {command}"),
            Why::Held(None) => {
                write!(f, "port {port} is held by a process of another user, or one just ending")
            }
            Why::Refused(words) => write!(f, "cannot listen on {}: {words}", listen::joined(host, *port)),
        }
    }
}

/// Those of these addresses that cannot be listened on, in order.
#[must_use]
pub fn unusable<'a>(addresses: impl IntoIterator<Item = (&'a str, u16)>) -> Vec<Unusable> {
    let look = |(host, port): (&str, u16)| {
        let err = TcpListener::bind((host, port)).err()?;
        let held = err.kind() == io::ErrorKind::AddrInUse;
        let why = if held { Why::Held(holder(port)) } else { Why::Refused(err.to_string()) };
        Some(Unusable { host: host.to_owned(), port, why })
    };
    addresses.into_iter().filter_map(look).collect()
}

/// The process that listens on a port.
fn holder(port: u16) -> Option<(u32, String)> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    fs::read_dir("/proc")
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .find(|pid| has_descriptor(*pid, &links))
        .map(|pid| (pid, command_of(pid).unwrap_or_else(|| "(unknown command)".to_owned())))
}

/// The inodes of sockets that listen on a port, from the text of `/proc/net/tcp`: column 1 is the local
/// address, column 3 the state (0A is listening), column 9 the inode.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    let suffix = format!(":{port:04X}");
    table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|columns| columns.get(1).is_some_and(|local| local.ends_with(&suffix)))
        .filter(|columns| columns.get(3) == Some(&"0A"))
        .filter_map(|columns| columns.get(9).map(|inode| (*inode).to_owned()))
        .collect()
}

fn has_descriptor(pid: u32, links: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")) else {
        return false;
    };
    descriptors
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .any(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_port_is_named_with_the_pid_and_command_that_hold_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = unusable([("127.0.0.1", port)]);
        assert_eq!(found.len(), 1);
        let Why::Held(Some((pid, command))) = &found[0].why else { panic!("{found:?}") };
        assert_eq!(*pid, std::process::id());
        assert!(found[0].to_string().ends_with(&format!("is held by pid {pid}: {command}")), "{found:?}");
        drop(listener);
        // A test beside this one may just have forked, and its child holds the socket until it runs its program.
        let freed = (0..1000).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            unusable([("127.0.0.1", port)]).is_empty()
        });
        assert!(freed);
    }

    #[test]
    fn an_address_that_nobody_holds_but_that_is_not_ours_has_its_own_words() {
        // A documentation address, which no machine has.
        let found = unusable([("192.0.2.1", 4000)]);
        assert!(found[0].to_string().starts_with("cannot listen on 192.0.2.1:4000: "), "{found:?}");
        let found = unusable([("2001:db8::1", 4000)]);
        assert!(found[0].to_string().starts_with("cannot listen on [2001:db8::1]:4000: "), "{found:?}");
    }

    #[test]
    fn only_listening_sockets_of_the_very_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                     0: 0100007F:6821 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1\n\
                     1: 0100007F:6821 0100007F:A1B2 01 00000000:00000000 00:00000000 00000000     0        0 222 1\n\
                     2: 0100007F:6822 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1\n";
        assert_eq!(listening_inodes(table, 0x6821), ["111"]);
    }
}
