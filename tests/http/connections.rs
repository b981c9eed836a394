//! More clients than there may be.

use dseq::api::Limits;

use super::client::Client;
use super::{hello, limits, serve, until};

/// Opens connections until one is refused; the open ones, and the answer to the one that was too many.
fn fill(limits: Limits, expected: usize, what: &str) {
    let http = serve(limits, hello);
    let mut open: Vec<Client> = (0..expected).map(|_| Client::connect(http.address())).collect();
    until("all taken in", || http.connections() == expected);
    for client in &mut open {
        assert_eq!(client.get("/", "").answer().text(), "hello");
    }
    let mut refused = Client::connect(http.address());
    // Without having been asked: it is the connection that is refused, and not a request.
    let answer = refused.answer();
    assert_eq!((answer.status, answer.problem_name().as_str()), (503, "too-many-connections"));
    let problem = answer.problem();
    assert_eq!((&problem["limit"], &problem["actual"]), (&expected.into(), &expected.into()));
    assert!(problem["detail"].as_str().unwrap().contains(what), "{problem}");
    assert_eq!((answer.header("retry-after"), answer.header("connection")), ("5", "close"));
    refused.end_sending();
    assert!(refused.ends_silently());
    // Those that were there are not disturbed, and one that ends makes room.
    for client in &mut open {
        assert_eq!(client.get("/", "").answer().text(), "hello");
    }
    open.pop();
    until("room made", || http.connections() == expected - 1);
    assert_eq!(Client::connect(http.address()).get("/", "").answer().text(), "hello");
}

#[test]
fn more_connections_than_there_may_be_get_503() {
    fill(Limits { connections_max: 3, ..limits() }, 3, "the node");
}

#[test]
fn more_connections_from_one_address_than_it_may_have_get_503() {
    fill(Limits { connections_per_loopback_address_max: 2, ..limits() }, 2, "your address");
}

#[test]
fn a_flood_of_refused_connections_disturbs_nobody() {
    let http = serve(Limits { connections_max: 1, ..limits() }, hello);
    let mut client = Client::connect(http.address());
    assert_eq!(client.get("/", "").answer().text(), "hello");
    // More than are answered at once, and none of them is closed by its client.
    let flood: Vec<Client> = (0..200).map(|_| Client::connect(http.address())).collect();
    assert_eq!(client.get("/", "").answer().text(), "hello");
    let answered = flood.into_iter().map(Client::closed_after).filter(|bytes| !bytes.is_empty()).count();
    assert!((1..=200).contains(&answered), "{answered}");
    assert_eq!(client.get("/", "").answer().text(), "hello");
}
