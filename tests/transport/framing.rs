//! Bytes to requests: however they are cut, and whatever they are.
use std::fmt::Write;

use bytes::Bytes;
use tendermint_proto::v0_38::abci::{request::Value as Ask, response::Value as Answer, *};

use crate::{
    client::{ask_check_tx, ask_echo, ask_query, frame},
    harness::{App, Running, Socket, on_both, start, start_with, work_on},
};

/// Bytes of a varint that says `value`.
fn varint(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(value, &mut bytes);
    bytes
}

fn echoes(answers: &[Answer]) -> Vec<&str> {
    answers
        .iter()
        .map(|answer| match answer {
            Answer::Echo(response) => response.message.as_str(),
            other => panic!("{other:?} is not an echo"),
        })
        .collect()
}

/// Sends `bytes` on a connection of their own and expects an exception that contains `text`, then the end.
fn expect_refusal(server: &Running, bytes: &[u8], text: &str) {
    let mut client = server.client();
    client.send_raw(&frame(ask_echo("before")));
    // The server may close while a long request is still being sent.
    let _ = client.try_send_raw(bytes);
    let answers = client.receive_to_end();
    let [Answer::Echo(_), Answer::Exception(exception)] = answers.as_slice() else {
        panic!("answered with {answers:?}");
    };
    assert!(exception.error.contains(text), "`{}` does not say `{text}`", exception.error);
}

#[test]
fn each_method_is_answered_with_its_own_response() {
    on_both(|socket| {
        let server = start(socket, App::new());
        let mut client = server.client();
        assert_eq!(client.echo("hello"), "hello");
        client.flush();
        client.info(RequestInfo::default());
        client.init_chain(RequestInitChain::default());
        assert_eq!(client.query("/path", "data").value, "data");
        assert_eq!(client.check_tx("tx").data, "tx");
        client.commit();
        client.list_snapshots();
        client.offer_snapshot(RequestOfferSnapshot::default());
        client.load_snapshot_chunk(RequestLoadSnapshotChunk::default());
        client.apply_snapshot_chunk(RequestApplySnapshotChunk::default());
        client.prepare_proposal(RequestPrepareProposal::default());
        client.process_proposal(RequestProcessProposal::default());
        client.extend_vote(RequestExtendVote::default());
        client.verify_vote_extension(RequestVerifyVoteExtension::default());
        client.finalize_block(RequestFinalizeBlock::default());
        server.stop();
    });
}

#[test]
fn a_request_that_arrives_byte_by_byte_is_answered() {
    on_both(|socket| {
        let server = start(socket, App::new());
        let mut client = server.client();
        // More than 127 bytes, so that the length takes two.
        let text = "x".repeat(300);
        for byte in frame(ask_echo(&text)) {
            client.send_raw(&[byte]);
        }
        assert_eq!(echoes(&[client.must_receive()]), [text]);
        server.stop();
    });
}

#[test]
fn requests_that_arrive_in_one_write_are_all_answered_in_order() {
    on_both(|socket| {
        let server = start(socket, App::new());
        let mut client = server.client();
        let texts: Vec<String> = (0..5000).map(|number| number.to_string()).collect();
        let answers = client.pipeline(texts.iter().map(|text| ask_echo(text)));
        assert_eq!(echoes(&answers), texts);
        server.stop();
    });
}

#[test]
fn an_answer_does_not_wait_for_the_rest_of_the_next_request() {
    on_both(|socket| {
        let server = start(socket, App::new());
        let mut client = server.client();
        let next = frame(ask_echo("second"));
        client.send_raw(&[frame(ask_check_tx("first")), next[..4].to_vec()].concat());
        assert!(matches!(client.must_receive(), Answer::CheckTx(answer) if answer.data == "first"));
        client.send_raw(&next[4..]);
        assert_eq!(echoes(&[client.must_receive()]), ["second"]);
        server.stop();
    });
}

#[test]
fn a_block_larger_than_every_buffer_arrives_unchanged() {
    on_both(|socket| {
        let server = start(socket, App::new());
        let mut client = server.client();
        let txs: Vec<Bytes> = (0..9u8).map(|number| Bytes::from(vec![number; 700_001])).collect();
        let block = Ask::FinalizeBlock(RequestFinalizeBlock { txs: txs.clone(), ..Default::default() });
        let answers = client.pipeline([ask_echo("before"), block, ask_echo("after")]);
        let [Answer::Echo(_), Answer::FinalizeBlock(block), Answer::Echo(_)] = answers.as_slice() else {
            panic!("answered with other methods");
        };
        let results: Vec<&Bytes> = block.tx_results.iter().map(|result| &result.data).collect();
        assert!(results.iter().copied().eq(&txs), "the transactions changed on their way");
        assert_eq!(client.echo("small again"), "small again");
        server.stop();
    });
}

#[test]
fn a_frame_at_the_limit_is_taken_and_one_byte_more_is_refused() {
    on_both(|socket| {
        let server = start_with(socket, App::new(), |server| server.with_frame_bytes_max(1000));
        // A query is its data and 6 bytes of tags and lengths around it.
        let at_limit = frame(ask_query("", vec![7; 994]));
        assert_eq!(at_limit[..2], varint(1000));
        let mut client = server.client();
        client.send_raw(&at_limit);
        assert!(matches!(client.must_receive(), Answer::Query(_)));

        let beyond = frame(ask_query("", vec![7; 995]));
        expect_refusal(&server, &beyond, "1001 bytes long and this server takes at most 1000");
        assert_eq!(client.echo("still there"), "still there");
        server.stop();
    });
}

