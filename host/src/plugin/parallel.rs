//! Work on all processors: a block's transactions.

use std::sync::OnceLock;
use std::thread;

use rayon::prelude::*;

use super::fault::Fatal;
use super::room;
use crate::limits;

/// Below this many transactions, handing them to other threads costs more than it saves.
const PARALLEL_MIN: usize = 8;

/// How many of the host's processors this process may use: as many threads run a block. Not what the environment
/// says: a variable must not be able to ask for more threads than there are slots for instances.
pub(super) fn processors() -> usize {
    // Asking opens a dozen files, and threads and slots must go by the same number.
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// Instances all pipelines of the process may keep for their next call together: one for each plugin of the longest
/// pipeline on each processor.
pub(super) fn instances_kept_max() -> usize {
    let plugins = usize::try_from(limits::PLUGINS_MAX).unwrap_or(usize::MAX);
    processors().saturating_mul(plugins)
}

/// Does `work` for each item, and answers in the items' order. Which thread does it changes nothing: the pipeline is
/// a pure function.
///
/// # Errors
///
/// [`Fatal`] from one of the items, or when the threads cannot be started.
pub fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, Fatal> + Send + Sync,
) -> Result<Vec<R>, Fatal> {
    if items.len() < PARALLEL_MIN {
        return items.iter().map(work).collect();
    }
    threads()?.install(|| items.par_iter().with_min_len(PARALLEL_MIN).map(work).collect())
}

/// The threads for blocks. Not the process's common pool: a block must not queue behind CheckTx.
pub(super) fn threads() -> Result<&'static rayon::ThreadPool, Fatal> {
    static THREADS: OnceLock<Result<rayon::ThreadPool, String>> = OnceLock::new();
    let build = || {
        rayon::ThreadPoolBuilder::new()
            .num_threads(processors())
            .stack_size(limits::PLUGIN_THREAD_STACK_BYTES)
            .start_handler(|_| room::mark())
            .thread_name(|n| format!("plugin-{n}"))
            .build()
            .map_err(|error| error.to_string())
    };
    THREADS.get_or_init(build).as_ref().map_err(|reason| Fatal {
        plugin: None,
        step: "starting threads",
        reason: reason.clone(),
    })
}
