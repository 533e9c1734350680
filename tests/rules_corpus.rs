//! The corpus as a user meets it: `rules test`, `rules explain`, `rules list`, `rules add-case`.

mod common;

use std::fs;
use std::path::Path;

use common::{put, run_in};
use serde_json::Value;
use vmcoroner::corpus::{self, Corpus, Verdict, trial};
use vmcoroner::rules::{KnowledgeBase, identify, identify_naively};

fn here(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A crash in `pump_water`, called by `fill_tank`.
const LEAK: &str = "\
[    0.000000] Linux version 6.1.0-18-amd64 (debian-kernel@lists.debian.org) (gcc-12) #1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)
[    9.100000] BUG: kernel NULL pointer dereference, address: 0000000000000010
[    9.100001] #PF: supervisor read access in kernel mode
[    9.100002] #PF: error_code(0x0000) - not-present page
[    9.100003] Oops: 0000 [#1] PREEMPT SMP NOPTI
[    9.100004] CPU: 0 PID: 77 Comm: plumber Not tainted 6.1.0-18-amd64 #1  Debian 6.1.76-1
[    9.100005] RIP: 0010:pump_water+0x13/0x60
[    9.100006] RAX: 0000000000000000 RBX: ffff888003a1b000 RCX: 0000000000000000
[    9.100007] Call Trace:
[    9.100008]  <TASK>
[    9.100009]  fill_tank+0x2d/0x90
[    9.100010]  do_syscall_64+0x58/0xc0
[    9.100011]  entry_SYSCALL_64_after_hwframe+0x64/0xce
[    9.100012]  </TASK>
[    9.100013] ---[ end trace 0000000000000000 ]---
";

/// A rule for a crash at `fault`.
fn rule(id: &str, fault: &str) -> String {
    format!(
        "id: {id}\ntitle: The pump leaks\nstatus: test\nmatch:\n  kind: null-pointer-dereference\n  fault: {fault}\n"
    )
}

#[test]
fn the_shipped_corpus_proves_every_rule_it_has_cases_for() {
    let base = KnowledgeBase::builtin();
    let corpus = Corpus::open(&here("corpus")).unwrap();
    let trial = trial(&base, &corpus);
    for rule in &trial.rules {
        assert!(rule.problems.is_empty(), "{:#?}", rule.problems);
    }
    assert!(trial.is_clean(), "{:#?}", trial.unusable);
    assert!(trial.count(Verdict::Proven) >= 44);
}

#[test]
fn the_index_leaves_nothing_out_over_the_corpus() {
    let base = KnowledgeBase::builtin();
    for case in &Corpus::open(&here("corpus")).unwrap().cases {
        let (report, _) = corpus::answer(&base, &case.path).unwrap().unwrap();
        let (quick, plain) = (identify(&base, &report, None), identify_naively(&base, &report, None));
        assert_eq!(quick, plain, "{}", case.name());
    }
}

#[test]
fn a_team_sees_which_of_its_rules_are_missing_and_which_are_noisy() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    put(folder, "rules/leak.yaml", &rule("leak", "pump_water"));
    put(folder, "rules/loud.yaml", &rule("loud", "pump_*"));
    put(folder, "rules/deaf.yaml", &rule("deaf", "pump_oil"));
    put(folder, "rules/idle.yaml", &rule("idle", "pump_gas"));
    put(folder, "corpus/leak/match-1.txt", LEAK);
    put(folder, "corpus/deaf/match-1.txt", LEAK);
    // The same crash, and not the same bytes: `leak` claims it where it lies.
    put(folder, "corpus/loud/nomatch-1.txt", &format!("{LEAK}\n"));
    let arguments = ["rules", "test", "--no-builtin", "--rules", "rules", "--format", "json"];
    let (code, out, _) = run_in(folder, &arguments);
    assert_eq!(code, 1);
    let json: Value = serde_json::from_str(&out).unwrap();
    let verdicts: Vec<(&str, &str)> = json["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| (rule["rule"].as_str().unwrap(), rule["verdict"].as_str().unwrap()))
        .collect();
    // The very same case lies in `deaf`'s folder and in `leak`'s own, which makes nobody noisy.
    assert_eq!(
        verdicts,
        [
            ("deaf", "missing"),
            ("idle", "untested"),
            ("leak", "noisy"),
            ("loud", "noisy")
        ]
    );
    let problems = |at: usize| json["rules"][at]["problems"].as_array().unwrap();
    assert_eq!(problems(2).len(), 1, "{:?}", problems(2));
    assert_eq!(problems(2)[0]["case"], "loud/nomatch-1.txt");
    assert!(problems(0)[0]["why"].as_str().unwrap().contains("no: fault: pump_oil"));
    let (code, out, _) = run_in(folder, &arguments[..5]);
    assert_eq!(code, 1);
    assert!(out.contains("missing deaf on deaf/match-1.txt"), "{out}");

    fs::remove_dir_all(folder.join("corpus/deaf")).unwrap();
    fs::remove_dir_all(folder.join("corpus/loud")).unwrap();
    fs::remove_file(folder.join("rules/loud.yaml")).unwrap();
    let (code, out, _) = run_in(folder, &arguments[..5]);
    assert_eq!(code, 0, "{out}");

    put(folder, "corpus/nobody/match-1.txt", LEAK);
    put(folder, "corpus/leak/match-2.txt", "");
    put(folder, "corpus/leak/readme.txt", "");
    let (code, out, _) = run_in(folder, &arguments[..5]);
    assert_eq!(code, 1);
    assert_eq!(out.matches("\nunusable ").count(), 3, "{out}");
    let (code, ..) = run_in(folder, &["rules", "test", "--corpus", "nowhere"]);
    assert_eq!(code, 2);
}

#[test]
fn explain_says_which_predicate_decides_and_where_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    put(folder, "crash.txt", LEAK);
    put(folder, "deaf.yaml", &rule("deaf", "pump_oil"));
    let explain = |more: &[&str]| {
        let mut arguments = vec!["rules", "explain", "crash.txt", "--rules", "deaf.yaml"];
        arguments.extend(more);
        run_in(folder, &arguments)
    };
    let (code, out, _) = explain(&["deaf"]);
    assert_eq!(code, 1);
    assert!(out.starts_with("NO MATCH"), "{out}");
    assert!(
        out.contains("no      fault: pump_oil (found pump_water+0x13) [line 6]"),
        "{out}"
    );
    let (code, out, _) = explain(&["null-pointer-dereference"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("LIKELY"), "{out}");
    let (code, _, err) = explain(&["dead"]);
    assert_eq!(code, 2);
    assert!(err.contains("did you mean `deaf`?"), "{err}");
    // The kind alone tells nothing: `deaf` is not near.
    let (_, out, _) = explain(&["--near", "--no-builtin"]);
    assert!(out.contains("no rule misses by one"), "{out}");
    put(
        folder,
        "deaf.yaml",
        &format!("{}  frames: fill_tank\n", rule("deaf", "pump_oil")),
    );
    let (code, out, _) = explain(&["--near", "--no-builtin", "--format", "json"]);
    let json: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    assert_eq!(json["rules"][0]["rule"], "deaf");
    assert_eq!(json["rules"][0]["answer"], "no");
}

#[test]
fn a_case_is_added_only_where_the_rule_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let filler: String = (0..400)
        .map(|i| format!("[    5.{i:06}] usb 1-1: filler {i}\n"))
        .collect();
    let (head, rest) = LEAK.split_once('\n').unwrap();
    put(folder, "crash.txt", &format!("{head}\n{filler}{rest}"));
    put(folder, "deaf.yaml", &rule("deaf", "pump_oil"));
    put(folder, "leak.yaml", &rule("leak", "pump_water"));
    let add = |rule: &str, more: &[&str]| {
        let mut arguments = vec![
            "rules",
            "add-case",
            rule,
            "crash.txt",
            "--rules",
            "deaf.yaml",
            "--rules",
            "leak.yaml",
        ];
        arguments.extend(more);
        run_in(folder, &arguments)
    };
    let (code, _, err) = add("deaf", &[]);
    assert_eq!(code, 1);
    assert!(err.contains("does not match this crash: no: fault: pump_oil"), "{err}");
    let (code, out, _) = add("leak", &[]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with("corpus/leak/match-6.1-pump-water.txt (excerpt, "),
        "{out}"
    );
    let excerpt = fs::read_to_string(folder.join("corpus/leak/match-6.1-pump-water.txt")).unwrap();
    assert!(excerpt.starts_with(head) && excerpt.ends_with("---[ end trace 0000000000000000 ]---\n"));
    assert!(excerpt.lines().count() < 50);
    assert_eq!(add("leak", &["--nomatch"]).0, 1);
    assert_eq!(add("deaf", &["--nomatch", "--name", "water"]).0, 0);
    assert_eq!(add("deaf", &["--nomatch", "--name", "../x"]).0, 2);
    assert_eq!(
        add("leak", &[]).1.split(' ').next(),
        Some("corpus/leak/match-6.1-pump-water-2.txt")
    );
    let (code, out, _) = run_in(
        folder,
        &["rules", "test", "--rules", "deaf.yaml", "--rules", "leak.yaml"],
    );
    // The crash is `leak`'s by its own folder, and the negative of `deaf` holds the same bytes.
    assert_eq!(code, 0, "{out}");
}

#[test]
fn rules_are_listed_by_what_they_speak_of() {
    let folder = tempfile::tempdir().unwrap();
    let list = |arguments: &[&str]| {
        let mut all = vec!["rules", "list", "--format", "json"];
        all.extend(arguments);
        let (code, out, _) = run_in(folder.path(), &all);
        let json: Value = serde_json::from_str(&out).unwrap();
        let ids = json
            .as_array()
            .unwrap()
            .iter()
            .map(|card| card["id"].as_str().unwrap().to_owned());
        (code, ids.collect::<Vec<_>>())
    };
    let seed = "el7-page-lock-anon-vma-read-thp".to_owned();
    assert!(list(&["--symbol", "page_lock_anon_vma_read"]).1.contains(&seed));
    assert_eq!(list(&["--reference", "2779851"]), (0, vec![seed.clone()]));
    assert!(
        list(&["--stream", "el7", "--mitigation", "lowmem_reserve"])
            .1
            .contains(&seed)
    );
    assert_eq!(list(&["--symbol", "no_such_function_anywhere"]), (1, vec![]));
    let (code, out, _) = run_in(folder.path(), &["rules", "show", &seed]);
    assert_eq!(code, 0);
    assert!(out.contains("\nid: el7-page-lock-anon-vma-read-thp\n"), "{out}");
}

#[test]
fn a_dump_becomes_a_case_as_a_capsule() {
    let folder = tempfile::tempdir().unwrap();
    let dump = here("corpus/anon-vma-root-null/match-6.1-anonvma.capsule");
    let dump = dump.to_str().unwrap();
    let arguments = ["rules", "add-case", "anon-vma-root-null", dump, "--name", "again"];
    let (code, out, err) = run_in(folder.path(), &arguments);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("match-again.capsule (capsule, "), "{out}");
    let (code, out, _) = run_in(
        folder.path(),
        &["identify", "corpus/anon-vma-root-null/match-again.capsule"],
    );
    assert!(code == 1 && out.contains("anon-vma-root-null (likely)"), "{out}");
}

#[test]
fn what_the_rules_cost_is_counted() {
    let case = here("corpus/anon-vma-root-null/match-6.1-anonvma.capsule");
    let (code, out, err) = run_in(Path::new("."), &["identify", "--stats", case.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(
        out.contains("anon-vma-root-null") && !out.contains("microseconds"),
        "{out}"
    );
    let row = err.lines().find(|line| line.starts_with("anon-vma-root-null "));
    let words: Vec<&str> = row.unwrap_or_default().split_whitespace().collect();
    assert_eq!(words.get(1..3), Some(&["1", "1"][..]), "{err}");
    assert!(err.contains("1 reports, "), "{err}");
}
