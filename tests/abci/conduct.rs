//! What the service passes on of other validators: who proposed and signed a block, and whose proposals this node rejects.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use dseq::abci::{Service, ServiceOptions};
use dseq::app::{CommittedBlock, Conduct, Objection, RejectedProposal, ValidatorAddress, Voter};
use dseq::sequence::Log;
use dseq::types::TxHash;
use serde_json::json;
use tendermint_proto::v0_38::abci::{
    CommitInfo, RequestFinalizeBlock, RequestInitChain, RequestProcessProposal, Validator, VoteInfo,
};
use tendermint_proto::v0_38::types::BlockIdFlag;

use crate::support::plugins::genesis;

type Seen<T> = Arc<Mutex<Vec<T>>>;

/// A service, what it told of each block's validators, and which proposals it rejected.
struct Watched {
    service: Service,
    conduct: Seen<Conduct>,
    rejected: Seen<RejectedProposal>,
    _home: tempfile::TempDir,
}

impl Watched {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let log = Log::open(&home.path().join("sequence")).unwrap();
        let options = ServiceOptions { plugins_dir: home.path().join("plugins"), disk_free_bytes_low: 0 };
        let (conduct, rejected): (Seen<Conduct>, Seen<RejectedProposal>) = Default::default();
        let (blocks, proposals) = (Arc::clone(&conduct), Arc::clone(&rejected));
        let on_commit = move |block: &CommittedBlock| blocks.lock().unwrap().push(block.conduct.clone());
        let service = Service::open(log, &options, Arc::default(), on_commit).unwrap();
        service.on_rejected_proposal(move |rejected| proposals.lock().unwrap().push(rejected.clone()));
        let app_state_bytes = Bytes::from(genesis(&json!([])).to_string());
        service.init_chain(&RequestInitChain { app_state_bytes, ..Default::default() }).unwrap();
        Self { service, conduct, rejected, _home: home }
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
        vote(&[1; 20], BlockIdFlag::Commit),
        vote(&[2; 20], BlockIdFlag::Absent),
        vote(&[3; 20], BlockIdFlag::Nil),
    ];
    for (height, votes) in [(1, Vec::new()), (2, votes)] {
        let request = RequestFinalizeBlock {
            height,
            decided_last_commit: Some(CommitInfo { round: 0, votes }),
            proposer_address: Bytes::from_static(&[0xab; 20]),
            ..Default::default()
        };
        watched.service.finalize_block(&request).unwrap();
        watched.service.commit().unwrap();
    }
    let told = watched.conduct.lock().unwrap();
    let address = |byte| ValidatorAddress([byte; 20]);
    let voter = |byte, signed| Voter { validator: address(byte), power: 10, signed };
    assert_eq!((told.len(), told[0].voters.len(), told[1].proposer), (2, 0, Some(address(0xab))));
    assert_eq!(told[1].voters, [voter(1, true), voter(2, false), voter(3, false)]);
}

#[test]
fn a_rejected_proposal_is_passed_on_once_with_the_proposer_it_names_and_why() {
    let watched = Watched::start();
    watched.vote(&[b"one", b"two"]);
    assert!(watched.rejected.lock().unwrap().is_empty());
    watched.vote(&[b"one", b"", b"two"]);
    let told = watched.rejected.lock().unwrap();
    let [RejectedProposal { height: 7, proposer, objection: Objection::Rejected { tx_hash, refusal } }] =
        &told[..]
    else {
        panic!("{told:?}")
    };
    assert_eq!((proposer.as_str(), *tx_hash, refusal.code), ("AB01", TxHash::default(), 1));
}
