//! What an installed program brings along.

mod common;

use std::fs;
use std::path::Path;

use common::vmcoroner;

#[test]
fn every_command_has_a_man_page() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let man = folder.path().join("man");
    vmcoroner().arg("man").arg(&man).assert().code(0).stdout("");
    for name in [
        "vmcoroner",
        "vmcoroner-identify",
        "vmcoroner-watch",
        "vmcoroner-rules",
        "vmcoroner-rules-check",
    ] {
        let page = fs::read_to_string(man.join(format!("{name}.1"))).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(page.contains(".SH SYNOPSIS"), "{name}");
    }
    assert!(!man.join("vmcoroner-man.1").exists(), "it is not for users");
}

#[test]
fn shells_complete_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let output = vmcoroner()
            .args(["completions", shell])
            .output()
            .expect("the binary runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("identify"), "{shell}");
    }
}

/// Files that package metadata and units name are there, and what the units call is a command line that is accepted.
#[test]
fn units_and_packages_name_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the manifest");
    let sources = manifest
        .split('"')
        .filter(|word| word.starts_with("dist/") || (word.ends_with(".md") && !word.starts_with('/')));
    let mut named = 0;
    for source in sources.filter(|source| !source.contains('*')) {
        assert!(root.join(source).exists(), "{source}");
        named += 1;
    }
    assert!(named > 5);
    let unit = fs::read_to_string(root.join("dist/systemd/vmcoroner.service")).expect("the unit");
    let call = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/usr/bin/vmcoroner "));
    let empty = tempfile::tempdir().expect("a temporary folder");
    let mut words: Vec<&str> = call.expect("the unit starts the program").split(' ').collect();
    assert_eq!(words.pop(), Some("/var/crash"));
    vmcoroner().args(words).arg(empty.path()).assert().code(0);
}
