//! An address that takes no connection, as that of a machine that is off: nothing was handed over there.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use dseq_client::{Address, Error, SubmitOptions, Submitted, Why};
use serde_json::json;
use tokio::net::{TcpListener, TcpSocket};

use crate::hasty;
use crate::mock::{Node, Reply};

/// A listener whose queue is full: the kernel drops further attempts to connect, and the client repeats them.
struct Silent {
    address: Address,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Silent {
    fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
        let waiting: Vec<TcpStream> = (0..64).map_while(connect).collect();
        assert!(waiting.len() < 64, "the queue does not fill up");
        Self { address: address.to_string().parse().unwrap(), _listener: listener, _waiting: waiting }
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_handed_over_however_short_the_timeout() {
    let silent = Silent::start();
    for millis in [20, 400, 1200] {
        let options = SubmitOptions { timeout: Duration::from_millis(millis), ..SubmitOptions::default() };
        let error = hasty(vec![silent.address.clone()]).submit("hello", options).await.unwrap_err();
        let Error::Unreachable { failures } = &error else { panic!("{millis} ms: {error}") };
        assert!(matches!(failures[0].why, Why::NotConnected(_)), "{millis} ms: {error}");
    }
}

#[tokio::test]
async fn a_node_that_cannot_be_reached_leaves_time_for_another_one() {
    let silent = Silent::start();
    let node = Node::start(|request| {
        let tx_hash = dseq_client::TxHash::of(&request.body).to_string();
        let answer = json!({
            "state": "committed", "duplicate": false, "index": 3, "offset": 40, "length": request.body.len(),
            "height": 9, "tx_hash": tx_hash, "blake3": "0".repeat(64),
        });
        Reply::json("200 OK", &answer)
    });
    let client = hasty(vec![silent.address.clone(), node.address.clone()]);
    let options = SubmitOptions { timeout: Duration::from_secs(8), ..SubmitOptions::default() };
    let submitted = client.submit("hello", options).await.unwrap();
    assert!(matches!(submitted, Submitted::Committed { .. }), "{submitted:?}");
}
