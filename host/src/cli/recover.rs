//! `dseq recover`: a validator comes back from its peers, and votes again where it cannot have voted before.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;

use super::{EXIT_FAILED, HomeArg, say};
use crate::node::config;
use crate::node::engine::cometbft::CometBft;
use crate::node::home::NodeHome;
use crate::node::home::machine::MachineId;
use crate::node::process::signals;
use crate::node::recover::watch::{CLOCKS_DIFFER_MAX, Seen};
use crate::node::recover::{self, Prepared, run};
use crate::node::shell;

pub(super) const EXAMPLES: &str = "Examples:
  dseq recover --home node";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    home: HomeArg,
    /// CometBFT program
    #[arg(long, value_name = "FILE", env = config::COMETBFT.env)]
    cometbft: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    // Before anything is changed: without CometBFT nothing can be recovered.
    CometBft::find(args.cometbft.as_deref())?;
    let home = NodeHome::open(&args.home.home)?;
    let here = MachineId::here();
    let Prepared { validator, set_aside } = recover::prepare(&home)?;
    for path in &set_aside {
        say(format!("moved aside: {} (remove it when the node has caught up)", path.display()))?;
    }
    let start = format!("dseq start --home {}", shell::word(home.root()));
    let Some(validator) = validator else {
        recover::finish_without_vote(&home, here.as_ref())?;
        say(format!("This node has no vote, so it need not catch up first: {start}"))?;
        return Ok(ExitCode::SUCCESS);
    };
    say(format!(
        "Validator {validator} catches up without voting; its log is {}.\nNo other node may have its key now.",
        run::log(&home).display()
    ))?;
    let (sender, stop) = mpsc::channel();
    signals::forward(sender)?;
    let mut waits = false;
    let known = run::until_known(&home, &validator, args.cometbft.as_deref(), &stop, |seen| {
        // Whoever reads this no more does not stop the recovery.
        let _ = tell(seen, &mut waits);
    })?;
    let Some(signed_max) = known else {
        say("Stopped; the node does not start before this has finished: call it again.")?;
        return Ok(ExitCode::from(EXIT_FAILED));
    };
    let above = recover::finish(&home, signed_max, here.as_ref())?;
    say(format!("Recovered. It votes again for blocks above {above}: {start}"))?;
    Ok(ExitCode::SUCCESS)
}

fn tell(seen: &Seen, waits: &mut bool) -> std::io::Result<()> {
    match seen {
        Seen::Starts(_) | Seen::Knows { .. } => Ok(()),
        Seen::CatchesUp { height } => say(format!("at block {height}, catching up")),
        Seen::Waits { height } if *waits => say(format!("at block {height}")),
        Seen::Waits { height } => {
            *waits = true;
            let seconds = CLOCKS_DIFFER_MAX.as_secs();
            say(format!(
                "at block {height}, caught up. Waiting for two blocks made at least {seconds} s after this command began: they \
                 show what this key cannot have signed.\nAn idle network makes none: once those {seconds} s are over, submit \
                 a transaction at another node."
            ))
        }
    }
}
