//! What is wrong with a rule file is said all at once, at its place, with what to write instead.

use vmcoroner::rules::KnowledgeBase;
use vmcoroner::rules::diagnostic::Severity;

const GOOD: &str = "\
schema: 1
id: some-rule
title: Something breaks somewhere
status: test
match:
  kind: bug
  fault: some_function
";

/// The findings of one file: severity letter, code, line, column.
fn findings(text: &str) -> Vec<(char, &'static str, usize, usize)> {
    let loading = KnowledgeBase::from_texts([("rules/x/some-rule.yaml", text)]);
    let items = &loading.diagnostics.items;
    for item in items {
        assert!(item.help.as_ref().is_none_or(|help| !help.is_empty()), "{item}");
    }
    let errors = items.iter().any(|item| item.severity == Severity::Error);
    assert_eq!(loading.base.rules().len(), usize::from(!errors), "{items:?}");
    items
        .iter()
        .map(|item| {
            let letter = if item.severity == Severity::Error { 'E' } else { 'W' };
            (letter, item.code, item.line.unwrap_or(0), item.column.unwrap_or(0))
        })
        .collect()
}

/// The findings of the good rule with more lines.
fn with(more: &str) -> Vec<(char, &'static str, usize, usize)> {
    findings(&format!("{GOOD}{more}"))
}

#[test]
fn a_good_rule_has_no_findings() {
    assert_eq!(with(""), []);
    assert_eq!(
        with(
            "  frames: [a, b?, {any: [c, 'd*']}, mod:e+0x10]
  registers: {rdi: 0x8, r12: {same_as: rbx, plus: 1}, rax: [zero, err-ptr], any: {poison: slab-free}}
  deref: {at: r13, type: page, field: mapping, mask: 0x3, eq: 1}
  uptime: {min: 208d}
  memory: {free_percent: {max: 5}}
  sysctl: {vm.overcommit_memory: [0, 2], vm.lowmem_reserve_ratio: 256 256 32, vm.swappiness: {min: 10}}
  modules: {loaded: dm-mod, absent: [zfs], version: {mlx5_core: {min: 4.9}}}
  taint: {not: [P]}
  log: {regex: 'abc.d', lines: 50, count: {min: 2}}
  any: [{comm: 'kworker/*'}, {panic: [abc, bcd]}]
affected:
  - {stream: upstream, introduced: 5.10, fixed: [5.15.3, 6.1]}
  - {stream: el7, seen: [3.10.0-862.el7], fixed: unknown}
references: [{redhat-kb: 2779851}, {lkml: a@b.c, note: x, checked: 2026-11-23}]
mitigations:
  - effect: fixes
    what: update
    upgrade: {stream: upstream, to: 5.10}
    sysctl: {vm.min_free_kbytes: raise, vm.lowmem_reserve_ratio: [256, 128, 32], kernel.core_pattern: core}
    sysfs: {/sys/kernel/mm/transparent_hugepage/enabled: never}
    when: {memory: {free_percent: {max: 5}}}
"
        ),
        []
    );
}

#[test]
fn unknown_keys_are_refused_at_every_level() {
    assert_eq!(with("  frams: [a]\n"), [('E', "unknown-key", 8, 3)]);
    assert_eq!(with("titel: x\n"), [('E', "unknown-key", 8, 1)]);
    assert_eq!(with("frames: [a]\n"), [('E', "unknown-key", 8, 1)]);
    assert_eq!(
        with("  any: [{kind: bug}, {none: [{knd: bug}]}]\n"),
        [('E', "unknown-key", 8, 31)]
    );
    assert_eq!(with("  registers: {rdi: {same: rsi}}\n"), [('E', "unknown-key", 8, 21)]);
    assert_eq!(
        with("affected: [{stream: el7, fixd: 3}]\n"),
        [('E', "unknown-key", 8, 26)]
    );
    assert_eq!(with("references: [{bugzilla: 3}]\n"), [('E', "unknown-key", 8, 15)]);
    assert_eq!(
        with("mitigations: [{effect: fixes, what: x, sysctls: {}}]\n"),
        [('E', "unknown-key", 8, 40)]
    );
    assert_eq!(with("  memory: {free: {max: 5}}\n"), [('E', "unknown-key", 8, 12)]);
}