#[test]
fn an_oversized_frame_is_refused_by_its_length_alone() {
    on_both(|socket| {
        let server = start(socket, App::new());
        let message = "bytes long and this server takes at most 134217728";
        expect_refusal(&server, &varint((128 << 20) + 1), message);
        expect_refusal(&server, &varint(u64::MAX), message);
        // The exception arrives although the client is still sending.
        expect_refusal(&server, &[varint(1 << 40), vec![0; 300_000]].concat(), message);
        server.stop();
    });
}

#[test]
fn a_length_that_is_no_varint_of_64_bits_is_refused() {
    on_both(|socket| {
        let server = start(socket, App::new());
        expect_refusal(&server, &[0xff; 11], "not a varint");
        expect_refusal(&server, &[0x80; 10], "not a varint");
        server.stop();
    });
}

#[test]
fn a_request_without_a_method_is_refused() {
    on_both(|socket| {
        let server = start(socket, App::new());
        expect_refusal(&server, &[0], "no ABCI 2.0 method");
        // Field 7 was BeginBlock, which ABCI 2.0 no longer has.
        expect_refusal(&server, &[2, 0x3a, 0], "no ABCI 2.0 method");
        server.stop();
    });
}

#[test]
fn a_request_that_is_no_protobuf_is_refused() {
    on_both(|socket| {
        let server = start(socket, App::new());
        expect_refusal(&server, &[3, 0x0a, 0x7f, 0], "not a valid protobuf message");
        // A browser: its `G` announces 71 bytes.
        let browser =
            format!("GET / HTTP/1.1\r\nHost: localhost:26658\r\nAccept: {}\r\n\r\n", "*".repeat(71));
        expect_refusal(&server, browser.as_bytes(), "not a valid protobuf message");
        server.stop();
    });
}

#[test]
fn a_truncated_request_ends_its_connection_only() {
    on_both(|socket| {
        let server = start(socket, App::new());
        let whole = frame(ask_check_tx("never checked"));
        for length in 1..whole.len() {
            let mut client = server.client();
            client.send_raw(&frame(ask_echo("answered")));
            client.send_raw(&whole[..length]);
            client.finish_sending();
            assert_eq!(echoes(&client.receive_to_end()), ["answered"]);
        }
        assert_eq!(server.client().echo("still there"), "still there");
        server.stop();
    });
}

/// The generator of `splitmix64`, for tests that print their seed.
struct Random(u64);

impl Random {
    /// Takes the seed from `SEED`, or one of its own, and prints it.
    fn from_env() -> Self {
        let seed = match std::env::var("SEED") {
            Ok(seed) => seed.parse().expect("SEED is a number"),
            Err(_) => std::process::id().into(),
        };
        eprintln!("SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 1).expect("64 bits") % bound
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| u8::try_from(self.below(256)).expect("below 256")).collect()
    }
}

#[test]
fn requests_cut_at_random_places_are_answered_like_whole_ones() {
    let mut random = Random::from_env();
    let server =
        start_with(Socket::Unix, App::new().on_check(work_on), |server| server.with_check_helpers(3));
    for _ in 0..20 {
        let mut client = server.client();
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..200 {
            let length = random.below(400);
            let data = Bytes::from(random.bytes(length));
            let check = random.below(4) > 0;
            stream.extend(frame(if check {
                ask_check_tx(data.clone())
            } else {
                ask_query("", data.clone())
            }));
            expected.push((check, data));
        }
        let mut rest = stream.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((1 + random.below(3000)).min(rest.len()));
            client.send_raw(piece);
            rest = after;
        }
        for (number, (check, data)) in expected.into_iter().enumerate() {
            match client.must_receive() {
                Answer::CheckTx(answer) if check => assert_eq!(answer.data, data, "answer {number}"),
                Answer::Query(answer) if !check => assert_eq!(answer.value, data, "answer {number}"),
                other => panic!("answer {number} is {other:?}"),
            }
        }
    }
    server.stop();
}

#[test]
fn garbage_ends_its_connection_and_never_the_server() {
    let mut random = Random::from_env();
    let server = start(Socket::Unix, App::new());
    for _ in 0..300 {
        let length = random.below(200);
        let mut garbage = random.bytes(length);
        if random.below(2) == 0 {
            // A right length, so that the message itself is decoded.
            garbage = [varint(garbage.len() as u64), garbage].concat();
        }
        let mut client = server.client();
        let _ = client.try_send_raw(&garbage);
        client.finish_sending();
        // It may happen to be a request. What must not happen is an answer that is no frame.
        let mut hex = String::new();
        garbage.iter().for_each(|byte| write!(hex, "{byte:02x}").expect("a String grows"));
        eprintln!("{hex} -> {} answers", client.receive_to_end().len());
    }
    assert_eq!(server.client().echo("still there"), "still there");
    server.stop();
}
