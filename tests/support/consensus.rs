//! Plays CometBFT against the real application, over the real socket transport.
//!
//! A [`Chain`] is what consensus remembers: genesis, decided blocks and the app hash each was answered with. A
//! [`Node`] is the application: it can be stopped and started, and [`Chain::handshake`] then replays to it what
//! CometBFT would.
#![allow(dead_code, reason = "each test crate that includes this file uses a part of it")]

use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use bytes::Bytes;
use dseq::abci::transport::{ListenAddr, ShutdownHandle};
use dseq::abci::{Halt, ServiceOptions};
use dseq::node::app::{RunError, RunOptions, run};
use serde_json::Value;
use tempfile::TempDir;
use tendermint_proto::v0_38::abci::{
    ExecTxResult, RequestCommit, RequestFinalizeBlock, RequestInfo, RequestInitChain, RequestPrepareProposal,
    RequestProcessProposal, ResponseCheckTx, ResponseFinalizeBlock, ResponseInfo, request::Value as Ask,
    response::Value as Answer, response_process_proposal::ProposalStatus,
};
use tendermint_proto::v0_38::types::{ConsensusParams, VersionParams};

use super::client::Client;

/// The application, running in a thread of this process behind a unix socket.
pub(crate) struct Node {
    home: TempDir,
    disk_free_bytes_low: u64,
    running: Option<Running>,
}

struct Running {
    shutdown: ShutdownHandle,
    thread: JoinHandle<Result<(), RunError>>,
    client: Client,
}

impl Node {
    /// A node with an empty home, started.
    pub(crate) fn new() -> Self {
        let mut node = Self::stopped();
        node.start();
        node
    }

    /// A node with an empty home.
    pub(crate) fn stopped() -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        Self { home, disk_free_bytes_low: 0, running: None }
    }

    /// Folder of the log.
    pub(crate) fn sequence_dir(&self) -> PathBuf {
        self.home.path().join("sequence")
    }

    /// Folder of the plugins.
    pub(crate) fn plugins_dir(&self) -> PathBuf {
        self.home.path().join("plugins")
    }

    /// The committed sequence, as anybody would read it.
    pub(crate) fn sequence(&self) -> Vec<u8> {
        std::fs::read(self.sequence_dir().join("sequence.bin")).expect("the sequence is a plain file")
    }

    /// Free space below which the node, once started, refuses transactions.
    pub(crate) fn set_disk_free_bytes_low(&mut self, bytes: u64) {
        self.disk_free_bytes_low = bytes;
    }

    fn options(&self) -> RunOptions {
        RunOptions {
            listen: ListenAddr::Unix(self.socket()),
            sequence_dir: self.sequence_dir(),
            service: ServiceOptions {
                plugins_dir: self.plugins_dir(),
                disk_free_bytes_low: self.disk_free_bytes_low,
            },
            engine_restarts: 0,
            home: None,
            supervised: false,
            http: None,
        }
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("abci.sock")
    }

    /// Starts the application and waits until it listens.
    pub(crate) fn start(&mut self) {
        self.try_start().expect("the node starts");
    }

    /// Starts the application, or says why it refuses.
    pub(crate) fn try_start(&mut self) -> Result<(), Halt> {
        assert!(self.running.is_none(), "the node runs already");
        let options = self.options();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || run(&options, |shutdown| ready.send(shutdown).unwrap()));
        match is_ready.recv() {
            Ok(shutdown) => {
                let client = Client::connect(&ListenAddr::Unix(self.socket()));
                self.running = Some(Running { shutdown, thread, client });
                Ok(())
            }
            Err(_) => {
                Err(halt(thread.join().expect("run does not panic").expect_err("it never became ready")))
            }
        }
    }

    /// Stops the application as SIGTERM would.
    pub(crate) fn stop(&mut self) {
        let Some(Running { shutdown, thread, client }) = self.running.take() else { return };
        drop(client);
        shutdown.shutdown();
        thread.join().expect("run does not panic").expect("an orderly shutdown");
    }

    /// Waits for the application to end by itself; answers why.
    pub(crate) fn halted(&mut self) -> Halt {
        let Running { thread, .. } = self.running.take().expect("the node runs");
        halt(thread.join().expect("run does not panic").expect_err("it was not asked to stop"))
    }

    /// Stops and starts.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// The connection to the application.
    pub(crate) fn client(&mut self) -> &mut Client {
        &mut self.running.as_mut().expect("the node runs").client
    }

    /// What the application says of itself.
    pub(crate) fn info(&mut self) -> ResponseInfo {
        self.client().info(RequestInfo::default())
    }

    /// CheckTx of a new transaction.
    pub(crate) fn check(&mut self, tx: &[u8]) -> ResponseCheckTx {
        self.client().check_tx(Bytes::copy_from_slice(tx))
    }

    /// PrepareProposal with the given room.
    pub(crate) fn prepare(&mut self, txs: &[Bytes], max_tx_bytes: i64) -> Vec<Bytes> {
        let request = RequestPrepareProposal { txs: txs.to_vec(), max_tx_bytes, ..Default::default() };
        self.client().prepare_proposal(request).txs
    }

    /// ProcessProposal: whether the node votes for these transactions.
    pub(crate) fn process(&mut self, txs: &[Bytes]) -> bool {
        let request = RequestProcessProposal { txs: txs.to_vec(), ..Default::default() };
        self.client().process_proposal(request).status == i32::from(ProposalStatus::Accept)
    }

    /// FinalizeBlock.
    pub(crate) fn finalize(&mut self, height: i64, txs: &[Bytes]) -> ResponseFinalizeBlock {
        let request = RequestFinalizeBlock { txs: txs.to_vec(), height, ..Default::default() };
        self.client().finalize_block(request)
    }

    /// Keeps a copy of the log as it is now.
    pub(crate) fn backup(&self) -> TempDir {
        let copy = tempfile::tempdir().expect("a temporary folder");
        copy_files(&self.sequence_dir(), copy.path());
        copy
    }

    /// Puts a copy of the log back; the node must be stopped.
    pub(crate) fn restore(&self, copy: &TempDir) {
        assert!(self.running.is_none(), "stop the node first");
        std::fs::remove_dir_all(self.sequence_dir()).expect("the log can be removed");
        copy_files(copy.path(), &self.sequence_dir());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// A block as consensus decided it.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Its transactions.
    pub(crate) txs: Vec<Bytes>,
    /// What the application answered for each.
    pub(crate) results: Vec<ExecTxResult>,
    /// The app hash after it.
    pub(crate) app_hash: Bytes,
}

