//! All entries of an archive, several at a time, answered in order.
//!
//! The entries are walked by a thread of their own, and each is one task for the next free thread; answers wait for those before them,
//! and no more than [`Width::ahead`] entries are ever on the way: memory does not depend on the archive.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

use super::guard::guarded;
use super::label::Labelled;
use crate::archive::Entry;
use crate::input::gate::Gate;

/// How much is done at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width {
    /// How many compute.
    pub jobs: usize,
    /// How many compute or wait for storage.
    pub io_jobs: usize,
}

impl Width {
    /// How many entries may be on the way, from being listed to being answered.
    pub fn ahead(self) -> usize {
        self.io_jobs.max(self.jobs).saturating_mul(16).max(64)
    }

    /// How many threads that takes.
    pub fn threads(self) -> usize {
        self.jobs.max(self.io_jobs).max(1)
    }
}

/// What is known of an entry from an earlier scan.
#[derive(Debug)]
pub enum Stock {
    /// Nothing, or nothing that still holds.
    None,
    /// Its rows, as they would be now.
    Rows(Vec<Labelled>),
    /// Its rows under other rules: their reports are to be asked again.
    Reports(Vec<Labelled>),
}

/// What an entry gave.
#[derive(Debug)]
pub struct Answer {
    /// The entry.
    pub entry: Entry,
    /// Its rows, at least one.
    pub rows: Vec<Labelled>,
    /// Whether it was read now; not, if the rows are from stock.
    pub read: bool,
    /// Whether the rows differ from those in stock.
    pub new: bool,
}

/// Answers every entry: from `stock`, else by `read`, else asked again by `again`; hands the answers to `then` in the
/// order of the entries, until `then` says that nobody listens any more (false). A panic, which would be our own bug,
/// costs the entry that it came with.
pub fn run<E, S, R, A, T>(entries: E, width: Width, stock: S, read: R, again: A, mut then: T)
where
    E: Iterator<Item = Entry> + Send,
    S: Fn(&Entry) -> Stock + Sync,
    R: Fn(&Entry) -> Vec<Labelled> + Sync,
    A: Fn(Labelled) -> Labelled + Sync,
    T: FnMut(Answer) -> bool,
{
    let gate = (width.io_jobs > width.jobs).then(|| Gate::new(width.jobs));
    let stopped = AtomicBool::new(false);
    let (answered, answers) = mpsc::channel::<(u64, Answer)>();
    let (ask, asked) = mpsc::channel::<(u64, Entry, Stock)>();
    let asked = Mutex::new(asked);
    // A place for every entry on the way, taken before it is listed. The other end is alive: it is used below.
    let (give_back, places) = mpsc::channel::<()>();
    (0..width.ahead()).for_each(|_| give_back.send(()).unwrap_or_default());
    let answer = |entry: Entry, stock: Stock| -> Answer {
        let name = entry.name.clone();
        let work = || match stock {
            Stock::Rows(rows) => (rows, false, false),
            Stock::Reports(rows) => (rows.into_iter().map(&again).collect(), false, true),
            Stock::None => (read(&entry), true, true),
        };
        let done = guarded(|| match &gate {
            Some(gate) => gate.enter(work),
            None => work(),
        });
        let (mut rows, read, new) = done.unwrap_or_else(|why| {
            let why = format!("{name}: {why}");
            (vec![Labelled::failed(&name, why, false)], true, true)
        });
        if rows.is_empty() {
            rows.push(Labelled::failed(&name, format!("{name}: it gave no answer"), false));
        }
        Answer { entry, rows, read, new }
    };
    let (answer, stock, stopped, asked) = (&answer, &stock, &stopped, &asked);
    std::thread::scope(|threads| {
        for _ in 0..width.threads() {
            let answered = answered.clone();
            threads.spawn(move || {
                // Every processor has a crash of its own to work on: nothing is gained by parting the work on one, and a
                // thread that waits for others must not begin another crash meanwhile.
                let _alone = rayon::ThreadPoolBuilder::new()
                    .num_threads(1)
                    .use_current_thread()
                    .build();
                loop {
                    let next = asked.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((number, entry, stock)) = next else { break };
                    if !stopped.load(Ordering::Relaxed) && answered.send((number, answer(entry, stock))).is_err() {
                        break;
                    }
                }
            });
        }
        threads.spawn(move || {
            for (number, entry) in (0u64..).zip(entries) {
                if places.recv().is_err() || stopped.load(Ordering::Relaxed) {
                    break;
                }
                let sent = match stock(&entry) {
                    // Nothing to compute: no thread need be woken for it.
                    Stock::Rows(rows) => answered.send((number, answer(entry, Stock::Rows(rows)))).is_ok(),
                    stock => ask.send((number, entry, stock)).is_ok(),
                };
                if !sent {
                    break;
                }
            }
        });
        let mut waiting: BTreeMap<u64, Answer> = BTreeMap::new();
        let mut next = 0;
        'answers: for (number, answer) in &answers {
            waiting.insert(number, answer);
            while let Some(answer) = waiting.remove(&next) {
                next += 1;
                if !then(answer) {
                    break 'answers;
                }
                give_back.send(()).unwrap_or_default();
            }
        }
        stopped.store(true, Ordering::Relaxed);
        drop((give_back, answers));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::Kind;
    use std::sync::atomic::AtomicUsize;

    fn entries(count: usize) -> impl Iterator<Item = Entry> + Send {
        (0..count).map(|number| Entry {
            name: number.to_string(),
            within: number.to_string(),
            kind: Kind::Crash,
            parts: Vec::new(),
            companions: Vec::new(),
        })
    }

    const WIDTH: Width = Width { jobs: 2, io_jobs: 4 };

    #[test]
    fn answers_come_in_order_and_a_panic_stays_with_its_entry() {
        let (on_the_way, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let listed = entries(1000).inspect(|_| {
            most.fetch_max(on_the_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        });
        let mut seen = Vec::new();
        run(
            listed,
            WIDTH,
            |entry| match entry.name.ends_with('3') {
                true => Stock::Rows(vec![Labelled::failed(&entry.name, "kept", false)]),
                false => Stock::None,
            },
            |entry| {
                assert!(entry.name != "77", "seventy-seven");
                vec![Labelled::failed(&entry.name, "read", false)]
            },
            |row| row,
            |answer| {
                on_the_way.fetch_sub(1, Ordering::SeqCst);
                seen.push((
                    answer.entry.name.clone(),
                    answer.rows[0].row.error.clone().unwrap(),
                    answer.read,
                ));
                true
            },
        );
        assert_eq!(seen.len(), 1000);
        for (number, (name, error, read)) in seen.iter().enumerate() {
            assert_eq!(*name, number.to_string());
            match number {
                77 => assert!(error.contains("seventy-seven") && *read),
                _ if name.ends_with('3') => assert!(error == "kept" && !read),
                _ => assert!(error == "read" && *read),
            }
        }
        assert!(most.load(Ordering::SeqCst) <= WIDTH.ahead() + 1, "{most:?}");
    }

    #[test]
    fn it_stops_when_nobody_listens() {
        let mut count = 0;
        let read = |entry: &Entry| vec![Labelled::failed(&entry.name, "", false)];
        run(
            entries(usize::MAX),
            WIDTH,
            |_| Stock::None,
            read,
            |row| row,
            |_| {
                count += 1;
                count < 10
            },
        );
        assert_eq!(count, 10);
    }
}
