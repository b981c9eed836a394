//! The commands of a scenario: what each sends to the application, and how the answer is written.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use dseq::abci::Halt;
use dseq::sequence::OpenError;
use serde_json::{Value, json};
use tempfile::TempDir;
use tendermint_proto::v0_38::abci::{
    CheckTxType, RequestCheckTx, RequestCommit, RequestFinalizeBlock, RequestInfo, RequestPrepareProposal,
    RequestProcessProposal, RequestQuery, ResponseInfo, ResponseQuery, request::Value as Ask,
    response::Value as Answer, response_process_proposal::ProposalStatus,
};

use super::text::{app_hash, bytes_as_text, listed, members, outcome, parse_txs, table};
use crate::support::consensus::{Block, Chain, Node, Progress};
use crate::support::plugins::{genesis, moody_genesis};

/// Room for transactions in a proposal, unless the command says how much.
const PROPOSAL_BYTES: i64 = 64 << 20;

/// One application, and CometBFT as far as it remembers anything.
pub(super) struct Scenario {
    node: Node,
    /// Genesis and the decided blocks.
    chain: Chain,
    backup: Option<TempDir>,
}

/// What a command answers; `Err` when the application ended instead of answering.
type Said = Result<String, String>;

/// Sends a request and takes the answer of its kind.
macro_rules! send {
    ($scenario:expr, $kind:ident, $request:expr) => {{
        let answer = $scenario.send(Ask::$kind($request))?;
        let Answer::$kind(answer) = answer else { panic!("answered with {answer:?}") };
        answer
    }};
}

impl Scenario {
    pub(super) fn new() -> Self {
        Self { node: Node::new(), chain: Chain::new(&json!({})), backup: None }
    }

