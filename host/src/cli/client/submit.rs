//! `dseq submit`: hand in transactions, and learn where they are.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dseq_client::{Client, Error, SubmitOptions, Submitted, TxHash, Wait};
use futures_util::StreamExt;
use futures_util::stream;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::super::plugin::usage;
use super::super::transactions::{TransactionArgs, Transactions};
use super::super::{EXIT_FAILED, say};
use super::data::say_aside;
use super::{EXIT_REJECTED, EXIT_UNKNOWN, NodesArg, exit_code, receipt_line, run_on_runtime, state_line};
use crate::app::{CODESPACE, Code};
use crate::limits;
use crate::load::words::count;

pub(in crate::cli) const EXAMPLES: &str = "Examples:
  dseq submit hello
  dseq submit --hex 00ff
  dseq submit --file document.pdf --node localhost:6900,localhost:6901
  producer | dseq submit --lines - --json   # a transaction for each line
  dseq submit --wait checked hello";

/// Transactions that are under way at once, of many.
const AT_ONCE: u64 = 32;
/// As many of them as the local network's mempools hold.
const AT_ONCE_MAX: u64 = 10_000;
/// How often the progress is drawn.
const DRAW: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The transaction; without this and without a file it is standard input
    #[arg(value_name = "TEXT")]
    text: Option<OsString>,
    #[command(flatten)]
    nodes: NodesArg,
    /// What to wait for: until it is committed, until the pipeline has accepted it, or nothing
    #[arg(long, value_enum, default_value_t = WaitArg::Committed)]
    wait: WaitArg,
    /// How long to wait for it
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = super::super::duration::duration)]
    timeout: Duration,
    /// With many transactions, how many are under way at once; with more than 1 their order in the sequence may be another one
    #[arg(long, value_name = "N", default_value_t = AT_ONCE, value_parser = clap::value_parser!(u64).range(1..=AT_ONCE_MAX))]
    concurrency: u64,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
    // Last: its heading is for its own.
    #[command(flatten)]
    transactions: TransactionArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum WaitArg {
    Committed,
    Checked,
    None,
}

/// What has become of the transactions so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    committed: u64,
    pending: u64,
    rejected: u64,
    unknown: u64,
    failed: u64,
    /// Of the last one that failed.
    failure: Option<u8>,
}

pub(in crate::cli) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let transactions = match args.transactions.open(args.text.clone())? {
        Some(transactions) => transactions,
        None if io::stdin().is_terminal() => {
            return usage("give a transaction: TEXT, --hex, --file or --lines, or bytes on standard input");
        }
        None => TransactionArgs::standard_input()?,
    };
    let client = args.nodes.client()?;
    run_on_runtime(async {
        match transactions {
            Transactions::One(tx) if tx.len() as u64 > limits::TX_BYTES_CEILING => too_long_for_any(args),
            Transactions::One(tx) => one(&client, tx, args).await,
            Transactions::Many(many) => self::many(&client, many, args).await,
        }
    })
}

fn options(args: &Args) -> SubmitOptions {
    let wait = match args.wait {
        WaitArg::Committed => Wait::Committed,
        WaitArg::Checked => Wait::Checked,
        WaitArg::None => Wait::None,
    };
    SubmitOptions { wait, timeout: args.timeout }
}

/// Only a part of it was read, so there is no hash of it.
fn too_long_for_any(args: &Args) -> anyhow::Result<ExitCode> {
    let max = limits::TX_BYTES_CEILING;
    let detail = format!("the transaction has more than {max} bytes, the maximum of any network");
    let object = json!({
        "state": "rejected", "codespace": CODESPACE, "code": Code::TxTooLarge.value(), "detail": detail,
    });
    say(if args.json { object.to_string() } else { format!("rejected   {detail}") })?;
    Ok(ExitCode::from(EXIT_REJECTED))
}

async fn one(client: &Client, tx: Bytes, args: &Args) -> anyhow::Result<ExitCode> {
    let tx_hash = TxHash::of(&tx);
    let submitted = client.submit(tx, options(args)).await;
    let mut tally = Tally::default();
    tally.count(&submitted);
    let is_unknown = matches!(submitted, Err(Error::OutcomeUnknown { .. }));
    if args.json || submitted.is_ok() {
        say(shown(&submitted, tx_hash, args.json))?;
    } else if is_unknown {
        // The reason comes with the error, on standard error.
        say(state_line("unknown", &tx_hash, ""))?;
    }
    if matches!(submitted, Ok(Submitted::Pending { .. })) && args.wait == WaitArg::Committed {
        say_aside(format!("not committed in time; `dseq receipt {tx_hash} --wait 30s` waits for it"));
    }
    if is_unknown {
        say_aside(format!("ask for it later: `dseq receipt {tx_hash} --wait 30s`"));
    }
    submitted?;
    Ok(tally.exit_code(args.wait))
}

type Lines = Box<dyn Iterator<Item = anyhow::Result<Bytes>> + Send>;

