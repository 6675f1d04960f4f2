//! One file over HTTP: resumed where it was cut, tried again with growing pauses, checked, and
//! put under its name only when it is whole and right.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use quantbench_datasets::DataError;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::items::Checked;

/// How patient a download is.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Attempts in a row that bring nothing.
    pub attempts: u32,
    /// Pause after the first of them; doubled after each.
    pub pause: Duration,
    /// Longest silence of a server.
    pub silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let (pause, silence) = (Duration::from_secs(1), Duration::from_secs(30));
        Self { attempts: 5, pause, silence }
    }
}

/// Why a file was not fetched.
#[derive(Debug)]
pub enum Problem {
    /// The server does not give it, and would not the next time.
    Refused(String),
    /// The connection failed again and again; what came is kept for the next time.
    Unreachable(String),
    /// The content is another one; it is kept aside.
    Wrong(String),
    /// This machine cannot take it.
    Here(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(text)
            | Self::Unreachable(text)
            | Self::Wrong(text)
            | Self::Here(text) => f.write_str(text),
        }
    }
}

/// One attempt's outcome.
enum Attempt {
    /// The file is whole as far as the server says.
    Whole,
    /// Cut; this many new bytes came.
    Cut { came: u64, why: String },
    /// What lay here before cannot be continued.
    Restart,
}

/// Fetches `url` to `path` and gives its size in bytes.
///
/// Until then it is `path` with `.part` behind it, which a later call continues.
/// A file with another checksum is kept with `.bad` behind it, for a look at what came.
pub fn download(
    url: &str,
    path: &Path,
    sum: &Checked,
    limits: &Limits,
    say: &mut dyn FnMut(&str),
) -> Result<u64, Problem> {
    let part = beside(path, ".part");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(here("create", folder))?;
    }
    let open = File::options().read(true).append(true).create(true).open(&part);
    let mut file = open.map_err(here("write", &part))?;
    if file.try_lock().is_err() {
        let text = format!("another process is fetching {}; wait for it", part.display());
        return Err(Problem::Here(text));
    }
    let agent = agent(url, limits);
    let (mut failed, mut resumed) = (0, file_length(&file, &part)? > 0);
    loop {
        match attempt(&agent, url, &mut file, &part)? {
            Attempt::Restart => {
                file.set_len(0).map_err(here("empty", &part))?;
                resumed = false;
            }
            Attempt::Whole if resumed && !is_right(&part, sum)? => {
                // The first part may have been of another version.
                say("the continued file has another checksum; fetching it from the start");
                file.set_len(0).map_err(here("empty", &part))?;
                resumed = false;
            }
            Attempt::Whole => return settle(&file, &part, path, sum),
            Attempt::Cut { came, why } => {
                failed = if came > 0 { 1 } else { failed + 1 };
                if failed >= limits.attempts {
                    let text = format!("{url} is not reached after {failed} attempts ({why})");
                    return Err(Problem::Unreachable(text));
                }
                let pause = limits.pause * 2_u32.saturating_pow(failed - 1);
                say(&format!("{why}; trying again in {pause:.0?}"));
                std::thread::sleep(pause);
                resumed |= file_length(&file, &part)? > 0;
            }
        }
    }
}

/// A client that gives up on silence, not on long files.
fn agent(url: &str, limits: &Limits) -> Agent {
    let own = ["http://127.", "http://localhost", "http://[::1]"];
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("quantbench/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(limits.silence))
        .timeout_per_read(Some(limits.silence));
    if own.iter().any(|start| url.starts_with(start)) {
        // A proxy does not know this machine by that name.
        config = config.proxy(None);
    }
    config.build().into()
}

/// Asks for what is missing behind the bytes that are here, and appends it.
fn attempt(agent: &Agent, url: &str, file: &mut File, part: &Path) -> Result<Attempt, Problem> {
    let have = file_length(file, part)?;
    let mut request = agent.get(url);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let response = match request.call() {
        Ok(response) => response,
        Err(ureq::Error::BadUri(_) | ureq::Error::TooManyRedirects) => {
            return Err(Problem::Refused(format!("{url} leads nowhere")));
        }
        Err(error) => return Ok(Attempt::Cut { came: 0, why: error.to_string() }),
    };
    match response.status().as_u16() {
        206 if starts_at(&response) == Some(have) => {}
        200 => {
            // No ranges, or the first bytes: from the start.
            file.set_len(0).map_err(here("empty", part))?;
        }
        // Whole already, or longer than the file of the server.
        416 if have > 0 && total(&response) == Some(have) => return Ok(Attempt::Whole),
        206 | 416 if have > 0 => return Ok(Attempt::Restart),
        status @ (408 | 425 | 429 | 500..) => {
            return Ok(Attempt::Cut { came: 0, why: format!("the server answers {status}") });
        }
        status => return Err(Problem::Refused(format!("{url}: the server answers {status}"))),
    }
    append(response, file, part)
}

/// Appends a body; one that ends before its stated length was cut.
fn append(response: Response<Body>, file: &mut File, part: &Path) -> Result<Attempt, Problem> {
    let stated = response.body().content_length();
    let mut body = response.into_body().into_reader();
    let (mut came, mut buffer) = (0, vec![0; 1 << 16]);
    loop {
        match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                file.write_all(&buffer[..n]).map_err(here("write", part))?;
                came += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Ok(Attempt::Cut { came, why: error.to_string() }),
        }
    }
    match stated {
        Some(stated) if came < stated => {
            let why = format!("the connection was cut after {came} of {stated} bytes");
            Ok(Attempt::Cut { came, why })
        }
        _ => Ok(Attempt::Whole),
    }
}

/// First byte of a partial answer: `bytes 100-199/200`.
fn starts_at(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get("content-range")?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

/// Length of the whole file in an answer about a range: `bytes */200`.
fn total(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get("content-range")?.to_str().ok()?;
    range.rsplit('/').next()?.trim().parse().ok()
}

fn compared(part: &Path, sum: &Checked) -> Result<(), DataError> {
    match sum {
        Checked::By(sum) => sum.check(part),
        Checked::Nothing => Ok(()),
    }
}

fn is_right(part: &Path, sum: &Checked) -> Result<bool, Problem> {
    match compared(part, sum) {
        Ok(()) => Ok(true),
        Err(DataError::Checksum { .. }) => Ok(false),
        Err(error) => Err(Problem::Here(error.to_string())),
    }
}

/// Compares the checksum and gives the file its name.
fn settle(mut file: &File, part: &Path, path: &Path, sum: &Checked) -> Result<u64, Problem> {
    match compared(part, sum) {
        Ok(()) => {
            let bytes = file.seek(SeekFrom::End(0)).map_err(here("read", part))?;
            file.sync_all().map_err(here("write", part))?;
            fs::rename(part, path).map_err(here("rename", part))?;
            Ok(bytes)
        }
        Err(DataError::Checksum { kind, found, expected, .. }) => {
            let bad = beside(path, ".bad");
            fs::rename(part, &bad).map_err(here("rename", part))?;
            Err(Problem::Wrong(format!(
                "what came has {kind} {found}, expected {expected}; it is kept as {}",
                bad.display()
            )))
        }
        Err(error) => Err(Problem::Here(error.to_string())),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(ending);
    name.into()
}

fn file_length(file: &File, part: &Path) -> Result<u64, Problem> {
    Ok(file.metadata().map_err(here("read", part))?.len())
}

fn here(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Problem {
    let path = path.display().to_string();
    move |error| Problem::Here(format!("cannot {action} {path}: {error}"))
}
