//! Every bound on what a client may take of this node, with its unit, its reason, and what happens beyond it.
//!
//! They are fields and not constants, so that tests can set bounds that are reached at once; a node uses the defaults.

use std::time::Duration;

use super::params::WAIT_SECONDS_MAX;

/// Maximum size of the buffers in which hyper keeps what it reads and writes, in bytes for each connection and direction.
/// hyper's own default is six times that, and with it a few thousand connections would fill the memory of a small machine.
///
/// A request whose head does not fit gets 431 without a body, from hyper; [`Limits::head_bytes_max`] is reached before.
pub(super) const BUFFER_BYTES_MAX: usize = 64 << 10;

/// Maximum number of header fields that hyper takes.
const HEADER_FIELDS_HYPER: u64 = 100;

/// Size of the send buffer that the kernel is asked for, in bytes for each connection; it takes twice that for its own
/// needs. Left alone it grows to several MiB for a fast reader, and thousands of readers that then stop reading would hold
/// gigabytes.
///
/// A reader 100 ms away still gets about 2.5 MB/s.
pub(super) const SEND_BUFFER_BYTES: usize = 256 << 10;

/// Connections that the kernel keeps waiting to be accepted. Beyond it a client's connection attempt is repeated by its
/// own kernel, a second later.
pub(super) const BACKLOG: i32 = 1024;

/// Descriptors that are left to the rest of the process (the log, ABCI, sockets that are being refused) when the system
/// allows it too few for [`Limits::connections_max`].
pub(super) const DESCRIPTORS_RESERVED: u64 = 512;

/// Refused connections that are closed with an answer, at once; further ones are closed without.
pub(super) const REFUSALS_AT_ONCE: usize = 64;

/// Maximum length of a request id that a client may choose, in bytes; it goes into every log line of the request. A longer
/// one is replaced by one of ours.
pub(super) const REQUEST_ID_BYTES_MAX: usize = 64;

/// Bounds on connections and requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of open connections. Each costs a descriptor and, when idle, some 10 KiB. Ten thousand clients that
    /// wait for their transactions or follow the sequence have to fit.
    ///
    /// A further one gets 503 `too-many-connections` and is closed. On a system that allows the process fewer
    /// descriptors, the bound is lower, and the log says so.
    pub connections_max: usize,

    /// The part of [`Self::connections_max`] that only this machine may take: health checks must get through when others
    /// have taken all the rest.
    pub connections_reserved_for_loopback: usize,

    /// Maximum number of open connections from one address: an IPv4 address, or the first 64 bits of an IPv6 one, which is
    /// what one subscriber gets. Browsers open six; the rest is for clients behind one router.
    ///
    /// A further one gets 503 `too-many-connections` and is closed.
    pub connections_per_address_max: usize,

    /// The same for one loopback address: a reverse proxy on this machine speaks for many clients.
    pub connections_per_loopback_address_max: usize,

    /// Maximum time for a client to send the head of a request, counted from when the connection is open or the request
    /// before it is answered: so it is also how long an idle connection is kept.
    ///
    /// A head that is cut off by it gets 408 `request-timeout`; an idle connection is closed.
    pub head_time_max: Duration,

    /// Maximum size of a request's head (target, header names and values), in bytes. Nothing we understand is longer than
    /// a few hundred.
    ///
    /// A longer one gets 431 `head-too-large`, up to 64 KiB.
    pub head_bytes_max: u64,

    /// Maximum number of header fields of a request. Browsers send about 15, proxies add some.
    ///
    /// More get 431 `head-too-large`, up to 100; beyond that 431 without a body, from hyper.
    pub header_fields_max: u64,

    /// Maximum time for a client to send the whole body of a request. The default transaction limit, 1 MiB, takes 17 kB/s.
    ///
    /// A slower one gets 408 `request-timeout` and is closed.
    pub body_time_max: Duration,

    /// Maximum time for a route to begin its answer, the reading of the request's body and all waiting that the request asks for
    /// included. None takes that long unless the disk hangs.
    ///
    /// Beyond it the answer is 504 `answer-timeout`.
    pub answer_time_max: Duration,

    /// Time that a connection may spend waiting for its reader, before [`Self::write_bytes_min`] have to be taken. Only
    /// time in which there is something to send that the kernel does not take counts.
    ///
    /// TCP_USER_TIMEOUT is the same: a peer that acknowledges nothing, or keeps its window closed, for so long is gone.
    ///
    /// A slower reader is disconnected, with a reset.
    pub write_wait_max: Duration,

    /// Bytes that the kernel must have taken in [`Self::write_wait_max`] of waiting. It takes more only when a third of
    /// its buffer is free, so what this refuses are readers of less than about 6 kB/s.
    pub write_bytes_min: u64,

    /// How long requests in progress may take to end when the node stops, before their connections are cut. ABCI drains
    /// before, for ten seconds at most, and the supervisor kills the process 15 s after it has asked.
    pub grace: Duration,

    /// How long a connection that we close stays open for reading, so that the client gets to read our last answer: the
    /// kernel discards it when unread bytes arrive at a closed socket.
    pub linger: Duration,
}

impl Limits {
    /// The bounds of a node.
    pub const DEFAULT: Self = Self {
        connections_max: 16_384,
        connections_reserved_for_loopback: 64,
        connections_per_address_max: 512,
        connections_per_loopback_address_max: 12_288,
        head_time_max: Duration::from_secs(30),
        head_bytes_max: 16 << 10,
        header_fields_max: 64,
        body_time_max: Duration::from_secs(60),
        answer_time_max: Duration::from_secs(150),
        write_wait_max: Duration::from_secs(30),
        write_bytes_min: 64 << 10,
        grace: Duration::from_secs(3),
        linger: Duration::from_secs(1),
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

const _: () =
    assert!(Limits::DEFAULT.head_bytes_max < BUFFER_BYTES_MAX as u64, "ours is reached before hyper's");
const _: () =
    assert!(Limits::DEFAULT.header_fields_max < HEADER_FIELDS_HYPER, "ours is reached before hyper's");
const _: () = assert!(
    Limits::DEFAULT.connections_per_loopback_address_max + Limits::DEFAULT.connections_per_address_max
        < Limits::DEFAULT.connections_max,
    "a proxy on this machine leaves connections for others"
);
const _: () = assert!(
    Limits::DEFAULT.answer_time_max.as_secs() > Limits::DEFAULT.body_time_max.as_secs() + WAIT_SECONDS_MAX,
    "whoever sends slowly and waits as long as may be gets an answer"
);
const _: () = assert!(
    Limits::DEFAULT.linger.as_millis() < Limits::DEFAULT.grace.as_millis(),
    "a connection that lingers is not cut off when the node stops"
);