/// Hands in many, so many at once, and stops taking more after one that could not be handed in.
async fn many(client: &Client, lines: Lines, args: &Args) -> anyhow::Result<ExitCode> {
    let at_once = usize::try_from(args.concurrency).unwrap_or(usize::MAX);
    let stop = Arc::new(AtomicBool::new(false));
    let mut lines = read_ahead(lines, at_once, Arc::clone(&stop));
    let (client, options) = (client.clone(), options(args));
    let submit = |line: anyhow::Result<Bytes>| {
        let client = client.clone();
        async move {
            let tx = line?;
            let tx_hash = TxHash::of(&tx);
            anyhow::Ok((tx_hash, client.submit(tx, options).await))
        }
    };
    // What was read ahead is not sent either.
    let go_on = Arc::clone(&stop);
    let lines = stream::poll_fn(move |context| lines.poll_recv(context))
        .take_while(move |_| std::future::ready(!go_on.load(Ordering::Relaxed)));
    let mut answers = Box::pin(lines.map(submit).buffered(at_once));
    let (mut tally, mut unreadable, progress) = (Tally::default(), None, Progress::new());
    while let Some(answer) = answers.next().await {
        let (tx_hash, submitted) = match answer {
            Ok(answer) => answer,
            Err(err) => {
                unreadable = Some(err);
                continue;
            }
        };
        tally.count(&submitted);
        if tally.failed > 0 {
            stop.store(true, Ordering::Relaxed);
        }
        say(shown(&submitted, tx_hash, args.json))?;
        progress.show(&tally);
    }
    progress.end();
    say_aside(tally.words());
    if tally.failed > 0 || unreadable.is_some() {
        say_aside("stopped: what follows was not sent");
    }
    if tally.unknown > 0 {
        say_aside("ask for what is unknown later: `dseq receipt HASH --wait 30s`");
    }
    match unreadable {
        // What became of those before is what a script has to know first.
        Some(err) if tally.is_open(args.wait) => {
            say_aside(format!("error: {err:#}"));
            Ok(tally.exit_code(args.wait))
        }
        Some(err) => Err(err),
        None => Ok(tally.exit_code(args.wait)),
    }
}

/// Reads lines on a thread of their own, because standard input may have none for long.
fn read_ahead(lines: Lines, ahead: usize, stop: Arc<AtomicBool>) -> mpsc::Receiver<anyhow::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(ahead);
    std::thread::spawn(move || {
        for line in lines {
            let is_last = line.is_err();
            if stop.load(Ordering::Relaxed) || sender.blocking_send(line).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

/// What became of one, as a line.
fn shown(submitted: &Result<Submitted, Error>, tx_hash: TxHash, as_json: bool) -> String {
    if as_json {
        return as_object(submitted, tx_hash).to_string();
    }
    match submitted {
        Ok(Submitted::Committed { receipt, duplicate: Some(true) }) => {
            format!("{}  (committed before)", receipt_line(receipt))
        }
        Ok(Submitted::Committed { receipt, .. }) => receipt_line(receipt),
        Ok(Submitted::Pending { .. }) => state_line("pending", &tx_hash, ""),
        Ok(Submitted::Rejected(rejection)) => state_line("rejected", &tx_hash, &rejection.to_string()),
        Err(err) => state_line(failed_state(err), &tx_hash, &err.to_string().replace('\n', ";")),
    }
}

fn as_object(submitted: &Result<Submitted, Error>, tx_hash: TxHash) -> Value {
    let (state, mut object) = match submitted {
        Ok(Submitted::Committed { receipt, duplicate }) => {
            let mut object = json!(receipt);
            object["duplicate"] = json!(duplicate);
            ("committed", object)
        }
        Ok(Submitted::Pending { .. }) => ("pending", json!({})),
        Ok(Submitted::Rejected(rejection)) => ("rejected", json!(rejection)),
        Err(err) => (failed_state(err), json!({ "error": err.to_string() })),
    };
    object["state"] = state.into();
    object["tx_hash"] = tx_hash.to_string().into();
    object
}

fn failed_state(err: &Error) -> &'static str {
    if matches!(err, Error::OutcomeUnknown { .. }) { "unknown" } else { "failed" }
}

impl Tally {
    fn count(&mut self, submitted: &Result<Submitted, Error>) {
        let of = match submitted {
            Ok(Submitted::Committed { .. }) => &mut self.committed,
            Ok(Submitted::Pending { .. }) => &mut self.pending,
            Ok(Submitted::Rejected(_)) => &mut self.rejected,
            Err(Error::OutcomeUnknown { .. }) => &mut self.unknown,
            Err(err) => {
                self.failure = Some(exit_code(err).unwrap_or(EXIT_FAILED));
                &mut self.failed
            }
        };
        *of = of.saturating_add(1);
    }

    /// The worst that happened: what may or may not be committed, then what was not sent, then what was rejected.
    fn exit_code(&self, wait: WaitArg) -> ExitCode {
        ExitCode::from(match self.failure {
            _ if self.is_open(wait) => EXIT_UNKNOWN,
            Some(failure) => failure,
            None if self.rejected > 0 => EXIT_REJECTED,
            None => 0,
        })
    }

    /// Whether some may be committed, or become so, that were to be.
    fn is_open(&self, wait: WaitArg) -> bool {
        self.unknown > 0 || (self.pending > 0 && wait == WaitArg::Committed)
    }

    fn words(&self) -> String {
        let all = [
            (self.committed, "committed"),
            (self.pending, "pending"),
            (self.rejected, "rejected"),
            (self.unknown, "unknown"),
            (self.failed, "failed"),
        ];
        let some = all.into_iter().filter(|(number, name)| *number > 0 || *name == "committed");
        some.map(|(number, name)| format!("{} {name}", count(number))).collect::<Vec<_>>().join(", ")
    }
}

/// How it goes, where standard error is a terminal and the receipts do not show it on the same one.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn new() -> Self {
        let is_shown = io::stderr().is_terminal() && !io::stdout().is_terminal();
        Self(is_shown.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{elapsed_precise}  {wide_msg}");
            bar.enable_steady_tick(DRAW);
            bar.with_style(style.expect("the template is well formed"))
        }))
    }

    fn show(&self, tally: &Tally) {
        if let Some(bar) = &self.0 {
            bar.set_message(tally.words());
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
