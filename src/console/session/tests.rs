//! Whole sessions, written for the purpose.

use super::*;
use crate::crash::{KindSource, PanicKind};

fn read_text(text: &str) -> CrashReport {
    assert!(recognise(text));
    read(text, &Source::new("session.txt", SourceKind::Console))
}

const BACKTRACE: &str = "\
PID: 31     TASK: ffff880100000000  CPU: 3   COMMAND: \"kswapd0\"
 #0 [ffff880100003978] machine_kexec at ffffffff81051e9b
 #1 [ffff8801000039d8] crash_kexec at ffffffff810f27e2
 #2 [ffff880100003aa8] oops_end at ffffffff8163f448
 #3 [ffff880100003b30] general_protection at ffffffff8163e5e8
    [exception RIP: down_read_trylock+9]
    RIP: ffffffff810aa9f9  RSP: ffff880100003be0  RFLAGS: 00010286
    RAX: 0000000000000000  RBX: ffff882b47ddadc0  RCX: 0000000000000000
    RBP: ffff880100003be0   R8: ffffea00ecc28860   R9: ffff883fcffeae28
    RDX: 0000000000000000  RSI: 0000000000000000  RDI: 91550b2b32f5a3e8
    ORIG_RAX: ffffffffffffffff  CS: 0010  SS: 0000
 #4 [ffff880100003be8] page_lock_anon_vma_read at ffffffff811a3365
 #5 [ffff880100003f50] ret_from_fork at ffffffff81646a98
    RIP: 000000000047b7a0  RSP: 00007ffe67821aa0  RFLAGS: 00000206
    RAX: 0000000000000001  RBX: 0000000000000001  RCX: 00000000020acfc0
    ORIG_RAX: 0000000000000001  CS: 0033  SS: 002b
";

#[test]
fn a_paste_may_end_inside_the_exception_frame() {
    let head: String = BACKTRACE.split_inclusive('\n').take(9).collect();
    let fault = read_text(&head).fault.unwrap();
    assert_eq!(fault.symbol.as_deref(), Some("down_read_trylock"));
    assert_eq!(fault.registers.get("rbx"), Some(&VirtAddr(0xffff_882b_47dd_adc0)));
    // At a function's first byte there is no offset.
    let fault = read_text(&BACKTRACE.replace("down_read_trylock+9", "strchr"))
        .fault
        .unwrap();
    assert_eq!((fault.symbol.as_deref(), fault.offset), (Some("strchr"), Some(0)));
}

#[test]
fn a_backtrace_alone_tells_kind_fault_and_frames() {
    let report = read_text(BACKTRACE);
    let panic = report.panic.unwrap();
    assert_eq!(
        (panic.kind, panic.kind_source),
        (PanicKind::GeneralProtection, Some(KindSource::Stub))
    );
    assert_eq!(panic.message, None);
    let fault = report.fault.unwrap();
    assert_eq!(
        (fault.symbol.as_deref(), fault.offset),
        (Some("down_read_trylock"), Some(9))
    );
    assert_eq!(fault.role, FaultRole::Faulted);
    assert_eq!(fault.registers.get("rdi"), Some(&VirtAddr(0x9155_0b2b_32f5_a3e8)));
    assert_eq!(fault.registers.get("rflags"), Some(&VirtAddr(0x10286)));
    assert_eq!(fault.registers.get("r9"), Some(&VirtAddr(0xffff_883f_cffe_ae28)));
    let names: Vec<_> = report
        .frames
        .iter()
        .filter_map(|frame| frame.symbol.as_deref())
        .collect();
    assert_eq!(
        names,
        [
            "machine_kexec",
            "crash_kexec",
            "oops_end",
            "general_protection",
            "down_read_trylock",
            "page_lock_anon_vma_read",
            "ret_from_fork"
        ]
    );
    assert!(
        report
            .frames
            .get(4)
            .is_some_and(|frame| frame.interrupted && !frame.machinery)
    );
    assert!(report.frames.get(3).is_some_and(|frame| frame.machinery));
    assert!(report.stack.is_some_and(|stack| stack.complete));
    let task = report.task.unwrap();
    assert_eq!(
        (task.pid, task.cpu, task.comm.as_deref()),
        (Some(31), Some(3), Some("kswapd0"))
    );
    assert_eq!(
        report.signature.unwrap().title,
        "general protection fault in page_lock_anon_vma_read"
    );
}

