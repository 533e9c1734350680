//! `compare` and `group` as a user sees them, over small texts of our own.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::vmcoroner;
use serde_json::Value;

/// An oops in `function`, called by `callers`, on a kernel of `release`.
fn oops(release: &str, function: &str, callers: &[&str]) -> String {
    let mut text = format!(
        "[   10.000001] BUG: kernel NULL pointer dereference, address: 0000000000000008\n\
         [   10.000002] Oops: 0000 [#1] PREEMPT SMP PTI\n\
         [   10.000003] CPU: 1 PID: 77 Comm: worker Not tainted {release} #1\n\
         [   10.000004] RIP: 0010:{function}+0x9/0x50\n\
         [   10.000005] RSP: 0018:ffffb79bc014fdc0 EFLAGS: 00010246\n\
         [   10.000006] Call Trace:\n"
    );
    for caller in callers {
        text.push_str(&format!("[   10.000007]  {caller}+0x12/0x80\n"));
    }
    text.push_str("[   10.000008] ---[ end trace 0000000000000000 ]---\n");
    text
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn run(arguments: &[&str], inputs: &[&Path]) -> (i32, Value) {
    let output = vmcoroner().args(arguments).args(inputs).output().unwrap();
    let value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap_or(-1), value)
}

const CALLERS: [&str; 5] = ["lab_reclaim", "lab_shrink", "lab_balance", "lab_swapd", "kthread"];

#[test]
fn one_bug_on_two_kernels_is_the_same_and_another_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let old = write(folder.path(), "old", &oops("5.10.0-32-amd64", "lab_lock", &CALLERS));
    let new = write(
        folder.path(),
        "new",
        &oops("6.1.0-13-amd64", "lab_lock.isra.0", &CALLERS),
    );
    let other = write(
        folder.path(),
        "other",
        &oops("6.1.0-13-amd64", "lab_read", &["lab_open", "lab_call"]),
    );
    let (code, same) = run(&["compare", "--format", "json"], &[&old, &new]);
    assert_eq!(
        (code, &same["same_signature"], &same["similarity"]),
        (0, &Value::from(true), &Value::from(1.0))
    );
    let (code, different) = run(&["compare", "--format", "json"], &[&old, &other]);
    assert_eq!((code, &different["alike"]), (1, &Value::from(false)));
    assert_eq!(different["stack"][0]["symbol"], "lab_lock");
    let (code, _) = run(&["compare"], &[&old, &folder.path().join("missing")]);
    assert_eq!(code, 2);
    let human = vmcoroner().arg("compare").arg(&old).arg(&other).output().unwrap();
    let human = String::from_utf8(human.stdout).unwrap();
    assert!(human.contains("lab_lock") && human.contains("+ lab_read"), "{human}");
}

#[test]
fn groups_gather_one_signature_and_the_near_ones() {
    let folder = tempfile::tempdir().unwrap();
    let deeper: Vec<&str> = ["lab_lock"].into_iter().chain(CALLERS).collect();
    let texts = [
        ("a", oops("5.10.0-32-amd64", "lab_lock", &CALLERS)),
        ("b", oops("6.1.0-13-amd64", "lab_read", &["lab_open", "lab_call"])),
        ("c", oops("6.1.0-13-amd64", "lab_lock", &CALLERS)),
        // One frame further in, which the older build had inlined.
        ("d", oops("6.12.0-1-amd64", "lab_lock_slow", &deeper)),
    ];
    let paths: Vec<PathBuf> = texts
        .iter()
        .map(|(name, text)| write(folder.path(), name, text))
        .collect();
    let inputs: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let (code, groups) = run(&["group", "--format", "json"], &inputs);
    assert_eq!(code, 0);
    let sizes: Vec<usize> = groups
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["members"].as_array().unwrap().len())
        .collect();
    assert_eq!(sizes, [3, 1]);
    let near = &groups[0]["members"][2];
    assert!(near["input"].as_str().unwrap().ends_with("/d"));
    assert!((0.75..1.0).contains(&near["similarity"].as_f64().unwrap()), "{near}");

    // An input without a crash is said aloud, and is no error.
    let quiet = write(folder.path(), "quiet", "[    1.000000] usb 1-1: new device\n");
    let (code, groups) = run(&["group", "--format", "jsonl"], &[inputs[0], &quiet]);
    assert_eq!((code, &groups["kind"]), (1, &Value::from("null-pointer-dereference")));
}
