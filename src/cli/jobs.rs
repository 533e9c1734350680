//! Many inputs, in parallel, answered in order: one answer each, whatever happens to the others.

use rayon::prelude::*;

use crate::scan::guarded;
use crate::threads;

/// How many answers may wait for an earlier one to be printed.
const WINDOW: usize = 64;

/// Does `work` for every job, several at a time, and hands the answers to `then` in the order of the jobs, until `then`
/// says that nobody listens any more (false). A panic in `work`, which would be our own bug, becomes an error of that
/// one job.
pub fn in_order<J, A, W, T>(jobs: &[J], work: W, mut then: T)
where
    J: Sync,
    A: Send,
    W: Fn(&J) -> A + Sync,
    T: FnMut(&J, Result<A, String>) -> bool,
{
    let work = |job: &J| guarded(|| work(job));
    let _alone = (jobs.len() > 1).then(threads::shared_or_alone);
    for window in jobs.chunks(WINDOW) {
        // One job needs no thread pool, whose start would cost more than many an answer.
        let answers: Vec<_> = match window {
            [job] => vec![work(job)],
            jobs => jobs.par_iter().with_max_len(1).map(work).collect(),
        };
        for (job, answer) in window.iter().zip(answers) {
            if !then(job, answer) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_in_order_and_a_panic_stays_with_its_job() {
        let jobs: Vec<u32> = (0..200).collect();
        let mut seen = Vec::new();
        in_order(
            &jobs,
            |&n| {
                assert!(n != 77, "seventy-seven");
                n * 2
            },
            |&n, answer| {
                match answer {
                    Ok(double) => assert_eq!(double, n * 2),
                    Err(text) => assert!(n == 77 && text.contains("seventy-seven"), "{text}"),
                }
                seen.push(n);
                true
            },
        );
        assert_eq!(seen, jobs);
    }

    #[test]
    fn it_stops_when_nobody_listens() {
        let mut count = 0;
        in_order(
            &[1, 2, 3],
            |n| *n,
            |_, _| {
                count += 1;
                false
            },
        );
        assert_eq!(count, 1);
    }
}
