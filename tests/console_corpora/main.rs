//! The crash texts of the shared test data folder against what others found in them: the table of figures that kernel
//! text is held to.
//!
//! The folder is `$VMCORONER_SHARED`, else `../shared`; without it this test says so and passes. The texts are other
//! projects' and stay there. Run with `--nocapture` to see the table, with every case that misses.

#![allow(clippy::disallowed_macros, reason = "the table is for whoever runs the test")]

mod cases;
mod field;
mod figures;
mod kinds;
mod upstream;

#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, HashMap};

use vmcoroner::crash::machinery::unify_syscall;
use vmcoroner::crash::normalise_symbol;

use cases::{Text, differences};
use figures::{Figure, Table};

#[test]
fn the_corpora_are_read_as_well_as_before() {
    let Some(shared) = support::shared_folder() else { return };
    let mut table = Table::new(differences());
    kinds::print();

    let logs = cases::read_all(&shared.join("corpora/syzkaller/report"));
    found(&mut table, &logs);
    kinds_and_functions(&mut table, &logs);
    grouping(&mut table, &logs);
    abrt(&mut table, &cases::read_all(&shared.join("corpora/abrt/abrt-examples")));
    abrt(
        &mut table,
        &cases::read_all(&shared.join("corpora/abrt/satyr-kerneloopses")),
    );
    field::score(&mut table, &cases::read_all(&shared.join("corpora/field")));
    upstream::score(&mut table, &shared.join("knowledge"), "upstream.yaml");
    upstream::score(&mut table, &shared.join("knowledge"), "upstream-seed.yaml");

    table.finish();
}

/// Logs of the fuzzer that hold no kernel crash, but one of its own.
fn is_the_fuzzers_own(log: &Text) -> bool {
    log.json["type"] == "SYZ_FAILURE"
}

fn found(table: &mut Table, logs: &[Text]) {
    for log in logs.iter().filter(|log| !is_the_fuzzers_own(log)) {
        let found = log.report.panic.is_some();
        let figure = match (log.json["crash"].as_bool(), log.json["corrupted"].as_bool()) {
            (Some(true), Some(true)) => Figure::FoundCorrupted,
            (Some(true), _) => Figure::Found,
            _ => Figure::Clean,
        };
        let expected = figure != Figure::Clean;
        let title = log
            .report
            .signature
            .as_ref()
            .map_or("nothing", |signature| &signature.title);
        table.count(figure, &log.name, found == expected, || {
            (
                title.to_owned(),
                log.json["title"].as_str().unwrap_or("nothing").to_owned(),
            )
        });
    }
}

/// The functions that a title of the fuzzer names: one, or a race's two.
fn functions(title: &str) -> Vec<&str> {
    let Some((_, place)) = title.rsplit_once(" in ") else {
        return Vec::new();
    };
    place
        .split(" / ")
        .filter(|name| {
            let symbol = |byte: u8| byte.is_ascii_alphanumeric() || b"_.$:<>".contains(&byte);
            !name.is_empty() && *name != "corrupted" && name.bytes().all(symbol)
        })
        .collect()
}

/// A function's name without what differs between builds. The fuzzer's titles leave out `sys_`, at times.
fn bare(name: &str) -> String {
    let name = unify_syscall(normalise_symbol(name)).into_owned();
    name.strip_prefix("sys_").map_or(name.clone(), str::to_owned)
}

fn kinds_and_functions(table: &mut Table, logs: &[Text]) {
    for log in logs
        .iter()
        .filter(|log| log.json["crash"] == true && !is_the_fuzzers_own(log))
    {
        let title = log.json["title"].as_str().unwrap_or_default();
        let Some(panic) = &log.report.panic else { continue };
        if let Some(expected) = kinds::of_title(title) {
            table.count(Figure::Kind, &log.name, expected.contains(&panic.kind), || {
                (panic.kind.to_string(), title.to_owned())
            });
        }
        let named = functions(title);
        if log.json["corrupted"] == true || named.is_empty() {
            continue;
        }
        let ours = log
            .report
            .signature
            .as_ref()
            .and_then(|signature| signature.function.as_deref());
        let same = ours.is_some_and(|ours| named.iter().any(|name| bare(name) == bare(ours)));
        table.count(Figure::Function, &log.name, same, || {
            (ours.unwrap_or("none").to_owned(), title.to_owned())
        });
    }
}

/// Pairs of logs that the fuzzer gives one title, against pairs that have one signature.
fn grouping(table: &mut Table, logs: &[Text]) {
    let whole = logs
        .iter()
        .filter(|log| log.json["crash"] == true && log.json["corrupted"] == false && !is_the_fuzzers_own(log));
    let mut titles: HashMap<&str, u64> = HashMap::new();
    let mut ids: HashMap<&str, u64> = HashMap::new();
    let mut both: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for log in whole {
        let (Some(title), Some(signature)) = (log.json["title"].as_str(), &log.report.signature) else {
            continue;
        };
        *titles.entry(title).or_default() += 1;
        *ids.entry(&signature.id).or_default() += 1;
        *both.entry((title, &signature.id)).or_default() += 1;
    }
    let pairs = |counts: &mut dyn Iterator<Item = u64>| counts.map(|count| count * (count - 1) / 2).sum::<u64>();
    let common = pairs(&mut both.values().copied());
    let of_titles = pairs(&mut titles.values().copied());
    let of_ids = pairs(&mut ids.values().copied());
    // F1 = 2·common / (pairs by title + pairs by signature), as hits out of a total for the table.
    table.set(Figure::Grouping, 2 * common, of_titles + of_ids);
    for log in logs
        .iter()
        .filter(|log| log.json["crash"] == true && log.json["corrupted"] == false)
    {
        if let (Some(title), Some(signature)) = (log.json["title"].as_str(), &log.report.signature) {
            let apart = titles.get(title).is_some_and(|count| *count > 1)
                && ids.get(signature.id.as_str()) != titles.get(title);
            let together = ids.get(signature.id.as_str()).is_some_and(|count| *count > 1)
                && titles.get(title) != ids.get(signature.id.as_str());
            if apart || together {
                println!(
                    "   {} {} | {} {:?} | {title}",
                    log.name, signature.id, signature.title, signature.frames
                );
            }
        }
    }
}

fn abrt(table: &mut Table, texts: &[Text]) {
    for text in texts {
        let expected = match text.json["expected_oops_count"].as_u64() {
            Some(count) => count > 0,
            None => !text.json["expected_by_upstream_test"].is_null(),
        };
        let figure = if expected { Figure::Found } else { Figure::Clean };
        if !expected && text.json["expected_oops_count"].is_null() {
            continue;
        }
        table.count(figure, &text.name, text.report.panic.is_some() == expected, || {
            (
                format!("{:?}", text.report.panic.as_ref().map(|panic| panic.kind)),
                String::new(),
            )
        });
    }
}
