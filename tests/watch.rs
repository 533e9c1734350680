//! `vmcoroner watch` through the binary.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::vmcoroner;
use serde_json::Value;

const DUMP: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/corpus/anon-vma-root-null/match-6.1-anonvma.capsule"
);

/// A folder as kdump lays it out: one dump that is whole, one that is being written.
fn crashes() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, file) in [("127.0.0.1-a", "vmcore"), ("127.0.0.1-b", "vmcore-incomplete")] {
        fs::create_dir(folder.path().join(name)).expect("a folder");
        fs::copy(DUMP, folder.path().join(name).join(file)).expect("a dump");
    }
    fs::write(folder.path().join("127.0.0.1-a/.vmcore.tmp"), "KDUMP   ").expect("a file");
    folder
}

fn rows(output: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(output);
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a row"))
        .collect()
}

fn once(folder: &Path, more: &[&str]) -> (i32, Vec<Value>) {
    let output = vmcoroner()
        .args([
            "watch",
            "--once",
            "--settle",
            "1",
            "--interval",
            "1",
            "--format",
            "jsonl",
        ])
        .args(more)
        .arg(folder)
        .output()
        .expect("the binary runs");
    (output.status.code().unwrap_or(-1), rows(&output.stdout))
}

#[test]
fn what_is_whole_is_labelled_once_and_its_answer_stands_beside_it() {
    let folder = crashes();
    let (code, rows) = once(folder.path(), &["--write"]);
    assert_eq!((code, rows.len()), (1, 1), "{rows:?}");
    let dump = folder.path().join("127.0.0.1-a/vmcore");
    assert_eq!(rows[0]["input"], dump.display().to_string());
    assert_eq!(rows[0]["status"], "unknown");
    let answer = dump.with_file_name("vmcoroner.json");
    let told: Value = serde_json::from_slice(&fs::read(&answer).expect("the answer")).expect("JSON");
    assert_eq!(told, rows[0]);
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions();
    assert_eq!(mode(&answer), mode(&dump));
    // Answered: not new. Written again: new.
    assert_eq!(once(folder.path(), &["--write"]), (0, Vec::new()));
    let later = std::time::SystemTime::now() + Duration::from_secs(5);
    let file = fs::File::options().write(true).open(&dump).expect("the dump");
    file.set_modified(later).expect("its time");
    assert_eq!(once(folder.path(), &["--write"]).1.len(), 1);
    let names: Vec<_> = fs::read_dir(dump.parent().expect("a folder"))
        .expect("the folder")
        .collect();
    assert_eq!(names.len(), 3, "dump, answer, the hidden file: {names:?}");
}

#[test]
fn the_hook_gets_the_row_on_its_standard_input() {
    let folder = crashes();
    let kept = folder.path().join("kept");
    let hook = format!("cat > '{}'; test \"$VMCORONER_STATUS\" = unknown", kept.display());
    let (code, rows) = once(folder.path(), &["--hook", &hook]);
    assert_eq!(code, 1);
    let got: Value = serde_json::from_slice(&fs::read(&kept).expect("what the hook got")).expect("JSON");
    assert_eq!(got, rows[0]);
}

#[test]
fn a_name_is_no_command_for_the_hook_which_finds_the_answer_written() {
    let folder = crashes();
    let odd = folder.path().join("127.0.0.1-a/$(touch pwned);'`touch pwned`\n");
    fs::rename(folder.path().join("127.0.0.1-a/vmcore"), &odd).expect("it can be renamed");
    let hook = "test -s \"$(dirname \"$VMCORONER_INPUT\")/vmcoroner.json\" && test -f \"$VMCORONER_INPUT\"";
    assert_eq!(once(folder.path(), &["--write", "--hook", hook]).0, 1);
    assert_eq!(once(folder.path(), &["--write", "--hook", hook]), (0, Vec::new()));
    assert!(!Path::new("pwned").exists() && !folder.path().join("127.0.0.1-a/pwned").exists());
}

#[test]
fn a_run_that_is_killed_at_its_hook_is_gone_on_with() {
    let folder = crashes();
    let (code, killed) = once(folder.path(), &["--write", "--hook", "kill -9 $PPID; sleep 1"]);
    assert_eq!((code, killed.len()), (-1, 1), "the row was printed before");
    assert_eq!(once(folder.path(), &["--write"]).1.len(), 1, "it is labelled again");
    assert_eq!(once(folder.path(), &["--write"]), (0, Vec::new()));
}

#[test]
fn what_a_killed_writer_left_is_cleared_away_and_what_another_writes_is_not() {
    let folder = crashes();
    let beside = |name: &str| folder.path().join("127.0.0.1-a").join(name);
    let row = r#"{"input":"x/vmcore","status":"failed","error":"-"}"#;
    for (name, text) in [(".vmcoroner-a", ""), (".vmcoroner-b", row), (".vmcoroner-c", row)] {
        fs::write(beside(name), text).expect("a file");
    }
    let writer = fs::File::open(beside(".vmcoroner-c")).expect("the file");
    writer.lock().expect("a lock");
    assert_eq!(once(folder.path(), &[]).1.len(), 1);
    assert!(beside(".vmcoroner-a").exists(), "it may not write there");
    assert_eq!(once(folder.path(), &["--write"]).1.len(), 1);
    let left = [".vmcoroner-a", ".vmcoroner-b", ".vmcoroner-c"].map(|name| beside(name).exists());
    assert_eq!(left, [false, false, true]);
}