#[test]
fn all_problems_of_a_file_are_told_at_once() {
    let text = "\
schema: 2
id: Bad Slug
titel: x
status: stabel
match:
  kind: [nul-deref, bug]
  fault: sym+9
  panic: 'a(b'
  registers: {R08: 1, rdi: 10}
  frames: {within: none}
";
    assert_eq!(
        findings(text),
        [
            ('E', "missing-key", 1, 1),
            ('E', "out-of-range", 1, 9),
            ('E', "bad-id", 2, 5),
            ('E', "unknown-key", 3, 1),
            ('E', "unknown-word", 4, 9),
            ('E', "unknown-word", 6, 10),
            ('E', "decimal-offset", 7, 10),
            ('E', "bad-regex", 8, 10),
            ('E', "unknown-register", 9, 15),
            ('E', "decimal-value", 9, 28),
            ('E', "wrong-type", 10, 20),
        ]
    );
}

#[test]
fn values_of_the_wrong_kind_are_refused() {
    for (more, code) in [
        ("  any: {kind: bug}\n", "wrong-type"),
        ("  frames: []\n", "empty-list"),
        ("  comm:\n", "missing-value"),
        ("  log: ~\n", "missing-value"),
        ("  registers: {}\n", "empty-mapping"),
        ("  registers: [rdi]\n", "wrong-type"),
        ("  uptime: 208d\n", "wrong-type"),
        ("  uptime: {min: long}\n", "bad-duration"),
        ("  memory: {free_percent: {max: much}}\n", "wrong-type"),
        ("  memory: {free_percent: 5}\n", "wrong-type"),
        ("  taint: PO\n", "bad-taint"),
        ("  sysctl: {swappiness: 1}\n", "bad-sysctl-name"),
        ("  registers: {rdi: nullpage}\n", "bad-value"),
        ("  registers: {rdi: {poison: slab-fre}}\n", "unknown-word"),
        ("  registers: {rdi: {min: 100}}\n", "decimal-value"),
        ("  frames: [a?b]\n", "bad-symbol"),
        ("  frames: [sym+0x9/0x50]\n", "bad-symbol"),
        ("  frames: [sym+17?]\n", "decimal-offset"),
        ("  comm: '*'\n", "always-true"),
        ("date: yesterday\n", "bad-date"),
        ("scope: generic\n", "unknown-word"),
        ("affected: [{stream: rhel7, fixed: unknown}]\n", "unknown-stream"),
        ("specializes: [No Rule]\n", "bad-id"),
        ("was: a\n", "wrong-type"),
    ] {
        let found = with(more);
        assert!(
            matches!(found.as_slice(), [('E', found, 8, _)] if *found == code),
            "{more:?}: {found:?}"
        );
    }
}

