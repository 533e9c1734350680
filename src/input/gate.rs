//! More threads than processors for the sake of those that wait for storage: how many may compute at a time.
//!
//! A thread that entered a [`Gate`] gives its place up while it waits for a file, so that another may compute. Threads
//! that entered none are not affected.

use std::cell::RefCell;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// A number of places for threads that compute.
#[derive(Debug)]
pub struct Gate {
    free: Mutex<usize>,
    freed: Condvar,
}

thread_local! {
    static ENTERED: RefCell<Option<Arc<Gate>>> = const { RefCell::new(None) };
}

impl Gate {
    /// A gate with so many places; at least one.
    pub fn new(places: usize) -> Arc<Self> {
        Arc::new(Gate {
            free: Mutex::new(places.max(1)),
            freed: Condvar::new(),
        })
    }

    /// Does `work` on one of the places, which is given up wherever the work waits for a file.
    pub fn enter<T>(self: &Arc<Self>, work: impl FnOnce() -> T) -> T {
        let _place = Place::take(self);
        let _entered = Entered::set(Some(Arc::clone(self)));
        work()
    }

    fn take(&self) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
    }

    fn give_back(&self) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.freed.notify_one();
    }
}

/// Does `wait`, which waits for storage, without holding this thread's place.
pub(super) fn waiting<T>(wait: impl FnOnce() -> T) -> T {
    let gate = ENTERED.with_borrow(Clone::clone);
    match gate {
        None => wait(),
        Some(gate) => {
            gate.give_back();
            let _back = Back(&gate);
            wait()
        }
    }
}

/// Takes the place again when the waiting is over, however it ended.
struct Back<'a>(&'a Gate);

impl Drop for Back<'_> {
    fn drop(&mut self) {
        self.0.take();
    }
}

/// A place that is held.
struct Place<'a>(&'a Gate);

impl<'a> Place<'a> {
    fn take(gate: &'a Gate) -> Self {
        gate.take();
        Place(gate)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// What this thread had entered before, put back at the end.
struct Entered(Option<Arc<Gate>>);

impl Entered {
    fn set(gate: Option<Arc<Gate>>) -> Self {
        Entered(ENTERED.replace(gate))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        ENTERED.set(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn no_more_than_the_places_compute_and_more_wait() {
        let gate = Gate::new(2);
        let (computing, most, together) = (AtomicUsize::new(0), AtomicUsize::new(0), std::sync::Barrier::new(6));
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    gate.enter(|| {
                        most.fetch_max(computing.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        computing.fetch_sub(1, Ordering::SeqCst);
                        // All six wait at once, which two places alone would never allow.
                        waiting(|| together.wait());
                        most.fetch_max(computing.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        computing.fetch_sub(1, Ordering::SeqCst);
                    });
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 2);
        assert_eq!(*gate.free.lock().unwrap(), 2);
    }

    #[test]
    fn a_place_comes_back_from_a_panic() {
        let gate = Gate::new(1);
        let entered = gate.clone();
        assert!(
            std::thread::spawn(move || entered.enter(|| panic!("on purpose")))
                .join()
                .is_err()
        );
        assert_eq!(gate.enter(|| 7), 7);
    }
}
