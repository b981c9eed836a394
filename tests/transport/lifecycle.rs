//! How connections and servers end: clients that go away, shutdown, panics.
use std::{
    panic::resume_unwind,
    sync::{Mutex, mpsc},
};

use bytes::Bytes;
use dseq::abci::transport::{Handler, ServeError, Server};
use dseq::panics::panic_message;
use tendermint_proto::v0_38::abci::{RequestFinalizeBlock, request::Value as Ask, response::Value as Answer};

use crate::{
    client::{Client, ask_check_tx, ask_echo, ask_query, frame},
    harness::{App, Board, Running, Socket, WATCHDOG, on_both, start, start_with, wait_until},
};

/// An application whose Query says on the board that it started and ends when it finds `release` there.
fn held_app() -> (App, Board) {
    let board = Board::default();
    let on_query = board.clone();
    let app = App::new().on_query(move |data| {
        on_query.put(std::str::from_utf8(data).expect("the queries of this test are text"));
        on_query.wait_for("release");
    });
    (app, board)
}

fn queried(answers: &[Answer]) -> Vec<&Bytes> {
    answers
        .iter()
        .map(|answer| match answer {
            Answer::Query(answer) => &answer.value,
            other => panic!("{other:?} is not an answer to Query"),
        })
        .collect()
}

#[test]
fn a_client_that_goes_away_ends_its_connection_only() {
    on_both(|socket| {
        let (app, board) = held_app();
        let server = start(socket, app);
        let mut witness = server.client();
        assert_eq!(witness.echo("before"), "before");

        drop(server.client());
        let mut mid_request = server.client();
        mid_request.send_raw(&frame(ask_echo("never whole"))[..5]);
        drop(mid_request);
        let mut before_the_answer = server.client();
        before_the_answer.send(ask_query("", "asked"));
        board.wait_for("asked");
        drop(before_the_answer);
        board.put("release");

        assert_eq!(witness.echo("after"), "after");
        assert_eq!(server.client().echo("new"), "new");
        server.stop();
    });
}

#[test]
fn a_client_that_leaves_in_the_middle_of_an_answer_ends_its_connection_only() {
    on_both(|socket| {
        let server = start(socket, App::new());
        let mut leaver = server.client();
        // The answer is as large, and no socket buffers that much: the server is left in the middle of a write.
        let txs = vec![Bytes::from(vec![1; 1 << 20]); 16];
        leaver.send(Ask::FinalizeBlock(RequestFinalizeBlock { txs, ..Default::default() }));
        drop(leaver);
        assert_eq!(server.client().echo("still there"), "still there");
        server.stop();
    });
}

#[test]
fn a_shutdown_answers_what_has_arrived_and_then_closes() {
    on_both(|socket| {
        let (app, board) = held_app();
        let server = start(socket, app);
        let mut client = server.client();
        let mut idle = server.client();
        assert_eq!(idle.echo("connected"), "connected");
        client.send_raw(&[frame(ask_query("", "one")), frame(ask_query("", "two"))].concat());
        board.wait_for("one");
        // This has arrived at the socket, but the server has not read it: it is busy with `one`.
        client.send_raw(&frame(ask_query("", "three")));
        client.send_raw(&frame(ask_query("", "never whole"))[..5]);

        server.handle.shutdown();
        assert!(idle.receive_to_end().is_empty(), "an idle connection is closed at once");
        board.put("release");
        assert_eq!(queried(&client.receive_to_end()), ["one", "two", "three"]);
        let addr = server.addr.clone();
        server.ended().expect("a shutdown is no error");
        assert!(Client::try_connect(&addr).is_err(), "nobody listens any more");
    });
}

#[test]
fn a_shutdown_stops_accepting_while_it_drains() {
    on_both(|socket| {
        let (app, board) = held_app();
        let server = start(socket, app);
        let mut client = server.client();
        client.send(ask_query("", "busy"));
        board.wait_for("busy");
        server.handle.shutdown();
        wait_until("the listener to close", || Client::try_connect(&server.addr).is_err());
        board.put("release");
        assert_eq!(queried(&client.receive_to_end()), ["busy"]);
        server.ended().expect("a shutdown is no error");
    });
}

#[test]
fn a_client_that_does_not_read_cannot_hold_a_shutdown() {
    on_both(|socket| {
        let (app, board) = held_app();
        let server = start(socket, app);
        let mut deaf = server.client();
        deaf.send(ask_query("", "listening"));
        board.wait_for("listening");
        board.put("release");
        let txs = vec![Bytes::from(vec![1; 1 << 20]); 16];
        deaf.send(Ask::FinalizeBlock(RequestFinalizeBlock { txs, ..Default::default() }));
        server.handle.shutdown();
        server.ended().expect("a shutdown is no error");
        drop(deaf);
    });
}

