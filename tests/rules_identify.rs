//! What a rule answers over a report: three values, tiers, folding, near misses, advice.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use vmcoroner::addr::VirtAddr;
use vmcoroner::crash::CrashReport;
use vmcoroner::rules::{Answer, Identification, KnowledgeBase, NoAnswer, Probe, Tier, identify, identify_naively};

/// A report from JSON, over a small complete one.
fn report(changes: Value) -> CrashReport {
    let mut base = json!({
        "schema": "vmcoroner/report/1",
        "source": {"path": "x", "kind": "vmcore"},
        "system": {"release": "3.10.0-862.14.4.el7.x86_64", "machine": "x86_64", "stream": "el7", "stream_basis": "suffix"},
        "panic": {"message": "BUG: unable to handle kernel NULL pointer dereference at 0000000000000008",
                  "kind": "null-pointer-dereference", "address": "0x8", "access": "read"},
        "task": {"pid": 269, "comm": "kswapd0"},
        "fault": {"role": "faulted", "symbol": "down_read_trylock", "offset": 9,
                  "registers": {"rdi": "0x8", "r14": "0x8", "r12": "0xffff9c956f7b4231", "rbx": "0xffff9c956f7b4230",
                                "rsp": "0xffff9c857ba3fa80", "rax": "0x0"}},
        "frames": [
            {"symbol": "oops_end", "machinery": true},
            {"symbol": "down_read_trylock", "offset": 9, "interrupted": true},
            {"symbol": "page_lock_anon_vma_read"},
            {"symbol": "stale", "reliable": false},
            {"symbol": "page_referenced.isra.0"},
            {"symbol": "bch_journal", "module": "bcache"},
            {"symbol": "kthread"},
        ],
        "stack": {"source": "unwound", "complete": true},
        "modules": [{"name": "dm_mod", "version": "4.9-1"}],
        "modules_complete": true,
        "taint": ["O", "E"],
        "memory": {"total_pages": 1000, "free_pages": 3, "swap_total_pages": 0, "swap_free_pages": 0},
        "settings": {"vm.min_free_kbytes": 90112, "vm.lowmem_reserve_ratio": [256, 256, 32], "thp.enabled": "always"},
        "log": {"lines": 4, "complete": true, "tail": [
            "BUG: Bad rss-counter state mm:ffff idx:1 val:1", "device eth0 entered promiscuous mode",
            "BUG: unable to handle kernel NULL pointer dereference at 0000000000000008", "Oops: 0000 [#1] SMP"]},
    });
    base["system"]["cmdline"] = json!("ro quiet transparent_hugepage=madvise crashkernel=auto");
    base["system"]["uptime_seconds"] = json!(20_064_235.0);
    base["system"]["hardware"] = json!("HP ProLiant DL380p Gen8");
    merge(&mut base, changes);
    serde_json::from_value(base).unwrap()
}

