//! `dseq tail`: the end of the sequence, and what comes after it.

use std::io;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use dseq_client::{Address, Client, FollowFrom, FollowOptions, Notice};
use futures_util::StreamExt;
use tokio::sync::Notify;
use tokio::time::interval;

use super::data::{Data, DataArgs, Existing, say_aside};
use super::{NodesArg, Position, position, run_on_runtime};
use crate::node::process::signals;

pub(in crate::cli) const EXAMPLES: &str = "Examples:
  dseq tail                              # the last 1024 bytes
  dseq tail -f                           # and then what comes, until Ctrl-C
  dseq tail -f --from end --raw
  dseq tail -f --from 4096 --node localhost:6900,localhost:6901 >> copy.bin";

/// How often it is looked whether somebody still reads the output.
const LOOK: Duration = Duration::from_millis(500);
/// How long after a signal bytes that nobody takes are waited for.
const STUCK: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    nodes: NodesArg,
    /// Go on with what comes, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Where to begin: an offset, start, end, or -N for N bytes before the end
    #[arg(long, value_name = "OFFSET", default_value = "-1024", value_parser = position, allow_negative_numbers = true)]
    from: Position,
    #[command(flatten)]
    data: DataArgs,
}

pub(in crate::cli) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let client = args.nodes.client()?;
    // It has a runtime of its own, which none can begin within another one.
    let stop = args.follow.then(stop_signal).transpose()?;
    run_on_runtime(async {
        // Nodes that answer must agree from the beginning, and one of them must be there.
        let committed = if client.nodes().len() > 1 {
            let agreed = client.compare().await?;
            let (answer, nodes, length) = (agreed.nodes.len(), client.nodes().len(), agreed.length);
            say_aside(match answer {
                1 => format!("1 of {nodes} nodes answers, so nothing is compared"),
                _ => format!("{answer} of {nodes} nodes answer, and agree at {length} bytes"),
            });
            client.status().await?.length
        } else {
            client.status().await?.length
        };
        let from = args.from.resolve(committed);
        // What was followed before is in it.
        let existing = if args.follow { Existing::Kept } else { Existing::Replaced };
        let mut data = args.data.open(existing)?;
        match stop {
            Some(stop) => follow(&client, from, &mut data, &stop).await,
            None => once(&client, from, &mut data).await,
        }
    })
}

async fn once(client: &Client, from: u64, data: &mut Data) -> anyhow::Result<ExitCode> {
    let mut reading = client.read(from..).await?;
    let mut offset = from;
    while let Some(bytes) = reading.next().await {
        let bytes = bytes.with_context(|| format!("stopped at offset {offset}"))?;
        data.write(offset, &bytes)?;
        offset = offset.saturating_add(bytes.len() as u64);
    }
    data.flush()?;
    say_aside(format!("from offset {from} to the end at {offset}"));
    Ok(ExitCode::SUCCESS)
}

async fn follow(client: &Client, from: u64, data: &mut Data, stop: &Notify) -> anyhow::Result<ExitCode> {
    say_aside(format!("following from offset {from}; Ctrl-C ends it"));
    let mut told = Told::default();
    let options = FollowOptions::default().on_notice(move |notice| told.tell(&notice));
    let mut chunks = Box::pin(client.follow(FollowFrom::Offset(from), options));
    let (mut next, mut look) = (from, interval(LOOK));
    loop {
        tokio::select! {
            chunk = chunks.next() => {
                let Some(chunk) = chunk else { return Ok(ExitCode::SUCCESS) };
                let chunk = chunk.with_context(|| format!("stopped at offset {next}"))?;
                data.write(chunk.offset, &chunk.bytes)?;
                data.flush()?;
                next = chunk.offset.saturating_add(chunk.bytes.len() as u64);
            }
            _ = look.tick() => if data.is_abandoned() {
                return Ok(ExitCode::SUCCESS);
            },
            () = stop.notified() => {
                say_aside(format!("stopped at offset {next}; --from {next} goes on there"));
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
}

/// Notified by the first signal that asks us to end. If that is not heeded, because nobody takes the output, the process ends.
fn stop_signal() -> io::Result<Arc<Notify>> {
    let (sender, signals) = mpsc::channel();
    signals::forward(sender)?;
    let stop = Arc::new(Notify::new());
    let heard = Arc::clone(&stop);
    thread::spawn(move || {
        if signals.recv().is_ok() {
            heard.notify_one();
            thread::sleep(STUCK);
            std::process::exit(0);
        }
    });
    Ok(stop)
}

/// Says what happens to nodes, once each: while none answers, the same comes again and again.
#[derive(Default)]
struct Told {
    troubled: Vec<Address>,
    /// Whether anything was lost since a node was last read.
    any: bool,
}

impl Told {
    fn tell(&mut self, notice: &Notice) {
        match notice {
            Notice::Reading { node, offset, compared } => {
                if std::mem::take(&mut self.any) {
                    let same = match compared {
                        0 => String::new(),
                        _ => format!("; its last {compared} bytes are the same"),
                    };
                    say_aside(format!("reading from {node} at offset {offset}{same}"));
                }
                self.troubled.retain(|troubled| troubled != node);
            }
            Notice::Lost { node, why } => self.trouble(node, || format!("{node}: {why}")),
            Notice::Behind { node, offset, length } => self.trouble(node, || match length {
                Some(length) => {
                    format!("{node} is behind: it has {length} bytes, and offset {offset} is next")
                }
                None => format!("{node} is behind: other nodes have more than {offset} bytes"),
            }),
        }
    }

    fn trouble(&mut self, node: &Address, words: impl FnOnce() -> String) {
        self.any = true;
        if !self.troubled.contains(node) {
            self.troubled.push(node.clone());
            say_aside(words());
        }
    }
}
