//! Every real dump: what the report says of the machine and the stack, against what `crash` says with its debuginfo.

mod common;

use std::collections::BTreeMap;

use common::{Truth, json, shared, truths};
use serde_json::Value;

fn address(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.trim_start_matches("0x"), 16).ok()
}

/// "00:01:02" or "3 days, 00:01:02" in seconds.
fn seconds(uptime: &str) -> f64 {
    let (days, clock) = uptime.split_once(" days, ").unwrap_or(("0", uptime));
    let clock = clock
        .split(':')
        .fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap());
    days.parse::<f64>().unwrap() * 86_400.0 + clock
}

struct Check<'a> {
    name: &'a str,
    truncated: bool,
    wrong: Vec<String>,
}

impl Check<'_> {
    /// Only a truncated dump may lack a fact; none may have it wrong.
    fn fact(&mut self, what: &str, found: &Value, is_right: impl FnOnce(&Value) -> bool, expected: &Value) {
        if expected.is_null() || (self.truncated && found.is_null()) || is_right(found) {
            return;
        }
        self.wrong
            .push(format!("{}: {what}: found {found}, expected {expected}", self.name));
    }

    fn same(&mut self, what: &str, found: &Value, expected: &Value) {
        self.fact(what, found, |found| found == expected, expected);
    }
}

fn check_system(check: &mut Check<'_>, system: &Value, truth: &Value) {
    check.same("cpus", &system["cpus"], &truth["cpus"]);
    check.same("tasks", &system["tasks"], &truth["tasks"]);
    let printed = |load: &Value| {
        let loads = load
            .as_array()?
            .iter()
            .map(|load| Some(format!("{:.2}", load.as_f64()?)));
        Some(loads.collect::<Option<Vec<_>>>()?.join(", "))
    };
    let load = &truth["loadavg"];
    check.fact(
        "load",
        &system["load_average"],
        |found| printed(found).as_deref() == load.as_str(),
        load,
    );
    // `crash` counts ticks, which begin later than the clock that the log shows.
    let uptime = &truth["uptime"];
    let is_near = |found: &Value| {
        let expected = uptime.as_str().map(seconds);
        expected
            .zip(found.as_f64())
            .is_some_and(|(expected, found)| (found - expected).abs() < 2.0)
    };
    check.fact("uptime", &system["uptime_seconds"], is_near, uptime);
    // "Mon Nov 23 04:28:11 UTC 2026" and "2026-11-23T04:28:11Z".
    let date = &truth["date"];
    let is_then = |found: &Value| {
        let words: Vec<&str> = date.as_str().unwrap_or_default().split_whitespace().collect();
        let [_, _, day, clock, _, year] = words[..] else {
            return false;
        };
        let found = found.as_str().unwrap_or_default();
        found.starts_with(year) && found.ends_with(&format!("{day:0>2}T{clock}Z"))
    };
    check.fact("crashed_at", &system["crashed_at"], is_then, date);
}

fn check_memory(check: &mut Check<'_>, memory: &Value, truth: &Value) {
    // Committed is left out: `crash` leaves out what each CPU has counted for itself.
    let figures = [
        ("total_pages", "total_mem"),
        ("free_pages", "free"),
        ("cached_pages", "cached"),
        ("slab_pages", "slab"),
        ("swap_total_pages", "total_swap"),
        ("swap_free_pages", "swap_free"),
        ("commit_limit_pages", "commit_limit"),
    ];
    for (ours, theirs) in figures {
        let expected = &truth[theirs];
        let is_near = |found: &Value| {
            let pair = found.as_f64().zip(expected.as_f64());
            pair.is_some_and(|(found, expected)| (found - expected).abs() <= expected / 100.0)
        };
        check.fact(ours, &memory[ours], is_near, expected);
    }
}

fn check_modules(check: &mut Check<'_>, report: &Value, truth: &Value) {
    if check.truncated {
        return;
    }
    let places = |modules: &Value, base: &str| -> BTreeMap<String, (Option<u64>, Option<u64>)> {
        let modules = modules.as_array().into_iter().flatten();
        modules
            .map(|module| {
                let name = module["name"].as_str().unwrap_or_default().to_owned();
                (name, (address(&module[base]), module["size"].as_u64()))
            })
            .collect()
    };
    let (found, expected) = (places(&report["modules"], "address"), places(&truth["modules"], "base"));
    if found != expected {
        check.wrong.push(format!(
            "{}: modules: found {found:x?}, expected {expected:x?}",
            check.name
        ));
    }
    let taints = report["modules"].as_array().into_iter().flatten();
    for module in taints.filter(|module| module["name"].as_str().is_some_and(|name| name.starts_with("crashlab"))) {
        check.same("a foreign module's taints", &module["taints"], &Value::from("OE"));
    }
}

/// A dump is looked into, not read: the most that is allowed, besides what tells where its pages are.
fn check_cost(check: &mut Check<'_>, source: &Value) {
    const MOST: u64 = 16 << 20;
    let is_unpacked = |name: &Value| ["xz", "gzip", "bzip2"].iter().any(|wrapper| name == wrapper);
    let is_plain =
        source["format"] != "flattened" && !source["compression"].as_array().into_iter().flatten().any(is_unpacked);
    if is_plain {
        check.fact(
            "bytes_read",
            &source["bytes_read"],
            |read| read.as_u64().is_some_and(|read| read <= MOST),
            &Value::from(MOST),
        );
    }
}

/// How many of `crash`'s frames the report has in that order, and how many there are.
fn agreeing_frames(report: &Value, truth: &Value) -> (usize, usize) {
    let places = |frames: &Value| -> Vec<(String, u64)> {
        let frames = frames.as_array().into_iter().flatten();
        let place = |frame: &Value| Some((frame["symbol"].as_str()?.to_owned(), frame["offset"].as_u64()?));
        frames.filter_map(place).collect()
    };
    let (found, expected) = (places(&report["frames"]), places(&truth["frames"]));
    let mut rest = found.iter();
    let agreed = expected.iter().filter(|frame| {
        let here = rest.clone();
        let hit = rest.any(|other| other == *frame);
        if !hit {
            rest = here;
        }
        hit
    });
    (agreed.count(), expected.len())
}

fn check(case: &Truth) -> (Vec<String>, (usize, usize)) {
    let (_, report) = json(&["extract", "--format", "json"], &case.dump, &[]);
    let mut check = Check {
        name: &case.name,
        truncated: report["source"]["truncated"] == true,
        wrong: Vec::new(),
    };
    check_system(&mut check, &report["system"], &case.truth);
    check_memory(&mut check, &report["memory"], &case.truth["kmem_pages"]);
    check_modules(&mut check, &report, &case.truth);
    check_cost(&mut check, &report["source"]);
    let (agreed, all) = agreeing_frames(&report, &case.truth);
    if !check.truncated {
        check.same("stack.complete", &report["stack"]["complete"], &Value::from(true));
    }
    eprintln!("{}: {agreed} of {all} frames", case.name);
    (check.wrong, (agreed, all))
}

#[test]
fn dumps_say_what_crash_says_of_the_machine() {
    let Some(folder) = shared("vmcores") else { return };
    let (mut wrong, mut agreed, mut all) = (Vec::new(), 0, 0);
    for case in truths(&folder) {
        let (own, frames) = check(&case);
        wrong.extend(own);
        agreed += frames.0;
        all += frames.1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(agreed * 100 >= all * 98, "{agreed} of {all} frames");
}
