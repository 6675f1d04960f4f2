//! Keeps claims alive while their cells are worked on, and gives back what is left at the end.

use std::collections::BTreeSet;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::store::StoreError;
use crate::store::claims::{Asked, Claims};

#[derive(Debug, Default)]
struct State {
    held: BTreeSet<String>,
    lost: BTreeSet<String>,
}

/// The claims of one run with the thread that renews them.
pub(crate) struct Keeper {
    claims: Arc<Claims>,
    folder: std::path::PathBuf,
    state: Arc<Mutex<State>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts renewing every `interval`.
    pub(crate) fn new(claims: Claims, folder: &std::path::Path, interval: Duration) -> Self {
        let claims = Arc::new(claims);
        let state: Arc<Mutex<State>> = Arc::default();
        let (stop, stopped) = channel::<()>();
        let thread = {
            let (claims, state) = (Arc::clone(&claims), Arc::clone(&state));
            std::thread::spawn(move || {
                while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                    renew(&claims, &state);
                }
            })
        };
        Self { claims, folder: folder.to_path_buf(), state, stop: Some(stop), thread: Some(thread) }
    }

    /// Takes a cell, unless somebody else holds it.
    pub(crate) fn take(&self, cell: &str) -> Result<Asked, StoreError> {
        let asked = self.claims.take(cell).map_err(|source| self.failed(source))?;
        if asked == Asked::Taken {
            lock(&self.state).held.insert(cell.to_string());
        }
        Ok(asked)
    }

    /// Gives a cell back.
    pub(crate) fn release(&self, cell: &str) -> Result<(), StoreError> {
        lock(&self.state).held.remove(cell);
        self.claims.release(cell).map_err(|source| self.failed(source))
    }

    /// Cells that were taken from us because we did not renew in time; told once.
    pub(crate) fn lost(&self) -> BTreeSet<String> {
        std::mem::take(&mut lock(&self.state).lost)
    }

    fn failed(&self, source: std::io::Error) -> StoreError {
        StoreError::Claim { path: self.folder.clone(), source }
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn renew(claims: &Claims, state: &Mutex<State>) {
    let held: Vec<String> = lock(state).held.iter().cloned().collect();
    for cell in held {
        // A failed write (a full disk, a server that is away) is tried again the next time.
        if let Ok(false) = claims.renew(&cell) {
            let mut state = lock(state);
            if state.held.remove(&cell) {
                state.lost.insert(cell);
            }
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let held = std::mem::take(&mut lock(&self.state).held);
        for cell in held {
            let _ = self.claims.release(&cell);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_renewed_given_back_and_losses_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let keeper =
            Keeper::new(Claims::new(folder.path()), folder.path(), Duration::from_millis(20));
        assert_eq!(keeper.take("a").unwrap(), Asked::Taken);
        assert_eq!(keeper.take("b").unwrap(), Asked::Taken);
        let file = folder.path().join("a.claim");
        let old = std::time::SystemTime::now() - Duration::from_secs(100);
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(old).unwrap();
        std::fs::remove_file(folder.path().join("b.claim")).unwrap();
        let mut lost = BTreeSet::new();
        for _ in 0..200 {
            std::thread::sleep(Duration::from_millis(10));
            lost.extend(keeper.lost());
            if !lost.is_empty() {
                break;
            }
        }
        assert_eq!(lost.into_iter().collect::<Vec<_>>(), ["b"]);
        let age = std::fs::metadata(&file).unwrap().modified().unwrap().elapsed().unwrap();
        assert!(age < Duration::from_secs(50), "{age:?}");
        drop(keeper);
        assert!(!file.exists());
    }
}
