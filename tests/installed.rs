//! What an installed program brings along.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use common::vmcoroner;

const DUMP: &str = "corpus/anon-vma-root-null/match-6.1-anonvma.capsule";

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

/// The script of the capture kernel, with its paths led to a made-up one: what it labels, and that the dump's status comes
/// out of it whatever happens.
#[test]
fn kdump_post_labels_the_newest_dump_and_hands_the_status_on() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let made_up = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| made_up.path().join(name);
    let put = |name: &str| {
        fs::create_dir_all(at(name).parent().expect("a folder")).expect("folders");
        fs::copy(root.join(DUMP), at(name)).expect("a dump");
    };
    put("kdumproot/a disk/crash/127.0.0.1-b/vmcore");
    put("kdumproot/a disk/crash/127.0.0.1-c/vmcore");
    put("kdumproot/a disk/crash/127.0.0.1-d/vmcore");
    // Whole seconds are all that some shells compare.
    let date = |folder: &str, time: SystemTime| {
        let folder = fs::File::open(at("kdumproot/a disk/crash").join(folder)).expect("a folder");
        folder.set_modified(time).expect("its time");
    };
    let soon = SystemTime::now() + Duration::from_secs(3600);
    let mounts = format!(
        "proc /proc proc rw 0 0\n/dev/vdb {}/kdumproot/a\\040disk ext4 rw 0 0\n",
        made_up.path().display()
    );
    fs::write(at("mounts"), mounts).expect("a file");
    fs::write(at("kdump.conf"), "# kdump\npath /crash # below the disk\n").expect("a file");
    let script = fs::read_to_string(root.join("dist/kdump_post.sh")).expect("the script");
    let script = script
        .replace("/proc/mounts", &at("mounts").display().to_string())
        .replace("/etc/kdump.conf", &at("kdump.conf").display().to_string());
    fs::write(at("kdump_post.sh"), script).expect("the script");

    let programs = Path::new(env!("CARGO_BIN_EXE_vmcoroner")).parent().expect("a folder");
    let run = |shell: &[&str], programs: &Path, arguments: &[&str]| {
        let output = Command::new(shell[0])
            .args(&shell[1..])
            .arg(at("kdump_post.sh"))
            .args(arguments)
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .output();
        output.map(|output| {
            (
                output.status.code(),
                String::from_utf8_lossy(&output.stdout).into_owned(),
            )
        })
    };
    let answers = || {
        let has = |folder: &&str| {
            at("kdumproot/a disk/crash")
                .join(folder)
                .join("vmcoroner.json")
                .exists()
        };
        ["127.0.0.1-b", "127.0.0.1-c", "127.0.0.1-d"]
            .iter()
            .filter(|folder| has(folder))
            .count()
    };
    let answer = at("kdumproot/a disk/crash/127.0.0.1-c/vmcoroner.json");
    for shell in [&["sh"][..], &["dash"], &["bash"], &["busybox", "sh"]] {
        date("127.0.0.1-d", SystemTime::UNIX_EPOCH);
        date("127.0.0.1-c", soon);
        // A dump that failed; a capture kernel without the program.
        let Ok(failed) = run(shell, programs, &["3"]) else {
            continue;
        };
        assert_eq!(failed, (Some(3), String::new()), "{shell:?}");
        let none = run(shell, &at("kdumproot"), &["0"]).expect("a shell");
        assert_eq!((none.0, answers()), (Some(0), 0), "{shell:?}");
        let (status, text) = run(shell, programs, &["0"]).expect("a shell");
        assert_eq!((status, answers()), (Some(0), 1), "{shell:?}: {text}");
        assert!(text.starts_with("unknown"), "{shell:?}: {text}");
        fs::remove_file(&answer).expect("it labels the newest");
    }
    // Nothing is mounted: a dump over the network.
    fs::write(at("mounts"), "").expect("a file");
    fs::remove_file(at("kdump.conf")).expect("a file");
    assert_eq!(
        run(&["sh"], programs, &["0"]).expect("a shell"),
        (Some(0), String::new())
    );
}
