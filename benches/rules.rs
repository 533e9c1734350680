//! What the rules cost: naming a report among N rules, loading N rules from their files, starting with the shipped ones.
//!
//! The rules are made up of the corpus's own stacks, so that half of them can match. `benches/engines` compares with
//! other engines; it is a package of its own, whose dependencies nobody needs to build this one.

#![allow(clippy::unwrap_used, reason = "a bench may fail aloud")]

use std::fs;
use std::hint::black_box;
use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput};
use vmcoroner::corpus::{self, Corpus};
use vmcoroner::crash::CrashReport;
use vmcoroner::rules::{KnowledgeBase, identify};

/// Numbers that look random and are the same every time (a 64-bit linear congruential generator, Knuth's constants).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end.max(1)
    }
}

fn reports() -> Vec<CrashReport> {
    let base = KnowledgeBase::builtin();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let corpus = Corpus::open(&folder).unwrap();
    let answers = corpus
        .cases
        .iter()
        .filter_map(|case| corpus::answer(&base, &case.path).ok()?);
    answers
        .map(|(report, _)| report)
        .filter(|report| report.panic.is_some())
        .collect()
}

fn names(report: &CrashReport) -> Vec<&str> {
    let frames = report.frames.iter().filter(|frame| !frame.machinery && frame.reliable);
    frames.filter_map(|frame| frame.symbol.as_deref()).collect()
}

/// N rules of a kind and three functions in order: every other one out of a report, the rest recombined.
fn rules(reports: &[CrashReport], count: usize) -> Vec<String> {
    let mut dice = Dice(20_261_123);
    let deep: Vec<&CrashReport> = reports.iter().filter(|report| names(report).len() >= 4).collect();
    let pool: Vec<&str> = deep.iter().flat_map(|report| names(report)).collect();
    (0..count)
        .map(|number| {
            let report = deep[dice.below(deep.len())];
            let kind = report.panic.as_ref().unwrap().kind;
            let frames: Vec<String> = if number % 2 == 0 {
                let names = names(report);
                let first = dice.below(names.len() - 2);
                let third = first + 2 + dice.below(names.len() - first - 2);
                [first, first + 1, third]
                    .iter()
                    .map(|&at| names[at].to_owned())
                    .collect()
            } else {
                (0..3)
                    .map(|_| format!("{}_{}", pool[dice.below(pool.len())], dice.below(100_000)))
                    .collect()
            };
            format!(
                "schema: 1\nid: made-up-{number}\ntitle: Made up, number {number}\nstatus: stable\ndate: 2026-11-23\n\
                 match:\n  kind: {kind}\n  frames: [{}]\nconfirm:\n  registers: {{rdi: null-page}}\n\
                 affected: [{{stream: debian, seen: 6.1.76-{number}}}]\nreferences: [{{commit: 0123456789ab}}]\n\
                 root_cause: |\n  Two sentences of what goes wrong. They are as long as those of a real rule are,\n  \
                 so that reading them costs as much.\nmitigations: [{{effect: fixes, what: update}}]\n",
                frames.join(", ")
            )
        })
        .collect()
}

fn write(folder: &Path, rules: &[String]) {
    for (number, text) in rules.iter().enumerate() {
        fs::write(folder.join(format!("made-up-{number}.yaml")), text).unwrap();
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let reports = reports();
    for count in [100, 1_000, 10_000] {
        let rules = rules(&reports, count);
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &rules);
        let paths = [folder.path().to_owned()];
        let mut group = criterion.benchmark_group("load");
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(count.to_string(), |bencher| {
            bencher.iter(|| black_box(KnowledgeBase::load(&paths, false)));
        });
        group.finish();
        let loading = KnowledgeBase::load(&paths, false);
        assert_eq!(loading.diagnostics.errors(), 0, "{}", loading.diagnostics.render(false));
        let found: usize = reports
            .iter()
            .map(|report| identify(&loading.base, report, None).matches.len())
            .sum();
        let mut group = criterion.benchmark_group("identify");
        group.throughput(Throughput::Elements(reports.len() as u64));
        group.bench_function(
            format!("{count} rules, {} reports, {found} matches", reports.len()),
            |bencher| {
                bencher.iter(|| {
                    for report in &reports {
                        black_box(identify(&loading.base, report, None));
                    }
                });
            },
        );
        group.finish();
    }
    criterion.bench_function("builtin", |bencher| {
        bencher.iter(|| black_box(KnowledgeBase::builtin()))
    });
    criterion.bench_function("builtin and one identify", |bencher| {
        bencher.iter_batched(
            || (),
            |()| {
                let base = KnowledgeBase::builtin();
                black_box(identify(&base, &reports[0], None))
            },
            BatchSize::PerIteration,
        );
    });
    criterion.final_summary();
}
