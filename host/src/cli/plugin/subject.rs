//! The arguments of `run` and `bench`: one plugin or several, and transactions.

use std::ffi::OsString;
use std::path::Path;

use super::super::transactions::{TransactionArgs, Transactions};
use super::pipeline::PipelineArgs;
use super::usage;
use crate::plugin::Pipeline;

/// Plugins and transactions.
#[derive(Debug, clap::Args)]
pub(super) struct SubjectArgs {
    /// The plugin's `.wasm` file
    #[arg(value_name = "FILE")]
    file: Option<OsString>,
    /// The transaction, as text
    #[arg(value_name = "TEXT")]
    text: Option<OsString>,
    #[command(flatten)]
    pub(super) pipeline: PipelineArgs,
    #[command(flatten)]
    transactions: TransactionArgs,
}

impl SubjectArgs {
    /// The pipeline, and the transactions if there are any. With `--plugin` the first word is the transaction.
    pub(super) fn open(&self) -> anyhow::Result<(Pipeline, Option<Transactions>)> {
        let (file, text) = match (self.pipeline.has_plugins(), &self.file, &self.text) {
            (true, _, Some(_)) => return usage("give plugins either as FILE or with --plugin, not both"),
            (true, text, None) => (None, text),
            (false, None, _) => {
                return usage("no plugin is given; use FILE or --plugin NAME=FILE");
            }
            (false, Some(file), text) => (Some(Path::new(file)), text),
        };
        let transactions = self.transactions.open(text.clone())?;
        Ok((self.pipeline.admit(file)?, transactions))
    }
}
