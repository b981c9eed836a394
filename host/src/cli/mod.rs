//! The command line: one file for each subcommand, and what they share.
//!
//! Exit codes: 0 success, 1 failure or failed check, 2 usage, 3 not found, 4 rejected, 5 outcome unknown, 6 no node can be reached,
//! 7 nodes disagree, 78 configuration error: the node refuses to run, because of its configuration, genesis or plugins, and
//! starting it again can't help.

mod checksum;
mod client;
mod completions;
mod config;
mod doctor;
pub mod duration;
mod genesis;
mod health;
mod init;
mod keys;
mod load;
mod man;
mod network;
mod plugin;
mod print;
mod recover;
mod serve;
mod settings;
mod start;
mod status;
mod testnet;
mod transactions;
mod upgrade;
mod version;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use self::print::{log_may_have_colors, may_color, say, say_labelled, table};
use crate::abci::EXIT_REFUSED;
use crate::load::plan::PlanError;
use crate::node::config::{self as node_config, ConfigError, Origin};
use crate::node::engine::cometbft;
use crate::node::engine::environment::EnvironmentError;
use crate::node::engine::key_files::KeyError;
use crate::node::genesis::origin::OriginError;
use crate::node::genesis::{GenesisError, RulesError};
use crate::node::home::HomeError;
use crate::node::home::machine::MachineError;
use crate::node::network::NetworkError;
use crate::node::preflight::PreflightError;
use crate::node::testnet::TestnetError;
use crate::printable;
use crate::telemetry;

/// As `--help` shows them.
const EXIT_CODES: &str = "Exit codes: 0 success, 1 failure or failed check, 2 usage, 3 to 7 as `dseq submit --help` says, 78 configuration error (configuration, home, genesis, plugins or CometBFT must be fixed first)";

/// As clap's own, but with the examples before the usage, of subcommands too.
const HELP: &str = "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

const EXAMPLES: &str = "Examples:
  dseq testnet start                 # four nodes on this machine
  dseq testnet status
  dseq submit hello                  # hand in bytes; the receipt says where they are
  dseq read --from -100              # the last 100 bytes
  dseq tail -f                       # what comes, until Ctrl-C
  dseq checksum                      # do all nodes hold the same bytes?
  dseq plugin run plugin.wasm hello  # run a transaction through a plugin";

const EXIT_FAILED: u8 = 1;
const EXIT_USAGE: u8 = 2;

