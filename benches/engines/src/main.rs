//! The same crash rules over the same crash texts, one thread: vmcoroner's rules, YARA-X, and Sigma rules (sigma-rust).
//!
//!     engines RULES.tsv TEXTS.bin
//!
//! A line of RULES is a rule: a regex for the line that names the failure, and three functions that follow in this order.
//! TEXTS holds texts that a NUL divides. What each engine is given is prepared outside of what is timed: YARA-X takes the
//! text, Sigma and vmcoroner take facts out of it. vmcoroner looks for the functions on the crashed task's stack, where the
//! others take any that follows in the text: so it finds fewer, and other, pairs.

use std::time::Instant;

use regex::Regex;
use vmcoroner::console;
use vmcoroner::crash::{CrashReport, Source, SourceKind};
use vmcoroner::rules::{KnowledgeBase, identify};

/// A rule: what names the failure, and the functions.
struct Rule {
    kind: String,
    functions: [String; 3],
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(rules), Some(texts)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: engines RULES.tsv TEXTS.bin");
        return;
    };
    let rules = std::fs::read_to_string(rules).expect("the rules can be read");
    let texts = std::fs::read_to_string(texts).expect("the texts can be read");
    let rules: Vec<Rule> = rules.lines().filter_map(rule).collect();
    let texts: Vec<&str> = texts.split('\0').collect();
    println!("{} rules, {} texts", rules.len(), texts.len());
    ours(&rules, &texts);
    yara(&rules, &texts);
    sigma(&rules, &texts);
}

fn rule(line: &str) -> Option<Rule> {
    let mut cells = line.split('\t').map(str::to_owned);
    Some(Rule {
        kind: cells.next()?,
        functions: [cells.next()?, cells.next()?, cells.next()?],
    })
}

/// Runs a scan until it has taken a second, at most five times, and tells of the best.
fn told(engine: &str, compiled: f64, texts: &[&str], mut scan: impl FnMut() -> usize) {
    let bytes: usize = texts.iter().map(|text| text.len()).sum();
    let (mut best, mut spent, mut hits) = (f64::MAX, 0.0, 0);
    for _ in 0..5 {
        let start = Instant::now();
        hits = scan();
        let took = start.elapsed().as_secs_f64();
        best = best.min(took);
        spent += took;
        if spent > 20.0 {
            break;
        }
    }
    let each = best / texts.len() as f64;
    println!(
        "{engine:24} set-up {compiled:8.4} s   {:9.2} us a text   {:8.1} MB/s   {hits} hits",
        each * 1e6,
        bytes as f64 / best / 1e6
    );
}

fn ours(rules: &[Rule], texts: &[&str]) {
    let files: Vec<(String, String)> = rules
        .iter()
        .enumerate()
        .map(|(number, rule)| {
            let [a, b, c] = &rule.functions;
            let text = format!(
                "id: bench-{number}\ntitle: Rule {number}\nstatus: stable\nmatch:\n  panic: '{}'\n  frames: [{a}?, {b}?, {c}?]\n\
                 references: [{{commit: 0123456789ab}}]\nroot_cause: none\n",
                rule.kind.replace('\'', "''")
            );
            (format!("bench-{number}.yaml"), text)
        })
        .collect();
    let start = Instant::now();
    let loading = KnowledgeBase::from_texts(files.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    let compiled = start.elapsed().as_secs_f64();
    assert_eq!(loading.diagnostics.errors(), 0, "{}", loading.diagnostics.render(false));
    let start = Instant::now();
    let source = Source::new("text", SourceKind::Console);
    let reports: Vec<CrashReport> = texts
        .iter()
        .filter_map(|text| {
            let reports = console::read(text.as_bytes(), &source);
            reports.into_iter().find(|report| report.panic.is_some())
        })
        .collect();
    let extracted = start.elapsed().as_secs_f64();
    println!(
        "vmcoroner: facts of {} reports in {extracted:.3} s ({:.0} us each)",
        reports.len(),
        extracted * 1e6 / texts.len() as f64
    );
    told("vmcoroner identify", compiled, texts, || {
        reports.iter().map(|report| identify(&loading.base, report, None).matches.len()).sum()
    });
    told("vmcoroner candidates", compiled, texts, || {
        reports.iter().map(|report| loading.base.candidates(report).len()).sum()
    });
}

fn yara(rules: &[Rule], texts: &[&str]) {
    let mut source = String::new();
    for (number, rule) in rules.iter().enumerate() {
        let [a, b, c] = rule.functions.each_ref().map(|name| name.replace('.', "\\."));
        let kind = rule.kind.replace('/', "\\/").replace("(?:", "(");
        source.push_str(&format!(
            "rule r{number} {{ strings: $k = /{kind}/ $a = /\\b{a}\\+0x/ $b = /\\b{b}\\+0x/ $c = /\\b{c}\\+0x/ condition: \
             $k and $a and $b and $c and for any i in (1..#a) : ( @a[i] > @k[1] and for any j in (1..#b) : \
             ( @b[j] > @a[i] and @c[#c] > @b[j] ) ) }}\n"
        ));
    }
    let start = Instant::now();
    let compiled = yara_x::compile(source.as_str()).expect("the rules compile");
    let took = start.elapsed().as_secs_f64();
    let mut scanner = yara_x::Scanner::new(&compiled);
    told("YARA-X", took, texts, || {
        let hits = texts.iter().map(|text| scanner.scan(text.as_bytes()).map_or(0, |found| found.matching_rules().len()));
        hits.sum()
    });
}

fn sigma(rules: &[Rule], texts: &[&str]) {
    let place = Regex::new(r"\b([A-Za-z_][A-Za-z0-9_.]*)\+0x").expect("a regex");
    let mut kinds: Vec<&str> = rules.iter().map(|rule| rule.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let patterns: Vec<Regex> = kinds.iter().map(|kind| Regex::new(kind).expect("a regex")).collect();
    let start = Instant::now();
    let compiled: Vec<_> = rules
        .iter()
        .filter_map(|rule| {
            let kind = kinds.iter().position(|kind| *kind == rule.kind)?;
            let [a, b, c] = rule.functions.each_ref().map(|name| name.replace('.', "\\\\."));
            let yaml = format!(
                "title: t\nlogsource:\n  product: linux\ndetection:\n  s:\n    after{kind}|re: \".*[ .]{a}[ ].*[ .]{b}[ ].*[ .]{c}[ ].*\"\n  \
                 condition: s\n"
            );
            sigma_rust::rule_from_yaml(&yaml).ok()
        })
        .collect();
    let took = start.elapsed().as_secs_f64();
    let events: Vec<_> = texts
        .iter()
        .filter_map(|text| {
            let mut facts = serde_json::Map::new();
            for (number, pattern) in patterns.iter().enumerate() {
                if let Some(found) = pattern.find(text) {
                    let names = place.captures_iter(text.get(found.end()..)?).map(|name| format!(" {} ", &name[1]));
                    facts.insert(format!("after{number}"), names.collect::<String>().into());
                }
            }
            sigma_rust::event_from_json(&serde_json::Value::Object(facts).to_string()).ok()
        })
        .collect();
    told("sigma-rust", took, texts, || {
        events.iter().map(|event| compiled.iter().filter(|rule| rule.is_match(event)).count()).sum()
    });
}