/// What is damaged for good has been answered; nobody needs to hear of it every quarter of an hour.
#[test]
fn a_damaged_dump_is_told_once() {
    let bytes = fs::read(DUMP).expect("a dump");
    for length in [4096, 20_000, bytes.len() / 2] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dump = folder.path().join("vmcore");
        fs::write(&dump, bytes.get(..length).expect("it is longer")).expect("a dump");
        let (_, rows) = once(folder.path(), &["--write"]);
        assert_eq!(rows.len(), 1, "{length}");
        assert_eq!(once(folder.path(), &["--write"]), (0, Vec::new()), "{length}");
        fs::write(&dump, &bytes).expect("the whole dump");
        assert_eq!(once(folder.path(), &["--write"]).1.len(), 1, "{length}");
    }
}

/// An answer is given its dump's time: which of the two is older does not hang on whose clock is right.
#[test]
fn clocks_that_differ_make_no_dump_new() {
    for hours in [-48, 48] {
        let folder = crashes();
        let dump = folder.path().join("127.0.0.1-a/vmcore");
        let file = fs::File::options().write(true).open(&dump).expect("the dump");
        let now = std::time::SystemTime::now();
        let span = Duration::from_secs(3600 * 48);
        let time = if hours < 0 { now - span } else { now + span };
        file.set_modified(time).expect("its time");
        assert_eq!(once(folder.path(), &["--write"]).1.len(), 1, "{hours}");
        assert_eq!(once(folder.path(), &["--write"]), (0, Vec::new()), "{hours}");
        // Written to a little later, by the same clock.
        file.set_modified(time + Duration::from_secs(1)).expect("its time");
        assert_eq!(once(folder.path(), &["--write"]).1.len(), 1, "{hours}");
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_told_and_leaves_nothing_behind() {
    let folder = crashes();
    let dump = folder.path().join("127.0.0.1-a");
    fs::create_dir(dump.join("vmcoroner.json")).expect("a folder in the way");
    fs::create_dir(dump.join("vmcore.vmcoroner.json")).expect("a folder in the way");
    let (code, rows) = once(folder.path(), &["--write"]);
    assert_eq!((code, rows.len()), (2, 1));
    let names = || fs::read_dir(&dump).expect("a folder").flatten();
    assert!(
        names().all(|name| !name.file_name().to_string_lossy().starts_with(".vmcoroner-")),
        "{:?}",
        names().collect::<Vec<_>>()
    );
}

#[test]
fn a_hook_that_fails_or_hangs_is_told_and_costs_no_more_than_its_time() {
    for hook in ["exit 3", "sleep 600; true"] {
        let folder = crashes();
        let began = Instant::now();
        let (code, rows) = once(folder.path(), &["--hook", hook, "--hook-timeout", "1"]);
        assert_eq!((code, rows.len()), (2, 1), "{hook}");
        assert!(began.elapsed() < Duration::from_secs(50), "{hook}");
    }
}

#[test]
fn a_worker_gives_the_same_row_and_one_that_takes_too_long_costs_its_own() {
    let folder = crashes();
    let (_, here) = once(folder.path(), &[]);
    assert_eq!(once(folder.path(), &["--isolate"]), (1, here));
    let (code, rows) = once(folder.path(), &["--write", "--timeout", "0.001s"]);
    assert_eq!((code, rows.len()), (2, 1));
    assert!(
        rows[0]["error"].as_str().expect("why").contains("--timeout"),
        "{rows:?}"
    );
    // It has no answer: the next run tries again.
    assert_eq!(once(folder.path(), &["--write", "--timeout", "60s"]).1.len(), 1);
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    assert_eq!(once(Path::new("not-there"), &[]).0, 2);
}

/// Ends the process however the test ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_dump_that_lands_later_is_labelled_when_it_gets_its_final_name() {
    let folder = crashes();
    let child = Command::new(env!("CARGO_BIN_EXE_vmcoroner"))
        .args(["watch", "--write", "--settle", "1", "--interval", "1"])
        .arg(folder.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary runs");
    let _child = Ended(child);
    let answered = |path: PathBuf| {
        let until = Instant::now() + Duration::from_secs(60);
        while !path.exists() {
            assert!(Instant::now() < until, "{} is not written", path.display());
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    answered(folder.path().join("127.0.0.1-a/vmcoroner.json"));
    let second = folder.path().join("127.0.0.1-b");
    assert!(!second.join("vmcoroner.json").exists());
    fs::rename(second.join("vmcore-incomplete"), second.join("vmcore")).expect("it can be renamed");
    answered(second.join("vmcoroner.json"));
}
