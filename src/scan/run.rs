//! All entries of an archive, several at a time, answered in order.
//!
//! The entries are walked by a thread of their own; the caller's takes from stock what it can, hands the rest out to the
//! next free threads, and puts the answers in order. No more than [`Width::ahead`] entries are ever on the way: memory does
//! not depend on the archive.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::guard::guarded;
use super::label::Labelled;
use crate::archive::Entry;
use crate::input::gate::Gate;
use crate::threads;

/// How many entries are handed on at once where they are found quickly: to wake a thread costs more than such an entry.
const HANDFUL: usize = 16;
/// For how long a found entry may be held back to be handed on with others.
const AT_ONCE: Duration = Duration::from_micros(200);

/// So long nothing comes before the caller is told that nothing comes.
const PAUSE: Duration = Duration::from_millis(200);

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

/// What the caller's thread is told.
enum News {
    /// These entries follow.
    Listed(Vec<Entry>),
    /// No more follow.
    AllListed,
    /// This is what the entry of that number gave.
    Answered(u64, Answer),
}

/// Hands answers on in the order of their entries.
struct InOrder<T> {
    then: T,
    waiting: BTreeMap<u64, Answer>,
    next: u64,
    /// Entries whose answers were handed on.
    done: Vec<Entry>,
}

impl<T: FnMut(Option<&Answer>) -> bool> InOrder<T> {
    /// Takes the answer of an entry; whether somebody still listens.
    fn take(&mut self, number: u64, answer: Answer) -> bool {
        self.waiting.insert(number, answer);
        while let Some(answer) = self.waiting.remove(&self.next) {
            self.next += 1;
            if !(self.then)(Some(&answer)) {
                return false;
            }
            self.done.push(answer.entry);
        }
        true
    }
}

/// Answers every entry: from `stock`, else by `read`, else asked again by `again`; hands the answers to `then` in the
/// order of the entries, until `then` says that nobody listens any more (false). While none comes for a while, `then` is
/// called without one. A panic, which would be our own bug, costs the entry that it came with. Where no threads can be had
/// all is done in the caller's.
pub fn run<E, S, R, A, T>(entries: E, width: Width, stock: S, read: R, again: A, then: T)
where
    E: Iterator<Item = Entry> + Send,
    S: Fn(&Entry) -> Stock,
    R: Fn(&Entry) -> Vec<Labelled> + Sync,
    A: Fn(Labelled) -> Labelled + Sync,
    T: FnMut(Option<&Answer>) -> bool,
{
    let gate = (width.io_jobs > width.jobs).then(|| Gate::new(width.jobs));
    let stopped = AtomicBool::new(false);
    let (tell, news) = mpsc::channel::<News>();
    let (ask, asked) = mpsc::channel::<(u64, Entry, Stock)>();
    let asked = Mutex::new(asked);
    // Entries whose answers were taken, and with each the right to list another one.
    let (give_back, taken) = mpsc::channel::<Vec<Entry>>();
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
    let entries = Mutex::new(Some(entries));
    let (answer, stopped, asked, entries) = (&answer, &stopped, &asked, &entries);
    thread::scope(|scope| {
        let mut readers = 0;
        for _ in 0..width.threads() {
            let tell = tell.clone();
            let reader = move || {
                // Every processor has a crash of its own to work on: nothing is gained by parting the work on one, and a
                // thread that waits for others must not begin another crash meanwhile.
                let _alone = threads::alone();
                loop {
                    let next = asked.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((number, entry, stock)) = next else { break };
                    if !stopped.load(Ordering::Relaxed)
                        && tell.send(News::Answered(number, answer(entry, stock))).is_err()
                    {
                        break;
                    }
                }
            };
            // Where no more threads can be had, those that there are do the work.
            if thread::Builder::new().spawn_scoped(scope, reader).is_err() {
                break;
            }
            readers += 1;
        }
        let take_entries = || entries.lock().unwrap_or_else(PoisonError::into_inner).take();
        let walker = move || take_entries().map(|entries| list(entries, width.ahead(), &tell, &taken, stopped));
        if readers == 0 || thread::Builder::new().spawn_scoped(scope, walker).is_err() {
            drop(ask);
            return one_by_one(take_entries().into_iter().flatten(), stock, answer, then);
        }
        let mut ask = Some(ask);
        let mut listed = 0;
        let mut answers = InOrder {
            then,
            waiting: BTreeMap::new(),
            next: 0,
            done: Vec::new(),
        };
        'news: loop {
            let told = match news.recv_timeout(PAUSE) {
                Ok(told) => told,
                Err(RecvTimeoutError::Timeout) if (answers.then)(None) => continue,
                Err(_) => break,
            };
            match told {
                News::Listed(entries) => {
                    for (number, entry) in (listed..).zip(entries) {
                        listed = number + 1;
                        match stock(&entry) {
                            // Nothing to compute: no thread need be woken for it.
                            Stock::Rows(rows) if !rows.is_empty() => {
                                let (read, new) = (false, false);
                                if !answers.take(number, Answer { entry, rows, read, new }) {
                                    break 'news;
                                }
                            }
                            stock => {
                                if let Some(ask) = &ask {
                                    // The other end is alive: it is used above.
                                    ask.send((number, entry, stock)).unwrap_or_default();
                                }
                            }
                        }
                    }
                }
                News::AllListed => ask = None,
                News::Answered(number, answer) => {
                    if !answers.take(number, answer) {
                        break;
                    }
                }
            }
            if answers.done.len() >= HANDFUL || answers.next == listed {
                give_back.send(std::mem::take(&mut answers.done)).unwrap_or_default();
            }
        }
        stopped.store(true, Ordering::Relaxed);
        drop((ask, give_back, news));
    });
}

