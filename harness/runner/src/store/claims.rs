//! Claims: which process works on which cell.
//!
//! A claim is a file that is created exclusively. Checking an old claim and taking it over happen
//! under a lock on one file of the folder, so that two processes never both take the same one.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::store::owner::Owner;

/// A claim that was not renewed for this long is stale.
pub const STALE: Duration = Duration::from_mins(2);

/// How often a claim is renewed.
pub const RENEW: Duration = Duration::from_secs(20);

/// The content of a claim file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    owner: Owner,
    /// Tells two runs within one process apart.
    run: u64,
}

/// Outcome of asking for a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// The cell is ours until it is released.
    Taken,
    /// Somebody else works on it.
    Held {
        /// Who, for messages.
        by: String,
    },
}

/// The claims of one run folder, seen from one run.
#[derive(Debug)]
pub struct Claims {
    folder: PathBuf,
    mine: Claim,
}

/// The lock on the folder, and the time by the clock of its file system.
struct Locked {
    _lock: File,
    now: SystemTime,
}

static RUNS: AtomicU64 = AtomicU64::new(0);

impl Claims {
    /// The claims in `folder`, which must exist.
    pub fn new(folder: &Path) -> Self {
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        Self { folder: folder.to_path_buf(), mine: Claim { owner: Owner::me().clone(), run } }
    }

    fn path(&self, cell: &str) -> PathBuf {
        self.folder.join(format!("{cell}.claim"))
    }

    fn lock(&self) -> io::Result<Locked> {
        let path = self.folder.join(".lock");
        let mut lock = File::options().create(true).truncate(false).write(true).open(path)?;
        lock.lock()?;
        // Ages are taken by the file server's clock: a write now gives this file its time.
        let now = match lock.write(b".").and_then(|_| lock.metadata()) {
            Ok(metadata) => metadata.modified()?,
            Err(_) => SystemTime::now(),
        };
        Ok(Locked { _lock: lock, now })
    }

