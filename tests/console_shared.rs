//! The texts in the shared test data folder: logs, consoles and `crash` sessions of the real dumps against their truth.
//!
//! The folder is `$VMCORONER_SHARED`, else `../shared`; without it these tests say so and pass.

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;
use vmcoroner::addr::VirtAddr;
use vmcoroner::console;
use vmcoroner::crash::{CrashReport, FaultRole, PanicKind, Source, SourceKind};

/// The first boot with a crash in a text, else the first boot.
fn crash_of(path: &Path) -> CrashReport {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let reports = console::read(&text, &Source::new(path.to_string_lossy(), SourceKind::Console));
    let at = reports.iter().position(|report| report.panic.is_some()).unwrap_or(0);
    reports.into_iter().nth(at).unwrap()
}

/// One crash: its truth, and the texts that lie beside it.
struct Case {
    name: String,
    truth: Value,
    texts: Vec<PathBuf>,
}

fn cases(folder: &str) -> Vec<Case> {
    let Some(shared) = support::shared_folder() else {
        return Vec::new();
    };
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(shared.join(folder)).unwrap() {
        let path = entry.unwrap().path();
        let Some(name) = path.to_string_lossy().strip_suffix(".truth.json").map(str::to_owned) else {
            continue;
        };
        let truth: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let texts = ["vmcore-dmesg.txt", "console.txt", "crash.txt"]
            .iter()
            .map(|ending| PathBuf::from(format!("{name}.{ending}")))
            .filter(|path| path.exists())
            .collect();
        cases.push(Case {
            name,
            truth: truth["truth"].clone(),
            texts,
        });
    }
    cases
}

fn is_session(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".crash.txt")
}

fn hex(value: &Value) -> VirtAddr {
    value.as_str().unwrap().parse().unwrap()
}

/// The record's name of a register in the truth: lower case, unpadded.
fn register_name(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        "r08" => "r8".to_owned(),
        "r09" => "r9".to_owned(),
        "eflags" => "rflags".to_owned(),
        _ => name,
    }
}

#[test]
fn every_text_of_a_dump_names_the_crash() {
    for case in cases("vmcores") {
        for path in &case.texts {
            let report = crash_of(path);
            let panic = report
                .panic
                .as_ref()
                .unwrap_or_else(|| panic!("{}: no crash found", path.display()));
            let headline = case.truth["oops_text"]["headline"].as_str().unwrap();
            assert_eq!(panic.message.as_deref(), Some(headline.trim()), "{}", path.display());
            let expected = match () {
                () if case.name.contains("anonvma") || case.name.contains("nullread") => {
                    PanicKind::NullPointerDereference
                }
                () if case.name.contains("gpf") => PanicKind::GeneralProtection,
                () if case.name.contains("listadd") => PanicKind::ListCorruption,
                () if case.name.contains("bug") => PanicKind::Bug,
                () if case.name.contains("softlockup") => PanicKind::SoftLockup,
                () => PanicKind::Sysrq,
            };
            assert_eq!(panic.kind, expected, "{}", path.display());
            assert_eq!(
                report.system.release.as_deref(),
                case.truth["kernel_release"].as_str(),
                "{}",
                path.display()
            );
            assert_eq!(
                report.system.version.as_deref(),
                case.truth["kernel_version"].as_str(),
                "{}",
                path.display()
            );
            assert_eq!(report.system.cpus, case.truth["cpus"].as_u64(), "{}", path.display());
        }
    }
}

#[test]
fn task_and_taint_agree_with_crash() {
    for case in cases("vmcores").into_iter().chain(cases("corpora/el7-lab")) {
        for path in &case.texts {
            let report = crash_of(path);
            let task = report
                .task
                .as_ref()
                .unwrap_or_else(|| panic!("{}: no task", path.display()));
            let expected = &case.truth["panic_task"];
            assert_eq!(task.pid, expected["pid"].as_u64(), "{}", path.display());
            assert_eq!(task.comm.as_deref(), expected["comm"].as_str(), "{}", path.display());
            assert_eq!(task.cpu, expected["cpu"].as_u64(), "{}", path.display());
            if let Some(address) = task.address {
                assert_eq!(address, hex(&expected["task"]), "{}", path.display());
            }
            let letters = case.truth["taint"]
                .as_str()
                .unwrap()
                .split_ascii_whitespace()
                .nth(2)
                .unwrap();
            let taint = report.taint.clone().unwrap_or_default().concat();
            assert_eq!(taint, letters, "{}", path.display());
        }
    }
}

