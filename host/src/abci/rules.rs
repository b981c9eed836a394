//! The rules of a network: taken from genesis at InitChain, and restored from the log's own copy at each later start.

use std::sync::Arc;

use tendermint_proto::v0_38::abci::RequestInitChain;

use super::bounds::{BoundsError, EngineBounds};
use super::halt::Halt;
use super::metered;
use crate::app::{GenesisRules, Rules, app_hash};
use crate::plugin::{Limits, Pipeline, PipelineSpec, PluginDir, PluginSpec};
use crate::sequence::{Chain, Log};
use crate::telemetry::metrics::Metrics;

/// Refuses parameters under which the limits of genesis cannot be met. An engine that sends none has CometBFT's own.
pub(super) fn refuse_unmet_bounds(request: &RequestInitChain, limits: &Limits) -> Result<(), BoundsError> {
    let Some(params) = request.consensus_params.as_ref() else { return Ok(()) };
    let Some(block) = params.block.as_ref() else { return Ok(()) };
    let bounds = EngineBounds {
        block_bytes_max: block.max_bytes,
        block_gas_max: block.max_gas,
        vote_extensions_height: params.abci.as_ref().map_or(0, |abci| abci.vote_extensions_enable_height),
        validators: request.validators.len() as u64,
    };
    bounds.check(limits)
}

/// Admits the pipeline of genesis. Wasm inlined there is kept as a file, because InitChain comes only once.
pub(super) fn admit(plugins: &PluginDir, genesis: GenesisRules, metrics: &Metrics) -> Result<Pipeline, Halt> {
    for (plugin, wasm) in genesis.pipeline.plugins.iter().zip(&genesis.inline_wasm) {
        if let Some(wasm) = wasm {
            let stored = plugins.store(&plugin.name, wasm);
            stored.map_err(|source| Halt::PluginFile { name: plugin.name.to_string(), source })?;
        }
    }
    let modules = modules(plugins, &genesis.pipeline)?;
    Ok(metered::pipeline(Pipeline::admit(genesis.pipeline, &modules)?, metrics))
}

/// The rules that the log's last block was made under.
pub(super) fn restore(
    log: &Log,
    chain: &Chain,
    plugins: &PluginDir,
    metrics: &Metrics,
) -> Result<Rules, Halt> {
    let pipeline = Pipeline::restore(chain.pipeline.clone(), &modules(plugins, &chain.pipeline)?)?;
    let pipeline = metered::pipeline(pipeline, metrics);
    let (stored, computed) = (log.app_hash(), app_hash(log.head(), pipeline.id()));
    if stored != computed {
        return Err(Halt::AppHash { stored, computed });
    }
    Ok(Rules { initial_height: chain.initial_height, pipeline: Arc::new(pipeline) })
}

/// The bytes of each plugin, in the pipeline's order.
fn modules(plugins: &PluginDir, spec: &PipelineSpec) -> Result<Vec<Vec<u8>>, Halt> {
    let find = |plugin: &PluginSpec| {
        let found = plugins.find(&plugin.sha256);
        found.map_err(|source| Halt::PluginFile { name: plugin.name.to_string(), source })
    };
    spec.plugins.iter().map(find).collect()
}
