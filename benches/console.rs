//! How fast kernel text is read and named, one core, whole default rule set, in memory; and how fast crashes are grouped.
//!
//! ```text
//! cargo bench --bench console [long|dense|group]
//! ```
//!
//! prints MiB/s for a log of 100 MiB with the crash at its end, for the crash texts of the shared test data folder
//! (`$VMCORONER_SHARED`, else `../shared`; left out without it), and, as the yardstick of the machine, for `rg` or `grep`
//! counting one literal over the same bytes. CPU time of this process; the yardstick is wall time, as it is another
//! process. `group` prints the time for 10,000 to 80,000 crashes, three in four of them siblings of an earlier
//! one: twice the crashes must take about twice the time.

#![allow(clippy::disallowed_macros, reason = "the figures are for whoever runs the bench")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use vmcoroner::console;
use vmcoroner::crash::{PanicKind, Source, SourceKind};
use vmcoroner::grouping::{self, Profile};
use vmcoroner::rules::{KnowledgeBase, identify};

const ROUNDS: usize = 5;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|word| word == part);
    if is_wanted("group") {
        for count in [10_000, 20_000, 40_000, 80_000] {
            group(count);
        }
    }
    let base = KnowledgeBase::builtin();
    println!("{} rules", base.rules().len());

    if is_wanted("long") {
        let long = vec![quiet_log(100 << 20).into_bytes()];
        measure("100 MiB log, crash at its end", &base, &long, true);
        yardstick(&long);
    }
    if !is_wanted("dense") {
        return;
    }
    let texts = corpora();
    if texts.is_empty() {
        println!("no shared test data: the dense texts are left out");
        return;
    }
    measure("dense crash texts", &base, &texts, false);
    yardstick(&texts);
}

/// Reads and names every text; the best of some rounds.
fn measure(what: &str, base: &KnowledgeBase, texts: &[Vec<u8>], must_crash: bool) {
    let bytes: usize = texts.iter().map(Vec::len).sum();
    let read = |text: &Vec<u8>| console::read(text, &Source::new("bench", SourceKind::Console));
    let mut best = Duration::MAX;
    let mut best_reading = Duration::MAX;
    let mut matches = 0;
    for _ in 0..ROUNDS {
        matches = 0;
        let start = cpu_time();
        for text in texts {
            let reports = read(text);
            assert!(
                !must_crash || reports.iter().any(|report| report.panic.is_some()),
                "the crash is lost"
            );
            for report in reports.iter().filter(|report| report.panic.is_some()) {
                matches += identify(base, report, None).matches.len();
            }
        }
        best = best.min(cpu_time().saturating_sub(start));
        let start = cpu_time();
        let boots: usize = texts.iter().map(|text| read(text).len()).sum();
        assert!(boots >= texts.len(), "a text without a report");
        best_reading = best_reading.min(cpu_time().saturating_sub(start));
    }
    let rate = |spent: Duration| bytes as f64 / (1 << 20) as f64 / spent.as_secs_f64();
    println!(
        "{what}: {:.0} MiB/s; read alone {:.0} MiB/s ({} texts, {bytes} bytes, {:.1} ms, {matches} matches)",
        rate(best),
        rate(best_reading),
        texts.len(),
        best.as_secs_f64() * 1e3
    );
}

/// Groups crashes that differ as those of a fleet do: other callers, another class of failure, a frame more or less.
fn group(count: usize) {
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let crashes: Vec<Profile> = (0..count)
        .map(|_| {
            let bug = random(count / 4);
            let frame = |depth: usize| format!("function_{}", (bug * 7919 + depth * 104_729) % (count + 500));
            let mut stack: Vec<String> = (0..12).map(frame).collect();
            if random(3) == 0 {
                stack.remove(1 + random(4));
            }
            stack.extend(["vfs_write", "sys_write"].map(str::to_owned));
            // Some show one step further in, under another signature.
            let id = if random(5) == 0 {
                stack.insert(0, format!("helper_{}", random(50)));
                format!("v1-{bug}-{}", random(3))
            } else {
                format!("v1-{bug}")
            };
            Profile {
                id,
                title: String::new(),
                kind: PanicKind::NullPointerDereference,
                stack,
            }
        })
        .collect();
    let start = cpu_time();
    let groups = grouping::group(&crashes, grouping::ALIKE);
    let spent = cpu_time().saturating_sub(start);
    println!(
        "{count} crashes: {} groups in {:.1} ms",
        groups.len(),
        spent.as_secs_f64() * 1e3
    );
}