/// How far an application followed a chain: heights, 0 before the first block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Progress {
    /// The last block whose Commit was answered: it must never be lost.
    pub(crate) answered: i64,
    /// The last block whose Commit was sent: nothing can be further.
    pub(crate) sent: i64,
}

/// What a whole handshake did.
#[derive(Debug)]
pub(crate) struct Followed {
    /// InitChain's answer, if it was sent.
    pub(crate) genesis_app_hash: Option<Bytes>,
    /// Number of blocks replayed.
    pub(crate) replayed: usize,
}

/// What consensus remembers.
pub(crate) struct Chain {
    genesis: Vec<u8>,
    initial_height: i64,
    /// The app hash InitChain answered.
    pub(crate) genesis_app_hash: Bytes,
    /// The decided blocks, from the initial height on.
    pub(crate) blocks: Vec<Block>,
}

impl Chain {
    /// A network that has not started.
    pub(crate) fn new(app_state: &Value) -> Self {
        Self::starting_at(app_state, 1)
    }

    /// A network whose first block has this height.
    pub(crate) fn starting_at(app_state: &Value, initial_height: i64) -> Self {
        let genesis = app_state.to_string().into_bytes();
        Self { genesis, initial_height, genesis_app_hash: Bytes::new(), blocks: Vec::new() }
    }

    /// The InitChain request of this network.
    pub(crate) fn init_request(&self) -> RequestInitChain {
        RequestInitChain {
            chain_id: "driver".to_owned(),
            app_state_bytes: Bytes::from(self.genesis.clone()),
            initial_height: self.initial_height,
            ..Default::default()
        }
    }

    /// Height of the next block.
    pub(crate) fn next_height(&self) -> i64 {
        self.initial_height + i64::try_from(self.blocks.len()).expect("a short chain")
    }

    /// The app hash after the last block.
    pub(crate) fn app_hash(&self) -> Bytes {
        self.blocks.last().map_or_else(|| self.genesis_app_hash.clone(), |block| block.app_hash.clone())
    }

    /// What CometBFT does when it connects: asks how far the application is, and replays what it lacks. Answers how
    /// many blocks were replayed.
    pub(crate) fn handshake(&mut self, node: &mut Node) -> usize {
        let followed = self.try_follow(node.client(), self.next_height() - 1, &mut Progress::default());
        let followed = followed.expect("the node answers");
        if let Some(app_hash) = followed.genesis_app_hash {
            self.genesis_app_hash = app_hash;
        }
        followed.replayed
    }

