//! The machine's figures out of the real dumps in the shared test data folder, held against what `crash` printed.
//!
//! The folder is `$VMCORONER_SHARED`, else `../shared`; without it these tests say so and pass. `$VMCORONER_MORE_DUMPS`
//! may name further ones.

mod support;

use serde_json::Value as Json;
use support::opened::{Opened, is_cut_off};
use vmcoroner::kernel::cpus;
use vmcoroner::kernel::machine::{Fact, Machine, MemoryUse, Setting, System, Unknown, Value};

/// What was read of one dump, and what `crash` said of it.
struct Case {
    name: String,
    truth: Json,
    truncated: bool,
    /// What reading the figures took, in bytes of the file: types are in it, symbols' names are not.
    bytes_read: u64,
    is_wrapped: bool,
    /// CPUs online, and those that `crash` says were not.
    cpus: usize,
    offline: usize,
    /// Huge pages that the guest was booted with.
    huge_pages: i64,
    system: System,
    memory: MemoryUse,
    settings: Vec<Setting>,
}

fn cases() -> Vec<Case> {
    Opened::all().iter().map(Case::read).collect()
}

impl Case {
    fn read(opened: &Opened) -> Case {
        let memory = opened.kernel.memory();
        let cpus = cpus::online(memory, &opened.symbols);
        let before = opened.counter.bytes();
        let machine = Machine::new(memory, &opened.symbols, &opened.types, &cpus, opened.header.page_size);
        Case {
            name: opened.name.clone(),
            system: machine.system(),
            memory: machine.memory_use(),
            settings: machine.settings(),
            truth: opened.truth["truth"].clone(),
            truncated: opened.header.truncated,
            bytes_read: opened.counter.bytes() - before,
            is_wrapped: opened.is_wrapped,
            cpus: cpus.len(),
            offline: offline(opened),
            huge_pages: huge_pages(opened),
        }
    }

    /// The fact, unless the file ends before it: then `None`.
    fn known<'a, T>(&self, what: &str, fact: &'a Fact<T>) -> Option<&'a T> {
        match fact {
            Ok(value) => Some(value),
            Err(Unknown::Unreadable { source, .. }) if self.truncated && is_cut_off(source) => None,
            Err(unknown) => panic!("{}: {what}: {unknown}", self.name),
        }
    }

    fn setting(&self, name: &str) -> Option<&Value> {
        let found = self.settings.iter().find(|setting| setting.name == name).unwrap();
        found.value.as_ref().ok()
    }
}

/// What `CPUS: 4 [OFFLINE: 1]` says, in `crash`'s text beside the truth. Without kdump it means CPUs that panic()
/// stopped.
fn offline(opened: &Opened) -> usize {
    if opened.truth["made"]["via"] != "kdump" {
        return 0;
    }
    let text = opened.path.to_string_lossy().replace(".truth.json", ".crash.txt");
    let text = String::from_utf8_lossy(&std::fs::read(text).unwrap_or_default()).into_owned();
    let count = text.split_once("[OFFLINE: ").and_then(|(_, rest)| rest.split_once(']'));
    count.map_or(0, |(count, _)| count.parse().unwrap())
}

/// `hugepages=20` on the guest's command line.
fn huge_pages(opened: &Opened) -> i64 {
    let line = opened.truth["made"]["cmdline"].as_str().unwrap_or_default();
    let count = line.split(' ').find_map(|word| word.strip_prefix("hugepages="));
    count.map_or(0, |count| count.parse().unwrap())
}

/// `232 days, 05:23:55`
fn seconds(uptime: &str) -> f64 {
    let (days, time) = uptime.split_once(" days, ").unwrap_or(("0", uptime));
    let time = time
        .split(':')
        .fold(0, |sum, part| sum * 60 + part.parse::<u64>().unwrap());
    (days.parse::<u64>().unwrap() * 86_400 + time) as f64
}

/// `447.5 MB`, and how exact that is.
fn bytes(size: &str) -> (f64, f64) {
    let (number, unit) = size.split_once(' ').unwrap();
    let unit = match unit {
        "KB" => 1024.0,
        "MB" => 1024.0 * 1024.0,
        "GB" => 1024.0 * 1024.0 * 1024.0,
        other => panic!("{other}"),
    };
    (number.parse::<f64>().unwrap() * unit, 0.06 * unit)
}