/// Answers every entry in the caller's thread.
fn one_by_one(
    entries: impl Iterator<Item = Entry>,
    stock: impl Fn(&Entry) -> Stock,
    answer: impl Fn(Entry, Stock) -> Answer,
    mut then: impl FnMut(Option<&Answer>) -> bool,
) {
    let _alone = threads::alone();
    for entry in entries {
        let stock = stock(&entry);
        if !then(Some(&answer(entry, stock))) {
            break;
        }
    }
}

/// Lists entries, at most `ahead` more than were taken, until there are no more or nobody listens.
fn list(
    entries: impl Iterator<Item = Entry>,
    ahead: usize,
    tell: &Sender<News>,
    taken: &Receiver<Vec<Entry>>,
    stopped: &AtomicBool,
) {
    let mut free = ahead;
    let mut handful = Vec::new();
    let mut last = Instant::now();
    for entry in entries {
        if free == 0 {
            // None is taken while one before it is held back.
            if !handful.is_empty() && tell.send(News::Listed(std::mem::take(&mut handful))).is_err() {
                return;
            }
            free = taken.recv().map_or(0, |entries| entries.len());
        }
        if free == 0 || stopped.load(Ordering::Relaxed) {
            return;
        }
        free -= 1;
        handful.push(entry);
        if handful.len() >= HANDFUL || last.elapsed() >= AT_ONCE {
            if tell.send(News::Listed(std::mem::take(&mut handful))).is_err() {
                return;
            }
            last = Instant::now();
        }
    }
    // What is not listened to need not be said.
    let _ = tell.send(News::Listed(handful));
    let _ = tell.send(News::AllListed);
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
            // Runs of one kind, and both by turns.
            |entry| match entry.name.ends_with('3') || entry.name.starts_with('5') {
                true => Stock::Rows(vec![Labelled::failed(&entry.name, "kept", false)]),
                false => Stock::None,
            },
            |entry| {
                assert!(entry.name != "77", "seventy-seven");
                vec![Labelled::failed(&entry.name, "read", false)]
            },
            |row| row,
            |answer| {
                let Some(answer) = answer else { return true };
                on_the_way.fetch_sub(1, Ordering::SeqCst);
                let error = answer.rows[0].row.error.clone().unwrap();
                seen.push((answer.entry.name.clone(), error, answer.read));
                true
            },
        );
        assert_eq!(seen.len(), 1000);
        for (number, (name, error, read)) in seen.iter().enumerate() {
            assert_eq!(*name, number.to_string());
            match number {
                77 => assert!(error.contains("seventy-seven") && *read),
                _ if name.ends_with('3') || name.starts_with('5') => assert!(error == "kept" && !read),
                _ => assert!(error == "read" && *read),
            }
        }
        assert!(most.load(Ordering::SeqCst) <= WIDTH.ahead() + 1, "{most:?}");
    }

    #[test]
    fn where_no_threads_can_be_had_all_is_answered_all_the_same() {
        let mut seen = Vec::new();
        let answer = |entry, stock: Stock| Answer {
            entry,
            rows: Vec::new(),
            read: matches!(stock, Stock::None),
            new: true,
        };
        one_by_one(
            entries(100),
            |entry| match entry.name.ends_with('3') {
                true => Stock::Rows(Vec::new()),
                false => Stock::None,
            },
            answer,
            |answer| {
                let answer = answer.unwrap();
                seen.push((answer.entry.name.clone(), answer.read));
                seen.len() < 50
            },
        );
        let expected: Vec<_> = (0..50).map(|n| (n.to_string(), n % 10 != 3)).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn it_says_that_nothing_comes() {
        let (mut pauses, mut answered) = (0, 0);
        run(
            entries(1),
            WIDTH,
            |_| Stock::None,
            |entry| {
                std::thread::sleep(3 * PAUSE);
                vec![Labelled::failed(&entry.name, "", false)]
            },
            |row| row,
            |answer| {
                *(if answer.is_some() { &mut answered } else { &mut pauses }) += 1;
                true
            },
        );
        assert!(pauses > 0 && answered == 1, "{pauses} {answered}");
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
            |answer| {
                count += u32::from(answer.is_some());
                count < 10
            },
        );
        assert_eq!(count, 10);
    }
}
