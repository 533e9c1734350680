//! What dumps of one kernel build share is decoded once, and changes no report.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vmcoroner::archive::{NoCache, Walk};
use vmcoroner::extract::{DebugFiles, Depth, Job, Shared, extract_with};
use vmcoroner::rules::KnowledgeBase;
use vmcoroner::scan;

/// The report, with everything in it.
fn report(path: &Path, shared: &Shared) -> String {
    let job = Job {
        paths: vec![path.to_owned()],
    };
    let depth = Depth {
        all_cpus: true,
        blocked_tasks: true,
    };
    let extracted = extract_with(&job.open().unwrap(), depth, &DebugFiles::default(), shared).unwrap();
    serde_json::to_string(&extracted.reports).unwrap()
}

/// Whether every report is the same alone and with what is shared, in this order, the other way round and again. On one
/// thread, as scans read: of several, the order of their reads decides how many bytes are read twice.
fn same(paths: &[PathBuf]) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        let alone: Vec<String> = paths.iter().map(|path| report(path, &Shared::default())).collect();
        let shared = Shared::new();
        let order = 0..paths.len();
        for at in order.clone().chain(order.clone().rev()).chain(order.step_by(3)) {
            let name = paths[at].display();
            assert!(report(&paths[at], &shared) == alone[at], "{name}");
        }
    });
}

#[test]
fn a_capsule_says_the_same_whatever_was_read_before() {
    same(&common::capsules());
}

#[test]
fn nor_does_it_matter_that_some_of_them_are_damaged_or_cut() {
    let temporary = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for (number, capsule) in common::capsules().iter().step_by(7).enumerate() {
        let bytes = std::fs::read(capsule).unwrap();
        let mut put = |name: &str, bytes: &[u8]| {
            let path = temporary.path().join(format!("{number}-{name}"));
            std::fs::write(&path, bytes).unwrap();
            paths.push(path);
        };
        let damage = |start: usize, step: usize, with: u8| {
            let mut bytes = bytes.clone();
            let hit = bytes.iter_mut().skip(start).step_by(step);
            hit.for_each(|byte| *byte ^= with);
            bytes
        };
        put("pages", &damage(60_000, 9_001, 0x55));
        // Sizes, places and flags of pages are in the front.
        put("descriptors", &damage(20_000, 1_009, 0x04));
        put("whole", &bytes);
        put("cut", &bytes[..bytes.len() / 2]);
    }
    same(&paths);
}

#[test]
fn so_does_a_dump_and_one_of_its_build_that_is_damaged_or_cut() {
    let Some(folder) = common::shared("vmcores") else {
        return;
    };
    let temporary = tempfile::tempdir().unwrap();
    let mut paths: Vec<PathBuf> = common::truths(&folder).into_iter().map(|truth| truth.dump).collect();
    for dump in paths.clone().iter().take(2) {
        let mut bytes = std::fs::read(dump).unwrap();
        let cut = temporary.path().join(format!("cut-{}", paths.len()));
        std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
        // One byte in some of its pages.
        let start = bytes.len() / 20;
        bytes
            .iter_mut()
            .skip(start)
            .step_by(70_001)
            .for_each(|byte| *byte ^= 0x55);
        let damaged = temporary.path().join(format!("damaged-{}", paths.len()));
        std::fs::write(&damaged, &bytes).unwrap();
        paths.extend([cut, damaged]);
    }
    same(&paths);
}

#[test]
fn rows_are_the_same_too() {
    let base = KnowledgeBase::builtin();
    let places: Vec<PathBuf> = common::capsules().into_iter().step_by(4).collect();
    let entries: Vec<_> = Walk::new(&places, Arc::new(NoCache)).collect();
    let rows = |shared: &dyn Fn() -> Shared| {
        let mut rows = Vec::new();
        for entry in entries.iter().chain(entries.iter().rev()) {
            scan::label(entry, &base, &shared(), 0, &mut |_| (), &mut |labelled| {
                rows.push(labelled.row.line());
            });
        }
        rows
    };
    let one = Shared::new();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| assert!(rows(&|| one.clone()) == rows(&Shared::default)));
}
