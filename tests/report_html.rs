//! The HTML report through the binary, and in a real browser where there is one.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::vmcoroner;
use serde_json::Value;

/// Rows of every status, one of them hostile, as they were printed once: what rules say may change, the page may not.
const ROWS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/report/rows.jsonl");

fn made(rows: &Path, folder: &Path) -> PathBuf {
    let page = folder.join("report.html");
    vmcoroner()
        .arg("report")
        .arg(rows)
        .arg("-o")
        .arg(&page)
        .assert()
        .code(0)
        .stdout("");
    page
}

#[test]
fn equal_rows_give_equal_bytes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = std::fs::read_to_string(made(Path::new(ROWS), folder.path())).expect("the page");
    let again = std::fs::read_to_string(made(Path::new(ROWS), folder.path())).expect("the page");
    assert!(first == again);
    let body = first.split_once("</style>").expect("a style sheet").1;
    insta::assert_snapshot!(body);
}

#[test]
fn identify_feeds_it_through_a_pipe() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = folder.path().join("page.html");
    let case = "corpus/el7-page-lock-anon-vma-read-thp/match-3.10.0-862-kswapd.json";
    let rows = vmcoroner()
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["identify", "--format", "jsonl", case, "not-there"])
        .output()
        .expect("the binary runs");
    vmcoroner()
        .args(["report", "--title", "Tonight", "-o"])
        .arg(&page)
        .write_stdin(rows.stdout)
        .assert()
        .code(0);
    let html = std::fs::read_to_string(page).expect("the page");
    for told in [
        "<title>Tonight</title>",
        "el7-page-lock-anon-vma-read-thp",
        "<dt>not-there</dt>",
    ] {
        assert!(html.contains(told), "{told}");
    }
}

#[test]
fn a_scan_writes_the_page_that_its_rows_make() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = folder.path().join("page.html");
    let output = vmcoroner()
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"))
        .args(["scan", "--quiet", "--html"])
        .arg(&page)
        .args(["anon-vma-root-null", "soft-lockup", "sysrq-crash", "not-there"])
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(2));
    let rows = folder.path().join("rows.jsonl");
    std::fs::write(&rows, output.stdout).expect("the rows");
    let direct = std::fs::read_to_string(&page).expect("the page");
    std::fs::remove_file(&page).expect("it was there");
    let by_rows = std::fs::read_to_string(made(&rows, folder.path())).expect("the page");
    assert!(direct == by_rows && direct.contains("<dt>not-there</dt>"));
}

#[test]
fn what_is_no_row_is_said_and_nothing_half_is_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = folder.path().join("page.html");
    let report = || {
        let mut command = vmcoroner();
        command.arg("report").arg("-o").arg(&page);
        command
    };
    report().write_stdin("{}\n").assert().code(2);
    assert!(
        std::fs::read_to_string(&page)
            .expect("the page")
            .contains("<li>line 1: ")
    );
    std::fs::remove_file(&page).expect("it was there");
    report().arg("not-there.jsonl").assert().code(2);
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("the folder").collect();
    assert!(left.is_empty(), "{left:?}");
}

/// A Chromium: the one that VMCORONER_CHROMIUM names, or one on PATH.
fn chromium() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("VMCORONER_CHROMIUM") {
        return Some(PathBuf::from(named));
    }
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .flat_map(|folder| ["chromium", "chromium-browser", "google-chrome"].map(|name| folder.join(name)))
        .find(|file| file.is_file());
    if found.is_none() {
        eprintln!("skipped: no Chromium on PATH (VMCORONER_CHROMIUM may name one)");
    }
    found
}

/// Shows the page in a frame as wide as a telephone, everything opened, and measures it from outside: the page itself
/// may not run a script.
const MEASURE: &str = r#"<!doctype html><meta charset="utf-8"><iframe id="f" src="report.html" width="390" height="800" style="border:0"></iframe>
<script>document.getElementById("f").onload = e => {
  const w = e.target.contentWindow, d = w.document, all = [...d.querySelectorAll("*")];
  d.querySelectorAll("details").forEach(x => x.open = true);
  document.title = "measured" + JSON.stringify({
    width: d.documentElement.scrollWidth, sections: d.querySelectorAll("details.crash").length,
    resources: w.performance.getEntriesByType("resource").map(x => x.name),
    foreign: all.filter(x => ["SCRIPT", "IMG", "IFRAME", "OBJECT", "FORM"].includes(x.tagName)).length,
    handlers: all.filter(x => [...x.attributes].some(a => a.name.startsWith("on"))).length,
    links: [...d.links].map(x => x.protocol).filter((x, i, a) => a.indexOf(x) === i).sort(),
  }) + "measured";
}</script>"#;

#[test]
fn a_browser_shows_it_without_a_word_to_the_network() {
    let Some(chromium) = chromium() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    made(Path::new(ROWS), folder.path());
    let frame = folder.path().join("frame.html");
    std::fs::write(&frame, MEASURE).expect("the frame is written");
    let output = Command::new(chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--allow-file-access-from-files",
        ])
        .args(["--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("file://{}", frame.display()))
        .output()
        .expect("Chromium runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("CONSOLE"), "{stderr}");
    let dom = String::from_utf8_lossy(&output.stdout);
    let measured = dom
        .split("<title>measured")
        .nth(1)
        .and_then(|rest| rest.split("measured").next());
    let measured = measured.unwrap_or_else(|| panic!("nothing was measured: {dom}\n{stderr}"));
    let measured: Value = serde_json::from_str(&measured.replace("&quot;", "\"")).expect("JSON");
    assert!(
        measured["width"].as_u64().is_some_and(|width| width <= 390),
        "{measured}"
    );
    assert_eq!(measured["sections"], 5, "{measured}");
    assert_eq!(measured["foreign"], 0, "{measured}");
    assert_eq!(measured["handlers"], 0, "{measured}");
    assert_eq!(measured["resources"], serde_json::json!([]), "{measured}");
    assert_eq!(measured["links"], serde_json::json!(["file:", "https:"]), "{measured}");
}
