//! Who holds a TCP port of this machine, as far as `/proc` tells this user.

use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::Path;

use super::process;

/// A port that somebody listens on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busy {
    /// The port.
    pub port: u16,
    /// Who holds it, if this user may know: pid and command line.
    pub holder: Option<(u32, String)>,
}

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.holder {
            Some((pid, command)) => write!(f, "port {} is held by pid {pid}: {command}", self.port),
            None => write!(f, "port {} is held by a process of another user, or one just ending", self.port),
        }
    }
}

/// Those of these ports of 127.0.0.1 that cannot be bound, in order.
#[must_use]
pub fn busy(ports: &[u16]) -> Vec<Busy> {
    ports
        .iter()
        .filter(|port| TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, **port)).is_err())
        .map(|port| Busy { port: *port, holder: holder(*port) })
        .collect()
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
        .map(|pid| (pid, process::command_of(pid).unwrap_or_else(|| "(unknown command)".to_owned())))
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
    fn a_busy_port_is_named_with_the_pid_and_command_that_hold_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = busy(&[port]);
        assert_eq!(found.len(), 1);
        let (pid, command) = found[0].holder.clone().unwrap();
        assert_eq!(pid, std::process::id());
        assert!(!command.is_empty());
        drop(listener);
        assert_eq!(busy(&[port]), []);
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
