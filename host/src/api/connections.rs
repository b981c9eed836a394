//! Counts open connections, in all and for each address, and refuses what is beyond the limits.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Limits;
use super::problem::{Problem, TOO_MANY_CONNECTIONS};

/// When a refused client may try again: connections come and go within seconds.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The open connections; clones share one count.
#[derive(Clone, Debug, Default)]
pub(super) struct Connections(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    open: Mutex<Open>,
    /// Signalled when none is left.
    none: Condvar,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The right to be one of the open connections; given back on drop.
#[derive(Debug)]
pub(super) struct Permit {
    shared: Arc<Shared>,
    address: IpAddr,
}

impl Connections {
    /// Takes a connection in, or says which limit it is beyond.
    pub(super) fn admit(&self, address: IpAddr, limits: &Limits) -> Result<Permit, Problem> {
        let address = counted_as(address);
        let Limits { connections_max, connections_reserved_for_loopback, .. } = *limits;
        let (max, of_address_max) = if address.is_loopback() {
            (connections_max, limits.connections_per_loopback_address_max)
        } else {
            let max = connections_max.saturating_sub(connections_reserved_for_loopback);
            (max, limits.connections_per_address_max)
        };
        let mut open = self.0.open();
        let of_address = open.by_address.get(&address).copied().unwrap_or(0);
        if open.all >= max {
            return Err(refused("the node has as many connections open as it takes", max, open.all));
        }
        if of_address >= of_address_max {
            let what = "your address has as many connections open as one address may have";
            return Err(refused(what, of_address_max, of_address));
        }
        open.all += 1;
        open.by_address.insert(address, of_address + 1);
        Ok(Permit { shared: Arc::clone(&self.0), address })
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.0.open().all
    }

    /// Waits until none is open, for as long as `patience` at most; how many are left.
    pub(super) fn wait_until_none(&self, patience: Duration) -> usize {
        let waited = self.0.none.wait_timeout_while(self.0.open(), patience, |open| open.all > 0);
        waited.unwrap_or_else(PoisonError::into_inner).0.all
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing that may panic happens under this lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.shared.open();
        open.all -= 1;
        match open.by_address.get_mut(&self.address) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.by_address.remove(&self.address)),
        }
        if open.all == 0 {
            self.shared.none.notify_all();
        }
    }
}

fn refused(what: &str, limit: usize, actual: usize) -> Problem {
    let [limit, actual] = [limit, actual].map(|count| count as u64);
    Problem::new(&TOO_MANY_CONNECTIONS, format!("{what}; close some, or try again later"))
        .exceeding(limit, Some(actual), "connections")
        .retry_after(RETRY_AFTER)
}

/// The address that a connection counts for: an IPv4 address written as an IPv6 one is the IPv4 address, and of an IPv6
/// address the first 64 bits count, since one subscriber has all the rest.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            connections_max: 6,
            connections_reserved_for_loopback: 1,
            connections_per_address_max: 2,
            connections_per_loopback_address_max: 3,
            ..Limits::default()
        }
    }

    fn admit(connections: &Connections, address: &str) -> Result<Permit, Problem> {
        connections.admit(address.parse().unwrap(), &limits())
    }

    #[test]
    fn one_address_may_not_take_the_place_of_others() {
        let connections = Connections::default();
        let _first = admit(&connections, "192.0.2.1").unwrap();
        let second = admit(&connections, "::ffff:192.0.2.1").unwrap();
        admit(&connections, "192.0.2.1").unwrap_err();
        let _other = admit(&connections, "192.0.2.2").unwrap();
        drop(second);
        assert_eq!(connections.open(), 2);
        let _again = admit(&connections, "192.0.2.1").unwrap();
    }

    #[test]
    fn addresses_of_one_ipv6_subscriber_count_as_one() {
        let connections = Connections::default();
        let _first = admit(&connections, "2001:db8::1").unwrap();
        let _second = admit(&connections, "2001:db8::ffff:2").unwrap();
        admit(&connections, "2001:db8::3").unwrap_err();
        let _other = admit(&connections, "2001:db8:0:1::1").unwrap();
    }

    #[test]
    fn this_machine_gets_in_when_others_have_taken_all_they_may() {
        let connections = Connections::default();
        let address = |number: usize| format!("192.0.2.{number}");
        let all: Vec<_> = (0..5).map(|number| admit(&connections, &address(number)).unwrap()).collect();
        admit(&connections, "198.51.100.1").unwrap_err();
        let local = admit(&connections, "127.0.0.1").unwrap();
        admit(&connections, "127.0.0.1").unwrap_err();
        drop(all);
        let _more = ["127.0.0.1", "127.0.0.1"].map(|address| admit(&connections, address).unwrap());
        admit(&connections, "127.0.0.1").unwrap_err();
        drop(local);
    }

    #[test]
    fn the_end_waits_for_open_connections_and_says_how_many_are_left() {
        let connections = Connections::default();
        assert_eq!(connections.wait_until_none(Duration::ZERO), 0);
        let permit = admit(&connections, "127.0.0.1").unwrap();
        assert_eq!(connections.wait_until_none(Duration::from_millis(1)), 1);
        let waits = connections.clone();
        let waiting = std::thread::spawn(move || waits.wait_until_none(Duration::from_secs(60)));
        drop(permit);
        assert_eq!(waiting.join().unwrap(), 0);
        assert!(connections.0.open().by_address.is_empty());
    }
}