#[test]
fn the_fault_and_its_registers_agree_with_crash() {
    for case in cases("vmcores").into_iter().chain(cases("corpora/el7-lab")) {
        for path in &case.texts {
            let report = crash_of(path);
            let exception = &case.truth["exception"];
            if exception.is_null() {
                assert_eq!(report.fault, None, "{}", path.display());
                continue;
            }
            let fault = report
                .fault
                .as_ref()
                .unwrap_or_else(|| panic!("{}: no fault", path.display()));
            assert_eq!(
                fault.symbol.as_deref(),
                exception["rip_symbol"].as_str(),
                "{}",
                path.display()
            );
            assert_eq!(fault.offset, exception["rip_offset"].as_u64(), "{}", path.display());
            let lockup = report
                .panic
                .as_ref()
                .is_some_and(|panic| panic.kind == PanicKind::SoftLockup);
            let role = if lockup {
                FaultRole::Interrupted
            } else {
                FaultRole::Faulted
            };
            assert_eq!(fault.role, role, "{}", path.display());
            for (name, value) in exception["regs"].as_object().unwrap() {
                let name = register_name(name);
                // The log prints neither of them, or not as a number.
                if !is_session(path) && (name == "orig_rax" || name == "rip") {
                    continue;
                }
                assert_eq!(
                    fault.registers.get(&name),
                    Some(&hex(value)),
                    "{}: {name}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn the_logs_own_trace_is_read_frame_by_frame() {
    for case in cases("vmcores").into_iter().chain(cases("corpora/el7-lab")) {
        let Some(path) = case.texts.iter().find(|path| !is_session(path)) else {
            continue;
        };
        let report = crash_of(path);
        let expected: Vec<_> = case.truth["oops_text"]["call_trace"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|frame| frame.get("symbol").is_some())
            .map(|frame| {
                (
                    frame["symbol"].as_str().unwrap(),
                    frame["offset"].as_u64(),
                    frame["size"].as_u64(),
                    frame["module"].as_str(),
                )
            })
            .collect();
        // The truth has the first trace of the event; a lockup's panic prints a longer one, a watcher's is its own.
        let frames = report
            .subject
            .as_ref()
            .map_or(&report.frames, |subject| &subject.frames);
        let found: Vec<_> = frames
            .iter()
            .map(|frame| {
                (
                    frame.symbol.as_deref().unwrap_or_default(),
                    frame.offset,
                    frame.size,
                    frame.module.as_deref(),
                )
            })
            .collect();
        let mut rest = found.iter();
        for frame in &expected {
            assert!(
                rest.any(|found| found == frame),
                "{}: {frame:?} is missing in {found:#?}",
                path.display()
            );
        }
    }
}

#[test]
fn a_session_has_all_frames_of_its_backtrace() {
    for case in cases("vmcores").into_iter().chain(cases("corpora/el7-lab")) {
        let Some(path) = case.texts.iter().find(|path| is_session(path)) else {
            continue;
        };
        let report = crash_of(path);
        assert_eq!(report.source.kind, SourceKind::CrashSession, "{}", path.display());
        assert_eq!(
            report.source.partial,
            case.truth["partial_dump"].as_bool(),
            "{}",
            path.display()
        );
        let found: Vec<_> = report
            .frames
            .iter()
            .filter(|frame| !frame.interrupted)
            .map(|frame| {
                (
                    frame.symbol.clone().unwrap_or_default(),
                    frame.offset,
                    frame.address.map(|address| address.0),
                    frame.stack_address.map(|address| address.0),
                    frame.module.clone(),
                )
            })
            .collect();
        let expected: Vec<_> = case.truth["frames"]
            .as_array()
            .unwrap()
            .iter()
            .map(|frame| {
                (
                    frame["symbol"].as_str().unwrap().to_owned(),
                    frame["offset"].as_u64(),
                    Some(hex(&frame["addr"]).0),
                    Some(hex(&frame["sp"]).0),
                    frame["module"].as_str().map(str::to_owned),
                )
            })
            .collect();
        assert_eq!(found, expected, "{}", path.display());
        let log = report.log.as_ref().unwrap();
        assert_eq!(
            log.lines,
            case.truth["log_lines"].as_u64().unwrap(),
            "{}",
            path.display()
        );
        assert!(log.complete, "{}", path.display());
        let memory = report.memory.as_ref().unwrap();
        let pages = &case.truth["kmem_pages"];
        assert_eq!(memory.total_pages, pages["total_mem"].as_u64(), "{}", path.display());
        assert_eq!(memory.free_pages, pages["free"].as_u64(), "{}", path.display());
        assert_eq!(memory.slab_pages, pages["slab"].as_u64(), "{}", path.display());
        assert_eq!(
            memory.committed_pages,
            pages["committed"].as_u64(),
            "{}",
            path.display()
        );
        assert_eq!(memory.page_size, Some(4096), "{}", path.display());
        let modules: Vec<_> = report
            .modules
            .iter()
            .map(|module| {
                (
                    module.name.clone(),
                    module.size,
                    module.address.map(|address| address.0),
                )
            })
            .collect();
        let expected: Vec<_> = case.truth["modules"]
            .as_array()
            .unwrap()
            .iter()
            .map(|module| {
                (
                    module["name"].as_str().unwrap().to_owned(),
                    module["size"].as_u64(),
                    Some(hex(&module["base"]).0),
                )
            })
            .collect();
        assert_eq!(modules, expected, "{}", path.display());
    }
}

#[test]
fn the_seeds_sessions_give_all_that_they_say() {
    let Some(shared) = support::shared_folder() else { return };
    let report = crash_of(&shared.join("seed-case/crash-session-1.txt"));
    assert_eq!(report.source.kind, SourceKind::CrashSession);
    assert_eq!(report.source.partial, Some(true));
    let system = &report.system;
    assert_eq!(system.release.as_deref(), Some("3.10.0-862.14.4.el7.x86_64"));
    assert_eq!(system.version.as_deref(), Some("#1 SMP Wed Sep 26 15:12:11 UTC 2018"));
    assert_eq!(system.machine.as_deref(), Some("x86_64"));
    assert_eq!(system.nodename.as_deref(), Some("cz"));
    assert_eq!((system.cpus, system.tasks), (Some(48), Some(877)));
    assert_eq!(system.crashed_at.as_deref(), Some("2019-07-15T05:52:53Z"));
    assert_eq!(system.uptime_seconds, Some(20_064_235.0));
    assert_eq!(system.load_average, Some([11.84, 7.15, 3.51]));
    assert_eq!(system.memory_bytes.map(|bytes| bytes >> 20), Some(130_764));
    assert_eq!(system.stream.as_deref(), Some("el7"));
    let panic = report.panic.as_ref().unwrap();
    assert_eq!(
        panic.message.as_deref(),
        Some("BUG: unable to handle kernel NULL pointer dereference at 0000000000000008")
    );
    assert_eq!(panic.kind, PanicKind::NullPointerDereference);
    assert_eq!((panic.address, panic.error_code), (Some(VirtAddr(8)), Some(0)));
    let task = report.task.as_ref().unwrap();
    assert_eq!(
        (task.pid, task.comm.as_deref(), task.cpu),
        (Some(269), Some("kswapd0"), Some(22))
    );
    assert_eq!(task.address, Some(VirtAddr(0xffff_9c95_7bc3_cf10)));
    assert_eq!(task.state.as_deref(), Some("TASK_RUNNING (PANIC)"));
    let fault = report.fault.as_ref().unwrap();
    assert_eq!(
        (fault.symbol.as_deref(), fault.offset, fault.size),
        (Some("down_read_trylock"), Some(9), Some(0x50))
    );
    assert_eq!(fault.address, Some(VirtAddr(0xffff_ffff_9c0c_2e89)));
    for (name, value) in [
        ("rdi", 8),
        ("rax", 0),
        ("r14", 8),
        ("rflags", 0x10202),
        ("r13", 0xffff_e7f2_2a9b_0000),
        ("r12", 0xffff_9c95_6f7b_4231),
        ("rbx", 0xffff_9c95_6f7b_4230),
        ("cs", 0x10),
        ("orig_rax", u64::MAX),
    ] {
        assert_eq!(fault.registers.get(name), Some(&VirtAddr(value)), "{name}");
    }
    assert_eq!(report.frames.len(), 20);
    let stopped = report.frames.iter().position(|frame| frame.interrupted).unwrap();
    let around: Vec<_> = report.frames[stopped - 1..stopped + 2]
        .iter()
        .filter_map(|frame| frame.symbol.as_deref())
        .collect();
    assert_eq!(around, ["page_fault", "down_read_trylock", "page_lock_anon_vma_read"]);
    assert!(report.frames[..stopped].iter().all(|frame| frame.machinery));
    assert!(report.stack.as_ref().is_some_and(|stack| stack.complete));
    let memory = report.memory.as_ref().unwrap();
    assert_eq!(
        (memory.total_pages, memory.free_pages),
        (Some(32_871_402), Some(92_978))
    );
    assert_eq!(
        (memory.swap_total_pages, memory.swap_free_pages),
        (Some(16_773_867), Some(16_761_374))
    );
    assert_eq!(
        (memory.committed_pages, memory.commit_limit_pages),
        (Some(27_373_280), Some(33_209_568))
    );
    let log = report.log.as_ref().unwrap();
    assert_eq!((log.lines, log.complete), (5, false));
    assert_eq!(
        report.signature.as_ref().unwrap().title,
        "NULL pointer dereference in page_lock_anon_vma_read"
    );

    let second = crash_of(&shared.join("seed-case/crash-session-2.txt"));
    let fault = second.fault.as_ref().unwrap();
    assert_eq!(
        (fault.symbol.as_deref(), fault.offset),
        (Some("down_read_trylock"), Some(9))
    );
    assert_eq!(fault.instruction.as_deref(), Some("mov (%rdi),%rax"));
    assert_eq!(fault.source.as_deref(), Some("kernel/rwsem.c:34"));

    // The two parts of one session, pasted together.
    let mut both = std::fs::read(shared.join("seed-case/crash-session-1.txt")).unwrap();
    both.extend(std::fs::read(shared.join("seed-case/crash-session-2.txt")).unwrap());
    let whole = console::read(&both, &Source::new("-", SourceKind::Console)).remove(0);
    assert_eq!(
        whole.fault.as_ref().unwrap().instruction.as_deref(),
        Some("mov (%rdi),%rax")
    );
    let caller = whole
        .frames
        .iter()
        .find(|frame| frame.symbol.as_deref() == Some("page_lock_anon_vma_read"))
        .unwrap();
    assert_eq!(caller.source.as_deref(), Some("mm/rmap.c:501"));
}