#[test]
fn a_shutdown_may_be_asked_for_twice_and_before_the_server_runs() {
    on_both(|socket| {
        let server = start(socket, App::new());
        let again = server.handle.clone();
        again.shutdown();
        server.handle.shutdown();
        server.stop();
        again.shutdown();

        let early = start_with(socket, App::new(), |server| {
            server.shutdown_handle().shutdown();
            server
        });
        early.ended().expect("a shutdown is no error");
    });
}

#[test]
fn a_server_that_was_shut_down_holds_no_clone_of_the_application() {
    let (held, dropped) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let app = App::new().on_check(move |_| drop(held.lock()));
    let server = start_with(Socket::Unix, app, |server| server.with_check_helpers(3));
    let mut client = server.client();
    client.pipeline((0..100).map(|_| ask_check_tx("tx")));
    server.stop();
    // The sender lives in the application's hook.
    assert_eq!(dropped.try_recv(), Err(mpsc::TryRecvError::Disconnected));
}

/// The server ends by a panic: `client` gets no answer, and other connections end as well.
fn expect_cut(server: &Running, mut client: Client, request: &[u8], witness: &mut Client) {
    assert_eq!(witness.echo("before"), "before");
    client.send_raw(request);
    assert!(client.receive_to_end().is_empty(), "the request that panicked was answered");
    assert!(witness.receive_to_end().is_empty());
    wait_until("the listener to close", || Client::try_connect(&server.addr).is_err());
}

#[test]
fn a_panic_ends_the_server_with_its_message_and_without_an_answer() {
    on_both(|socket| {
        let server = start(socket, App::new().on_query(|data| panic!("cannot answer {}", data.len())));
        let (client, mut witness) = (server.client(), server.client());
        expect_cut(&server, client, &frame(ask_query("", "seven b")), &mut witness);
        let (method, payload) = server.panicked();
        assert_eq!((method, panic_message(&*payload)), ("Query", "cannot answer 7"));
    });
}

#[test]
fn a_panic_in_a_parallel_check_ends_the_server() {
    on_both(|socket| {
        for culprit in 0..4usize {
            let app =
                App::new().on_check(move |tx| assert_ne!(tx, culprit.to_string().as_bytes(), "culprit"));
            let server = start_with(socket, app, |server| server.with_check_helpers(3));
            let (client, mut witness) = (server.client(), server.client());
            let checks: Vec<u8> = (0..4).flat_map(|number| frame(ask_check_tx(number.to_string()))).collect();
            expect_cut(&server, client, &checks, &mut witness);
            let (method, payload) = server.panicked();
            assert_eq!(method, "CheckTx");
            assert!(panic_message(&*payload).contains("culprit"));
        }
    });
}

#[test]
fn the_payload_of_a_panic_reaches_whoever_runs_the_server() {
    #[derive(Debug, PartialEq)]
    struct Fatal(u32);
    let server = start(Socket::Unix, App::new().on_query(|_| resume_unwind(Box::new(Fatal(5)))));
    let mut client = server.client();
    client.send(ask_query("", ""));
    assert!(client.receive_to_end().is_empty());
    let (_, payload) = server.panicked();
    assert_eq!(panic_message(&*payload), "no message");
    assert_eq!(payload.downcast_ref(), Some(&Fatal(5)));
}

/// Fails on every Query, with the number of bytes in its data.
#[derive(Clone)]
struct Failing;

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("cannot answer {0}")]
    Query(usize),
    #[error(transparent)]
    Serve(#[from] ServeError),
}

impl Handler for Failing {
    type Error = Failed;

    fn answer(&self, request: Ask) -> Result<Answer, Failed> {
        match request {
            Ask::Query(request) => Err(Failed::Query(request.data.len())),
            other => Ok(App::new().answer(other)?),
        }
    }
}

