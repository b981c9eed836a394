//! `dseq read`: a range of the sequence, or records with their receipts.

use std::process::ExitCode;

use anyhow::Context;
use data_encoding::BASE64;
use dseq_client::{Client, Record};
use futures_util::StreamExt;
use serde_json::json;

use super::super::plugin::usage;
use super::data::{Data, DataArgs, Existing, say_aside};
use super::{END, NodesArg, Position, position, run_on_runtime};
use crate::printable;

pub(in crate::cli) const EXAMPLES: &str = "Examples:
  dseq read                              # all that is committed
  dseq read --from -1000 -o last.bin     # the last 1000 bytes, to a file
  dseq read --from 4096 --bytes 512 --hex
  dseq read --records --from -5          # the last five records
  dseq read --from start | sha256sum";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    nodes: NodesArg,
    /// Where to begin: an offset, start, end, or -N for N bytes before the end
    #[arg(long, value_name = "OFFSET", default_value = "start", value_parser = position, allow_negative_numbers = true)]
    from: Position,
    /// Where to end: the first offset that is not read any more
    #[arg(long, value_name = "OFFSET", default_value = "end", value_parser = position, allow_negative_numbers = true)]
    until: Position,
    /// Read at most so many bytes
    #[arg(long, value_name = "N", conflicts_with_all = ["records", "count"])]
    bytes: Option<u64>,
    /// Read records, one a line: index, offset, length, height, hash of the transaction, and the bytes as text. --from and
    /// --until are record indexes then
    #[arg(long)]
    records: bool,
    /// Read at most so many records; implies --records
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    data: DataArgs,
}

pub(in crate::cli) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let client = args.nodes.client()?;
    run_on_runtime(async {
        if args.records || args.count.is_some() {
            read_records(&client, args).await?;
        } else {
            read_bytes(&client, args).await?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// The range that is asked for, where the sequence has so much; its end may be beyond that.
fn range(args: &Args, committed: u64, most: Option<u64>) -> anyhow::Result<(u64, u64)> {
    let (from, until) = (args.from.resolve(committed), args.until.resolve(committed));
    if from > until && args.until != END {
        return usage(format!("--until {until} is before --from {from}"));
    }
    Ok((from, most.map_or(until, |most| until.min(from.saturating_add(most))).max(from)))
}

async fn read_bytes(client: &Client, args: &Args) -> anyhow::Result<()> {
    let needs_end = [args.from, args.until].iter().any(|position| matches!(position, Position::Last(_)));
    let committed = if needs_end { client.status().await?.length } else { 0 };
    let (from, until) = range(args, committed, args.bytes)?;
    let mut reading = client.read(from..until).await?;
    let mut data = args.data.open(Existing::Replaced)?;
    let mut offset = from;
    while let Some(bytes) = reading.next().await {
        let bytes = bytes.with_context(|| format!("stopped at offset {offset}"))?;
        data.write(offset, &bytes)?;
        offset = offset.saturating_add(bytes.len() as u64);
    }
    data.flush()?;
    let count = offset.saturating_sub(from);
    let of = reading.committed();
    say_aside(match offset.checked_sub(1) {
        Some(last) if count > 0 => format!("bytes {from} to {last} ({count} of {of} bytes)"),
        _ => format!("no bytes at offset {from} (the sequence has {of} bytes)"),
    });
    Ok(())
}

async fn read_records(client: &Client, args: &Args) -> anyhow::Result<()> {
    let committed = client.status().await?.records;
    let (from, until) = range(args, committed, args.count)?;
    let mut records = Box::pin(client.records(from, until.saturating_sub(from)).await?);
    let mut data = args.data.open(Existing::Replaced)?;
    let mut index = from;
    while let Some(record) = records.next().await {
        let record = record.with_context(|| format!("stopped at record {index}"))?;
        write_record(&mut data, &record, args)?;
        index = index.saturating_add(1);
    }
    data.flush()?;
    let count = index.saturating_sub(from);
    say_aside(match index.checked_sub(1) {
        Some(last) if count > 0 => format!("records {from} to {last} ({count} of {committed} records)"),
        _ => format!("no records from {from} on (there are {committed} records)"),
    });
    Ok(())
}

fn write_record(data: &mut Data, record: &Record, args: &Args) -> std::io::Result<()> {
    let Record { receipt, bytes } = record;
    if args.data.json {
        let mut line = json!(receipt);
        line["data"] = BASE64.encode(bytes).into();
        return data.line(&line.to_string());
    }
    if args.data.wants_bytes() {
        return data.write(receipt.offset, bytes);
    }
    let text = String::from_utf8_lossy(bytes);
    let numbers =
        [receipt.index, receipt.offset, receipt.length, receipt.height].map(|number| number.to_string());
    data.line(&format!("{}\t{}\t{}", numbers.join("\t"), receipt.tx_hash, printable::line(&text)))
}