/// A distributed byte sequencer: any node takes bytes, every node holds the identical sequence.
#[derive(Debug, Parser)]
#[command(name = "dseq", version, arg_required_else_help = true, before_help = EXAMPLES, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a node's home: its keys, and the public file that the other members get
    ///
    /// `dseq network` then makes the network of several machines. With --solo the node is a network of its own.
    #[command(before_help = init::EXAMPLES)]
    Init(Box<init::Args>),
    /// Make a network of several machines, and join it
    #[command(subcommand, before_help = network::EXAMPLES)]
    Network(network::Command),
    /// Run a node: the app and CometBFT, which are restarted when either exits
    #[command(before_help = start::EXAMPLES)]
    Start(start::Args),
    /// Run the app alone, beside a CometBFT that you run yourself
    #[command(before_help = serve::EXAMPLES)]
    Serve(serve::Args),
    /// Run a local network of several nodes
    #[command(subcommand, before_help = testnet::EXAMPLES)]
    Testnet(testnet::Command),
    /// Submit bytes, and print the receipt: where they are in the sequence
    ///
    /// Ends when the outcome is known, or after --timeout. If no node can say it, the outcome is unknown (exit code 5): ask with
    /// `dseq receipt` before you send the bytes again. Several nodes: the next one gets the bytes only if one certainly did not
    /// take them.
    #[command(before_help = client::submit::EXAMPLES, after_help = client::EXIT_CODES)]
    Submit(client::submit::Args),
    /// Read a range of the sequence, or records with their receipts
    ///
    /// Ends at the end of what is committed when it begins; `dseq tail -f` follows. The bytes go to standard output as they are,
    /// to a terminal as a hex dump; the range that was read is said on standard error.
    #[command(before_help = client::read::EXAMPLES, after_help = client::EXIT_CODES)]
    Read(client::read::Args),
    /// Read the end of the sequence; with --follow, what comes after it
    ///
    /// With --follow it never ends by itself: it goes on through restarts of nodes, at another node if several are given, each
    /// byte once and in order. Before another node is read, its last 4096 bytes are compared; nodes that disagree are exit code 7.
    /// Ctrl-C ends it with 0.
    #[command(before_help = client::tail::EXAMPLES, after_help = client::EXIT_CODES)]
    Tail(client::tail::Args),
    /// Ask where a transaction's record is, or whose record is at an index, an offset or a height
    ///
    /// Ends at once, or after --wait. Exit code 5 means that the transaction is known and not committed yet.
    #[command(before_help = client::receipt::EXAMPLES, after_help = client::EXIT_CODES)]
    Receipt(client::receipt::Args),
    /// Check whether a node is healthy
    ///
    /// Prints each check that is not ok, with the reason. Exits with 0 only if no check fails or warns; docs/health.md has the
    /// checks and what to do.
    #[command(before_help = health::EXAMPLES)]
    Health(health::Args),
    /// Look at a whole home, and say what is wrong and what to do
    ///
    /// Works whether or not the node runs, and changes nothing. Exits with 1 if something failed, and with 0 for warnings alone.
    #[command(before_help = doctor::EXAMPLES)]
    Doctor(doctor::Args),
    /// Show, back up, move or restore the keys of a home
    #[command(subcommand, before_help = keys::EXAMPLES)]
    Keys(keys::Command),
    /// Bring a validator back from its peers that lost its disk, or what it signed
    ///
    /// The node catches up without voting, until blocks of the others show what its key cannot have signed; then `dseq start` lets
    /// it vote again. Stop every other node with the same key first. Takes at least ten seconds, and needs two new blocks.
    #[command(before_help = recover::EXAMPLES)]
    Recover(recover::Args),
    /// Check whether another version of this program may take its place
    #[command(subcommand, before_help = upgrade::EXAMPLES)]
    Upgrade(upgrade::Command),
    /// Print the versions of this program, its CometBFT, its engine and its formats
    #[command(before_help = version::EXAMPLES)]
    Version(version::Args),
    /// Compare the sequences of several nodes
    ///
    /// Exits with 0 only if all nodes hold the same bytes, up to the shortest committed length; with 1 if they differ, or if
    /// there is nothing to compare: nodes of several networks, or a node that has not committed a byte.
    #[command(before_help = checksum::EXAMPLES)]
    Checksum(checksum::Args),
    /// Show all nodes side by side: how far they are, whether they agree, and their last records
    ///
    /// Exits with 0 if all is fine, 1 if the network is degraded (a node is down, behind or differs, or a validator signed
    /// twice), and 2 if it has no quorum. A wrong flag is 2 too, with nothing on standard output.
    #[command(before_help = status::EXAMPLES)]
    Status(status::Args),
    /// Load a network with transactions, measure, and verify that each is where its receipt says, on every node
    ///
    /// Exits with 0 only if the run is valid, transactions were committed, and the verification found each of them exactly once,
    /// at its receipt's offset, on every node. Ctrl-C ends a run early and still reports.
    #[command(before_help = load::EXAMPLES)]
    Load(Box<load::Args>),
    /// Work with plugins, without a network
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// Show, change or check the rules in a genesis file, before its network starts
    #[command(subcommand, before_help = genesis::EXAMPLES)]
    Genesis(genesis::Command),
    /// Show, explain or check the configuration
    #[command(subcommand, before_help = config::EXAMPLES)]
    Config(config::Command),
    /// Print completions of this program's commands for a shell
    #[command(before_help = completions::EXAMPLES)]
    Completions(completions::Args),
    /// Print or write manual pages
    #[command(before_help = man::EXAMPLES)]
    Man(man::Args),
}

/// Where a node's home is.
#[derive(Debug, clap::Args)]
struct HomeArg {
    /// The node's home
    #[arg(long, value_name = "DIR", env = node_config::HOME_ENV)]
    home: PathBuf,
}

