//! Where CometBFT is to listen, as its `config.toml` says.

use super::config::EngineConfig;
use crate::node::address::Address;
use crate::node::home::NodeHome;

/// Each address that CometBFT will listen on; none when its configuration cannot be understood, which CometBFT itself
/// says best.
#[must_use]
pub fn addresses(home: &NodeHome) -> Vec<Address> {
    let config = EngineConfig::of(home);
    let metrics =
        config.serves_metrics().then(|| config.text(&["instrumentation", "prometheus_listen_addr"]));
    let others = [&["p2p", "laddr"], &["rpc", "laddr"], &["rpc", "grpc_laddr"]].map(|key| config.text(key));
    others.into_iter().chain([metrics.flatten()]).flatten().filter_map(Address::parse).collect()
}

/// The address of CometBFT's RPC, if its configuration says.
#[must_use]
pub fn rpc(home: &NodeHome) -> Option<Address> {
    Address::parse(EngineConfig::of(home).text(&["rpc", "laddr"])?)
}

/// The URL of CometBFT's RPC as this machine reaches it, if its configuration says.
#[must_use]
pub fn rpc_url(home: &NodeHome) -> Option<String> {
    Some(format!("http://{}", rpc(home)?.reached_locally()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn expected(all: &[(&str, u16)]) -> Vec<Address> {
        all.iter().map(|(host, port)| Address::new(*host, *port)).collect()
    }

    #[test]
    fn what_cometbft_will_listen_on_is_read_from_its_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let home = NodeHome::new(dir.path());
        assert!(addresses(&home).is_empty() && rpc(&home).is_none());
        fs::create_dir(dir.path().join("config")).unwrap();
        let write = |prometheus: bool| {
            let text = format!(
                "[rpc]\nladdr = \"tcp://127.0.0.1:26657\"\ngrpc_laddr = \"\"\n\
                 [p2p]\nladdr = \"tcp://0.0.0.0:26656\"\n\
                 [instrumentation]\nprometheus = {prometheus}\nprometheus_listen_addr = \":26660\"\n"
            );
            fs::write(home.cometbft_config(), text).unwrap();
        };
        let two = [("0.0.0.0", 26656), ("127.0.0.1", 26657)];
        write(false);
        assert_eq!(rpc(&home), Some(Address::loopback(26657)));
        assert_eq!(rpc_url(&home).as_deref(), Some("http://127.0.0.1:26657"));
        assert_eq!(addresses(&home), expected(&two));
        write(true);
        assert_eq!(addresses(&home), expected(&[two[0], two[1], ("0.0.0.0", 26660)]));
    }

    #[test]
    fn the_rpc_is_reached_where_it_listens_or_on_loopback() {
        let dir = tempfile::tempdir().unwrap();
        let home = NodeHome::new(dir.path());
        fs::create_dir(dir.path().join("config")).unwrap();
        for (listens, reached) in
            [("[::]", "127.0.0.1"), ("", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("[::1]", "[::1]")]
        {
            fs::write(home.cometbft_config(), format!("[rpc]\nladdr = \"tcp://{listens}:7\"\n")).unwrap();
            assert_eq!(rpc_url(&home), Some(format!("http://{reached}:7")));
        }
    }
}
