//! `rules import` as a user meets it, over messages of our own.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::vmcoroner;
use serde_json::{Value, json};

/// Runs an import of `sources` into a folder: exit code, what it says, what went wrong.
fn import(folder: &Path, sources: &[&str]) -> (i32, Value, String) {
    let mut arguments = vec!["rules", "import", "--no-builtin", "--format", "json"];
    arguments.extend(sources);
    let output = vmcoroner().current_dir(folder).args(arguments).output().unwrap();
    (
        output.status.code().unwrap_or(-1),
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The message of a fix of a crash in `function`, called by `callers`, as a patch.
fn patch(commit: char, function: &str, callers: &[&str]) -> String {
    let commit: String = std::iter::repeat_n(commit, 40).collect();
    let calls: String = callers.iter().map(|caller| format!("  {caller}+0x2d/0x90\n")).collect();
    format!(
        "From {commit} Mon Sep 17 00:00:00 2001\n\
         From: Somebody <some@body>\n\
         Subject: [PATCH] pump: fix use-after-free when the tank runs dry\n\n\
         Whoever reads this sentence in a rule has found a bug of the importer.\n\n\
         \x20BUG: kernel NULL pointer dereference, address: 0000000000000010\n\
         \x20#PF: supervisor read access in kernel mode\n\
         \x20Oops: 0000 [#1] PREEMPT SMP NOPTI\n\
         \x20CPU: 0 PID: 77 Comm: plumber Not tainted 6.1.7 #1\n\
         \x20RIP: 0010:{function}+0x13/0x60\n\
         \x20Call Trace:\n\
         \x20 <TASK>\n{calls}  </TASK>\n\n\
         Fixes: eeeeeeeeeeee (\"pump: new driver\")\n\
         Cc: stable@vger.kernel.org # 5.10+\n\
         ---\n drivers/pump/core.c | 2 +-\n\n\
         diff --git a/drivers/pump/core.c b/drivers/pump/core.c\n"
    )
}

fn rules(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.join("rules")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_patch_becomes_a_rule_that_is_in_order_and_proven() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(
        folder,
        "patches/a.patch",
        &patch('a', "pump_water", &["fill_tank", "open_tap", "plumb"]),
    );
    write(folder, "patches/readme", "nothing of interest");
    let (code, said, err) = import(folder, &["patches"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(said["rules"]["new"], json!(["caaaaaaaaaaaa-pump-water"]));
    let path = folder.join("rules/upstream/drivers/caaaaaaaaaaaa-pump-water.yaml");
    let text = fs::read_to_string(&path).unwrap();
    for part in [
        "status: test",
        "fault: pump_water",
        "fill_tank",
        "aaaaaaaaaaaa",
        "introduced: \"5.10\"",
        "eeeeeeeeeeee",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Facts carry over, sentences do not.
    let case = fs::read_to_string(folder.join("corpus/caaaaaaaaaaaa-pump-water/match-fix-message.json")).unwrap();
    for words in ["Whoever reads", "runs dry", "Somebody"] {
        assert!(!text.contains(words) && !case.contains(words), "{words}");
    }
    let check = vmcoroner()
        .current_dir(folder)
        .args(["rules", "check", "rules", "--no-builtin"])
        .output()
        .unwrap();
    let said = String::from_utf8(check.stdout).unwrap();
    assert!(
        check.status.success() && said.contains("0 errors, 0 warnings"),
        "{said}"
    );
    let test = ["rules", "test", "--no-builtin", "--rules", "rules"];
    let test = vmcoroner().current_dir(folder).args(test).output().unwrap();
    assert!(test.status.success(), "{}", String::from_utf8_lossy(&test.stdout));
}

#[test]
fn what_is_edited_by_hand_is_kept_and_the_rest_follows_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "a.patch", &patch('a', "pump_water", &["fill_tank", "open_tap"]));
    write(folder, "b.patch", &patch('b', "drain_water", &["close_tap", "unplumb"]));
    import(folder, &["a.patch", "b.patch"]);
    let [a, b] = rules(folder).try_into().unwrap();
    let edited = fs::read_to_string(&a)
        .unwrap()
        .replace("status: test", "status: stable");
    fs::write(&a, &edited).unwrap();
    let (_, said, _) = import(folder, &["a.patch", "b.patch"]);
    assert_eq!(
        said["rules"]["edited by hand, kept"],
        json!(["caaaaaaaaaaaa-pump-water"])
    );
    assert_eq!(said["rules"]["unchanged"], json!(["cbbbbbbbbbbbb-drain-water"]));
    write(
        folder,
        "b.patch",
        &patch('b', "drain_water", &["close_tap", "unplumb"]).replace("5.10+", "5.15+"),
    );
    let (_, said, _) = import(folder, &["a.patch", "b.patch"]);
    assert_eq!(said["rules"]["updated"], json!(["cbbbbbbbbbbbb-drain-water"]));
    assert!(fs::read_to_string(&b).unwrap().contains("5.15"));
    assert_eq!(fs::read_to_string(&a).unwrap(), edited);
    // Another fix of what looks the same: neither can be named now.
    write(folder, "c.patch", &patch('c', "drain_water", &["close_tap", "unplumb"]));
    let (_, said, _) = import(folder, &["a.patch", "b.patch", "c.patch"]);
    assert_eq!(said["rules"]["removed"], json!(["cbbbbbbbbbbbb-drain-water"]), "{said}");
    assert!(!b.exists() && !folder.join("corpus/cbbbbbbbbbbbb-drain-water").exists());
    assert_eq!(fs::read_to_string(&a).unwrap(), edited);
}

#[test]
fn bugs_that_cannot_be_told_apart_get_no_rule_and_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "a.patch", &patch('a', "pump_water", &["fill_tank", "open_tap"]));
    write(folder, "b.patch", &patch('b', "pump_water", &["fill_tank", "open_tap"]));
    write(folder, "c.patch", &patch('c', "kfree", &["kthread"]));
    write(
        folder,
        "d.patch",
        &patch('d', "turn_wheel", &["grind_corn", "sell_flour"]),
    );
    let (code, said, _) = import(folder, &["a.patch", "b.patch", "c.patch", "d.patch"]);
    assert_eq!(code, 0);
    assert_eq!(said["rules"]["new"], json!(["cdddddddddddd-turn-wheel"]));
    let list = fs::read_to_string(folder.join("rules/upstream/left-out.md")).unwrap();
    assert!(
        list.contains("caaaaaaaaaaaa-pump-water: `cbbbbbbbbbbbb-pump-water`"),
        "{list}"
    );
    assert!(list.contains("- cccccccccccc: `kfree`"), "{list}");
}

#[test]
fn a_callers_crash_needs_its_caller_where_the_place_is_everybodys() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(
        folder,
        "a.patch",
        &patch('a', "mutex_lock", &["pump_water", "fill_tank", "open_tap"]),
    );
    let (_, said, err) = import(folder, &["a.patch"]);
    assert_eq!(said["rules"]["new"], json!(["caaaaaaaaaaaa-pump-water"]), "{err}");
    let text = fs::read_to_string(&rules(folder)[0]).unwrap();
    assert!(text.contains("frames: {ordered: [pump_water"), "{text}");
}

