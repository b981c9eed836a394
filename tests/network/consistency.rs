//! A short run of tests/consistency: nodes are killed and stopped, and one sequence explains what every client saw.

use std::time::Duration;

use anyhow::ensure;

use crate::consistency_run::{Plan, run};
use crate::support::{Testnet, gallery};

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn one_sequence_explains_every_answer_through_kills_and_stops() {
    let net = Testnet::with(vec!["--plugin".to_owned(), gallery("lines")]);
    net.started();
    let seed = std::env::var("DSEQ_CONSISTENCY_SEED").map_or(1, |seed| seed.parse().unwrap());
    let plan = Plan {
        seed,
        faults_max: 6,
        time_max: Duration::MAX,
        submitters: 6,
        rest_max: Duration::from_millis(500),
        away_max: Duration::from_secs(2),
    };
    let start_again = || {
        let (code, said) = net.start();
        ensure!(code == 0, "{said}");
        Ok(())
    };
    let figures = run(plan, &net.nodes(), &start_again).unwrap_or_else(|error| panic!("{error:#}"));
    println!("{figures}");
    let held = net.settled();
    assert!(held.ends_with(b"\n"));
}
