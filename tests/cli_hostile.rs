//! What a user sees of inputs that are no crash at all: one clear line each, exit 2, and never a panic or a hang.

use std::fs;
use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;

fn vmcoroner() -> Command {
    let mut command = Command::cargo_bin("vmcoroner").expect("the binary is built for tests");
    command.timeout(Duration::from_secs(20));
    command
}

/// Runs `identify` on `path`; the one line of its standard error.
fn refusal(path: &Path) -> String {
    let output = vmcoroner().arg("identify").arg(path).output().expect("the binary runs");
    let stderr = String::from_utf8(output.stderr).expect("errors are UTF-8");
    assert_eq!(output.status.code(), Some(2), "{}: {stderr}", path.display());
    assert_eq!(
        stderr.lines().count(),
        1,
        "one clear line for {}: {stderr}",
        path.display()
    );
    assert!(stderr.starts_with("error: "), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).expect("the temporary folder is writable");
    path
}

#[test]
fn files_that_are_no_crash_are_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let noise: Vec<u8> = (0u32..40_000)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let cases: &[(&str, &[u8], &str)] = &[
        ("empty", b"", "empty"),
        ("noise", &noise, ""),
        ("zip", b"PK\x03\x04\x14\0\0\0\x08\0", "zip"),
        ("sadump", b"\x75\x73\x64\x61\x6d\x70\0\0", ""),
        (
            "lime",
            b"EMiL\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            "LiME",
        ),
        ("windows", b"PAGEDU64\x0f\0\0\0", "Windows"),
        ("savevm", b"QEVM\0\0\0\x03\x07", "QEMU"),
        (
            "executable",
            b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0",
            "ELF",
        ),
        ("header-only", b"KDUMP   \x06\0\0\0Linux\0", ""),
        ("gzip-cut", b"\x1f\x8b\x08\0\0\0\0\0\0\x03", ""),
    ];
    for (name, bytes, says) in cases {
        let path = file(folder.path(), name, bytes);
        let line = refusal(&path);
        assert!(line.contains(path.to_str().unwrap()), "names the file: {line}");
        assert!(line.to_lowercase().contains(&says.to_lowercase()), "{name}: {line}");
    }
}

#[test]
fn a_folder_a_missing_file_and_a_fifo_are_refused_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let line = refusal(folder.path());
    assert!(line.contains("folder") || line.contains("directory"), "{line}");
    refusal(&folder.path().join("missing"));
    let fifo = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    if made.is_ok_and(|s| s.success()) {
        refusal(&fifo);
    } else {
        eprintln!("skipped: no mkfifo here");
    }
}

#[test]
fn one_bad_file_never_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let bad = file(folder.path(), "bad", b"PK\x03\x04");
    let good = file(
        folder.path(),
        "good.txt",
        b"[    1.000000] sysrq: Trigger a crash\n[    1.000100] Kernel panic - not syncing: sysrq triggered crash\n",
    );
    let output = vmcoroner()
        .args(["identify", "--format", "json"])
        .args([&bad, &good, &bad])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let answers: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let answers = answers.as_array().expect("an array for several inputs");
    assert_eq!(answers.len(), 3);
    assert!(answers[0]["error"].is_string() && answers[2]["error"].is_string());
    assert_eq!(answers[1]["report"]["panic"]["kind"], "sysrq");
}
