//! `dseq receipt`: where a transaction's record is, or whose record is at a place.

use std::process::ExitCode;
use std::time::Duration;

use dseq_client::{At, Client, Error, Known, Receipt, TxHash};
use serde_json::json;

use super::super::say;
use super::data::say_aside;
use super::{
    EXIT_NOT_FOUND, EXIT_REJECTED, EXIT_UNKNOWN, NodesArg, receipt_line, run_on_runtime, state_line,
};

pub(in crate::cli) const EXAMPLES: &str = "Examples:
  dseq receipt ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad --wait 10s
  dseq receipt --offset 1234567         # who brought this byte, and at what height
  dseq receipt --height 42 --json";

#[derive(Debug, clap::Args)]
#[group(id = "what", required = true, multiple = false, args = ["tx_hash", "index", "offset", "height"])]
pub(in crate::cli) struct Args {
    /// SHA-256 of the bytes that were submitted
    #[arg(value_name = "HASH", value_parser = hash)]
    tx_hash: Option<TxHash>,
    /// The record with this index, from 0
    #[arg(long, value_name = "N")]
    index: Option<u64>,
    /// The record that holds the byte at this offset
    #[arg(long, value_name = "N")]
    offset: Option<u64>,
    /// All records of the block at this height
    #[arg(long, value_name = "N")]
    height: Option<u64>,
    /// Wait so long until the transaction is committed or rejected, e.g. 30s
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = super::super::duration::duration, requires = "tx_hash")]
    wait: Duration,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    nodes: NodesArg,
}

fn hash(text: &str) -> Result<TxHash, String> {
    text.parse().map_err(|err: crate::types::ParseHashError| err.to_string())
}

pub(in crate::cli) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let client = args.nodes.client()?;
    run_on_runtime(async {
        match args.tx_hash {
            Some(tx_hash) => by_hash(&client, tx_hash, args).await,
            None => by_place(&client, args).await,
        }
    })
}

async fn by_hash(client: &Client, tx_hash: TxHash, args: &Args) -> anyhow::Result<ExitCode> {
    let known = client.receipt(tx_hash, args.wait).await?;
    if args.json {
        let mut line = json!(known);
        line["tx_hash"] = tx_hash.to_string().into();
        say(line.to_string())?;
    }
    let line = |text: String| if args.json { Ok(()) } else { say(text) };
    Ok(match known {
        Known::Committed { receipts } => {
            receipts.iter().try_for_each(|receipt| line(receipt_line(receipt)))?;
            ExitCode::SUCCESS
        }
        Known::Pending => {
            line(state_line("pending", &tx_hash, ""))?;
            ExitCode::from(EXIT_UNKNOWN)
        }
        Known::Rejected(rejection) => {
            line(state_line("rejected", &tx_hash, &rejection.to_string()))?;
            ExitCode::from(EXIT_REJECTED)
        }
        Known::Unknown => {
            line(state_line(
                "unknown",
                &tx_hash,
                "no node that answers has committed it, or knows that it is on its way",
            ))?;
            ExitCode::from(EXIT_NOT_FOUND)
        }
    })
}

async fn by_place(client: &Client, args: &Args) -> anyhow::Result<ExitCode> {
    let found: Option<Vec<Receipt>> = match (args.index, args.offset, args.height) {
        (Some(index), ..) => one(client, At::Index(index)).await?,
        (_, Some(offset), _) => one(client, At::Offset(offset)).await?,
        (_, _, height) => client.receipts_of_block(height.unwrap_or_default()).await?,
    };
    let Some(receipts) = found else {
        say_aside("not committed: the sequence has not come that far");
        return Ok(ExitCode::from(EXIT_NOT_FOUND));
    };
    for receipt in &receipts {
        say(if args.json { json!(receipt).to_string() } else { receipt_line(receipt) })?;
    }
    if receipts.is_empty() {
        say_aside("the block has no records");
    }
    Ok(ExitCode::SUCCESS)
}

async fn one(client: &Client, at: At) -> Result<Option<Vec<Receipt>>, Error> {
    Ok(client.receipt_at(at).await?.map(|receipt| vec![receipt]))
}