/// User and system time of this process, so that a busy machine does not count.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanoseconds = stat.split(' ').next().and_then(|first| first.parse().ok());
    nanoseconds.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);

/// A machine's everyday messages, and an oops of our own making at the end.
fn quiet_log(bytes: usize) -> String {
    let mut log = String::with_capacity(bytes + 4096);
    log.push_str("[    0.000000] Linux version 6.1.0-13-amd64 (builder@example) #1 SMP Debian 6.1.55-1\n");
    let mut number = 0u64;
    while log.len() < bytes {
        number += 1;
        let (seconds, micro) = (number / 50, number * 7919 % 1_000_000);
        let _ = match number % 4 {
            0 => writeln!(
                log,
                "[{seconds:>5}.{micro:06}] usb {}-1: new high-speed USB device number {} using xhci_hcd",
                number % 9,
                number % 127
            ),
            1 => writeln!(
                log,
                "[{seconds:>5}.{micro:06}] EXT4-fs (dm-{}): mounted filesystem with ordered data mode. Quota mode: none.",
                number % 30
            ),
            2 => writeln!(
                log,
                "[{seconds:>5}.{micro:06}] audit: type=1400 audit({seconds}.{:03}:{number}): apparmor=\"STATUS\" operation=\"profile_load\"",
                number % 1000
            ),
            _ => writeln!(
                log,
                "[{seconds:>5}.{micro:06}] systemd[1]: Started Session {number} of user root."
            ),
        };
    }
    let seconds = number / 50 + 1;
    for line in [
        "BUG: kernel NULL pointer dereference, address: 0000000000000008",
        "#PF: supervisor read access in kernel mode",
        "#PF: error_code(0x0000) - not-present page",
        "Oops: 0000 [#1] PREEMPT SMP PTI",
        "CPU: 1 PID: 77 Comm: kworker/1:1 Not tainted 6.1.0-13-amd64 #1  Debian 6.1.55-1",
        "RIP: 0010:down_read_trylock+0x9/0x50",
        "RSP: 0018:ffffb79bc014fdc0 EFLAGS: 00010246",
        "RAX: 0000000000000000 RBX: ffff9b5edb87e701 RCX: 0000000000000007",
        "Call Trace:",
        " <TASK>",
        " folio_lock_anon_vma_read+0x55/0x110",
        " rmap_walk_anon+0x2a/0x2c0",
        " shrink_folio_list+0x5e3/0xc80",
        " kthread+0xe9/0x110",
        " ret_from_fork+0x22/0x30",
        " </TASK>",
        "---[ end trace 0000000000000000 ]---",
        "Kernel panic - not syncing: Fatal exception",
    ] {
        let _ = writeln!(log, "[{seconds:>5}.000001] {line}");
    }
    log
}

/// The crash texts of all corpora.
fn corpora() -> Vec<Vec<u8>> {
    let root = std::env::var_os("VMCORONER_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let mut paths: Vec<PathBuf> = [
        "corpora/syzkaller/report",
        "corpora/abrt/abrt-examples",
        "corpora/field",
        "knowledge/upstream",
    ]
    .iter()
    .filter_map(|folder| std::fs::read_dir(root.join(folder)).ok())
    .flatten()
    .filter_map(|entry| Some(entry.ok()?.path()))
    .filter(|path| {
        path.extension()
            .is_some_and(|ending| ending == "log" || ending == "txt")
    })
    .collect();
    paths.sort();
    paths.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

/// What a search for one literal makes of the same bytes here and now.
fn yardstick(texts: &[Vec<u8>]) {
    let Ok(file) = tempfile::NamedTempFile::new() else {
        return;
    };
    let all = texts.concat();
    if std::fs::write(file.path(), &all).is_err() {
        return;
    }
    for (program, flags) in [
        ("rg", ["--no-mmap", "-c", "-F"].as_slice()),
        ("grep", ["-c", "-F"].as_slice()),
    ] {
        let mut best = Duration::MAX;
        let mut ran = false;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let status = Command::new(program)
                .args(flags)
                .arg("unable to handle")
                .arg(file.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            ran |= status.is_ok();
            best = best.min(start.elapsed());
        }
        if ran {
            let rate = all.len() as f64 / (1 << 20) as f64 / best.as_secs_f64();
            println!("  yardstick: {program} {flags:?} {rate:.0} MiB/s");
            return;
        }
    }
}