#[test]
fn the_machine_as_a_whole_is_as_crash_says() {
    for case in cases() {
        let (name, truth, system) = (&case.name, &case.truth, &case.system);
        let known = |field: &str| truth[field].as_str().map(str::to_owned);
        assert_eq!(
            Some((case.cpus + case.offline) as u64),
            truth["cpus"].as_u64(),
            "{name}"
        );
        if let (Some(tasks), Some(expected)) = (case.known("tasks", &system.tasks), truth["tasks"].as_u64()) {
            // Where crash could not read the dump, the truth is drgn's, which leaves the idle tasks out.
            let idle = if truth["tool"].as_str().unwrap().starts_with("drgn") {
                case.cpus
            } else {
                0
            };
            let expected = expected + idle as u64;
            // Where pages with task_structs were left out of the dump, crash counts those that it reaches, and drgn
            // says so; the kernel's own counter stays right.
            let some_are_left_out = truth["drgn"]["tasks_error"].is_string();
            assert!(
                *tasks == expected || (some_are_left_out && *tasks > expected),
                "{name}: {tasks} {expected}"
            );
        }
        if let Some(load) = case.known("load", &system.load_average) {
            let text = load.map(|load| format!("{load:.2}")).join(", ");
            assert_eq!(Some(text), known("loadavg"), "{name}");
        }
        if let (Some(clock), Some(uptime)) = (case.known("clock", &system.clock), known("uptime")) {
            // crash counts ticks, which begin half a second into the boot and pause with an idle machine.
            let difference = clock.uptime_seconds - seconds(&uptime);
            assert!((-1.0..3.0).contains(&difference), "{name}: {clock:?} {uptime}");
            if let Some(wall) = truth["drgn"]["xtime_sec"].as_u64() {
                assert_eq!(clock.wall_seconds, wall, "{name}");
            }
        }
        if let (Some(found), Some(memory)) = (case.known("memory", &system.memory_bytes), known("memory")) {
            let (expected, exact) = bytes(&memory);
            assert!((*found as f64 - expected).abs() < exact, "{name}: {found} {memory}");
        }
        if let (Some(taint), Some(text)) = (case.known("taint", &system.taint), known("taint")) {
            let text = text.strip_prefix("TAINTED_MASK: ").unwrap();
            let (mask, letters) = text.split_once(' ').unwrap_or((text, ""));
            assert_eq!(Ok(taint.mask), u64::from_str_radix(mask, 16), "{name}");
            if !letters.is_empty() {
                assert_eq!(taint.letters.iter().collect::<String>(), letters.trim(), "{name}");
            }
        }
        if let Some(line) = case.known("command line", &system.command_line) {
            assert!(line.contains("console=ttyS0"), "{name}: {line}");
        }
    }
}

#[test]
fn memory_is_used_as_crash_says() {
    for case in cases() {
        let (memory, truth) = (&case.memory, &case.truth["kmem_pages"]);
        let fields = [
            ("total_mem", &memory.total),
            ("free", &memory.free),
            ("buffers", &memory.buffers),
            ("cached", &memory.cached),
            ("slab", &memory.slab),
            ("total_swap", &memory.swap_total),
            ("swap_free", &memory.swap_free),
            ("total_huge", &memory.huge),
            ("commit_limit", &memory.commit_limit),
            ("committed", &memory.committed_roughly),
        ];
        for (field, fact) in fields {
            if let (Some(found), Some(expected)) = (case.known(field, fact), truth[field].as_u64()) {
                assert!(
                    found.abs_diff(expected) * 100 <= expected,
                    "{}: {field} {found} {expected}",
                    case.name
                );
            }
        }
        // What the CPUs hold back each is bounded by the batch, which is at least 32 pages and grows with the memory.
        if let (Some(exactly), Some(roughly)) = (
            case.known("committed", &memory.committed),
            case.known("committed", &memory.committed_roughly),
        ) {
            let total = *memory.total.as_ref().unwrap();
            assert!(
                exactly.abs_diff(*roughly) < total / 4,
                "{}: {exactly} {roughly}",
                case.name
            );
        }
    }
}

#[test]
fn settings_are_as_the_guests_were_booted() {
    for case in cases() {
        let number = |name: &str| match case.setting(name) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        };
        assert_eq!(number("kernel.panic_on_oops"), Some(1), "{}", case.name);
        assert_eq!(number("vm.swappiness"), Some(60), "{}", case.name);
        assert_eq!(number("vm.nr_hugepages"), Some(case.huge_pages), "{}", case.name);
        assert_eq!(number("vm.overcommit_ratio"), Some(50), "{}", case.name);
        assert_eq!(
            case.setting("vm.lowmem_reserve_ratio"),
            Some(&Value::Numbers(vec![256, 256, 32, 0, 0])),
            "{}",
            case.name
        );
        assert!(number("vm.min_free_kbytes").is_some_and(|kilobytes| (500..100_000).contains(&kilobytes)));
        assert!(
            matches!(case.setting("thp.enabled"), Some(Value::Word(_))),
            "{}",
            case.name
        );
        assert!(
            matches!(case.setting("thp.defrag"), Some(Value::Word(_))),
            "{}",
            case.name
        );
        if case.name.starts_with("v07-softlockup") {
            assert_eq!(number("kernel.softlockup_panic"), Some(1));
            assert_eq!(number("kernel.watchdog_thresh"), Some(2));
        }
    }
}

#[test]
fn all_of_it_takes_few_reads() {
    /// Of the 16 MiB that all of a dump's facts may take. Pages that are stored uncompressed count in full.
    const BUDGET: u64 = 1 << 20;
    for case in cases() {
        if !case.is_wrapped {
            assert!(case.bytes_read <= BUDGET, "{}: {} bytes", case.name, case.bytes_read);
        }
    }
}
