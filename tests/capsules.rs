//! Capsules: small, read back to the same report, and honest about what they leave out.

mod common;

use std::path::Path;

use serde_json::Value;
use vmcoroner::addr::PhysAddr;
use vmcoroner::dump::{PhysicalMemory, Vmcore};
use vmcoroner::input::{self, Content};

/// The largest that a capsule may be, in bytes.
const LIMIT: u64 = 1 << 20;

/// Makes a capsule of `dump`; its path.
fn capsule(dump: &Path, folder: &Path, arguments: &[&str]) -> std::path::PathBuf {
    let made = folder.join("made.capsule");
    let output = common::vmcoroner()
        .args(["capsule", "-o"])
        .arg(&made)
        .args(arguments)
        .arg(dump)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", dump.display());
    made
}

#[test]
fn a_capsule_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let temporary = tempfile::tempdir().unwrap();
    let made = capsule(&common::capsules()[0], temporary.path(), &[]);
    assert_eq!(made.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

/// Everything that `extract` says of `dump`, but for `source`.
fn report(dump: &Path) -> Value {
    let (_, mut report) = common::json(&["extract", "--format", "json", "--all-cpus", "--tasks"], dump, &[]);
    report.as_object_mut().unwrap().remove("source");
    report
}

#[test]
fn the_capsule_of_a_shared_dump_says_what_the_dump_says() {
    let Some(folder) = common::shared("vmcores") else {
        return;
    };
    let temporary = tempfile::tempdir().unwrap();
    for truth in common::truths(&folder) {
        let made = capsule(&truth.dump, temporary.path(), &[]);
        assert!(made.metadata().unwrap().len() <= LIMIT, "{}", truth.name);
        assert_eq!(report(&made), report(&truth.dump), "{}", truth.name);
    }
}

#[test]
fn a_capsule_of_a_capsule_says_the_same() {
    let temporary = tempfile::tempdir().unwrap();
    let mut cases = 0;
    for path in common::capsules().into_iter().step_by(8) {
        let made = capsule(&path, temporary.path(), &[]);
        assert!(made.metadata().unwrap().len() <= LIMIT, "{}", path.display());
        assert_eq!(report(&made), report(&path), "{}", path.display());
        cases += 1;
    }
    assert!(cases > 0, "the corpus has no capsules");
}

#[test]
fn without_its_log_a_capsule_holds_no_line_of_it() {
    let temporary = tempfile::tempdir().unwrap();
    let path = common::capsules().remove(0);
    let made = capsule(&path, temporary.path(), &["--drop-log"]);
    let stripped = report(&made);
    assert!(stripped.get("log").is_none());
    let why = stripped["missing"].as_array().unwrap();
    assert!(why.iter().any(|missing| missing["fact"] == "log"), "{why:?}");
    assert!(stripped["frames"].as_array().is_some_and(|frames| frames.len() > 3));
    let log = common::vmcoroner().arg("log").arg(&made).output().unwrap();
    let log = String::from_utf8_lossy(&log.stdout).into_owned();
    assert!(!log.contains("Linux version"), "{log}");
}

#[test]
fn what_is_inside_can_be_listed() {
    let path = common::capsules().remove(0);
    let list = |path: &Path| {
        common::vmcoroner()
            .args(["capsule", "--list"])
            .arg(path)
            .output()
            .unwrap()
    };
    let output = list(&path);
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in ["pages", "kallsyms", "stacks", "host", "tasks", "log"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let refused = list(&path.with_file_name("nothing"));
    assert_eq!(refused.status.code(), Some(2));
    let readme = list(&Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/README.md"));
    assert_eq!(readme.status.code(), Some(2));
}

/// Caches are of a size, and threads read on for each other: the figure must tell of neither.
#[test]
fn how_much_was_read_does_not_depend_on_order_or_threads() {
    for path in common::capsules().iter().step_by(40) {
        let read = |threads: usize, backwards: bool, rounds: usize| {
            let input = input::open(path).unwrap();
            let Content::Dump(bytes) = &input.content else {
                panic!("{}: no dump", path.display())
            };
            let dump = Vmcore::open(vec![bytes.clone()]).unwrap();
            let mut ranges = dump.ranges().to_vec();
            if backwards {
                ranges.reverse();
            }
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut buf = vec![0; 1 << 20];
            for range in ranges.iter().cycle().take(rounds * ranges.len()) {
                // Most of it is not there: the read fails, at the first page that is not.
                let _ = pool.install(|| dump.read(PhysAddr(range.start), &mut buf));
                let _ = dump.read(PhysAddr(range.start), &mut [0]);
            }
            input.counter.bytes()
        };
        let bytes = read(1, false, 1);
        assert!(bytes <= path.metadata().unwrap().len());
        for (threads, backwards, rounds) in [(1, true, 1), (1, false, 3), (4, false, 1), (4, true, 2)] {
            let what = format!("{}: {threads} threads, {rounds} rounds", path.display());
            assert_eq!(read(threads, backwards, rounds), bytes, "{what}");
        }
    }
}
