//! The published JSON Schema is what the types say, and the tutorial is true.

mod common;

use std::fs;
use std::path::Path;

use common::vmcoroner;

fn here(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_published_schema_is_fresh() {
    let output = vmcoroner().args(["schema", "rule"]).output().unwrap();
    let fresh = String::from_utf8(output.stdout).unwrap();
    let published = fs::read_to_string(here("docs/rule.schema.json")).unwrap_or_default();
    assert!(
        published == fresh,
        "docs/rule.schema.json is stale: cargo run -- schema rule > docs/rule.schema.json"
    );
}

/// The block behind a fence of the tutorial.
fn block<'t>(text: &'t str, fence: &str) -> &'t str {
    let (_, rest) = text.split_once(&format!("```{fence}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn the_tutorial_works_as_it_is_written() {
    let tutorial = fs::read_to_string(here("docs/rules.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let id = "null-pointer-dereference-in-pump-water";
    let rule = folder.join(format!("rules/{id}.yaml"));
    let run = |arguments: &[&str]| {
        let output = vmcoroner().current_dir(folder).args(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap_or(-1), text)
    };
    fs::write(folder.join("crash.txt"), block(&tutorial, "text")).unwrap();
    let (code, out) = run(&["identify", "crash.txt"]);
    assert!(code == 1 && out.starts_with("NO KNOWN BUG"), "{out}");
    assert!(out.contains("vmcoroner rules new --from crash.txt"), "{out}");

    fs::create_dir_all(folder.join("rules")).unwrap();
    fs::create_dir_all(folder.join("corpus")).unwrap();
    let (code, draft) = run(&["rules", "new", "--from", "crash.txt"]);
    assert_eq!(code, 0);
    for line in block(&tutorial, "yaml").lines() {
        assert!(draft.lines().any(|other| other == line), "{line:?} is not in\n{draft}");
    }
    fs::write(&rule, &draft).unwrap();
    let (code, out) = run(&["rules", "check", "rules"]);
    assert!(
        code == 0 && out.ends_with(" shipped ones in 1 files: 0 errors, 0 warnings\n"),
        "{out}"
    );

    fs::write(&rule, draft.replace("fault: pump_water", "fault: pump_water+19")).unwrap();
    let (code, out) = run(&["rules", "check", "rules"]);
    assert!(code == 1 && out.contains("write `pump_water+0x13`"), "{out}");
    let (code, _) = run(&["identify", "crash.txt", "--rules", "rules"]);
    assert_eq!(code, 2);
    fs::write(&rule, &draft).unwrap();

    let (code, out) = run(&["rules", "explain", "crash.txt", id, "--rules", "rules"]);
    assert!(code == 0 && out.starts_with("LIKELY"), "{out}");
    let (code, out) = run(&["rules", "add-case", id, "crash.txt", "--rules", "rules"]);
    assert!(
        code == 0 && out.starts_with(&format!("corpus/{id}/match-6.1-pump-water.txt (")),
        "{out}"
    );
    assert!(tutorial.contains(out.trim_end()), "the tutorial shows other than {out}");
    let (code, out) = run(&["rules", "test", "--rules", "rules"]);
    assert!(code == 0 && out.contains(" 1 proven, 0 missing, 0 noisy"), "{out}");

    fs::write(folder.join("vmcoroner.toml"), block(&tutorial, "toml")).unwrap();
    let (code, out) = run(&["identify", "crash.txt"]);
    assert!(code == 0 && out.contains(id), "{out}");
    let overlay = tutorial.split("```yaml\n").nth(2).unwrap().split("```").next().unwrap();
    fs::write(folder.join("rules/overlay.yaml"), overlay).unwrap();
    let (code, out) = run(&["rules", "check"]);
    assert!(
        code == 0 && out.contains("disabled: soft-lockup: our watchdog"),
        "{out}"
    );
    assert!(out.contains("1 disabled"), "{out}");
}
