//! Any file, whatever it pretends to be, must give a report or an error.
#![no_main]

use std::io::Write as _;

use libfuzzer_sys::fuzz_target;
use vmcoroner::extract::{Depth, Job, extract};

fuzz_target!(|bytes: &[u8]| {
    let path = std::env::temp_dir().join(format!("vmcoroner-fuzz-{}", std::process::id()));
    let written = std::fs::File::create(&path).and_then(|mut file| file.write_all(bytes));
    if written.is_err() {
        return;
    }
    let job = Job { paths: vec![path] };
    if let Ok(parts) = job.open() {
        let _ = extract(&parts, Depth { all_cpus: true, blocked_tasks: true });
    }
});
