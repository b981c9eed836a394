//! The few questions that we ask CometBFT's RPC.

use std::time::Duration;

use serde_json::Value;

/// A question that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// Nobody answers, or not in time.
    #[error("no answer from {url}: {why}")]
    Silent {
        /// What was asked.
        url: String,
        /// Why there is no answer.
        why: String,
    },
    /// It answers, but not with what was asked for.
    #[error("{url} answered {said}")]
    Refused {
        /// What was asked.
        url: String,
        /// What it said.
        said: String,
    },
}

/// What `/status` says that we care about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The newest block's height; 0 before the first.
    pub height: u64,
    /// Whether it still fetches old blocks from its peers.
    pub catching_up: bool,
}

/// A client of one node's RPC on loopback.
#[derive(Clone, Debug)]
pub struct Rpc {
    agent: ureq::Agent,
    base: String,
}

impl Rpc {
    /// A client for a port of 127.0.0.1 that waits this long for each answer.
    #[must_use]
    pub fn new(port: u16, patience: Duration) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(patience)).http_status_as_error(false);
        Self { agent: config.build().into(), base: format!("http://127.0.0.1:{port}") }
    }

    /// Asks for a path, e.g. `status`, and returns the answer's `result`.
    ///
    /// # Errors
    ///
    /// When nobody answers, or with an error.
    pub fn get(&self, path: &str) -> Result<Value, RpcError> {
        let url = format!("{}/{path}", self.base);
        let silent = |why: ureq::Error| RpcError::Silent { url: url.clone(), why: why.to_string() };
        let mut response = self.agent.get(&url).call().map_err(silent)?;
        let text = response.body_mut().read_to_string().map_err(silent)?;
        let refused = || RpcError::Refused { url: url.clone(), said: text.trim().to_owned() };
        let mut answer: Value = serde_json::from_str(&text).map_err(|_| refused())?;
        match answer.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(refused()),
        }
    }

    /// The node's height, and whether it is catching up.
    ///
    /// # Errors
    ///
    /// When nobody answers, or with something else.
    pub fn status(&self) -> Result<Status, RpcError> {
        let result = self.get("status")?;
        let sync = &result["sync_info"];
        let status = || {
            Some(Status {
                height: sync["latest_block_height"].as_str()?.parse().ok()?,
                catching_up: sync["catching_up"].as_bool()?,
            })
        };
        status().ok_or_else(|| self.unexpected("status", &result))
    }

    /// How many peers the node has.
    ///
    /// # Errors
    ///
    /// When nobody answers, or with something else.
    pub fn peers(&self) -> Result<u64, RpcError> {
        let result = self.get("net_info")?;
        let peers = result["n_peers"].as_str().and_then(|text| text.parse().ok());
        peers.ok_or_else(|| self.unexpected("net_info", &result))
    }

    /// Asks the app about a transaction of one zero byte, without submitting it; any verdict will do.
    ///
    /// # Errors
    ///
    /// When the app cannot be asked.
    pub fn check_tx(&self) -> Result<(), RpcError> {
        let result = self.get("check_tx?tx=0x00")?;
        if result.get("code").is_some() { Ok(()) } else { Err(self.unexpected("check_tx", &result)) }
    }

    fn unexpected(&self, path: &str, said: &Value) -> RpcError {
        RpcError::Refused { url: format!("{}/{path}", self.base), said: said.to_string() }
    }
}
