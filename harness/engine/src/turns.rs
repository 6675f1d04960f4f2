//! Batches on several threads at once, their results taken in the order of the batches.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Whose turn it is, and what went wrong first.
struct State<E> {
    turn: usize,
    failed: Option<E>,
    stopped: bool,
}

/// Hands out batches by number and lets their results be taken one after the other.
pub(crate) struct Turns<E> {
    batches: usize,
    next: AtomicUsize,
    state: Mutex<State<E>>,
    changed: Condvar,
}

impl<E: Send> Turns<E> {
    /// For so many batches.
    pub(crate) fn new(batches: usize) -> Self {
        let state = Mutex::new(State { turn: 0, failed: None, stopped: false });
        Self { batches, next: AtomicUsize::new(0), state, changed: Condvar::new() }
    }

    /// Runs all workers to their end, one on this thread, and gives the first failure in the
    /// order of the batches.
    ///
    /// A worker is called with each batch that falls to it. It does what can be done at any time,
    /// then calls the closure that it is given, which returns once all earlier batches are
    /// finished; from then until it returns no other worker is past that point.
    pub(crate) fn run<W>(self, workers: Vec<W>) -> Result<(), E>
    where
        W: FnMut(usize, &mut dyn FnMut()) -> Result<(), E> + Send,
    {
        let turns = &self;
        std::thread::scope(|scope| {
            let mut workers = workers.into_iter();
            let own = workers.next();
            for worker in workers {
                scope.spawn(move || turns.work(worker));
            }
            if let Some(worker) = own {
                turns.work(worker);
            }
        });
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.failed.map_or(Ok(()), Err)
    }

    fn work(&self, mut worker: impl FnMut(usize, &mut dyn FnMut()) -> Result<(), E>) {
        let _guard = StopOnPanic(self);
        loop {
            let batch = self.next.fetch_add(1, Ordering::Relaxed);
            if batch >= self.batches {
                return;
            }
            let done = worker(batch, &mut || drop(self.wait(batch)));
            let mut state = self.wait(batch);
            state.turn += 1;
            if let (Err(error), false) = (done, state.stopped) {
                state.failed = Some(error);
                state.stopped = true;
            }
            let stopped = state.stopped;
            drop(state);
            self.changed.notify_all();
            if stopped {
                return;
            }
        }
    }

    /// Waits for the turn of a batch, or until nothing matters any more.
    fn wait(&self, batch: usize) -> MutexGuard<'_, State<E>> {
        let state = self.lock();
        let waiting = |state: &mut State<E>| state.turn != batch && !state.stopped;
        self.changed.wait_while(state, waiting).unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody waits for the turn of a worker that has panicked.
struct StopOnPanic<'a, E: Send>(&'a Turns<E>);

impl<E: Send> Drop for StopOnPanic<'_, E> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().stopped = true;
            self.0.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Batches in the order in which they were taken, by so many workers of unequal speed.
    fn taken(batches: usize, workers: usize, bad: &[usize]) -> (Vec<usize>, Result<(), usize>) {
        let order = &Mutex::new(Vec::new());
        let workers = (0..workers).map(|w| {
            move |batch: usize, wait: &mut dyn FnMut()| {
                std::thread::sleep(Duration::from_millis(((batch * 7 + w) % 3) as u64));
                if bad.contains(&batch) {
                    return Err(batch);
                }
                wait();
                order.lock().unwrap().push(batch);
                Ok(())
            }
        });
        let outcome = Turns::new(batches).run(workers.collect());
        (order.lock().unwrap().clone(), outcome)
    }

    #[test]
    fn batches_are_taken_once_and_in_order() {
        for workers in [1, 2, 5] {
            for batches in [0, 1, 2, 3, 20] {
                let (order, outcome) = taken(batches, workers, &[]);
                assert_eq!(order, (0..batches).collect::<Vec<_>>());
                assert_eq!(outcome, Ok(()));
            }
        }
    }

    #[test]
    fn the_first_failure_in_the_order_of_the_batches_counts() {
        for workers in [1, 2, 5] {
            let (order, outcome) = taken(20, workers, &[7, 6, 11]);
            assert_eq!(order[..6], [0, 1, 2, 3, 4, 5]);
            assert_eq!(outcome, Err(6));
        }
    }

    #[test]
    fn a_panic_ends_all_workers() {
        let ends = std::panic::catch_unwind(|| {
            let workers = (0..3).map(|_| {
                |batch: usize, wait: &mut dyn FnMut()| {
                    assert!(batch != 4, "on purpose");
                    wait();
                    Ok::<(), ()>(())
                }
            });
            Turns::new(50).run(workers.collect())
        });
        assert!(ends.is_err());
    }
}
