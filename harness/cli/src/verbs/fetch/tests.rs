//! Downloads from a server in this process that plays whatever a network can do.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quantbench_core::hash::sha256_hex;
use quantbench_datasets::Sum;

use super::download::{Limits, Problem, download};
use super::items::Checked;

/// Answers one request, of which the range's start is given.
type Answer = Box<dyn FnOnce(&mut TcpStream, Option<usize>) + Send>;

/// Plays the answers one connection after the other and gives its address and what was asked.
fn serve(answers: Vec<Answer>) -> (String, Arc<Mutex<Vec<Option<usize>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/file.bin", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut range = None;
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                let line = line.unwrap().to_ascii_lowercase();
                if let Some(from) = line.strip_prefix("range: bytes=") {
                    range = from.trim_end_matches('-').parse().ok();
                }
                if line.is_empty() {
                    break;
                }
            }
            log.lock().unwrap().push(range);
            answer(&mut stream, range);
        }
    });
    (address, asked)
}

fn content() -> Vec<u8> {
    (0..200_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

fn head(stream: &mut TcpStream, status: &str, headers: &str) {
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n").unwrap();
}

/// The whole file, or from where it was asked for, cut after `most` bytes.
fn ranged(most: usize) -> Answer {
    Box::new(move |stream, from| {
        let all = content();
        let rest = &all[from.unwrap_or(0)..];
        match from {
            Some(from) => head(
                stream,
                "206 Partial Content",
                &format!(
                    "Content-Range: bytes {from}-{}/{}\r\nContent-Length: {}\r\n",
                    all.len() - 1,
                    all.len(),
                    rest.len()
                ),
            ),
            None => head(stream, "200 OK", &format!("Content-Length: {}\r\n", rest.len())),
        }
        let _ = stream.write_all(&rest[..most.min(rest.len())]);
    })
}

/// The whole file whatever is asked for, cut after `most` bytes.
fn unranged(most: usize) -> Answer {
    Box::new(move |stream, _| {
        let all = content();
        head(stream, "200 OK", &format!("Content-Length: {}\r\n", all.len()));
        let _ = stream.write_all(&all[..most.min(all.len())]);
    })
}

fn status(line: &'static str, headers: &'static str) -> Answer {
    Box::new(move |stream, _| head(stream, line, &format!("Content-Length: 0\r\n{headers}")))
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("deep/file.bin")
    }

    fn beside(&self, ending: &str) -> PathBuf {
        self.0.path().join(format!("deep/file.bin{ending}"))
    }

    fn fetch_as(&self, url: &str, sum: Sum) -> Result<u64, Problem> {
        let limits = Limits {
            attempts: 3,
            pause: Duration::from_millis(1),
            silence: Duration::from_millis(300),
        };
        download(url, &self.path(), &Checked::By(sum), &limits, &mut |_| {})
    }

    fn fetch(&self, url: &str) -> Result<u64, Problem> {
        self.fetch_as(url, Sum::Sha256(sha256_hex(&content())))
    }

    /// Asserts that the file is whole and alone.
    fn is_whole(&self) {
        assert_eq!(std::fs::read(self.path()).unwrap(), content());
        assert!(!self.beside(".part").exists() && !self.beside(".bad").exists());
    }

    fn put_part(&self, bytes: &[u8]) {
        std::fs::create_dir_all(self.path().parent().unwrap()).unwrap();
        std::fs::write(self.beside(".part"), bytes).unwrap();
    }
}

const ALL: usize = usize::MAX;

#[test]
fn a_whole_file_gets_its_name_at_the_end() {
    let place = Place::new();
    let (url, asked) = serve(vec![ranged(ALL)]);
    assert_eq!(place.fetch(&url).unwrap(), 800_000);
    place.is_whole();
    assert_eq!(*asked.lock().unwrap(), [None]);
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let place = Place::new();
    let (url, asked) = serve(vec![ranged(300_000), ranged(100_000), ranged(ALL)]);
    place.fetch(&url).unwrap();
    place.is_whole();
    let asked = asked.lock().unwrap();
    assert_eq!(asked[0], None);
    assert!(asked[1].unwrap() > 0 && asked[2].unwrap() > asked[1].unwrap(), "{asked:?}");
}

#[test]
fn a_part_of_an_earlier_call_is_continued() {
    let place = Place::new();
    place.put_part(&content()[..123_456]);
    let (url, asked) = serve(vec![ranged(ALL)]);
    place.fetch(&url).unwrap();
    place.is_whole();
    assert_eq!(*asked.lock().unwrap(), [Some(123_456)]);
}

#[test]
fn a_server_without_ranges_starts_from_the_beginning() {
    let place = Place::new();
    let (url, _) = serve(vec![unranged(300_000), unranged(ALL)]);
    place.fetch(&url).unwrap();
    place.is_whole();
}

#[test]
fn a_part_that_is_whole_already_is_only_checked() {
    let place = Place::new();
    place.put_part(&content());
    let (url, _) =
        serve(vec![status("416 Range Not Satisfiable", "Content-Range: bytes */800000\r\n")]);
    place.fetch(&url).unwrap();
    place.is_whole();
}

#[test]
fn a_part_of_another_version_is_dropped() {
    for part in [vec![7; 1000], vec![7; 900_000]] {
        let place = Place::new();
        let first = if part.len() < 800_000 {
            ranged(ALL)
        } else {
            status("416 Range Not Satisfiable", "Content-Range: bytes */800000\r\n")
        };
        place.put_part(&part);
        let (url, asked) = serve(vec![first, ranged(ALL)]);
        place.fetch(&url).unwrap();
        place.is_whole();
        assert_eq!(*asked.lock().unwrap(), [Some(part.len()), None]);
    }
}

#[test]
fn what_is_not_there_is_not_asked_for_again() {
    let place = Place::new();
    let (url, asked) = serve(vec![status("404 Not Found", ""), ranged(ALL)]);
    let problem = place.fetch(&url).unwrap_err();
    assert!(matches!(problem, Problem::Refused(_)));
    assert!(problem.to_string().ends_with("/file.bin: the server answers 404"), "{problem}");
    assert!(!place.path().exists());
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn a_busy_server_is_asked_again() {
    let place = Place::new();
    let (url, _) = serve(vec![status("503 Service Unavailable", ""), ranged(ALL)]);
    place.fetch(&url).unwrap();
    place.is_whole();
}

#[test]
fn another_content_is_kept_aside_and_never_under_the_name() {
    let place = Place::new();
    let (url, _) = serve(vec![ranged(ALL)]);
    let wrong = "0".repeat(64);
    let problem = place.fetch_as(&url, Sum::Sha256(wrong.clone())).unwrap_err();
    let text = problem.to_string();
    assert!(matches!(problem, Problem::Wrong(_)));
    assert!(text.contains(&sha256_hex(&content())) && text.contains(&wrong), "{text}");
    assert!(text.ends_with("file.bin.bad"), "{text}");
    assert!(!place.path().exists() && !place.beside(".part").exists());
    assert_eq!(std::fs::read(place.beside(".bad")).unwrap(), content());
}

#[test]
fn redirects_are_followed() {
    let place = Place::new();
    let (target, _) = serve(vec![ranged(ALL)]);
    let moved: Answer = Box::new(move |stream, _| {
        head(stream, "302 Found", &format!("Location: {target}\r\nContent-Length: 0\r\n"));
    });
    let (url, _) = serve(vec![moved]);
    place.fetch(&url).unwrap();
    place.is_whole();
}

#[test]
fn a_silent_server_is_left_and_what_came_is_kept() {
    let place = Place::new();
    let silent = |most: usize| -> Answer {
        Box::new(move |stream, from| {
            ranged(most)(stream, from);
            let _ = stream.flush();
            std::thread::sleep(Duration::from_secs(5));
        })
    };
    let (url, _) = serve(vec![silent(1000)]);
    let problem = place.fetch(&url).unwrap_err();
    assert!(matches!(problem, Problem::Unreachable(_)), "{problem}");
    assert!(problem.to_string().contains("not reached after 3 attempts"), "{problem}");
    assert!(!place.path().exists());
    assert_eq!(std::fs::read(place.beside(".part")).unwrap(), content()[..1000]);
}

#[test]
fn nobody_listening_is_said_plainly() {
    let place = Place::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let problem = place.fetch(&format!("http://127.0.0.1:{port}/file.bin")).unwrap_err();
    assert!(matches!(problem, Problem::Unreachable(_)), "{problem}");
    assert!(place.fetch("nonsense").is_err());
}

#[test]
fn two_processes_do_not_write_the_same_file() {
    let place = Place::new();
    place.put_part(b"x");
    let file = std::fs::File::options().append(true).open(place.beside(".part")).unwrap();
    file.lock().unwrap();
    let problem = place.fetch("http://127.0.0.1:9/file.bin").unwrap_err();
    assert!(problem.to_string().contains("another process is fetching"), "{problem}");
}
