//! What the service passes on of other validators: who proposed and signed a block, and who proposed what this node votes against.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use dseq::abci::{Service, ServiceOptions};
use dseq::app::{CommittedBlock, Conduct, Objection, VotedDown, Voter};
use dseq::sequence::Log;
use dseq::types::TxHash;
use serde_json::json;
use tendermint_proto::v0_38::abci::{
    CommitInfo, RequestFinalizeBlock, RequestInitChain, RequestProcessProposal, Validator, VoteInfo,
};
use tendermint_proto::v0_38::types::BlockIdFlag;

use crate::support::plugins::genesis;

type Seen<T> = Arc<Mutex<Vec<T>>>;

/// A service, what it told of each block's validators, and what it voted against.
struct Watched {
    service: Service,
    conduct: Seen<Conduct>,
    voted_down: Seen<VotedDown>,
    _home: tempfile::TempDir,
}

impl Watched {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let log = Log::open(&home.path().join("sequence")).unwrap();
        let options = ServiceOptions { plugins_dir: home.path().join("plugins"), disk_free_bytes_low: 0 };
        let (conduct, voted_down): (Seen<Conduct>, Seen<VotedDown>) = Default::default();
        let (blocks, votes) = (Arc::clone(&conduct), Arc::clone(&voted_down));
        let on_commit = move |block: &CommittedBlock| blocks.lock().unwrap().push(block.conduct.clone());
        let service = Service::open(log, &options, Arc::default(), on_commit).unwrap();
        service.tell_of_voted_down(move |voted_down| votes.lock().unwrap().push(voted_down.clone()));
        let app_state_bytes = Bytes::from(genesis(&json!([])).to_string());
        service.init_chain(&RequestInitChain { app_state_bytes, ..Default::default() }).unwrap();
        Self { service, conduct, voted_down, _home: home }
    }

    fn vote(&self, txs: &[&'static [u8]]) {
        let txs = txs.iter().map(|tx| Bytes::from_static(tx)).collect();
        let proposer_address = Bytes::from_static(b"\xab\x01");
        let request = RequestProcessProposal { txs, height: 7, proposer_address, ..Default::default() };
        self.service.process_proposal(&request).unwrap();
    }
}

#[test]
fn who_proposed_a_block_and_signed_the_one_before_comes_with_it() {
    let watched = Watched::start();
    let vote = |address: &'static [u8], flag: BlockIdFlag| VoteInfo {
        validator: Some(Validator { address: address.into(), power: 10 }),
        block_id_flag: flag.into(),
    };
    let votes = vec![
        vote(b"\x01", BlockIdFlag::Commit),
        vote(b"\x02", BlockIdFlag::Absent),
        vote(b"\x03", BlockIdFlag::Nil),
    ];
    for (height, votes) in [(1, Vec::new()), (2, votes)] {
        let request = RequestFinalizeBlock {
            height,
            decided_last_commit: Some(CommitInfo { round: 0, votes }),
            proposer_address: Bytes::from_static(b"\xab\x01"),
            ..Default::default()
        };
        watched.service.finalize_block(&request).unwrap();
        watched.service.commit().unwrap();
    }
    let told = watched.conduct.lock().unwrap();
    let voter = |validator: &str, signed| Voter { validator: validator.to_owned(), power: 10, signed };
    assert_eq!((told.len(), told[0].voters.len(), told[1].proposer.as_str()), (2, 0, "AB01"));
    assert_eq!(told[1].voters, [voter("01", true), voter("02", false), voter("03", false)]);
}

#[test]
fn a_proposal_that_is_voted_down_is_told_once_with_its_proposer_and_why() {
    let watched = Watched::start();
    watched.vote(&[b"one", b"two"]);
    assert!(watched.voted_down.lock().unwrap().is_empty());
    watched.vote(&[b"one", b"", b"two"]);
    let told = watched.voted_down.lock().unwrap();
    let [VotedDown { height: 7, proposer, objection: Objection::Rejected { tx_hash, refusal } }] = &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!((proposer.as_str(), *tx_hash, refusal.code), ("AB01", TxHash::default(), 1));
}
