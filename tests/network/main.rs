//! Real nodes with the real CometBFT: the whole way of a byte, and what is left after a kill.
//!
//! Run by `make e2e`, which builds CometBFT and the plugin first. Each test has its own folder and ports.

mod four_nodes;
mod one_node;
mod support;
