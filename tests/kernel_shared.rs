//! The kernel's own facts and its log, out of the real dumps in the shared test data folder, held against what `crash`
//! and `vmcore-dmesg` found.
//!
//! The folder is `$VMCORONER_SHARED`, else `../shared`; without it these tests say so and pass.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use vmcoroner::dump::Vmcore;
use vmcoroner::input::{self, Content};
use vmcoroner::kernel::{Kernel, SelfCheck};

struct Case {
    name: String,
    folder: PathBuf,
    truth: Value,
    dump: Vmcore,
}

fn cases() -> Vec<Case> {
    let Some(shared) = support::shared_folder() else {
        return Vec::new();
    };
    let folder = shared.join("vmcores");
    let mut cases: Vec<Case> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_string_lossy()
                .strip_suffix(".truth.json")
                .map(str::to_owned)
        })
        .map(|name| {
            let truth = std::fs::read_to_string(folder.join(format!("{name}.truth.json"))).unwrap();
            let truth: Value = serde_json::from_str(&truth).unwrap();
            let file = &truth["files"][0];
            let file = file["stored_as"]["file"].as_str().or(file["file"].as_str()).unwrap();
            Case {
                dump: open(&folder.join(file)),
                name,
                folder: folder.clone(),
                truth,
            }
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

fn open(path: &Path) -> Vmcore {
    match input::open(path).unwrap_or_else(|error| panic!("{error}")).content {
        Content::Dump(source) => Vmcore::open(vec![source]).unwrap(),
        Content::Text(_) => panic!("{} was taken for text", path.display()),
    }
}

#[test]
fn names_and_log_agree_with_the_truth() {
    for case in cases() {
        let Case {
            name,
            folder,
            truth,
            dump,
        } = case;
        let truth = &truth["truth"];
        let header = dump.header().clone();
        let kernel = Kernel::open(Arc::new(dump), &header).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            matches!(kernel.self_check(), SelfCheck::Confirmed(_)),
            "{name}: {:?}",
            kernel.self_check()
        );
        let utsname = kernel.utsname().unwrap_or_else(|| panic!("{name}: no utsname"));
        assert_eq!(utsname.release, truth["kernel_release"], "{name}");
        assert_eq!(utsname.version, truth["kernel_version"], "{name}");
        assert_eq!(utsname.nodename, truth["nodename"], "{name}");
        assert_eq!(
            kernel.vmcoreinfo().osrelease(),
            truth["kernel_release"].as_str(),
            "{name}"
        );

        let log = kernel.log().unwrap_or_else(|error| panic!("{name}: {error}"));
        let rendered = log.render();
        assert_eq!(
            Some(rendered.lines().count() as u64),
            truth["log_lines"].as_u64(),
            "{name}"
        );
        assert!(log.complete, "{name}: {:?}", log.problems);
        if let Ok(expected) = std::fs::read_to_string(folder.join(format!("{name}.vmcore-dmesg.txt"))) {
            for (number, (found, expected)) in rendered.lines().zip(expected.lines()).enumerate() {
                assert_eq!(found, expected, "{name}, line {}", number + 1);
            }
            assert_eq!(rendered, expected, "{name}");
        }
    }
}
