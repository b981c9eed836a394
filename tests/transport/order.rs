//! What runs at the same time, and that answers keep their order all the same.
use std::sync::{Arc, Barrier};
use std::thread;

use bytes::Bytes;
use tendermint_proto::v0_38::abci::response::Value as Answer;

use crate::{
    client::{Client, ask_check_tx, ask_query, frame},
    harness::{App, Board, Socket, on_both, start, start_with, work_on},
};

fn checked(answers: &[Answer]) -> Vec<&Bytes> {
    answers
        .iter()
        .map(|answer| match answer {
            Answer::CheckTx(answer) => &answer.data,
            other => panic!("{other:?} is not an answer to CheckTx"),
        })
        .collect()
}

#[test]
fn checks_in_a_row_run_in_parallel_and_are_answered_in_order() {
    on_both(|socket| {
        let finished = Board::default();
        // Each check ends only after the one behind it: run one after the other, the first never would.
        let board = finished.clone();
        let app = App::new().on_check(move |tx| {
            match tx {
                b"first" => board.wait_for("second"),
                b"second" => board.wait_for("third"),
                b"third" => board.wait_for("fourth"),
                _ => {}
            }
            board.put(std::str::from_utf8(tx).expect("the transactions of this test are text"));
        });
        let server = start_with(socket, app, |server| server.with_check_helpers(3));
        let mut client = server.client();
        let names = ["first", "second", "third", "fourth"];
        let answers = client.pipeline(names.map(ask_check_tx));
        assert_eq!(checked(&answers), names);
        assert_eq!(finished.names(), ["fourth", "third", "second", "first"]);
        server.stop();
    });
}

#[test]
fn thousands_of_parallel_checks_are_answered_in_order() {
    on_both(|socket| {
        let server = start_with(socket, App::new().on_check(work_on), |server| server.with_check_helpers(3));
        let mut client = server.client();
        let txs: Vec<Bytes> = (0..20_000u32).map(|number| Bytes::from(number.to_string())).collect();
        let answers = client.pipeline(txs.iter().cloned().map(ask_check_tx));
        assert!(checked(&answers).into_iter().eq(&txs), "the answers are out of order");
        server.stop();
    });
}

/// Waking another thread would cost more than the check.
#[test]
fn a_lone_check_runs_on_the_thread_of_its_connection_however_long_it_takes() {
    on_both(|socket| {
        let ran = Board::default();
        let board = ran.clone();
        let app = App::new().on_check(move |tx| {
            board.put(thread::current().name().expect("the server's threads have names"));
            (0..50).for_each(|_| work_on(tx));
        });
        let server = start_with(socket, app, |server| server.with_check_helpers(3));
        let mut client = server.client();
        for _ in 0..20 {
            assert_eq!(checked(&client.pipeline([ask_check_tx("alone")])), ["alone"]);
        }
        let names = ran.names();
        assert!(names.len() == 20 && names.iter().all(|name| *name == names[0]), "{names:?}");
        assert!(names[0].starts_with("abci-"), "{names:?}");
        server.stop();
    });
}

#[test]
fn checks_need_no_helper() {
    let server = start_with(Socket::Unix, App::new(), |server| server.with_check_helpers(0));
    let mut client = server.client();
    let answers = client.pipeline(["a", "b", "c"].map(ask_check_tx));
    assert_eq!(checked(&answers), ["a", "b", "c"]);
    server.stop();
}

#[test]
fn another_method_waits_for_the_checks_before_it_and_comes_before_those_behind_it() {
    let log = Board::default();
    let (ended, at_query) = (log.clone(), log.clone());
    let app = App::new()
        .on_check(move |tx| {
            work_on(tx);
            ended.put("check");
        })
        .on_query(move |_| at_query.put("query"));
    let server = start_with(Socket::Unix, app, |server| server.with_check_helpers(3));
    let mut client = server.client();
    for _ in 0..20 {
        let checks = || (0..60).map(|_| ask_check_tx("tx"));
        client.pipeline(checks().chain([ask_query("", "")]).chain(checks()));
    }
    let round = [["check"; 60].as_slice(), &["query"], &["check"; 60]].concat();
    assert_eq!(log.names(), round.repeat(20));
    server.stop();
}

#[test]
fn four_connections_are_served_at_the_same_time() {
    on_both(|socket| {
        let barrier = Arc::new(Barrier::new(4));
        let server = start(
            socket,
            App::new().on_query(move |_| {
                barrier.wait();
            }),
        );
        let mut clients: Vec<Client> = (0..4).map(|_| server.client()).collect();
        for client in &mut clients {
            client.send_raw(&frame(ask_query("", "meet the others")));
        }
        for client in &mut clients {
            assert!(matches!(client.must_receive(), Answer::Query(_)));
        }
        server.stop();
    });
}

#[test]
fn checks_do_not_wait_for_helpers_that_are_busy_elsewhere() {
    let board = Board::default();
    let on_check = board.clone();
    let app = App::new().on_check(move |tx| {
        let name = std::str::from_utf8(tx).expect("the transactions of this test are text");
        if let Some(number) = name.strip_prefix("busy") {
            on_check.put(number);
            on_check.wait_for("release");
        }
    });
    let server = start_with(Socket::Unix, app, |server| server.with_check_helpers(1));
    let mut busy = server.client();
    busy.send_raw(&[frame(ask_check_tx("busy0")), frame(ask_check_tx("busy1"))].concat());
    board.wait_for_count(2);
    // The only helper is taken; the second connection's own thread does all of its checks.
    let mut other = server.client();
    assert_eq!(checked(&other.pipeline(["a", "b", "c"].map(ask_check_tx))), ["a", "b", "c"]);
    board.put("release");
    assert_eq!(checked(&[busy.must_receive(), busy.must_receive()]), ["busy0", "busy1"]);
    server.stop();
}
