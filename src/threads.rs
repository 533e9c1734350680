//! The threads that work is shared among, and what to do where the system gives none (`ulimit -u`, `pids.max` of a
//! container). Knows nothing of the work.

use std::error::Error;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Has this thread do by itself, for as long as the pool lives, what would be shared.
pub fn alone() -> Option<ThreadPool> {
    let alone = ThreadPoolBuilder::new().num_threads(1).use_current_thread();
    alone.build().ok()
}

/// Starts the threads that share work, unless they run already; where they cannot be had, this one is all there is, for
/// as long as the pool lives.
pub fn shared_or_alone() -> Option<ThreadPool> {
    if rayon::current_thread_index().is_some() {
        return None;
    }
    let started = ThreadPoolBuilder::new().build_global();
    // Without a cause they run already.
    let refused = started.is_err_and(|error| error.source().is_some());
    refused.then(alone).flatten()
}
