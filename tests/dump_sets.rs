//! Split sets on disk: parts given together, and parts found beside the one that was given.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::dump_writer::kdump::{self, Kdump};
use support::dump_writer::{Abi, Machine, flat};
use tempfile::TempDir;
use vmcoroner::addr::PhysAddr;
use vmcoroner::dump::{self, PhysicalMemory, Vmcore};
use vmcoroner::input::{self, Content, Input};

fn machine(timestamp: u64) -> Machine {
    let mut machine = Machine::new(Abi::X86_64);
    machine.timestamp = timestamp;
    machine.pages = (0..90).map(|frame| (frame, vec![frame as u8 + 1; 4096])).collect();
    machine
}

/// Writes files and opens them as inputs.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn open(path: &Path) -> Input {
    input::open(path).unwrap()
}

fn names(inputs: &[Input]) -> Vec<&str> {
    inputs
        .iter()
        .map(|input| input.path.file_name().unwrap().to_str().unwrap())
        .collect()
}

fn vmcore(inputs: &[Input]) -> Vmcore {
    let file = |input: &Input| match &input.content {
        Content::Dump(file) => file.clone(),
        Content::Text(_) => panic!("{} is text", input.path.display()),
    };
    Vmcore::open(inputs.iter().map(file).collect()).unwrap()
}

fn assert_whole(inputs: &[Input]) {
    let dump = vmcore(inputs);
    assert!(!dump.header().truncated, "{:?}", dump.header().remarks);
    for frame in 0..90 {
        let mut page = [0; 4096];
        dump.read(PhysAddr(frame * 4096), &mut page).unwrap();
        assert_eq!(page, [frame as u8 + 1; 4096]);
    }
}

#[test]
fn parts_given_together_are_one_input() {
    let folder = Folder::new();
    let one = kdump::write_split(&machine(1), &Kdump::default(), &[30, 60]);
    let two = kdump::write_split(&machine(2), &Kdump::default(), &[45]);
    let whole = kdump::write(&machine(1), &Kdump::default());
    let files = [
        ("b", two[1].as_slice()),
        ("text", b"Oops: 0000 [#1] SMP\n"),
        ("z", &one[2]),
        ("whole", &whole),
        ("a", &two[0]),
        ("x", &one[0]),
        ("again", &one[0]),
        ("y", &flat::write(&one[1], &flat::Flat::default())),
    ];
    let inputs = files
        .iter()
        .map(|(name, bytes)| open(&folder.write(name, bytes)))
        .collect();
    let groups = dump::group_parts(inputs);
    let groups_named: Vec<_> = groups.iter().map(|group| names(group)).collect();
    assert_eq!(
        groups_named,
        [
            vec!["b", "a"],
            vec!["text"],
            vec!["z", "x", "y"],
            vec!["whole"],
            vec!["again"]
        ]
    );
    assert_whole(&groups[0]);
    assert_whole(&groups[2]);
    assert_whole(&groups[3]);
}

#[test]
fn siblings_are_found_by_number_and_told_by_header() {
    let folder = Folder::new();
    let parts = kdump::write_split(&machine(1), &Kdump::default(), &[30, 60]);
    let other = kdump::write_split(&machine(2), &Kdump::default(), &[30, 60]);
    folder.write("vmcore-6.1.0", &other[1]);
    folder.write("vmcore-6.1.2", &parts[1]);
    folder.write("vmcore-6.1.3", &parts[2]);
    folder.write("vmcore-6.1.4", b"not a dump");
    folder.write("vmcore-6.1.5", &parts[0]);
    let first = open(&folder.write("vmcore-6.1.1", &parts[0]));
    let mut set = vec![first];
    let found = dump::find_siblings(&set);
    assert_eq!(names(&found), ["vmcore-6.1.2", "vmcore-6.1.3"]);
    set.extend(found);
    assert_whole(&set);
    assert!(dump::find_siblings(&set).is_empty(), "nothing is missing any more");
}

#[test]
fn a_missing_part_is_said() {
    let folder = Folder::new();
    let parts = kdump::write_split(&machine(1), &Kdump::default(), &[30, 60]);
    let alone = vec![open(&folder.write("vmcore_2", &parts[1]))];
    assert!(dump::find_siblings(&alone).is_empty());
    let dump = vmcore(&alone);
    assert!(dump.header().truncated);
    let missing: Vec<_> = dump
        .header()
        .remarks
        .iter()
        .filter(|remark| remark.contains("is missing"))
        .collect();
    assert_eq!(missing.len(), 2, "{missing:?}");
    dump.read(PhysAddr(45 * 4096), &mut [0; 4096]).unwrap();
    dump.read(PhysAddr(5 * 4096), &mut [0; 4096]).unwrap_err();
}

#[test]
fn whole_dumps_have_no_siblings() {
    let folder = Folder::new();
    let whole = kdump::write(&machine(1), &Kdump::default());
    folder.write("vmcore.2", &whole);
    let input = open(&folder.write("vmcore.1", &whole));
    assert!(dump::find_siblings(&[input]).is_empty());
}
