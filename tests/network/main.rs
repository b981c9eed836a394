//! Real nodes with the real CometBFT: the whole way of a byte, and what is left after a kill.
//!
//! Run by `make e2e`, which builds CometBFT and the plugin first. Each test has its own folder and ports.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic, as its tests may")]

mod acknowledgement;
mod byzantine;
mod chromium;
mod clients;
mod consistency;
#[path = "../consistency/run/mod.rs"]
mod consistency_run;
mod crash_points;
mod failures;
mod faults;
mod four_nodes;
mod genesis;
#[path = "../support/genesis_table.rs"]
mod genesis_table;
mod health;
mod hosts;
mod load;
mod machines;
mod metrics;
mod monitoring;
#[path = "../support/noise.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod noise;
mod older_copy;
mod one_node;
mod page;
mod page_commands;
#[path = "../support/pages.rs"]
#[allow(dead_code, reason = "tests/reference uses the rest")]
mod pages;
mod pipeline;
#[path = "../support/program.rs"]
mod program;
mod rollback;
mod rolling;
mod run_pages;
mod submit;
mod support;
mod traces;
mod walk_through;