    /// The handshake up to `height`, with an application that may end at any moment: `progress` says then how far
    /// it was.
    pub(crate) fn try_follow(
        &self,
        client: &mut Client,
        height: i64,
        progress: &mut Progress,
    ) -> io::Result<Followed> {
        let Answer::Info(info) = client.try_call(Ask::Info(RequestInfo::default()))? else {
            panic!("Info was answered with something else");
        };
        let mut followed = Followed { genesis_app_hash: None, replayed: 0 };
        if info.last_block_height == 0 {
            let Answer::InitChain(answer) = client.try_call(Ask::InitChain(self.init_request()))? else {
                panic!("InitChain was answered with something else");
            };
            assert!(answer.validators.is_empty(), "genesis keeps them");
            let expected = ConsensusParams {
                version: Some(VersionParams { app: info.app_version }),
                ..Default::default()
            };
            assert_eq!(
                answer.consensus_params,
                Some(expected),
                "the version that Info tells, and nothing else"
            );
            followed.genesis_app_hash = Some(answer.app_hash);
        } else {
            assert_eq!(
                info.last_block_app_hash,
                self.block_at(info.last_block_height).app_hash,
                "the app has another past"
            );
        }
        for height in info.last_block_height.max(self.initial_height - 1) + 1..=height {
            self.try_replay(client, height, progress)?;
            followed.replayed += 1;
        }
        Ok(followed)
    }

    fn block_at(&self, height: i64) -> &Block {
        let index = usize::try_from(height - self.initial_height).expect("the app is not before the chain");
        self.blocks.get(index).expect("an app ahead of the chain cannot be recovered")
    }

    /// Sends a decided block again; the answers must be those it had the first time.
    pub(crate) fn try_replay(
        &self,
        client: &mut Client,
        height: i64,
        progress: &mut Progress,
    ) -> io::Result<()> {
        let block = self.block_at(height);
        let request = RequestFinalizeBlock { txs: block.txs.clone(), height, ..Default::default() };
        let Answer::FinalizeBlock(answer) = client.try_call(Ask::FinalizeBlock(request))? else {
            panic!("FinalizeBlock was answered with something else");
        };
        assert_eq!(answer.app_hash, block.app_hash, "replay of block {height} gives another app hash");
        assert_eq!(answer.tx_results, block.results, "replay of block {height} gives other results");
        progress.sent = height;
        let answer = client.try_call(Ask::Commit(RequestCommit {}))?;
        assert!(matches!(answer, Answer::Commit(_)), "Commit was answered with {answer:?}");
        progress.answered = height;
        Ok(())
    }

    /// One whole height: check each transaction, prepare, process, finalize, commit. Answers the decided block.
    pub(crate) fn block(&mut self, node: &mut Node, txs: &[&[u8]]) -> Block {
        let checked: Vec<Bytes> =
            txs.iter().filter(|tx| node.check(tx).code == 0).map(|tx| Bytes::copy_from_slice(tx)).collect();
        let proposal = self.round(node, &checked);
        self.decide(node, proposal)
    }

    /// One round that does not decide: prepare and process.
    pub(crate) fn round(&mut self, node: &mut Node, txs: &[Bytes]) -> Vec<Bytes> {
        let proposal = node.prepare(txs, 4 << 20);
        assert!(node.process(&proposal), "a node must vote for what it proposed itself");
        proposal
    }

    /// A block decided by the others, with whatever is in it: finalize and commit.
    pub(crate) fn decide(&mut self, node: &mut Node, txs: Vec<Bytes>) -> Block {
        let block = self.finalize(node, txs);
        node.client().commit();
        block
    }

    /// A block decided and finalized, but not committed: consensus has stored it, the application may be lost now.
    pub(crate) fn finalize(&mut self, node: &mut Node, txs: Vec<Bytes>) -> Block {
        let ResponseFinalizeBlock { tx_results, app_hash, .. } = node.finalize(self.next_height(), &txs);
        assert_eq!(tx_results.len(), txs.len(), "one result for each transaction");
        let block = Block { txs, results: tx_results, app_hash };
        self.blocks.push(block.clone());
        block
    }
}

/// Why the application ended; it serves no HTTP here.
fn halt(error: RunError) -> Halt {
    match error {
        RunError::Halt(halt) => halt,
        RunError::Http(error) => panic!("it serves no HTTP: {error}"),
    }
}
