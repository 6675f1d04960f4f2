//! The page in a real browser: nothing runs over at a phone's width, tables sort and filter, the
//! console stays silent. Skipped, with the reason printed, where no Chromium is found.
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on fails its test")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use quantbench_report::{Stored, build_with};

mod fixtures;

use fixtures::read::file;
use fixtures::{costs, curve, histograms, odd, survey};

/// Longest time for one load of a page.
const PATIENCE: Duration = Duration::from_secs(90);

/// `CHROMIUM`, else the first of the usual names in `PATH`.
fn chromium() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CHROMIUM") {
        return Some(PathBuf::from(path));
    }
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names.iter().flat_map(|n| folders.iter().map(move |f| f.join(n))).find(|p| p.is_file())
}

/// Runs after the page's own script and writes what it found into the title, as `key=value;`.
///
/// The page is loaded in a frame of the wanted width, because a window has a least width.
const PROBE: &str = r##"<script>
window.addEventListener("load", () => {
  const out = {};
  out.inner = innerWidth;
  const page = document.scrollingElement;
  out.over = page.scrollWidth - page.clientWidth;
  const table = document.querySelector("#summary table");
  const head = [...table.tHead.rows[0].cells].findIndex((c) => c.textContent.includes("drop"));
  const column = (body) => [...body.rows]
    .filter((r) => !r.classList.contains("band"))
    .map((r) => r.cells[head].textContent);
  const before = JSON.stringify([...table.tBodies].map(column));
  const button = table.tHead.rows[0].cells[head].querySelector("button");
  const ordered = (sign) => [...table.tBodies].every((body) => {
    const numbers = column(body).map((t) => parseFloat(t.replace("−", "-"))).filter((n) => !isNaN(n));
    return numbers.every((n, i) => i === 0 || sign * (n - numbers[i - 1]) >= 0);
  });
  button.click();
  out.ascending = ordered(1);
  button.click();
  out.descending = ordered(-1);
  out.moved = JSON.stringify([...table.tBodies].map(column)) !== before;
  button.click();
  out.restored = JSON.stringify([...table.tBodies].map(column)) === before;
  const input = document.querySelector("#summary .filter input");
  const shown = () => [...table.querySelectorAll("tbody tr:not(.band)")].filter((r) => !r.hidden);
  const all = shown().length;
  input.value = "MINMAX w4a4";
  input.dispatchEvent(new Event("input"));
  out.all = all;
  out.filtered = shown().length;
  out.right = shown().every((r) => r.textContent.includes("minmax") && r.textContent.includes("W4A4"));
  out.bands = [...table.querySelectorAll(".band")].every((b) =>
    !b.hidden === [...b.parentNode.rows].some((r) => r !== b && !r.hidden));
  input.value = "";
  input.dispatchEvent(new Event("input"));
  out.unfiltered = shown().length === all;
  const spot = document.querySelector("svg circle > title").parentNode;
  spot.scrollIntoView({ block: "center", inline: "center" });
  const box = spot.getBoundingClientRect();
  const under = document.elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  // WCAG's contrast of every text with the page behind it; bars of bits have their numbers inside.
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\d.]+/g).slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
  const filled = [document.body, document.documentElement]
    .map((e) => getComputedStyle(e).backgroundColor).find((c) => !c.endsWith(", 0)"));
  const ground = light(filled || "rgb(255, 255, 255)");
  const texts = [...document.querySelectorAll("p, td, th button, a, svg text")];
  const contrasts = texts.filter((e) => !e.closest("#allocation")).map((e) => {
    const style = getComputedStyle(e);
    const own = light(e.ownerSVGElement ? style.fill : style.color);
    return Math.max(own, ground) / Math.min(own, ground);
  });
  out.contrast = Math.min(...contrasts).toFixed(1);
  out.dark = matchMedia("(prefers-color-scheme: dark)").matches;
  out.hover = under.includes(spot) && spot.textContent.includes("%");
  parent.postMessage(Object.entries(out).map(([k, v]) => `${k}=${v}`).join(";"), "*");
});
</script>"##;

/// A page that shows another in a frame and takes the probe's message as its title.
fn frame(page: &str, width: u32) -> String {
    format!(
        "<!DOCTYPE html><meta charset=utf-8><title>nothing</title>\
         <script>addEventListener('message', (e) => {{ document.title = e.data; }});</script>\
         <iframe src='{page}' width={width} height=900 style='border:0'></iframe>"
    )
}

/// Loads a file; gives the document as it then is and what the browser logged.
fn load(browser: &Path, folder: &Path, file: &str, scheme: &str) -> (String, String) {
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let dom = std::fs::File::create(folder.join("dom")).unwrap();
    let mut child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--v=0", "--virtual-time-budget=8000"])
        .args(["--allow-file-access-from-files", "--window-size=1400,1000", "--dump-dom"])
        .args((scheme == "dark").then_some("--force-dark-mode"))
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(format!("file://{}", folder.join(file).display()))
        .stdin(Stdio::null())
        .stdout(dom)
        .stderr(log)
        .spawn()
        .unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{} did not end within {PATIENCE:?}", browser.display());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let read = |name: &str| {
        String::from_utf8_lossy(&std::fs::read(folder.join(name)).unwrap()).into_owned()
    };
    (read("dom"), read("log"))
}

fn value<'a>(title: &'a str, key: &str) -> &'a str {
    let fields = title.split(';').filter_map(|f| f.split_once('='));
    fields.into_iter().find(|(k, _)| *k == key).map_or("", |(_, v)| v)
}

#[test]
fn the_page_fits_sorts_filters_and_says_nothing_on_the_console() {
    let Some(browser) = chromium() else {
        println!("skipped: no Chromium in PATH; install one or set CHROMIUM to its path");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for (name, rows) in [("survey", survey()), ("odd", odd()), ("curve", curve())] {
        let page = file(
            &build_with(&Stored {
                rows: &rows,
                histograms: &histograms(&rows),
                costs: &costs(&rows),
                ..Stored::default()
            })
            .unwrap(),
            "report.html",
        );
        let probed = page.replace("</body>", &format!("{PROBE}</body>"));
        std::fs::write(folder.path().join("page.html"), probed).unwrap();
        for (width, scheme) in [(1280, "light"), (400, "dark")] {
            std::fs::write(folder.path().join("frame.html"), frame("page.html", width)).unwrap();
            let (dom, log) = load(&browser, folder.path(), "frame.html", scheme);
            let title = dom.split("<title>").nth(1).and_then(|t| t.split("</title>").next());
            let title = title.unwrap_or_default();
            assert_eq!(value(title, "inner"), width.to_string(), "{name}: {dom}\n{log}");
            assert_eq!(value(title, "over"), "0", "{name} runs over at {width}: {title}");
            for key in
                ["ascending", "descending", "restored", "right", "bands", "unfiltered", "hover"]
            {
                assert_eq!(value(title, key), "true", "{name}, {key} at {width}: {title}");
            }
            if name == "survey" {
                assert_eq!(value(title, "moved"), "true", "{title}");
                assert_eq!(value(title, "filtered"), "3", "one line of each model: {title}");
            }
            assert_eq!(value(title, "dark"), (scheme == "dark").to_string(), "{title}");
            let contrast: f64 = value(title, "contrast").parse().unwrap();
            assert!(contrast >= 4.0, "{name}: a text has contrast {contrast} in {scheme}");
            let complaint = log.lines().find(|l| l.contains("CONSOLE"));
            assert_eq!(complaint, None, "{name} at {width}");
        }
    }
}
