//! Work on all processors: a block's transactions.

use std::sync::OnceLock;
use std::thread;

use rayon::prelude::*;

use super::threads::declare_large_stack;
use crate::limits;
use crate::plugin::fault::Fatal;

/// To look at fewer transactions than this on another thread costs more than it saves.
const LOOKED_AT_MIN: usize = 8;

/// What is found at once about an item.
pub enum Found<R, W> {
    /// Its answer.
    Answer(R),
    /// What there is to do for it.
    Work(W),
}

/// How many of the host's processors this process may use: as many threads run a block. Not what the environment
/// says: a variable must not be able to ask for more threads than there are slots for instances.
pub(in crate::plugin) fn processors() -> usize {
    // Asking opens a dozen files, and threads and slots must go by the same number.
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// Instances all pipelines of the process may keep for their next call together: one for each plugin of the longest
/// pipeline on each processor.
pub(in crate::plugin) fn instances_kept_max() -> usize {
    let plugins = usize::try_from(limits::PLUGINS_MAX).unwrap_or(usize::MAX);
    processors().saturating_mul(plugins)
}

/// Answers for each item, in the items' order: `look` says what is found at once, then `work` is done for the rest, each
/// by itself on the next processor that is free, since it may take a thousand times as long for one as for another. Which
/// thread does it changes nothing: the pipeline is a pure function.
///
/// # Errors
///
/// [`Fatal`] from one of the items, or when the threads cannot be started.
pub fn in_parallel<'a, T: Sync, R: Send, W: Send>(
    items: &'a [T],
    look: impl Fn(&'a T) -> Found<R, W> + Send + Sync,
    work: impl Fn(W) -> Result<R, Fatal> + Send + Sync,
) -> Result<Vec<R>, Fatal> {
    let found: Vec<Found<R, W>> = if items.len() < LOOKED_AT_MIN {
        items.iter().map(look).collect()
    } else {
        threads()?.install(|| items.par_iter().with_min_len(LOOKED_AT_MIN).map(look).collect())
    };
    let (mut answers, mut rest) = (Vec::with_capacity(found.len()), Vec::new());
    for (place, found) in found.into_iter().enumerate() {
        match found {
            Found::Answer(answer) => answers.push(Some(answer)),
            Found::Work(item) => {
                answers.push(None);
                rest.push((place, item));
            }
        }
    }
    let work = |(place, item)| Ok((place, work(item)?));
    let done: Vec<(usize, R)> = if rest.len() <= 1 {
        rest.into_iter().map(work).collect::<Result<_, Fatal>>()?
    } else {
        threads()?.install(|| rest.into_par_iter().with_max_len(1).map(work).collect::<Result<_, Fatal>>())?
    };
    for (place, answer) in done {
        answers[place] = Some(answer);
    }
    Ok(answers.into_iter().flatten().collect())
}

/// The threads for blocks. Not the process's common pool: a block must not queue behind CheckTx.
fn threads() -> Result<&'static rayon::ThreadPool, Fatal> {
    static THREADS: OnceLock<Result<rayon::ThreadPool, String>> = OnceLock::new();
    let build = || {
        rayon::ThreadPoolBuilder::new()
            .num_threads(processors())
            .stack_size(limits::PLUGIN_THREAD_STACK_BYTES)
            .start_handler(|_| declare_large_stack())
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

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_of_a_few_heavy_items_gets_a_processor() {
        let together = processors().min(3);
        let (working, changed) = (Mutex::new((0, 0)), Condvar::new());
        let answers = in_parallel(&[1, 2, 3], Found::<usize, _>::Work, |item| {
            let mut now = working.lock().unwrap();
            now.0 += 1;
            now.1 = now.1.max(now.0);
            changed.notify_all();
            // Only waits this long if it fails.
            now = changed.wait_timeout_while(now, Duration::from_secs(5), |now| now.1 < together).unwrap().0;
            now.0 -= 1;
            Ok(item * 10)
        });
        assert_eq!(answers, Ok(vec![10, 20, 30]));
        assert_eq!(working.into_inner().unwrap().1, together, "at work at once");
    }

    #[test]
    fn what_is_known_is_answered_before_any_work_and_all_in_order() {
        for count in [1, 5, 100] {
            let items: Vec<usize> = (0..count).collect();
            let looked_at = Mutex::new(0);
            let look = |item: &usize| {
                *looked_at.lock().unwrap() += 1;
                if item.is_multiple_of(2) { Found::Answer(*item) } else { Found::Work(*item) }
            };
            let work = |item| {
                assert_eq!(*looked_at.lock().unwrap(), count);
                Ok(item)
            };
            assert_eq!(in_parallel(&items, look, work), Ok(items.clone()));
        }
    }

    #[test]
    fn a_fatal_error_is_answered() {
        let fatal = Fatal { plugin: None, step: "tried", reason: "broken".to_owned() };
        let work = |item| if item == 1 { Err(fatal.clone()) } else { Ok(item) };
        assert_eq!(in_parallel(&[0, 1, 2], |item| Found::Work(*item), work), Err(fatal.clone()));
    }
}