/// JSON merge patch (RFC 7396).
fn merge(base: &mut Value, changes: Value) {
    match (base, changes) {
        (Value::Object(base), Value::Object(changes)) => {
            for (key, value) in changes {
                if value.is_null() {
                    base.remove(&key);
                } else {
                    merge(base.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (base, changes) => *base = changes,
    }
}

fn rule(id: &str, body: &str) -> (String, String) {
    let scope = if body.contains("scope:") { "" } else { "scope: bug\n" };
    let status = if body.contains("status:") { "" } else { "status: test\n" };
    (
        format!("{id}.yaml"),
        format!("id: {id}\ntitle: {id}\n{status}{scope}{body}"),
    )
}

fn base(rules: &[(String, String)]) -> KnowledgeBase {
    let loading = KnowledgeBase::from_texts(rules.iter().map(|(file, text)| (file.as_str(), text.as_str())));
    assert_eq!(loading.diagnostics.errors(), 0, "{}", loading.diagnostics.render(false));
    loading.base
}

fn ask(rules: &[(String, String)], report: &CrashReport) -> Identification {
    identify(&base(rules), report, None)
}

/// What one predicate answers: through a rule whose `any` pairs it with a certain yes, so that every answer shows.
fn answer_with(predicate: &str, report: &CrashReport, probe: Option<&dyn Probe>) -> Answer {
    let indented = predicate.replace('\n', "\n  ");
    let rules = [rule(
        "some-rule",
        &format!("match:\n  arch: x86_64\nconfirm:\n  {indented}\n"),
    )];
    let found = identify(&base(&rules), report, probe);
    let rows = &found.matches[0].evidence;
    assert_eq!(rows.len(), 2, "{predicate}: {rows:?}");
    assert_eq!(rows[1].needs.is_some(), rows[1].answer == Answer::Unknown);
    assert_eq!(rows[1].line, Some(8));
    rows[1].answer
}

fn answer(predicate: &str, report: &CrashReport) -> Answer {
    answer_with(predicate, report, None)
}

use Answer::{No, Unknown, Yes};

#[test]
fn every_predicate_answers_yes_and_no() {
    let report = report(json!({}));
    for (predicate, expected) in [
        ("kind: [bug, null-pointer-dereference]", Yes),
        ("kind: bug", No),
        ("panic: NULL pointer dereference at 0+8$", Yes),
        ("panic: [nothing, general]", No),
        ("fault: down_read_trylock+0x9", Yes),
        ("fault: [x, down_*_trylock]", Yes),
        ("fault: down_read_trylock+0x5", No),
        ("fault: bcache:down_read_trylock", No),
        ("fault: {address: null-page}", Yes),
        ("fault: {address: 0x10}", No),
        ("fault: {access: write}", No),
        ("fault: {role: faulted}", Yes),
        ("fault: {module: bcache}", No),
        ("frames: [down_read_trylock, page_lock_anon_vma_read, kthread]", Yes),
        ("frames: [page_referenced]", Yes),
        ("frames: [page_referenced.isra.0]", Yes),
        ("frames: [page_referenced.isra.1]", No),
        ("frames: [kthread, page_referenced]", No),
        ("frames: [oops_end]", No),
        ("frames: [stale]", No),
        ("frames: [stale?]", Yes),
        ("frames: [bcache:bch_journal]", Yes),
        ("frames: [dm_mod:bch_journal]", No),
        ("frames: [{any: [x, page_referenced]}, kthread]", Yes),
        ("frames: {adjacent: [page_lock_anon_vma_read, page_referenced]}", Yes),
        ("frames: {adjacent: [page_lock_anon_vma_read, kthread]}", No),
        ("frames: {ordered: [page_referenced], within: 3}", Yes),
        ("frames: {ordered: [page_referenced], within: 2}", No),
        ("frames: {any: [x, kthread]}", Yes),
        ("frames: {none: [x, y]}", Yes),
        ("frames: {none: [x, kthread]}", No),
        ("registers: {rdi: 0x8}", Yes),
        ("registers: {rdi: [zero, null-page]}", Yes),
        ("registers: {rdi: {same_as: r14}}", Yes),
        ("registers: {r12: {same_as: rbx, plus: 1}}", Yes),
        ("registers: {rbx: {same_as: r12, plus: -1}}", Yes),
        ("registers: {rbx: {same_as: r12, plus: 1}}", No),
        ("registers: {rdi: {same_as: fault.address}}", Yes),
        ("registers: {r12: {mask: 0x3, eq: 1}}", Yes),
        ("registers: {r12: kernel}", Yes),
        ("registers: {r12: user}", No),
        ("registers: {rsp: stack}", Yes),
        ("registers: {rbx: stack}", No),
        ("registers: {rax: zero}", Yes),
        ("registers: {rdi: {min: 0x9}}", No),
        ("taint: [O, E]", Yes),
        ("taint: [O, P]", No),
        ("taint: {not: [P]}", Yes),
        ("modules: dm-mod", Yes),
        ("modules: zfs", No),
        ("modules: {absent: [zfs]}", Yes),
        ("modules: {version: {dm-mod: {min: '4.8', max: '5'}}}", Yes),
        ("modules: {version: {dm_mod: {max: '4.8'}}}", No),
        ("comm: kswapd*", Yes),
        ("comm: kworker/*", No),
        ("arch: [aarch64, x86_64]", Yes),
        ("hardware: hp proliant*", Yes),
        ("uptime: {min: 208d}", Yes),
        ("uptime: {max: 208.5d}", No),
        ("memory: {free_percent: {max: 5}}", Yes),
        ("memory: {free_percent: {min: 5}}", No),
        ("cmdline: [quiet, 'crashkernel=*']", Yes),
        ("cmdline: [nokaslr]", No),
        ("cmdline: {not: [nokaslr]}", Yes),
        ("sysctl: {vm.min_free_kbytes: 90112}", Yes),
        ("sysctl: {vm.min_free_kbytes: {max: 1000}}", No),
        ("sysctl: {vm.lowmem_reserve_ratio: 256 256 32}", Yes),
        ("sysctl: {thp.enabled: [madvise, never]}", No),
        ("log: Bad rss-counter state", Yes),
        ("log: page allocation failure", No),
        ("log: {regex: Bad rss-counter, lines: 2}", No),
        ("log: {regex: '^BUG', count: {min: 2}}", Yes),
        ("log: {regex: '^BUG', count: {max: 1}}", No),
        ("release: 3.10.0-862.*", Yes),
        ("any: [{kind: bug}, {comm: kswapd0}]", Yes),
        ("any: [{kind: bug}, {comm: x}]", No),
        ("none: [{kind: bug}, {comm: x}]", Yes),
        ("none: [{kind: bug}, {comm: kswapd0}]", No),
    ] {
        assert_eq!(answer(predicate, &report), expected, "{predicate}");
    }
}

#[test]
fn what_the_report_lacks_is_unknown() {
    let bare = report(json!({
        "panic": null, "task": null, "fault": null, "frames": null, "stack": null, "modules": null,
        "modules_complete": false, "taint": null, "memory": null, "settings": null, "log": null,
        "system": {"cmdline": null, "uptime_seconds": null, "hardware": null, "release": null},
    }));
    for predicate in [
        "kind: bug",
        "panic: x",
        "fault: x",
        "fault: {address: zero}",
        "fault: {access: read}",
        "fault: {role: faulted}",
        "fault: {module: x}",
        "frames: [x]",
        "frames: {adjacent: [x]}",
        "frames: {any: [x]}",
        "frames: {none: [x]}",
        "registers: {rdi: 0x8}",
        "registers: {any: zero}",
        "deref: {at: rdi, type: page, field: mapping, eq: 0}",
        "taint: O",
        "taint: {not: O}",
        "modules: zfs",
        "modules: {absent: zfs}",
        "modules: {version: {zfs: {min: '1'}}}",
        "comm: x",
        "hardware: x",
        "hardware: {bios: x}",
        "uptime: {min: 1d}",
        "memory: {free_percent: {max: 5}}",
        "cmdline: x",
        "cmdline: {not: x}",
        "sysctl: {vm.swappiness: 1}",
        "log: x",
        "log: {regex: x, count: {max: 3}}",
        "release: x",
        "any: [{kind: bug}, {comm: x}]",
        "none: [{kind: bug}, {comm: x}]",
    ] {
        assert_eq!(answer(predicate, &bare), Unknown, "{predicate}");
    }
}

#[test]
fn absence_is_known_only_in_a_complete_list() {
    let cut = report(json!({"stack": {"complete": false}, "modules_complete": false, "log": {"complete": false}}));
    for (predicate, expected) in [
        ("frames: [elsewhere]", Unknown),
        ("frames: {none: [elsewhere]}", Unknown),
        ("frames: [kthread]", Yes),
        ("frames: {ordered: [elsewhere], within: 2}", No),
        ("modules: zfs", Unknown),
        ("modules: {absent: zfs}", Unknown),
        ("log: elsewhere", Unknown),
        ("log: {regex: '^BUG', count: {max: 1}}", No),
        ("log: {regex: '^BUG', count: {max: 2}}", Unknown),
        ("log: {regex: '^BUG', count: {min: 3}}", Unknown),
        ("none: [{log: elsewhere}]", Unknown),
    ] {
        assert_eq!(answer(predicate, &cut), expected, "{predicate}");
    }
    let whole = report(json!({"fault": null}));
    assert_eq!(answer("fault: x", &whole), No);
    let nameless = report(json!({"frames": [{"symbol": "a"}, {"address": "0xffffffff81000000"}]}));
    assert_eq!(answer("frames: [x]", &nameless), Unknown);
    let no_offset = report(json!({"fault": {"offset": null}}));
    assert_eq!(answer("fault: down_read_trylock+0x9", &no_offset), Unknown);
    let unknown_kind = report(json!({"panic": {"kind": "unknown"}}));
    assert_eq!(answer("kind: bug", &unknown_kind), Unknown);
    assert_eq!(answer("kind: [bug, unknown]", &unknown_kind), Yes);
    let earlier = report(json!({"log": {"earlier": [{"kind": "warning", "title": "WARNING: at mm/x.c:1"}]}}));
    assert_eq!(answer("log: at mm/x", &earlier), Yes);
    // A panic that was cut off may have read anything.
    let fatal = report(json!({"panic": {"message": null, "fatal": "hung_task: blocked tasks"}}));
    assert_eq!(answer("panic: hung_task", &fatal), Yes);
    assert_eq!(answer("panic: something else", &fatal), Unknown);
}

struct Memory(BTreeMap<(u64, &'static str), u64>);

impl Probe for Memory {
    fn member(&self, at: VirtAddr, type_name: &str, field: &str) -> Result<u64, NoAnswer> {
        let missing = || NoAnswer {
            why: "the page was left out of this dump".to_owned(),
        };
        assert_eq!(type_name, "anon_vma");
        let key = self.0.keys().find(|(address, name)| *address == at.0 && *name == field);
        key.and_then(|key| self.0.get(key)).copied().ok_or_else(missing)
    }

    fn points_to(&self, at: VirtAddr, name: &str) -> Result<bool, NoAnswer> {
        Ok(at.0 == 0xffff_9c95_6f7b_4230 && name == "anon_vma")
    }
}

#[test]
fn memory_is_asked_where_there_is_some() {
    let report = report(json!({}));
    let memory = Memory(BTreeMap::from([((0xffff_9c95_6f7b_4230, "root"), 0)]));
    let ask = |predicate: &str| answer_with(predicate, &report, Some(&memory));
    assert_eq!(ask("deref: {at: rbx, type: anon_vma, field: root, eq: 0}"), Yes);
    assert_eq!(
        ask("deref: [{at: rbx, type: anon_vma, field: root, class: kernel}]"),
        No
    );
    assert_eq!(ask("deref: {at: rbx, type: anon_vma, field: refcount, eq: 0}"), Unknown);
    assert_eq!(ask("deref: {at: r15, type: anon_vma, field: root, eq: 0}"), Unknown);
    assert_eq!(ask("registers: {rbx: {points_to: anon_vma}}"), Yes);
    assert_eq!(ask("registers: {r12: {points_to: anon_vma}}"), No);
    assert_eq!(answer("registers: {rbx: {points_to: anon_vma}}", &report), Unknown);
}

fn tiers(found: &Identification) -> Vec<(&str, Tier)> {
    found
        .matches
        .iter()
        .map(|found| (found.rule.as_str(), found.tier))
        .collect()
}

#[test]
fn a_tier_says_how_sure() {
    let seen = "affected: [{stream: el7, seen: [3.10.0-862.14.4.el7]}]\n";
    let matching = "match: {fault: down_read_trylock}\n";
    let ask_one = |body: String, report: &CrashReport| {
        let found = ask(&[rule("some-rule", &body)], report);
        let found = &found.matches[0];
        (found.tier, found.reason.clone().unwrap_or_default())
    };
    let tier = |body: String, report: &CrashReport| ask_one(body, report).0;
    let crash = report(json!({}));
    assert_eq!(
        tier(
            format!("{matching}confirm: {{registers: {{rdi: 0x8}}}}\n{seen}"),
            &crash
        ),
        Tier::Exact
    );
    // An unanswered confirm is listed as not checked and does not stand in the way.
    let partly = "confirm: {registers: {rdi: 0x8, r8: 0x1}}\n";
    assert_eq!(tier(format!("{matching}{partly}{seen}"), &crash), Tier::Exact);
    let unanswered = "confirm: {registers: {r8: 0x1}}\n";
    assert_eq!(tier(format!("{matching}{unanswered}{seen}"), &crash), Tier::Likely);
    assert_eq!(tier(format!("{matching}{seen}"), &crash), Tier::Likely);
    assert_eq!(tier(matching.to_owned(), &crash), Tier::Likely);
    let confirmed = "confirm: {registers: {rdi: 0x8}}\n";
    assert_eq!(tier(format!("{matching}{confirmed}"), &crash), Tier::Likely);
    // One confirm that is no makes it related, and the reason shows.
    let (tier_no, reason) = ask_one(
        format!("{matching}confirm: {{registers: {{rdi: 0x8, rax: 0x1}}}}\n{seen}"),
        &crash,
    );
    assert_eq!(tier_no, Tier::Related);
    assert!(reason.contains("registers.rax") && reason.contains("0x0"), "{reason}");
    // The fix, another stream, a derived kernel.
    let fixed = "affected: [{stream: el7, fixed: 3.10.0-693.el7}]\n";
    let (tier_fixed, reason) = ask_one(format!("{matching}{confirmed}{fixed}"), &crash);
    assert_eq!(tier_fixed, Tier::Related);
    assert!(reason.contains("carries the fix of 3.10.0-693.el7"), "{reason}");
    let elsewhere = report(json!({"system": {"release": "5.10.0-32-amd64", "stream": "debian"}}));
    let (tier_elsewhere, reason) = ask_one(format!("{matching}{confirmed}{seen}"), &elsewhere);
    assert_eq!(tier_elsewhere, Tier::Related);
    assert!(reason.contains("known only in el7"), "{reason}");
    let derived = report(json!({"system": {"release": "3.10.0-327.36.58.4.x86_64", "stream_basis": "derived"}}));
    let everywhere = "affected: [{stream: el7, introduced: '0', fixed: 3.10.0-957.el7}]\n";
    assert_eq!(tier(format!("{matching}{confirmed}{everywhere}"), &crash), Tier::Exact);
    assert_eq!(
        tier(format!("{matching}{confirmed}{everywhere}"), &derived),
        Tier::Likely
    );
    // A general rule names no bug: never exact.
    assert_eq!(
        tier(format!("scope: general\n{matching}{confirmed}"), &crash),
        Tier::Likely
    );
}

#[test]
fn drafts_are_never_used_and_deprecated_rules_point_on() {
    let rules = [
        rule("draft-rule", "status: draft\nmatch: {comm: kswapd0}\n"),
        rule(
            "old-rule",
            "status: deprecated\nreplaced_by: new-rule\nmatch: {comm: kswapd0}\n",
        ),
        rule("new-rule", "match: {comm: kswapd0, kind: null-pointer-dereference}\n"),
    ];
    let found = ask(&rules, &report(json!({})));
    assert_eq!(tiers(&found), [("new-rule", Tier::Likely)]);
    assert_eq!(found.matches[0].folded, ["old-rule"]);
    let found = ask(&rules, &report(json!({"panic": {"kind": "bug"}})));
    assert_eq!(tiers(&found), [("old-rule", Tier::Likely)]);
    assert_eq!(found.matches[0].replaced_by.as_deref(), Some("new-rule"));
}

#[test]
fn a_special_rule_folds_the_general_ones_however_far() {
    let general = |id: &str, more: &str| {
        rule(
            id,
            &format!("scope: general\n{more}match: {{fault: down_read_trylock}}\n"),
        )
    };
    let rules = |affected: &str| {
        [
            general("aaa-most-general", ""),
            general("bbb-general", "specializes: [aaa-most-general]\n"),
            rule(
                "ccc-special",
                &format!("specializes: [bbb-general]\nmatch: {{fault: down_read_trylock}}\n{affected}"),
            ),
        ]
    };
    let found = ask(&rules(""), &report(json!({})));
    assert_eq!(tiers(&found), [("ccc-special", Tier::Likely)]);
    assert_eq!(found.matches[0].folded, ["aaa-most-general", "bbb-general"]);
    // A bug known elsewhere only hides nothing that explains this crash.
    let found = ask(
        &rules("affected: [{stream: sles, fixed: unknown}]\n"),
        &report(json!({})),
    );
    assert_eq!(
        tiers(&found),
        [("bbb-general", Tier::Likely), ("ccc-special", Tier::Related)]
    );
    assert_eq!(found.matches[0].folded, ["aaa-most-general"]);
    assert_eq!(found.label().map(|found| found.rule.as_str()), None);
}

#[test]
fn near_misses_say_what_is_missing_and_how_to_get_it() {
    let cut = report(json!({
        "frames": null, "stack": null, "log": null, "fault": {"registers": null},
        "missing": [{"fact": "frames", "why": "the log ends in the middle of the oops"}],
    }));
    let rules = [
        rule(
            "needs-frames",
            "match: {kind: null-pointer-dereference, fault: down_read_trylock, frames: [x]}\n",
        ),
        rule(
            "needs-two",
            "match: {fault: down_read_trylock, frames: [x], registers: {rdi: 0x8}}\n",
        ),
        rule("not-telling", "match: {kind: null-pointer-dereference, frames: [x]}\n"),
        rule("says-no", "match: {kind: bug, fault: down_read_trylock, frames: [x]}\n"),
        rule("in-any", "match: {any: [{fault: down_read_trylock}], log: y}\n"),
        rule(
            "general-one",
            "scope: general\nmatch: {fault: down_read_trylock, frames: [x]}\n",
        ),
        rule(
            "elsewhere",
            "match: {fault: down_read_trylock, frames: [x]}\naffected: [{stream: sles, fixed: unknown}]\n",
        ),
        rule(
            "sixth",
            "match: {fault: down_read_trylock, frames: [x], registers: {rdi: 0x8}, modules: dm_mod}\n",
        ),
    ];
    let found = ask(&rules, &cut);
    assert_eq!(tiers(&found), []);
    let near: Vec<&str> = found.near.iter().map(|near| near.rule.as_str()).collect();
    assert_eq!(near, ["needs-frames", "in-any", "sixth", "needs-two", "elsewhere"]);
    let missing = &found.near[0].missing;
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].predicate, "frames: x");
    assert!(
        missing[0].needs.contains("the log ends in the middle of the oops"),
        "{}",
        missing[0].needs
    );
    assert!(missing[0].line.is_some());
}

#[test]
fn matches_come_surest_first_and_always_in_the_same_order() {
    let rules = [
        rule("a-general", "scope: general\nmatch: {fault: down_read_trylock}\n"),
        rule(
            "b-related",
            "match: {fault: down_read_trylock}\nconfirm: {registers: {rdi: 0x1}}\n",
        ),
        rule("c-likely", "match: {fault: down_read_trylock}\n"),
        rule(
            "d-likely-with-more",
            "match: {fault: down_read_trylock, comm: kswapd0}\n",
        ),
        rule(
            "e-confirmed",
            "match: {fault: down_read_trylock}\nconfirm: {registers: {rdi: 0x8}}\n",
        ),
        rule(
            "f-exact",
            "match: {fault: down_read_trylock}\nconfirm: {comm: kswapd0}\naffected: [{stream: el7, seen: 3.10.0-862.14.4.el7}]\n",
        ),
    ];
    let report = report(json!({}));
    let found = ask(&rules, &report);
    let order: Vec<&str> = found.matches.iter().map(|found| found.rule.as_str()).collect();
    assert_eq!(
        order,
        [
            "f-exact",
            "e-confirmed",
            "d-likely-with-more",
            "c-likely",
            "a-general",
            "b-related"
        ]
    );
    let mut reversed = rules.clone();
    reversed.reverse();
    assert_eq!(ask(&reversed, &report), found);
    assert_eq!(found.label().map(|found| found.rule.as_str()), Some("f-exact"));
}

#[test]
fn advice_stands_beside_the_machines_own_values() {
    let body = "\
match: {comm: kswapd0}
mitigations:
  - effect: reduces
    what: reserve more
    sysctl: {vm.min_free_kbytes: raise, vm.lowmem_reserve_ratio: [256, 128, 32], vm.swappiness: 1}
  - effect: reduces
    what: no huge pages
    boot: transparent_hugepage=never
    sysfs: {/sys/kernel/mm/transparent_hugepage/enabled: never}
  - {effect: avoids, what: not here, when: {memory: {free_percent: {min: 50}}}}
  - {effect: avoids, what: perhaps, when: {registers: {r8: 0x1}}}
  - {effect: fixes, what: here, when: {memory: {free_percent: {max: 5}}}, upgrade: {stream: el7, to: 3.10.0-957.el7}}
";
    let found = ask(&[rule("some-rule", body)], &report(json!({})));
    assert_eq!(
        serde_json::to_value(&found.matches[0].mitigations).unwrap(),
        json!([
            {
                "effect": "reduces", "what": "reserve more",
                "sysctl": {"vm.lowmem_reserve_ratio": [256, 128, 32], "vm.min_free_kbytes": "raise", "vm.swappiness": 1},
                "now": {"vm.lowmem_reserve_ratio": [256, 256, 32], "vm.min_free_kbytes": 90112},
            },
            {
                "effect": "reduces", "what": "no huge pages", "boot": ["transparent_hugepage=never"],
                "sysfs": {"/sys/kernel/mm/transparent_hugepage/enabled": "never"},
                "now": {"/sys/kernel/mm/transparent_hugepage/enabled": "always", "transparent_hugepage": "madvise"},
            },
            {"effect": "avoids", "what": "perhaps", "when": "registers.r8: 0x1", "applies": "unknown"},
            {
                "effect": "fixes", "what": "here", "when": "memory.free_percent: <= 5 %", "applies": "yes",
                "upgrade": [{"stream": "el7", "to": "3.10.0-957.el7"}],
            },
        ])
    );
}

#[test]
fn an_identification_is_plain_json() {
    let body = "\
match: {fault: down_read_trylock}
confirm:
  registers: {rdi: 0x8}
  any: [{comm: x}, {comm: kswapd0}]
affected: [{stream: el7, seen: [3.10.0-862.14.4.el7], fixed: unknown}]
references: [{redhat-kb: 2779851, note: n}]
root_cause: |
  Because.
";
    let found = ask(&[rule("some-rule", body)], &report(json!({})));
    assert_eq!(
        serde_json::to_value(&found).unwrap(),
        json!({
            "matches": [{
                "rule": "some-rule", "title": "some-rule", "tier": "exact", "scope": "bug", "status": "test",
                "evidence": [
                    {"predicate": "fault: down_read_trylock", "answer": "yes", "found": "down_read_trylock+0x9",
                     "line": 5, "part": "match"},
                    {"predicate": "registers.rdi: 0x8", "answer": "yes", "found": "0x8", "line": 7, "part": "confirm"},
                    {"predicate": "any: comm: x | comm: kswapd0", "answer": "yes",
                     "found": "comm: kswapd0 (kswapd0)", "line": 8, "part": "confirm"},
                ],
                "folded": [],
                "affected": {"known": "yes", "note": "seen on 3.10.0-862.14.4.el7.x86_64", "stream": "el7", "fixed_in": []},
                "references": [{"type": "redhat-kb", "id": "2779851",
                                "url": "https://access.redhat.com/solutions/2779851", "note": "n"}],
                "root_cause": "Because.",
                "mitigations": [],
            }],
            "near": [],
        })
    );
}

/// A crash without a crash: no rule may claim it.
#[test]
fn an_input_without_a_crash_is_no_crash() {
    let quiet: CrashReport = serde_json::from_value(json!({
        "schema": "vmcoroner/report/1", "source": {"path": "x", "kind": "console"},
    }))
    .unwrap();
    let found = identify(&KnowledgeBase::builtin(), &quiet, None);
    assert_eq!(found, Identification::default());
}

fn arbitrary_rule() -> impl Strategy<Value = String> {
    let symbols = ["f", "g", "sys_read", "SyS_read", "f*", "g.isra.0", "m:f", "f+0x9"];
    let fault = proptest::option::of(proptest::collection::vec(
        proptest::sample::select(symbols.to_vec()),
        1..3,
    ));
    let kind = proptest::option::of(proptest::sample::select(
        &["bug", "warning", "[bug, warning]", "unknown"][..],
    ));
    let frames = [
        "[f]",
        "[f?, g]",
        "{none: [g]}",
        "[f, {any: [g, h]}]",
        "{ordered: [f, h], any: [g, sys_read]}",
        "{adjacent: [f?, g?]}",
        "{any: ['m:*', 'm:g*']}",
    ];
    let frames = proptest::option::of(proptest::sample::select(frames.to_vec()));
    let choices = [
        "[{kind: bug}, {panic: said}]",
        "[{kind: [nmi, warning]}, {log: xyzzy}]",
        "[{fault: {module: m}}, {frames: {any: ['m:*']}}]",
        "[{kind: warning, fault: f}, {comm: c}]",
        "[{comm: c}, {fault: i}]",
        "[{any: [{kind: bug}, {fault: h}]}, {frames: [f, g]}]",
    ];
    let choices = proptest::option::of(proptest::sample::select(choices.to_vec()));
    let log = proptest::option::of(Just("xyz"));
    let status = proptest::sample::select(&["test", "draft"][..]);
    (fault, kind, frames, choices, log, status).prop_map(|(fault, kind, frames, choices, log, status)| {
        let mut body = format!("status: {status}\nmatch:\n  arch: x86_64\n");
        if let Some(fault) = fault {
            body += &format!("  fault: [{}]\n", fault.join(", "));
        }
        // An alternative that asks for another kind would never hold, which is an error.
        if let Some(kind) = kind
            && !choices.is_some_and(|choices| choices.contains("kind"))
        {
            body += &format!("  kind: {kind}\n");
        }
        if let Some(frames) = frames {
            body += &format!("  frames: {frames}\n");
        }
        if let Some(choices) = choices {
            body += &format!("  any: {choices}\n");
        }
        if let Some(log) = log {
            body += &format!("  log: {log}\n");
        }
        body
    })
}

fn arbitrary_report() -> impl Strategy<Value = CrashReport> {
    let symbols = [
        "f",
        "f.isra.0",
        "g",
        "g.isra.0",
        "h",
        "i",
        "__x64_sys_read",
        "SyS_read",
        "sys_read",
    ];
    let symbol = proptest::option::of(proptest::sample::select(symbols.to_vec()));
    let fault = proptest::option::of((symbol.clone(), proptest::option::of(8u64..11), any::<bool>()));
    let kind = proptest::sample::select(&["bug", "warning", "unknown", "nmi"][..]);
    let frames = proptest::collection::vec((symbol, any::<bool>(), any::<bool>()), 0..4);
    let message = proptest::option::of(proptest::sample::select(&["said", "other"][..]));
    let flags = (any::<bool>(), any::<bool>());
    (fault, kind, message, frames, flags).prop_map(|(fault, kind, message, frames, (complete, logged))| {
        let mut changes = json!({
            "panic": {"kind": kind, "message": message},
            "fault": null,
            "frames": frames.iter().map(|(symbol, reliable, in_module)| {
                let module = in_module.then_some("m");
                match symbol {
                    Some(symbol) => json!({"symbol": symbol, "module": module, "reliable": reliable}),
                    None => json!({"module": module, "reliable": reliable}),
                }
            }).collect::<Vec<_>>(),
            "stack": {"complete": complete},
            "log": if logged { json!({"tail": ["xyzzy"]}) } else { json!({"tail": ["y"], "complete": complete}) },
        });
        let mut report = report(std::mem::take(&mut changes));
        if let Some((symbol, offset, in_module)) = fault {
            let mut fault = json!({"role": "faulted"});
            if let Some(symbol) = symbol {
                fault["symbol"] = json!(symbol);
            }
            if let Some(offset) = offset {
                fault["offset"] = json!(offset);
            }
            if in_module {
                fault["module"] = json!("m");
            }
            report.fault = Some(serde_json::from_value(fault).unwrap());
        }
        report
    })
}

proptest! {
    #[test]
    fn the_index_answers_as_asking_every_rule_does(
        rules in proptest::collection::vec(arbitrary_rule(), 1..12),
        reports in proptest::collection::vec(arbitrary_report(), 1..6),
    ) {
        let rules: Vec<_> = rules.iter().enumerate().map(|(at, body)| rule(&format!("rule-{at}"), body)).collect();
        let base = base(&rules);
        for report in &reports {
            prop_assert_eq!(identify(&base, report, None), identify_naively(&base, report, None));
        }
    }
}