    /// Runs one command.
    pub(super) fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let said = match (words[0], &words[1..]) {
            ("init_chain", [pipeline, options @ ..]) => self.init_chain(pipeline, options),
            ("info", []) => self.info(),
            ("check", txs) => self.check(&parse_txs(txs)),
            ("prepare", words) => self.prepare(words),
            ("process", txs) => self.process(parse_txs(txs)),
            ("finalize", [height, txs @ ..]) => self.finalize(height.parse().unwrap(), parse_txs(txs)),
            ("commit", []) => self.commit(),
            ("round", txs) => self.round(&parse_txs(txs)),
            ("block", txs) => self.block(&parse_txs(txs)),
            ("query", [path, options @ ..]) => self.query(path, options),
            ("sequence", []) => Ok(bytes_as_text(&self.node.sequence())),
            ("start", []) => self.start(),
            ("restart", []) => {
                self.node.stop();
                self.start()
            }
            ("handshake", []) => self.handshake(),
            ("stop" | "backup" | "restore" | "erase", []) => {
                self.files(words[0]);
                Ok(String::new())
            }
            _ => panic!("no such command: {line}"),
        };
        said.unwrap_or_else(|stopped| stopped)
    }

    fn send(&mut self, ask: Ask) -> Result<Answer, String> {
        let answer = self.node.client().try_call(ask);
        answer.map_err(|_| format!("no answer; {}", stopped(&self.node.halted())))
    }

    fn init_chain(&mut self, pipeline: &str, options: &[&str]) -> Said {
        let mut app_state = match pipeline {
            "moody" => moody_genesis(),
            "empty" => genesis(&json!([])),
            _ => panic!("no such pipeline: {pipeline}"),
        };
        let mut initial_height = 1;
        for (name, value) in options.iter().filter_map(|option| option.split_once('=')) {
            let value: i64 = value.parse().unwrap();
            match name {
                "initial_height" => initial_height = value,
                _ => app_state["dseq"]["limits"][name] = value.into(),
            }
        }
        let chain = Chain::starting_at(&app_state, initial_height);
        let answer = send!(self, InitChain, chain.init_request());
        self.chain = chain;
        Ok(app_hash(&answer.app_hash))
    }

    fn info(&mut self) -> Said {
        let ResponseInfo { last_block_height, last_block_app_hash, .. } =
            send!(self, Info, RequestInfo::default());
        Ok(match (last_block_height, &last_block_app_hash[..]) {
            (0, []) => "no block".to_owned(),
            _ => format!("height {last_block_height}, {}", app_hash(&last_block_app_hash)),
        })
    }

    fn check(&mut self, txs: &[Bytes]) -> Said {
        let mut outcomes = Vec::new();
        for tx in txs {
            let request = RequestCheckTx { tx: tx.clone(), r#type: CheckTxType::New.into() };
            let answer = send!(self, CheckTx, request);
            outcomes.push(match answer.code {
                0 => "accepted".to_owned(),
                code => format!("{} {code}: {}", answer.codespace, answer.log),
            });
        }
        Ok(table(txs, &outcomes))
    }

    fn prepare(&mut self, words: &[&str]) -> Said {
        let bytes = words.first().and_then(|word| word.strip_prefix("bytes="));
        let txs = parse_txs(&words[usize::from(bytes.is_some())..]);
        let prepared = self.prepared(&txs, bytes.map_or(PROPOSAL_BYTES, |bytes| bytes.parse().unwrap()))?;
        Ok(listed(&prepared, &txs))
    }

    fn prepared(&mut self, txs: &[Bytes], max_tx_bytes: i64) -> Result<Vec<Bytes>, String> {
        let request = RequestPrepareProposal { txs: txs.to_vec(), max_tx_bytes, ..Default::default() };
        Ok(send!(self, PrepareProposal, request).txs)
    }

    fn process(&mut self, txs: Vec<Bytes>) -> Said {
        let request = RequestProcessProposal { txs, ..Default::default() };
        let accept = send!(self, ProcessProposal, request).status == i32::from(ProposalStatus::Accept);
        Ok(if accept { "vote for it" } else { "vote against it" }.to_owned())
    }

    fn finalize(&mut self, height: i64, txs: Vec<Bytes>) -> Said {
        let request = RequestFinalizeBlock { txs: txs.clone(), height, ..Default::default() };
        let answer = send!(self, FinalizeBlock, request);
        let outcomes: Vec<String> = answer.tx_results.iter().map(outcome).collect();
        let said = table(&txs, &outcomes) + &app_hash(&answer.app_hash);
        // Where consensus has a block of this height already, it is this one again.
        let first = self.chain.next_height() - i64::try_from(self.chain.blocks.len()).unwrap();
        self.chain.blocks.truncate(usize::try_from(height - first).unwrap());
        self.chain.blocks.push(Block { txs, results: answer.tx_results, app_hash: answer.app_hash });
        Ok(said)
    }

    fn commit(&mut self) -> Said {
        send!(self, Commit, RequestCommit {});
        Ok(String::new())
    }

    fn round(&mut self, txs: &[Bytes]) -> Said {
        let proposal = self.prepared(txs, PROPOSAL_BYTES)?;
        Ok(format!("propose {}\n{}", listed(&proposal, txs), self.process(proposal)?))
    }

    fn block(&mut self, txs: &[Bytes]) -> Said {
        let checked = self.check(txs)?;
        let accepted: Vec<Bytes> = txs
            .iter()
            .zip(checked.lines())
            .filter(|(_, said)| said.ends_with("  accepted"))
            .map(|(tx, _)| tx.clone())
            .collect();
        let proposal = self.prepared(&accepted, PROPOSAL_BYTES)?;
        let vote = self.process(proposal.clone())?;
        assert_eq!(vote, "vote for it", "a node votes for what it proposed itself");
        let finalized = self.finalize(self.chain.next_height(), proposal)?;
        self.commit()?;
        let refused = checked.lines().filter(|said| !said.ends_with("  accepted"));
        Ok(refused.chain(finalized.lines()).collect::<Vec<_>>().join("\n"))
    }

    fn query(&mut self, path: &str, options: &[&str]) -> Said {
        let path = path.trim_matches('"').to_owned();
        let height = options.iter().find_map(|option| option.strip_prefix("height="));
        let height = height.map_or(0, |height| height.parse().unwrap());
        let prove = options.contains(&"prove");
        let answer = send!(self, Query, RequestQuery { path, height, prove, ..Default::default() });
        let ResponseQuery { code, codespace, log, value, info, index, .. } = answer;
        if code != 0 {
            return Ok(format!("{codespace} {code}: {log}"));
        }
        if info.is_empty() {
            return Ok(members(&serde_json::from_slice(&value).unwrap()).join("\n"));
        }
        let place: Value = serde_json::from_str(&info).unwrap();
        assert_eq!(place["blake3"], blake3::hash(&value).to_string());
        assert_eq!(place["index"], index);
        Ok(format!("{}; {}", bytes_as_text(&value), members(&place).join(", ")))
    }

    fn start(&mut self) -> Said {
        loop {
            match self.node.try_start() {
                Ok(()) => return Ok(String::new()),
                // An application that ended by itself would be a process that is gone. Here it is threads of this one,
                // and the last of them may hold the log for a moment.
                Err(Halt::Open(OpenError::Locked { .. })) => std::thread::sleep(Duration::from_millis(1)),
                Err(halt) => return Err(stopped(&halt)),
            }
        }
    }

    fn handshake(&mut self) -> Said {
        let mut said = format!("Info: {}\n", self.info()?);
        let height = self.chain.next_height() - 1;
        let followed = self.chain.try_follow(self.node.client(), height, &mut Progress::default());
        let followed = followed.map_err(|_| format!("{said}no answer; {}", stopped(&self.node.halted())))?;
        if let Some(hash) = followed.genesis_app_hash {
            writeln!(said, "InitChain: {}", app_hash(&hash)).unwrap();
        }
        let replayed = i64::try_from(followed.replayed).unwrap();
        for height in height - replayed + 1..=height {
            writeln!(said, "replay {height}: the same results and {}", self.app_hash_at(height)).unwrap();
        }
        Ok(said)
    }

    fn app_hash_at(&self, height: i64) -> String {
        let from_end = usize::try_from(self.chain.next_height() - height).unwrap();
        app_hash(&self.chain.blocks[self.chain.blocks.len() - from_end].app_hash)
    }

    /// What becomes of the process and of the log's folder from outside.
    fn files(&mut self, command: &str) {
        match command {
            "stop" => self.node.stop(),
            "backup" => self.backup = Some(self.node.backup()),
            "restore" => self.node.restore(self.backup.as_ref().expect("a backup comes before")),
            "erase" => std::fs::remove_dir_all(self.node.sequence_dir()).unwrap(),
            _ => unreachable!("these are all"),
        }
    }
}

fn stopped(halt: &Halt) -> String {
    format!("the application ends with {}: {halt}", halt.exit_code())
}
