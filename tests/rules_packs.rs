//! A team's own rules beside the shipped ones: packs, overlays, configuration, and what is said of all of them.

mod common;

use std::path::Path;

use common::{put, run_in, run_with};
use serde_json::Value;

const CRASH: &str = "\
[    9.100000] BUG: kernel NULL pointer dereference, address: 0000000000000010
[    9.100003] Oops: 0000 [#1] PREEMPT SMP NOPTI
[    9.100004] CPU: 0 PID: 77 Comm: plumber Not tainted 6.1.0-18-amd64 #1  Debian 6.1.76-1
[    9.100005] RIP: 0010:pump_water+0x13/0x60
";

fn rule(id: &str) -> String {
    format!(
        "id: {id}\ntitle: The pump leaks\nstatus: test\nmatch: {{kind: null-pointer-dereference, fault: pump_water}}\n"
    )
}

/// The rules that match the crash, with title and status.
fn matches(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Vec<(String, String, String)> {
    let mut all = vec!["identify", "crash.txt", "--format", "json"];
    all.extend(arguments);
    let (_, out, err) = run_with(folder, &all, variables);
    let json: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    json["matches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| (text(&found["rule"]), text(&found["title"]), text(&found["status"])))
        .collect()
}

#[test]
fn packs_come_from_the_command_line_the_environment_and_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    put(folder, "crash.txt", CRASH);
    put(folder, "one/one.yaml", &rule("by-flag"));
    put(folder, "two/two.yaml", &rule("by-variable"));
    put(folder, "kb/three.yaml", &rule("by-configuration"));
    put(folder, "below/crash.txt", CRASH);
    let ids = |folder: &Path, arguments: &[&str], variables: &[(&str, &str)]| {
        let mut ids: Vec<String> = matches(folder, arguments, variables)
            .into_iter()
            .map(|found| found.0)
            .collect();
        ids.retain(|id| id.starts_with("by-"));
        ids
    };
    assert_eq!(ids(folder, &["--rules", "one"], &[]), ["by-flag"]);
    assert_eq!(
        ids(folder, &[], &[("VMCORONER_RULES", "two:one/one.yaml")]),
        ["by-flag", "by-variable"]
    );
    put(folder, "vmcoroner.toml", "rules = [\"kb\"]\n");
    assert_eq!(ids(folder, &[], &[]), ["by-configuration"]);
    // A configuration holds for the folders below it, with paths beside itself.
    assert_eq!(ids(&folder.join("below"), &[], &[]), ["by-configuration"]);
    put(folder, "vmcoroner.toml", "rulse = [\"kb\"]\n");
    let (code, _, err) = run_in(folder, &["identify", "crash.txt"]);
    assert_eq!(code, 2);
    assert!(err.contains("vmcoroner.toml") && err.contains("rulse"), "{err}");
}

#[test]
fn an_overlay_disables_retitles_and_regrades_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    put(folder, "crash.txt", CRASH);
    put(folder, "kb/leak.yaml", &rule("leak"));
    let before = matches(folder, &["--rules", "kb"], &[]);
    assert!(before.contains(&("leak".into(), "The pump leaks".into(), "test".into())));
    let general = "null-pointer-dereference";
    assert!(before.iter().any(|found| found.0 == general));
    put(
        folder,
        "kb/overlay.yaml",
        "overlay: 1
rules:
  leak: {title: Ours, status: stable, reason: reviewed by us}
  null-pointer-dereference: {disable: true, reason: too wide for us}
  no-such-rule-at-all: {disable: true, reason: gone}
",
    );
    let after = matches(folder, &["--rules", "kb"], &[]);
    assert!(
        after.contains(&("leak".into(), "Ours".into(), "stable".into())),
        "{after:?}"
    );
    assert!(after.iter().all(|found| found.0 != general));
    let (code, out, _) = run_in(folder, &["rules", "check", "kb"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("warning[unused-overlay]: there is no rule `no-such-rule-at-all`"),
        "{out}"
    );
    assert!(out.contains("kb/overlay.yaml:5:3"), "{out}");
    assert!(
        out.contains("disabled: null-pointer-dereference: too wide for us"),
        "{out}"
    );
    assert!(out.contains("1 rules (1 stable) over ") && out.contains(", 1 disabled in 2 files: 0 errors, 1 warnings"));
    let (_, out, _) = run_in(folder, &["rules", "show", "leak", "--rules", "kb"]);
    assert!(out.contains("reviewed by us"), "{out}");
    let digest = |arguments: &[&str]| {
        let mut all = vec!["rules", "test", "--corpus", "kb", "--format", "json"];
        all.extend(arguments);
        let json: Value = serde_json::from_str(&run_in(folder, &all).1).unwrap();
        json["tool"]["rules_digest"].as_str().unwrap().to_owned()
    };
    assert_ne!(digest(&["--rules", "kb"]), digest(&["--rules", "kb/leak.yaml"]));
    put(
        folder,
        "kb/overlay.yaml",
        "overlay: 1\nrules: {leak: {disabled: true, reason: x}}\n",
    );
    let (code, out, _) = run_in(folder, &["rules", "check", "kb"]);
    assert_eq!(code, 1);
    assert!(out.contains("did you mean `disable`?"), "{out}");
}

#[test]
fn a_bad_rule_stops_the_run_unless_it_is_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    put(folder, "crash.txt", CRASH);
    put(folder, "kb/leak.yaml", &rule("leak"));
    put(folder, "kb/bad.yaml", "id: bad\ntitel: x\n");
    let (code, out, err) = run_in(folder, &["identify", "crash.txt", "--rules", "kb"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(
        err.contains("error[unknown-key]") && err.contains("--keep-going"),
        "{err}"
    );
    let (code, out, err) = run_in(folder, &["identify", "crash.txt", "--rules", "kb", "--keep-going"]);
    assert_eq!(code, 2, "a rule that is missing may be the one that names the bug");
    assert!(out.contains("leak"), "{out}");
    assert!(
        err.contains("not loaded: kb/bad.yaml") && err.contains("1 rules (1 test) over"),
        "{err}"
    );
}

#[test]
fn a_newer_rule_takes_the_place_of_the_shipped_one() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    put(folder, "crash.txt", CRASH);
    put(
        folder,
        "kb/null-pointer-dereference.yaml",
        &rule("null-pointer-dereference"),
    );
    let found = matches(folder, &["--rules", "kb"], &[]);
    assert!(
        found
            .iter()
            .any(|found| found.1 == "The pump leaks" && found.0 == "null-pointer-dereference")
    );
    let (_, out, _) = run_in(folder, &["rules", "check", "kb"]);
    assert!(out.contains("1 in place of shipped ones"), "{out}");
}

#[test]
fn every_label_says_which_rules_made_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    put(folder, "crash.txt", CRASH);
    let (code, version, _) = run_in(folder, &["--version"]);
    assert_eq!(code, 0);
    let (_, out, _) = run_in(folder, &["identify", "crash.txt", "--format", "json"]);
    let json: Value = serde_json::from_str(&out).unwrap();
    let digest = json["report"]["tool"]["rules_digest"].as_str().unwrap();
    assert!(
        version.starts_with("vmcoroner ") && version.contains(digest),
        "{version}"
    );
}

#[test]
fn findings_come_in_every_format_and_each_code_has_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    put(
        folder,
        "kb/bad.yaml",
        "id: bad\ntitle: x\nstatus: test\nmatch: {fault: sym+9}\n",
    );
    let (code, out, _) = run_in(folder, &["rules", "check", "kb", "--format", "sarif"]);
    assert_eq!(code, 1, "the exit code does not depend on the format");
    let sarif: Value = serde_json::from_str(&out).unwrap();
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(result["ruleId"], "decimal-offset");
    assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 4);
    let (code, out, _) = run_in(folder, &["rules", "check", "kb", "--format", "json"]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, json[0]["code"].as_str()), (1, Some("decimal-offset")));
    let (code, out, _) = run_in(folder, &["rules", "check", "--explain", "decimal-offset"]);
    assert_eq!(code, 0);
    assert!(out.contains("with `0x`"), "{out}");
    let (code, _, err) = run_in(folder, &["rules", "check", "--explain", "decimal-ofset"]);
    assert_eq!(code, 2);
    assert!(err.contains("did you mean `decimal-offset`?"), "{err}");
}

#[test]
fn a_special_case_that_no_crash_bears_out_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    put(folder, "kb/wide.yaml", &rule("wide").replace("pump_water", "pump_oil"));
    put(
        folder,
        "kb/leak.yaml",
        &format!("{}specializes: [wide, null-pointer-dereference]\n", rule("leak")),
    );
    put(folder, "corpus/leak/match-1.txt", CRASH);
    let (code, out, _) = run_in(folder, &["rules", "check", "kb"]);
    assert_eq!(code, 0);
    assert!(out.contains("no case of this rule is matched by `wide`"), "{out}");
    assert_eq!(out.matches("unproven-specializes").count(), 1, "{out}");
}
