//! Source lines, inlined functions and the choice of the file, from real debuginfo, against what drgn said of the dumps.
//!
//! The dumps are those of the shared test data folder (`$VMCORONER_SHARED`, else `../shared`) and of
//! `$VMCORONER_MORE_DUMPS`; the vmlinux files, too large to be shared, lie in `$VMCORONER_VMLINUX_DIR`. Without either
//! these tests say so and pass.

mod support;

use std::path::PathBuf;

use serde_json::Value as Json;
use support::opened::Opened;
use vmcoroner::addr::VirtAddr;
use vmcoroner::extract::DebugFiles;
use vmcoroner::extract::debug_files::{Debug, DebugFilesError};
use vmcoroner::kernel::debuginfo::SourceLines;

fn vmlinux_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("VMCORONER_VMLINUX_DIR").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: no debuginfo (set VMCORONER_VMLINUX_DIR to a folder with vmlinux-RELEASE files)");
    }
    folder
}

/// The dumps whose vmlinux is there.
fn with_debuginfo() -> Vec<(Opened, Debug)> {
    let Some(folder) = vmlinux_folder() else {
        return Vec::new();
    };
    let files = DebugFiles {
        folders: vec![folder],
        ..DebugFiles::default()
    };
    let found: Vec<(Opened, Debug)> = Opened::all()
        .into_iter()
        .filter_map(|opened| {
            let search = files.search(&opened.kernel, Some(&opened.symbols)).unwrap();
            match search.found {
                Some(debug) => Some((opened, debug)),
                None => {
                    eprintln!("{}: {}", opened.name, search.remark.unwrap_or_default());
                    None
                }
            }
        })
        .collect();
    eprintln!("{} dumps with their vmlinux", found.len());
    found
}

#[test]
fn inlined_functions_are_those_that_drgn_shows() {
    for (opened, debug) in with_debuginfo() {
        let mut lines = SourceLines::open(&debug.file).unwrap();
        let no_frames = Vec::new();
        let frames = opened.truth["truth"]["drgn"]["frames"].as_array().unwrap_or(&no_frames);
        let mut compared = 0;
        for place in frames.chunk_by(|a, _| a["inline"] == true) {
            let frame = place.last().unwrap();
            let pc = u64::from_str_radix(frame["pc"].as_str().unwrap(), 16).unwrap();
            let at_kernel =
                opened.symbols.modules().holding(VirtAddr(pc)).is_none() && opened.symbols.is_text(VirtAddr(pc));
            // Neither a module's nor the user program's that made the last call.
            if !at_kernel {
                continue;
            }
            let at = if frame["interrupted"] == true { pc } else { pc - 1 };
            let found = lines.places(at.wrapping_sub(debug.slide.unwrap()));
            let names: Vec<Option<&str>> = found.iter().map(|place| place.function.as_deref()).collect();
            let expected: Vec<Option<&str>> = place.iter().map(|frame| frame["name"].as_str()).collect();
            // Assembler code has a line, but no function in DWARF: drgn then gives the symbol.
            if names != [None] {
                assert_eq!(names, expected, "{}: {frame}", opened.name);
            }
            let is_relative = |source: &str| !source.starts_with('/') && !source.starts_with('.');
            for place in &found {
                let source = place.source.as_deref().unwrap_or("?");
                assert!(is_relative(source) && source.contains(':'), "{}: {source}", opened.name);
            }
            compared += 1;
        }
        eprintln!("{}: {compared} places", opened.name);
    }
}

#[test]
fn the_vmlinux_of_another_kernel_is_refused() {
    let all = with_debuginfo();
    for (opened, debug) in &all {
        assert!(debug.matched_by.starts_with("build-id "), "{}", debug.matched_by);
        for (_, other) in &all {
            if other.path == debug.path {
                continue;
            }
            let files = DebugFiles {
                vmlinux: Some(other.path.clone()),
                ..DebugFiles::default()
            };
            let error = files.search(&opened.kernel, Some(&opened.symbols)).unwrap_err();
            assert!(matches!(error, DebugFilesError::Wrong { .. }), "{error}");
            for id in [debug, other].map(|debug| debug.file.build_id().unwrap()) {
                assert!(error.to_string().contains(&id), "{error}");
            }
        }
    }
}

#[test]
fn the_symbol_table_agrees_with_kallsyms() {
    for (opened, debug) in with_debuginfo() {
        let mut compared = 0;
        for listed in debug.file.symbols().iter().step_by(499).filter(|s| s.kind == 'T') {
            let expected = opened.symbols.all_by_name(&listed.name);
            let moved = listed.address.wrapping_add(debug.slide.unwrap());
            // What is thrown away after the boot (exit sections) is in no kallsyms.
            if !expected.is_empty() {
                assert!(
                    expected.iter().any(|address| address.0 == moved),
                    "{}: {}",
                    opened.name,
                    listed.name
                );
                compared += 1;
            }
        }
        assert!(compared > 20, "{}: {compared}", opened.name);
    }
}

/// The kind that a truth has, to show that there are frames to compare at all.
#[test]
fn the_truths_hold_inlined_frames() {
    let inlined = |opened: &Opened| {
        let frames = opened.truth["truth"]["drgn"]["frames"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        frames
            .iter()
            .filter(|frame| frame["inline"] == Json::Bool(true))
            .count()
    };
    let all = with_debuginfo();
    if !all.is_empty() {
        assert!(all.iter().map(|(opened, _)| inlined(opened)).sum::<usize>() > 10);
    }
}
