//! Scratch.
#![allow(missing_docs)]
use dseq::abci::transport::*;
use tendermint_proto::v0_38::abci::*;
#[derive(Clone)]
struct App {
    spin_ns: u64,
}
impl tendermint_abci::Application for App {
    fn check_tx(&self, _r: RequestCheckTx) -> ResponseCheckTx {
        let mut x = 1u64;
        for i in 0..self.spin_ns {
            x = std::hint::black_box(x.wrapping_mul(6364136223846793005).wrapping_add(i));
        }
        ResponseCheckTx { gas_wanted: 1, ..Default::default() }
    }
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let mut s = Server::bind(&a[1].parse().unwrap()).unwrap();
    if let Some(w) = a.get(3) {
        s = s.with_check_helpers(w.parse().unwrap());
    }
    s.run(App { spin_ns: a.get(2).map_or(0, |x| x.parse().unwrap()) }).unwrap();
}
