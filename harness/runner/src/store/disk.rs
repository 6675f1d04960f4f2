//! Writing files so that they are either whole or not there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::owner::Owner;

/// A file being written.
pub trait DiskFile: Write {
    /// Waits until the bytes are on the device.
    fn sync(&self) -> io::Result<()>;
}

impl DiskFile for File {
    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }
}

/// Where files are written; a test puts a full disk in its place.
pub trait Disk: Send + Sync {
    /// Creates a file that must not exist yet.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
}

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(File::options().write(true).create_new(true).open(path)?))
    }
}

/// Ending of files that are being written.
const PART: &str = "qbpart";

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Writes `bytes` to a temporary name beside `path`, waits for the device and renames.
///
/// On any error the temporary file is removed and `path` is as before. What is there and is not a
/// regular file (a device, a pipe, a folder) is left alone: renaming would replace it.
pub fn write_whole(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_whole_of(disk, path, &mut |file| file.write_all(bytes))
}

/// As [`write_whole`], of what `content` writes.
pub fn write_whole_of(
    disk: &dyn Disk,
    path: &Path,
    content: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "there is something of this name that is not a regular file; choose another name",
        ));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let me = Owner::me();
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    let (host, pid, start) = (me.host_digest(), me.pid, me.start.unwrap_or(0));
    let part = path.with_file_name(format!(".{name}.{host}-{pid}-{start}-{n}.{PART}"));
    let written = (|| {
        let mut file = disk.create(&part)?;
        content(&mut file)?;
        file.flush()?;
        file.sync()?;
        drop(file);
        fs::rename(&part, path)
    })();
    if written.is_err() {
        // The error that matters is the first one; a file that was never made cannot be removed.
        let _ = fs::remove_file(&part);
    }
    written
}

/// Removes what killed processes of this machine left half-written in `folder`.
///
/// Files of processes that still run stay, and so do those younger than a day of processes that
/// cannot be seen from here.
pub fn remove_leftovers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == PART) && is_leftover(&path) {
            let _ = fs::remove_file(&path);
        }
    }
}

fn is_leftover(path: &Path) -> bool {
    let me = Owner::me();
    let tag = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.rsplit('.').next());
    let parts: Vec<&str> = tag.unwrap_or_default().split('-').collect();
    if let [host, pid, start, _] = parts.as_slice()
        && *host == me.host_digest()
        && let (Ok(pid), Ok(start)) = (pid.parse(), start.parse())
    {
        let owner = Owner { host: me.host.clone(), pid, start: Some(start) };
        if let Some(alive) = owner.is_alive() {
            return !alive;
        }
    }
    let age = fs::metadata(path).and_then(|m| m.modified()).ok().and_then(|t| t.elapsed().ok());
    age.is_some_and(|age| age.as_secs() > 24 * 3600)
}

/// Creates a folder; the error names the part of the path that is a file.
pub fn create_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path).map_err(|error| {
        let file: Option<PathBuf> =
            path.ancestors().find(|a| a.exists() && !a.is_dir()).map(Path::to_path_buf);
        match file {
            Some(file) => io::Error::new(
                io::ErrorKind::NotADirectory,
                format!("{} is a file, not a folder; choose another output folder", file.display()),
            ),
            None => error,
        }
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A disk that takes `room` bytes and then is full.
    pub(crate) struct FullDisk {
        pub(crate) room: usize,
    }

    struct FullFile {
        file: File,
        room: usize,
    }

    impl Write for FullFile {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                return Err(io::Error::from_raw_os_error(libc::ENOSPC));
            }
            let n = self.file.write(&bytes[..bytes.len().min(self.room)])?;
            self.room -= n;
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.file.flush()
        }
    }

    impl DiskFile for FullFile {
        fn sync(&self) -> io::Result<()> {
            self.file.sync_all()
        }
    }

    impl Disk for FullDisk {
        fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
            let file = File::options().write(true).create_new(true).open(path)?;
            Ok(Box::new(FullFile { file, room: self.room }))
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_disk_leaves_neither_half_files_nor_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("row.json");
        write_whole(&RealDisk, &path, b"before").unwrap();
        for room in [0, 3] {
            let error = write_whole(&FullDisk { room }, &path, b"after, longer").unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
            assert!(error.to_string().contains("No space left on device"), "{error}");
            assert_eq!(fs::read(&path).unwrap(), b"before");
            assert_eq!(names(folder.path()), ["row.json"]);
        }
        write_whole(&FullDisk { room: 5 }, &path, b"after").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"after");
    }

    #[test]
    fn leftovers_of_dead_processes_go_and_those_of_living_ones_stay() {
        let folder = tempfile::tempdir().unwrap();
        let me = Owner::me();
        let mine =
            format!(".a.json.{}-{}-{}-0.{PART}", me.host_digest(), me.pid, me.start.unwrap());
        let dead = format!(".b.json.{}-{}-1-0.{PART}", me.host_digest(), me.pid);
        let foreign = format!(".c.json.0123456789abcdef-1-1-0.{PART}");
        for name in [&mine, &dead, &foreign] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        remove_leftovers(folder.path());
        assert_eq!(names(folder.path()), [mine, foreign]);
    }

    #[test]
    #[cfg(unix)]
    fn what_is_not_a_regular_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        let subfolder = folder.path().join("subfolder");
        fs::create_dir(&subfolder).unwrap();
        let before = names(folder.path());
        for path in [socket, link, subfolder] {
            let text = write_whole(&RealDisk, &path, b"x").unwrap_err().to_string();
            assert!(text.contains("not a regular file; choose another name"), "{text}");
            assert!(!path.is_file());
        }
        assert_eq!(names(folder.path()), before);
    }

    #[test]
    fn a_folder_below_a_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"x").unwrap();
        for path in [file.clone(), file.join("runs/a")] {
            let text = create_folder(&path).unwrap_err().to_string();
            assert_eq!(
                text,
                format!("{} is a file, not a folder; choose another output folder", file.display())
            );
        }
    }
}