    /// Takes a cell, unless somebody else holds it.
    pub fn take(&self, cell: &str) -> io::Result<Asked> {
        let locked = self.lock()?;
        let path = self.path(cell);
        if let Some(by) = Self::holder(&path, &locked)? {
            return Ok(Asked::Held { by });
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::options().write(true).create_new(true).open(&path)?;
        let written = file.write_all(&self.content());
        if written.is_err() {
            let _ = fs::remove_file(&path);
        }
        written.map(|()| Asked::Taken)
    }

    /// Tells the others that we still work on a cell; false if it is no longer ours.
    pub fn renew(&self, cell: &str) -> io::Result<bool> {
        let _locked = self.lock()?;
        let path = self.path(cell);
        if read(&path)?.0.as_ref() != Some(&self.mine) {
            return Ok(false);
        }
        // The same bytes in place: no room is needed, and the file's time becomes now.
        File::options().write(true).open(&path)?.write_all(&self.content())?;
        Ok(true)
    }

    /// Gives a cell back, if it is still ours.
    pub fn release(&self, cell: &str) -> io::Result<()> {
        let _locked = self.lock()?;
        let path = self.path(cell);
        if read(&path)?.0.as_ref() == Some(&self.mine) {
            fs::remove_file(&path)?;
        }
        Ok(())
    }

    /// Removes the claims of processes that are gone: one that was killed between writing a row
    /// and giving the cell back leaves a claim that nobody would ask for again.
    pub fn sweep(&self) -> io::Result<()> {
        let files = fs::read_dir(&self.folder)?.flatten().map(|entry| entry.path());
        let claims: Vec<PathBuf> =
            files.filter(|path| path.extension().is_some_and(|e| e == "claim")).collect();
        if claims.is_empty() {
            return Ok(());
        }
        let locked = self.lock()?;
        for path in claims {
            // One that was released meanwhile is nobody's and gone.
            if path.exists() && Self::holder(&path, &locked)?.is_none() {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    fn holder(path: &Path, locked: &Locked) -> io::Result<Option<String>> {
        let (claim, modified) = read(path)?;
        let Some(modified) = modified else { return Ok(None) };
        let age = locked.now.duration_since(modified).unwrap_or_default();
        if age > STALE {
            return Ok(None);
        }
        let Some(claim) = claim else {
            return Ok(Some("a process that is just claiming it".to_string()));
        };
        let dead = claim.owner.is_alive() == Some(false);
        Ok((!dead).then(|| claim.owner.described()))
    }

    fn content(&self) -> Vec<u8> {
        serde_json::to_vec(&self.mine).unwrap_or_default()
    }
}

/// A claim and when it was last renewed; `(None, Some(_))` for a file that is not (yet) a claim.
fn read(path: &Path) -> io::Result<(Option<Claim>, Option<SystemTime>)> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, None)),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok((serde_json::from_slice(&bytes).ok(), Some(file.metadata()?.modified()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn age(claims: &Claims, cell: &str, seconds: u64) {
        let file = File::options().write(true).open(claims.path(cell)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    }

    fn write(claims: &Claims, cell: &str, owner: Owner) {
        let claim = Claim { owner, run: 7 };
        fs::write(claims.path(cell), serde_json::to_vec(&claim).unwrap()).unwrap();
    }

    #[test]
    fn claims_of_dead_and_silent_processes_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let claims = Claims::new(folder.path());
        assert_eq!(claims.take("mine").unwrap(), Asked::Taken);
        write(&claims, "silent", Owner::me().clone());
        age(&claims, "silent", 121);
        claims.sweep().unwrap();
        assert!(claims.path("mine").exists() && !claims.path("silent").exists());
    }

    #[test]
    fn a_cell_is_taken_once_and_again_after_release() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (Claims::new(folder.path()), Claims::new(folder.path()));
        assert_eq!(a.take("x").unwrap(), Asked::Taken);
        assert!(matches!(b.take("x").unwrap(), Asked::Held { .. }));
        b.release("x").unwrap();
        assert!(a.renew("x").unwrap(), "a release by somebody else does nothing");
        a.release("x").unwrap();
        assert_eq!(b.take("x").unwrap(), Asked::Taken);
        assert!(!a.renew("x").unwrap(), "it is not ours any more");
    }

    #[test]
    fn a_stale_claim_and_one_of_a_dead_process_are_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let claims = Claims::new(folder.path());
        let me = Owner::me();
        let other = Owner { host: "elsewhere//".into(), pid: 1, start: Some(1) };
        write(&claims, "x", other.clone());
        assert_eq!(
            claims.take("x").unwrap(),
            Asked::Held { by: "process 1 on elsewhere".to_string() }
        );
        age(&claims, "x", 100);
        assert!(matches!(claims.take("x").unwrap(), Asked::Held { .. }));
        age(&claims, "x", 130);
        assert_eq!(claims.take("x").unwrap(), Asked::Taken);
        // Same machine, a process number that now belongs to somebody else: at once.
        write(&claims, "y", Owner { start: Some(1), ..me.clone() });
        assert_eq!(claims.take("y").unwrap(), Asked::Taken);
        // Cut off while claiming: held until it is stale.
        fs::write(claims.path("z"), b"").unwrap();
        assert!(matches!(claims.take("z").unwrap(), Asked::Held { .. }));
        age(&claims, "z", 130);
        assert_eq!(claims.take("z").unwrap(), Asked::Taken);
    }

    #[test]
    fn of_many_who_ask_for_a_stale_claim_one_gets_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        for round in 0..20 {
            let cell = format!("cell{round}");
            let setup = Claims::new(folder);
            write(&setup, &cell, Owner { start: Some(1), ..Owner::me().clone() });
            let taken = AtomicU64::new(0);
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        if Claims::new(folder).take(&cell).unwrap() == Asked::Taken {
                            taken.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            assert_eq!(taken.into_inner(), 1);
        }
    }
}
