//! The worker's side: an order from standard input, the work, the row.

use std::io::{BufRead, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use quantbench_core::row::{Row, Status};

use crate::store::Store;
use crate::work::cell::row_of;
use crate::work::make::Progress;
use crate::work::order::{Order, Step};

/// The worker's exit codes.
const DONE: i32 = 0;
const FAILED: i32 = 1;
const NO_ORDER: i32 = 2;
const NO_ROW: i32 = 4;

/// Does one cell: reads the order from standard input, writes its row into the run folder.
///
/// Ends at once when standard input closes: whoever gave the order is gone. Returns the exit code:
/// 0 with a result, 1 with a failed row, 2 for an order that is none, 4 if no row could be
/// written.
pub fn worker_main() -> i32 {
    serve(row_of)
}

/// The same with other work than a cell's, for tests of the run itself.
pub fn serve(work: impl FnOnce(&Order, &Store, &mut Progress<'_>) -> Row) -> i32 {
    let mut line = String::new();
    let order: Order = match std::io::stdin().lock().read_line(&mut line) {
        Ok(_) => match serde_json::from_str(&line) {
            Ok(order) => order,
            Err(error) => {
                eprintln!(
                    "standard input holds no order ({error}); workers are started by `quantbench run`"
                );
                return NO_ORDER;
            }
        },
        Err(error) => {
            eprintln!("cannot read the order: {error}");
            return NO_ORDER;
        }
    };
    std::thread::spawn(end_with_parent);
    let store = Store::view(Path::new(&order.store));
    let mut reporter = Reporter { last: None };
    let row = work(&order, &store, &mut |done, all, what| reporter.tell(done, all, what));
    if let Err(error) = store.put_row(&order.ids.cell, &row) {
        let outcome = row.reason.map_or("it was done".to_string(), |r| format!("it failed: {r}"));
        eprintln!("{error} ({outcome})");
        return NO_ROW;
    }
    if row.status == Status::Done { DONE } else { FAILED }
}

/// Waits for the end of standard input, which comes when the parent closes it or dies.
fn end_with_parent() {
    let mut rest = [0_u8; 64];
    let mut stdin = std::io::stdin().lock();
    while !matches!(stdin.read(&mut rest), Ok(0) | Err(_)) {}
    crate::external::process::abandon();
    #[cfg(unix)]
    #[allow(unsafe_code)]
    // SAFETY: _exit has no preconditions. `exit` would run the runtime library's clean-up while
    // its threads still work.
    unsafe {
        libc::_exit(3)
    };
    #[cfg(not(unix))]
    std::process::exit(3);
}

/// Tells progress at most ten times per second, besides every change of what is done.
struct Reporter {
    last: Option<(Instant, String)>,
}

impl Reporter {
    fn tell(&mut self, done: usize, all: usize, what: &str) {
        let soon = |(at, before): &(Instant, String)| {
            before == what && done < all && at.elapsed() < Duration::from_millis(100)
        };
        if self.last.as_ref().is_some_and(soon) {
            return;
        }
        self.last = Some((Instant::now(), what.to_string()));
        if let Ok(json) = serde_json::to_string(&Step { done, all, what: what.to_string() }) {
            let mut out = std::io::stdout().lock();
            // Nobody listening is no reason to stop.
            let _ = writeln!(out, "{json}").and_then(|()| out.flush());
        }
    }
}