#[test]
fn keys_need_their_company() {
    for (more, code) in [
        ("affected: [{stream: el7}]\n", "empty-range"),
        (
            "affected: [{stream: el7, introduced: 3.10.0-957.el7, fixed: 3.10.0-862.el7}]\n",
            "backwards-range",
        ),
        (
            "affected: [{stream: upstream, introduced: 5.10, fixed: 5.9}]\n",
            "backwards-range",
        ),
        (
            "affected: [{stream: upstream, introduced: 5.10, fixed: '5.10'}]\n",
            "backwards-range",
        ),
        (
            "affected: [{stream: upstream, introduced: 5.10, last_affected: 5.9}]\n",
            "backwards-range",
        ),
        (
            "affected: [{stream: upstream, last_affected: 5.9, fixed: 5.10}]\n",
            "conflicting-keys",
        ),
        ("affected: [{stream: el7, fixed: soon}]\n", "bad-version"),
        ("references: [{redhat-kb: KB1}]\n", "bad-reference"),
        ("references: [{cve: CVE-2016-5195, redhat-kb: 1}]\n", "bad-reference"),
        ("references: [{note: nothing}]\n", "bad-reference"),
        (
            "mitigations: [{effect: fixes, what: x, sysctl: {vm.min_free_kbytes: raised}}]\n",
            "bad-sysctl-value",
        ),
        (
            "mitigations: [{effect: fixes, what: x, sysfs: {/proc/x: 1}}]\n",
            "bad-sysfs-path",
        ),
        (
            "mitigations: [{effect: fixes, what: x, boot: a b}]\n",
            "bad-boot-option",
        ),
        ("mitigations: [{effect: fixes, what: x, when: {}}]\n", "always-true"),
        ("  uptime: {min: 3d, max: 2d}\n", "backwards-range"),
        ("  uptime: {}\n", "always-true"),
        ("  registers: {rdi: {min: 0x20, max: 0x10}}\n", "backwards-range"),
        ("  registers: {rdi: {mask: 0xf0}}\n", "always-true"),
        ("  registers: {rdi: {mask: 0xf0, eq: 0x1}}\n", "never-true"),
        ("  registers: {rdi: {same_as: rdi}}\n", "always-true"),
        ("  frames: {within: 3}\n", "always-true"),
        ("  any: [{}]\n", "always-true"),
        (
            "  deref: {at: rdi, type: struct page, field: x, eq: 0}\n",
            "bad-type-name",
        ),
        ("confirm: {}\n", "always-true"),
        ("specializes: [some-rule]\n", "refers-to-itself"),
        ("replaced_by: some-rule\n", "refers-to-itself"),
    ] {
        let found = with(more);
        assert!(
            found
                .iter()
                .any(|(severity, found, line, _)| (*severity, *found, *line) == ('E', code, 8)),
            "{more:?}: {found:?}"
        );
    }
    let status = |status: &str, more: &str| findings(&format!("{}{more}", GOOD.replace("status: test", status)));
    let codes = |found: Vec<(char, &'static str, usize, usize)>| found.into_iter().map(|f| f.1).collect::<Vec<_>>();
    assert_eq!(
        codes(status("status: stable", "")),
        ["missing-reference", "missing-root-cause"]
    );
    assert_eq!(
        codes(status("status: stable\nscope: general", "")),
        ["missing-root-cause"]
    );
    assert_eq!(
        codes(status(
            "status: stable",
            "root_cause: x\nreferences: [{redhat-kb: 1}]\n"
        )),
        [] as [&str; 0]
    );
    assert_eq!(codes(status("status: deprecated", "")), ["missing-replacement"]);
    assert_eq!(
        codes(status(
            "scope: general\nstatus: test",
            "affected: [{stream: el7, fixed: unknown}]\n"
        )),
        ["general-with-affected"]
    );
}

#[test]
fn yaml_that_is_no_rule_is_refused() {
    for (text, code) in [
        ("", "empty-file"),
        ("id: [a\n", "yaml-syntax"),
        ("- a\n", "wrong-type"),
        ("just words\n", "wrong-type"),
        ("a: 1\n---\nb: 2\n", "several-documents"),
        ("a: &x 1\nb: *x\n", "yaml-alias"),
    ] {
        let found = findings(text);
        assert!(found.iter().any(|finding| finding.1 == code), "{text:?}: {found:?}");
    }
    assert_eq!(with("id: again\n"), [('E', "duplicate-key", 8, 1)]);
    assert_eq!(with("  kind: bug\n"), [('E', "duplicate-key", 8, 3)]);
}

#[test]
fn rules_are_checked_against_each_other() {
    let rule = |id: &str, more: &str| GOOD.replace("some-rule", id) + more;
    let load = |files: &[(&str, String)]| {
        let loading = KnowledgeBase::from_texts(files.iter().map(|(file, text)| (*file, text.as_str())));
        let codes: Vec<(String, &str)> = loading
            .diagnostics
            .items
            .iter()
            .map(|item| (item.file.clone(), item.code))
            .collect();
        (loading.base.rules().len(), codes)
    };
    let named = |file: &str, code: &'static str| (file.to_owned(), code);
    let twice = [("a/one.yaml", rule("one", "")), ("b/one.yaml", rule("one", ""))];
    assert_eq!(load(&twice), (1, vec![named("b/one.yaml", "duplicate-id")]));
    let was = [("one.yaml", rule("one", "")), ("two.yaml", rule("two", "was: [one]\n"))];
    assert_eq!(load(&was), (1, vec![named("two.yaml", "stale-was")]));
    let unknown = [("one.yaml", rule("one", "specializes: [nowhere]\n"))];
    assert_eq!(load(&unknown), (1, vec![named("one.yaml", "unknown-rule")]));
    let circle = [
        ("one.yaml", rule("one", "specializes: [two]\n")),
        ("two.yaml", rule("two", "specializes: [one]\n")),
    ];
    let codes = load(&circle).1;
    assert_eq!(
        codes,
        [
            named("one.yaml", "specializes-cycle"),
            named("two.yaml", "specializes-cycle")
        ]
    );
    let misnamed = [("x.yaml", rule("one", ""))];
    assert_eq!(load(&misnamed), (1, vec![named("x.yaml", "file-name")]));
}

#[test]
fn findings_are_shown_as_a_compiler_shows_them() {
    let text = format!("{GOOD}  frams: [page_lock_anon_vma_read]\n");
    let loading = KnowledgeBase::from_texts([("rules/mm/some-rule.yaml", text.as_str())]);
    assert_eq!(
        loading.diagnostics.render(false).trim_end(),
        "\
error[unknown-key]: `frams` is not a key of `match`
 --> rules/mm/some-rule.yaml:8:3
  |
8 |   frams: [page_lock_anon_vma_read]
  |   ^^^^^ did you mean `frames`?"
    );
    assert!(loading.diagnostics.render(true).contains("\u{1b}["));
    let json = serde_json::to_value(&loading.diagnostics.items).unwrap();
    assert_eq!(
        json,
        serde_json::json!([{
            "code": "unknown-key",
            "severity": "error",
            "message": "`frams` is not a key of `match`",
            "file": "rules/mm/some-rule.yaml",
            "line": 8,
            "column": 3,
            "span": {"start": 115, "end": 120},
            "help": "did you mean `frames`?",
        }])
    );
}

#[test]
fn folders_are_walked_and_unreadable_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("mm")).unwrap();
    std::fs::create_dir(path("empty")).unwrap();
    std::fs::write(path("mm/some-rule.yaml"), GOOD).unwrap();
    std::fs::write(path("mm/bad.yaml"), [0xff, 0xfe]).unwrap();
    std::fs::write(path("mm/other.yml"), GOOD).unwrap();
    std::fs::write(path("mm/notes.txt"), "not a rule").unwrap();
    let paths = [path(""), path("mm/some-rule.yaml"), path("empty"), path("nowhere.yaml")];
    let loading = KnowledgeBase::load(&paths, false);
    let codes: Vec<&str> = loading.diagnostics.items.iter().map(|item| item.code).collect();
    assert_eq!(codes, ["no-rules", "not-utf8", "yml-file", "unreadable"]);
    assert_eq!(loading.base.rules().len(), 1);
    assert_eq!(loading.base.digest().len(), 16);
    let again = KnowledgeBase::from_texts([("elsewhere.yaml", GOOD)]);
    assert_eq!(loading.base.digest(), again.base.digest());
}