#[test]
fn a_git_history_and_a_cve_record_are_sources_too() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git")
            .current_dir(folder)
            .args([
                "-c",
                "user.name=x",
                "-c",
                "user.email=x@y",
                "-c",
                "commit.gpgsign=false",
            ])
            .args(arguments)
            .output();
        output.is_ok_and(|output| output.status.success())
    };
    let message = patch('a', "pump_water", &["fill_tank", "open_tap"]);
    let (_, message) = message.split_once("Subject: [PATCH] ").unwrap();
    let (message, _) = message
        .split_once("---\n diff")
        .or(message.split_once("---\n"))
        .unwrap();
    if git(&["init", "-q", "history"]) {
        let ran = git(&["-C", "history", "commit", "-q", "--allow-empty", "-m", message]);
        assert!(ran);
        let (code, said, err) = import(folder, &["history"]);
        assert_eq!(code, 0, "{err}");
        let new = said["rules"]["new"][0].as_str().unwrap();
        assert!(new.ends_with("-pump-water") && new.starts_with('c'), "{new}");
        fs::remove_dir_all(folder.join("rules")).unwrap();
        fs::remove_dir_all(folder.join("corpus")).unwrap();
    }
    let record = json!({
        "dataType": "CVE_RECORD",
        "cveMetadata": {"cveId": "CVE-2099-1234"},
        "containers": {"cna": {
            "title": "pump: fix",
            "descriptions": [{"lang": "en", "value": format!("In the Linux kernel:\n\n{message}")}],
            "affected": [{"programFiles": ["net/core/pump.c"], "versions": [
                {"version": "5.14", "status": "affected"},
                {"version": "6.1.9", "lessThanOrEqual": "6.1.*", "status": "unaffected", "versionType": "semver"},
            ]}],
        }},
    });
    write(folder, "cve/a.json", &record.to_string());
    let (code, said, err) = import(folder, &["cve"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(said["rules"]["new"], json!(["cve-2099-1234-pump-water"]));
    let text = fs::read_to_string(folder.join("rules/upstream/net/cve-2099-1234-pump-water.yaml")).unwrap();
    assert!(text.contains("introduced: \"5.14\", fixed: [\"6.1.9\"]"), "{text}");
    let (code, ..) = import(folder, &["nowhere"]);
    assert_eq!(code, 2);
}
