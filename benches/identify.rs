//! The main job inside one process: reading a crash, judging it, and both together.
//!
//! `benches/compare.py` measures whole processes against the tools that this replaces. Real dumps are taken from the
//! folder that `VMCORONER_SHARED` names (default `../shared`), where it is there; the texts are the corpus's own.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{Criterion, criterion_group, criterion_main};
use vmcoroner::crash::CrashReport;
use vmcoroner::extract::{Depth, Job, extract};
use vmcoroner::rules::{KnowledgeBase, identify};

const TEXTS: [&str; 2] = [
    "corpus/anon-vma-root-null/match-5.10-kthread.txt",
    "corpus/el7-page-lock-anon-vma-read-thp/match-3.10.0-862-kswapd.json",
];
const DUMPS: [&str; 3] = [
    "vmcores/v01-anonvma-5.10.vmcore",
    "vmcores/v05-listadd-lzo-5.10.vmcore",
    "vmcores/v02-anonvma-6.1.vmcore",
];

fn inputs() -> Vec<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = std::env::var_os("VMCORONER_SHARED").map_or_else(|| package.join("../shared"), PathBuf::from);
    let texts = TEXTS.iter().map(|path| package.join(path));
    let dumps = DUMPS.iter().map(|path| shared.join(path)).filter(|path| path.exists());
    texts.chain(dumps).collect()
}

fn report(path: &Path) -> CrashReport {
    let job = Job {
        paths: vec![path.to_owned()],
    };
    let parts = job.open().expect("the input is there");
    let extracted = extract(&parts, Depth::default()).expect("the input is a crash");
    extracted.into_first_crash().expect("the input holds a crash")
}

fn benches(criterion: &mut Criterion) {
    let base = KnowledgeBase::builtin();
    criterion.bench_function("load the shipped rules", |bencher| {
        bencher.iter(|| black_box(KnowledgeBase::builtin()));
    });
    for path in inputs() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        criterion.bench_function(&format!("extract {name}"), |bencher| {
            bencher.iter(|| black_box(report(&path)));
        });
        let crash = report(&path);
        criterion.bench_function(&format!("judge {name}"), |bencher| {
            bencher.iter(|| black_box(identify(&base, &crash, None)));
        });
    }
}

criterion_group!(all, benches);
criterion_main!(all);