proptest::proptest! {
    /// A rule file is a hostile text: whatever stands in it, it is read or refused, and the findings can be shown.
    #[test]
    fn any_file_is_read_or_refused(
        lines in proptest::collection::vec(
            proptest::sample::select(vec![
                "id: some-rule", "title: t", "status: test", "match:", "confirm:", "  kind: bug", "  kind: [bug, é]",
                "  fault: {address: 0x10}", "  frames: [a?, {any: [b]}]", "  registers: {rdi: {min: 0x2, max: 0x1}}",
                "  any:", "    - log: '('", "  none: [{comm: x}]", "affected:", "  - {stream: el7, fixed: 5.10}",
                "references: [{cve: x}]", "mitigations: [{effect: fixes, what: é, sysctl: {a.b: [1, x]}}]", "? [x]", "- x",
                "\t", "---", "...", "&a", "*a", "!!str x", "|", ">", "'", "\"", "{", "}", "[", "]", "#", "\u{feff}", "\r",
            ]),
            0..24,
        ),
        noise in proptest::prelude::any::<String>(),
        ending in proptest::sample::select(vec!["\n", "\r\n", "\n\n"]),
    ) {
        for text in [lines.join(ending), format!("{}{noise}", lines.join(ending)), noise] {
            let loading = KnowledgeBase::from_texts([("some-rule.yaml", text.as_str())]);
            let shown = loading.diagnostics.render(true);
            proptest::prop_assert!(!loading.base.rules().is_empty() || !shown.is_empty());
        }
    }
}