/// Runs the command line of this process and says how it went.
#[must_use]
pub fn run() -> ExitCode {
    let parsed = with_help(Cli::command()).try_get_matches().and_then(|matches| {
        let cli = Cli::from_arg_matches(&matches)?;
        Ok((cli, matches))
    });
    let (cli, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(err) => return misused(&err),
    };
    match dispatch(cli.command, innermost(&matches)) {
        Ok(code) => code,
        Err(err) if is_broken_pipe(&err) => ExitCode::SUCCESS,
        Err(err) => {
            if telemetry::is_for_machines() {
                tracing::error!("{}", with_causes(err.chain(), ": "));
            } else {
                // Nothing is left to be done when standard error is gone too.
                let _ = writeln!(printable::Writer(io::stderr()), "{}", describe(&err));
            }
            ExitCode::from(exit_code(&err))
        }
    }
}

fn with_help(command: clap::Command) -> clap::Command {
    command.help_template(HELP).mut_subcommands(with_help)
}

/// The parser's own words: about what was given to it, or the help that was asked for.
fn misused(err: &clap::Error) -> ExitCode {
    let text = err.render().to_string();
    if printable::text(&text) == text {
        err.exit();
    }
    // It quotes what it was given, which may be a file name that somebody else chose.
    let _ = write!(printable::Writer(io::stderr()), "{text}");
    ExitCode::from(u8::try_from(err.exit_code()).unwrap_or(EXIT_USAGE))
}

fn dispatch(command: Command, matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    match command {
        Command::Init(args) => init::run(&args),
        Command::Network(command) => network::run(&command),
        Command::Start(args) => start::run(&args, matches),
        Command::Serve(args) => serve::run(&args, matches),
        Command::Testnet(command) => testnet::run(command),
        Command::Health(args) => health::run(&args, matches),
        Command::Doctor(args) => doctor::run(&args, matches),
        Command::Keys(command) => keys::run(command),
        Command::Recover(args) => recover::run(&args),
        Command::Upgrade(command) => upgrade::run(command),
        Command::Version(args) => version::run(&args),
        Command::Checksum(args) => checksum::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Plugin(command) => plugin::run(command),
        Command::Genesis(command) => genesis::run(command),
        Command::Config(command) => config::run(command, matches),
        Command::Submit(args) => client::submit::run(&args),
        Command::Read(args) => client::read::run(&args),
        Command::Tail(args) => client::tail::run(&args),
        Command::Receipt(args) => client::receipt::run(&args),
        Command::Completions(args) => completions::run(&args, Cli::command()),
        Command::Man(args) => man::run(&args, Cli::command()),
    }
}

/// The matches of the subcommand that was called.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    match matches.subcommand() {
        Some((_, inner)) => innermost(inner),
        None => matches,
    }
}

/// The error and its causes, one for each line.
fn describe(err: &anyhow::Error) -> String {
    format!("error: {}", with_causes(err.chain(), "\n  caused by: "))
}

/// An error and its causes, with `separator` between them; a cause that the one before already contains is left out.
fn with_causes(mut chain: anyhow::Chain<'_>, separator: &str) -> String {
    let mut last = chain.next().map(ToString::to_string).unwrap_or_default();
    let mut text = last.clone();
    for cause in chain {
        let cause = cause.to_string();
        if !last.contains(&cause) {
            text.push_str(separator);
            text.push_str(&cause);
        }
        last = cause;
    }
    text
}