#[test]
fn comments_and_other_commands_do_not_disturb() {
    let mut text = String::from("# looked at on Monday\ncrash> bt\n");
    for (number, line) in BACKTRACE.lines().enumerate() {
        text.push_str(line);
        text.push('\n');
        if number == 3 {
            text.push_str("// the next one is it\n");
        }
    }
    text.push_str("crash> struct page.mapping ffffea00ecc28840\n  mapping = 0xffff882b47ddadc1\ncrash> q\n");
    assert_eq!(read_text(&text).frames, read_text(BACKTRACE).frames);
}

#[test]
fn a_stopped_place_behind_a_stack_mark_is_one_frame() {
    let report = read_text(
        "PID: 15  TASK: ffff8b34c1270000  CPU: 0    COMMAND: \"x\"\n\
         \u{20}#0 [fffffe000000dea8] crash_nmi_callback at ffffffffa806b39c\n\
         \u{20}#1 [fffffe000000def0] end_repeat_nmi at ffffffffa8c017c0\n\
         \u{20}   [exception RIP: __switch_to+407]\n\
         \u{20}   RIP: ffffffffa8031217  RSP: ffffcf3b80083d90  RFLAGS: 00000097\n\
         \u{20}   ORIG_RAX: ffffffffffffffff  CS: 0010  SS: 0018\n\
         --- <NMI exception stack> ---\n\
         \u{20}#2 [ffffcf3b80083d90] __switch_to at ffffffffa8031217\n\
         \u{20}#3 [ffffcf3b80083dc0] __schedule at ffffffffa8a5271d\n",
    );
    assert_eq!(report.frames.len(), 4);
    assert_eq!(report.fault.unwrap().role, FaultRole::Interrupted);
}

#[test]
fn the_banner_and_kmem_fill_the_record() {
    let report = read_text(
        "      KERNEL: vmlinux\n    DUMPFILE: vmcore  [PARTIAL DUMP]\n        CPUS: 48\n        DATE: Mon Jul 15 05:52:53 2019\n\
         \u{20}     UPTIME: 232 days, 05:23:55\nLOAD AVERAGE: 11.84, 7.15, 3.51\n       TASKS: 877\n    NODENAME: host\n\
         \u{20}    RELEASE: 3.10.0-862.14.4.el7.x86_64\n     VERSION: #1 SMP Wed Sep 26 15:12:11 UTC 2018\n\
         \u{20}    MACHINE: x86_64  (2300 Mhz)\n      MEMORY: 127.7 GB\n\
         \u{20}      PANIC: \"Oops: 0002 [#1] SMP NOPTI\" (check log for details)\n         PID: 269\n     COMMAND: \"kswapd0\"\n\
         \u{20}       TASK: ffff9c957bc3cf10  [THREAD_INFO: ffff9c857ba3c000]\n         CPU: 22\n       STATE: TASK_RUNNING (PANIC)\n\
         crash> kmem -i\n                 PAGES        TOTAL      PERCENTAGE\n    TOTAL MEM  32871402     125.4 GB         ----\n\
         \u{20}        FREE    92978     363.2 MB    0% of TOTAL MEM\n COMMIT LIMIT  33209568     126.7 GB         ----\n",
    );
    assert_eq!(report.source.partial, Some(true));
    assert_eq!(report.system.cpus, Some(48));
    assert_eq!(report.system.crashed_at.as_deref(), Some("2019-07-15T05:52:53Z"));
    assert_eq!(report.system.load_average, Some([11.84, 7.15, 3.51]));
    assert_eq!(report.system.stream.as_deref(), Some("el7"));
    assert!(
        report
            .missing
            .iter()
            .any(|missing| missing.fact == "system.crashed_at.zone")
    );
    let task = report.task.unwrap();
    assert_eq!(
        (task.pid, task.cpu, task.state.as_deref()),
        (Some(269), Some(22), Some("TASK_RUNNING (PANIC)"))
    );
    let memory = report.memory.unwrap();
    assert_eq!(
        (memory.total_pages, memory.free_pages, memory.page_size),
        (Some(32_871_402), Some(92_978), Some(4096))
    );
    assert_eq!(memory.commit_limit_pages, Some(33_209_568));
    assert_eq!(
        report.panic.unwrap().message.as_deref(),
        Some("Oops: 0002 [#1] SMP NOPTI")
    );
}

proptest::proptest! {
    #[test]
    fn any_text_is_read(text in "((crash> (bt|log|sys|dis -rl x\\+9|kmem -i|mod)|PID: 1 TASK: f CPU: 1| #[0-9] \\[ff\\] x at ff|    \\[exception RIP: x\\+1\\]|    RIP: ff  RSP: ff  CS: 0010|\\PC{0,40})\n){0,30}") {
        read(&text, &Source::new("-", SourceKind::Console));
        recognise(&text);
    }
}
