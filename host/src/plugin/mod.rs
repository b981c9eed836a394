//! The wall around plugins.
mod spec;

pub use spec::{
    CanonicalJson, CanonicalJsonError, Limits, LimitsError, PipelineSpec, PluginName, PluginNameError,
    PluginSpec,
};