fn exit_code(err: &anyhow::Error) -> u8 {
    for cause in err.chain() {
        if let Some(
            ConfigError::BadValue { origin: Origin::Flag(_), .. }
            | ConfigError::SocketPathTooLong { origin: Origin::Flag(_), .. },
        ) = cause.downcast_ref()
        {
            return EXIT_USAGE;
        }
        let refused = cause.is::<ConfigError>()
            || cause.is::<cometbft::NotFound>()
            || cause.downcast_ref().is_some_and(HomeError::is_refusal)
            || cause.is::<EnvironmentError>()
            || cause.downcast_ref().is_some_and(PreflightError::is_refusal)
            || cause.downcast_ref().is_some_and(KeyError::is_refusal)
            || cause.downcast_ref().is_some_and(MachineError::is_refusal)
            || cause.downcast_ref().is_some_and(OriginError::is_refusal);
        if refused {
            return EXIT_REFUSED;
        }
        if let Some(code) = cause.downcast_ref().and_then(client::exit_code) {
            return code;
        }
        if let Some(halt) = cause.downcast_ref::<serve::Halted>() {
            return halt.code;
        }
        let usage = matches!(
            cause.downcast_ref(),
            Some(
                TestnetError::BadCount { .. }
                    | TestnetError::BadHost { .. }
                    | TestnetError::BadPorts { .. }
                    | TestnetError::OtherCount { .. }
                    | TestnetError::OtherPorts { .. }
                    | TestnetError::OtherPipeline { .. }
            )
        ) || matches!(cause.downcast_ref(), Some(GenesisError::ChainId { .. }))
            || cause.downcast_ref().is_some_and(RulesError::is_usage)
            || cause.downcast_ref().is_some_and(NetworkError::is_usage)
            || cause.is::<plugin::Usage>()
            || cause.is::<PlanError>();
        if usage {
            return EXIT_USAGE;
        }
    }
    EXIT_FAILED
}

/// Whoever read our output has seen enough, as with `| head`.
fn is_broken_pipe(err: &anyhow::Error) -> bool {
    err.downcast_ref::<io::Error>().is_some_and(|err| err.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::supervisor::SupervisorError;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_examples_of_the_help_are_well_formed() {
        let all = [
            EXAMPLES,
            init::EXAMPLES,
            network::EXAMPLES,
            start::EXAMPLES,
            serve::EXAMPLES,
            testnet::EXAMPLES,
            checksum::EXAMPLES,
            load::EXAMPLES,
            health::EXAMPLES,
            status::EXAMPLES,
            genesis::EXAMPLES,
            config::EXAMPLES,
            completions::EXAMPLES,
            man::EXAMPLES,
            doctor::EXAMPLES,
            keys::EXAMPLES,
            recover::EXAMPLES,
            upgrade::EXAMPLES,
            version::EXAMPLES,
            client::submit::EXAMPLES,
            client::read::EXAMPLES,
            client::tail::EXAMPLES,
            client::receipt::EXAMPLES,
        ];
        for line in all.iter().flat_map(|text| text.lines().skip(1)) {
            let command =
                line.split('#').next().unwrap().split(" | ").find(|part| part.trim().starts_with("dseq"));
            let words = command.unwrap().split('>').next().unwrap().split_whitespace();
            Cli::try_parse_from(words).unwrap_or_else(|err| panic!("{line}: {err}"));
        }
    }

    #[test]
    fn causes_are_shown_once_each() {
        let err = anyhow::anyhow!("disk full").context("cannot write x: disk full").context("cannot start");
        assert_eq!(describe(&err), "error: cannot start\n  caused by: cannot write x: disk full");
    }

    #[test]
    fn each_failure_has_its_exit_code() {
        let bad = |origin| ConfigError::BadValue { origin, key: "x", found: "y".to_owned(), expected: "z" };
        assert_eq!(exit_code(&bad(Origin::Flag("--x")).into()), EXIT_USAGE);
        assert_eq!(exit_code(&bad(Origin::Env("DSEQ_X")).into()), EXIT_REFUSED);
        assert_eq!(exit_code(&HomeError::Missing { path: PathBuf::new() }.into()), EXIT_REFUSED);
        assert_eq!(exit_code(&anyhow::anyhow!("anything else")), EXIT_FAILED);
    }

    #[test]
    fn a_failure_keeps_its_exit_code_and_its_one_line_inside_others() {
        let home = || HomeError::NotPrivate { path: PathBuf::from("/x") };
        let err = anyhow::Error::from(SupervisorError::Home(home()));
        assert_eq!((exit_code(&err), describe(&err)), (EXIT_REFUSED, format!("error: {}", home())));
        let genesis = || GenesisError::from(RulesError::PluginSyntax { text: "x".to_owned() });
        let err = anyhow::Error::from(TestnetError::Genesis(genesis()));
        assert_eq!((exit_code(&err), describe(&err)), (EXIT_USAGE, format!("error: {}", genesis())));
        assert_eq!(exit_code(&anyhow::Error::from(genesis()).context("cannot make it")), EXIT_USAGE);
    }
}