#[test]
fn an_error_ends_the_server_as_it_is_and_without_an_answer() {
    let server = Server::bind(&"tcp://127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = server.addr().clone();
    let running = std::thread::spawn(move || server.run(Failing));
    let (mut client, mut witness) = (Client::connect(&addr), Client::connect(&addr));
    assert_eq!((client.echo("there"), witness.echo("there")), ("there".to_owned(), "there".to_owned()));
    client.send_raw(&frame(ask_query("", "seven b")));
    assert!(client.receive_to_end().is_empty(), "the request that failed was answered");
    assert!(witness.receive_to_end().is_empty());
    let ended = running.join().expect("`run` does not panic");
    assert!(matches!(ended, Err(Failed::Query(7))), "{ended:?}");
}

#[test]
fn a_panic_does_not_wait_for_other_connections() {
    let (app, board) = held_app();
    let app = app.on_check(|_| panic!("at once"));
    let server = start(Socket::Unix, app);
    let (mut busy, mut client) = (server.client(), server.client());
    busy.send(ask_query("", "busy"));
    board.wait_for("busy");
    client.send(ask_check_tx(""));
    let (method, _) = server.panicked();
    assert_eq!(method, "CheckTx");
    assert_eq!(board.names(), ["busy"], "the other handler is still at work");
    board.put("release");
    assert!(busy.receive_to_end().is_empty(), "the other handler's answer was still given");
}

#[test]
fn nothing_is_executed_after_a_panic() {
    let log = Board::default();
    let (queries, checks) = (log.clone(), log.clone());
    let app = App::new()
        .on_query(move |data| {
            queries.put("query");
            assert_ne!(data, b"panic", "asked to");
        })
        .on_check(move |_| checks.put("check"));
    let server = start(Socket::Unix, app);
    let mut client = server.client();
    let requests =
        [ask_query("", "fine"), ask_query("", "panic"), ask_query("", "late"), ask_check_tx("late")];
    client.send_raw(&requests.map(frame).concat());
    client.receive_to_end();
    server.panicked();
    assert_eq!(log.names(), ["query", "query"]);
}

#[test]
fn a_panic_ends_the_other_connections_after_the_request_they_are_at() {
    let (app, board) = held_app();
    let on_check = board.clone();
    let (held, dropped) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let app = app.on_check(move |tx| {
        assert_ne!(tx, b"panic", "asked to");
        drop(held.lock());
        on_check.put("check");
        on_check.wait_for("release");
    });
    let server = start_with(Socket::Unix, app, |server| server.with_check_helpers(1));
    let (mut querying, mut checking, mut client) = (server.client(), server.client(), server.client());
    querying.send_raw(&[frame(ask_query("", "query")), frame(ask_query("", "late"))].concat());
    board.wait_for("query");
    // The connection's thread and the helper are each at work on a check when the panic comes.
    checking.send_raw(&(0..8).flat_map(|_| frame(ask_check_tx("tx"))).collect::<Vec<u8>>());
    board.wait_for_count(3);
    client.send(ask_check_tx("panic"));
    server.panicked();
    board.put("release");
    // The sender lives in the application, of which every thread has a clone.
    let ended = dropped.recv_timeout(WATCHDOG);
    assert_eq!(ended, Err(mpsc::RecvTimeoutError::Disconnected), "a thread of the server is left");
    assert_eq!(board.names(), ["query", "check", "check", "release"]);
}

#[test]
fn a_shutdown_after_a_panic_changes_nothing() {
    let (app, board) = held_app();
    let server = start(Socket::Unix, app.on_check(|_| panic!("first")));
    let mut client = server.client();
    let mut draining = server.client();
    draining.send(ask_query("", "busy"));
    board.wait_for("busy");
    client.send(ask_check_tx(""));
    assert!(client.receive_to_end().is_empty());
    server.handle.shutdown();
    let (_, payload) = server.panicked();
    assert_eq!(panic_message(&*payload), "first");
    board.put("release");
}

#[test]
fn a_panic_while_draining_still_ends_the_server_as_a_panic() {
    let (app, board) = held_app();
    let on_check = board.clone();
    let app = app.on_check(move |_| {
        on_check.put("check");
        on_check.wait_for("panic now");
        panic!("while draining");
    });
    let server = start(Socket::Unix, app);
    let mut client = server.client();
    client.send(ask_check_tx(""));
    board.wait_for("check");
    server.handle.shutdown();
    board.put("panic now");
    let (method, payload) = server.panicked();
    assert_eq!((method, panic_message(&*payload)), ("CheckTx", "while draining"));
    assert!(client.receive_to_end().is_empty());
}

#[test]
fn connections_beyond_the_limit_are_closed_and_a_closed_one_makes_room() {
    let server = start(Socket::Unix, App::new());
    let mut clients: Vec<Client> = (0..dseq::limits::ABCI_CONNECTIONS_MAX).map(|_| server.client()).collect();
    for client in &mut clients {
        assert_eq!(client.echo("taken"), "taken");
    }
    assert!(server.client().receive_to_end().is_empty(), "one too many is closed without an answer");
    assert_eq!(clients[0].echo("unharmed"), "unharmed");
    drop(clients.pop());
    wait_until("room for another connection", || server.client().try_call(ask_echo("new")).is_ok());
    server.stop();
}
