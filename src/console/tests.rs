//! Whole texts of our own making → reports: which event is the crash, what is context, every machine's form.

use super::*;
use crate::addr::VirtAddr;
use crate::crash::{Access, Fault, FaultRole, PanicKind};

fn reports(text: &str) -> Vec<CrashReport> {
    read(text.as_bytes(), &Source::new("text", SourceKind::Console))
}

fn report(text: &str) -> CrashReport {
    let mut reports = reports(text);
    assert_eq!(reports.len(), 1, "{text}");
    reports.remove(0)
}

fn kind(report: &CrashReport) -> Option<PanicKind> {
    report.panic.as_ref().map(|panic| panic.kind)
}

fn fault(report: &CrashReport) -> &Fault {
    report.fault.as_ref().expect("a fault")
}

fn place(report: &CrashReport) -> (Option<&str>, Option<u64>) {
    let fault = fault(report);
    (fault.symbol.as_deref(), fault.offset)
}

/// The frames' names, `?` behind those that are not sure.
fn names(report: &CrashReport) -> Vec<String> {
    let name = |frame: &crate::crash::Frame| {
        let sure = if frame.reliable { "" } else { "?" };
        format!("{}{sure}", frame.symbol.as_deref().unwrap_or_default())
    };
    report.frames.iter().map(name).collect()
}

fn earlier(report: &CrashReport) -> Vec<PanicKind> {
    let events = report.log.iter().flat_map(|log| &log.earlier);
    events.map(|event| event.kind).collect()
}

/// An oops as 6.x prints it, at a second and in a task.
fn oops(second: u64, pid: u64, number: u64, function: &str) -> String {
    let lines = [
        "BUG: kernel NULL pointer dereference, address: 0000000000000018".to_owned(),
        "#PF: supervisor write access in kernel mode".to_owned(),
        "#PF: error_code(0x0002) - not-present page".to_owned(),
        format!("Oops: 0002 [#{number}] PREEMPT SMP NOPTI"),
        format!("CPU: 1 PID: {pid} Comm: pump Not tainted 6.1.0-18-amd64 #1  Debian 6.1.76-1"),
        format!("RIP: 0010:{function}+0x13/0x60 [tank]"),
        "RSP: 0018:ffffb79bc014fdc0 EFLAGS: 00010246".to_owned(),
        "RAX: 0000000000000000 RBX: ffff9b5edb87e700 RCX: 0000000000000007".to_owned(),
        "CR2: 0000000000000018 CR3: 000000000260a000 CR4: 00000000000006e0".to_owned(),
        "Call Trace:".to_owned(),
        " <TASK>".to_owned(),
        " fill_tank+0x2d/0x90 [tank]".to_owned(),
        " kthread+0xe9/0x110".to_owned(),
        " ret_from_fork+0x22/0x30".to_owned(),
        " </TASK>".to_owned(),
        "---[ end trace 0000000000000000 ]---".to_owned(),
    ];
    let line = |(at, line): (usize, &String)| format!("[{second:>5}.{at:06}] {line}\n");
    lines.iter().enumerate().map(line).collect()
}

const WARNING: &str = "\
[   20.000000] ------------[ cut here ]------------
[   20.000001] WARNING: CPU: 0 PID: 9 at drivers/tank/valve.c:88 valve_open+0x41/0x80 [tank]
[   20.000002] CPU: 0 PID: 9 Comm: kworker/0:1 Not tainted 6.1.0-18-amd64 #1  Debian 6.1.76-1
[   20.000003] RIP: 0010:valve_open+0x41/0x80 [tank]
[   20.000004] Call Trace:
[   20.000005]  <TASK>
[   20.000006]  tank_probe+0x55/0x120 [tank]
[   20.000007]  kthread+0xe9/0x110
[   20.000008]  </TASK>
[   20.000009] ---[ end trace 0000000000000000 ]---
";

/// Everyday lines, one a second.
fn everyday(from: u64, count: u64) -> String {
    (from..from + count)
        .map(|second| format!("[{second:>5}.000000] usb 1-1: new device number {second}\n"))
        .collect()
}

#[test]
fn each_boot_has_its_report() {
    let banner = "[    0.000000] Linux version 6.1.0-18-amd64 (builder@example) (gcc-12) #1 SMP Debian 6.1.76-1\n";
    let text = [
        banner,
        &everyday(1, 5),
        &oops(9, 70, 1, "pump_water"),
        "[    9.500000] Kernel panic - not syncing: Fatal exception\n",
        banner,
        &everyday(1, 70),
        banner,
        &everyday(1, 3),
        &oops(8, 71, 1, "drain_water"),
        "[    8.500000] Kernel panic - not syncing: Fatal exception\n",
    ]
    .concat();
    let reports = reports(&text);
    assert_eq!(reports.len(), 3);
    assert_eq!(place(&reports[0]), (Some("pump_water"), Some(0x13)));
    assert_eq!(kind(&reports[1]), None);
    assert_eq!(place(&reports[2]), (Some("drain_water"), Some(0x13)));
    for report in &reports {
        assert_eq!(report.system.release.as_deref(), Some("6.1.0-18-amd64"));
    }
}

#[test]
fn the_first_of_the_chain_that_ends_the_log_is_the_crash() {
    // A warning long before, an oops that leads to another, and the panic.
    let text = [
        WARNING,
        &everyday(30, 80),
        &oops(200, 70, 1, "pump_water"),
        &oops(201, 70, 2, "drain_water"),
        "[  201.500000] Kernel panic - not syncing: Fatal exception in interrupt\n",
    ]
    .concat();
    let report = report(&text);
    assert_eq!(kind(&report), Some(PanicKind::NullPointerDereference));
    assert_eq!(place(&report), (Some("pump_water"), Some(0x13)));
    assert_eq!(earlier(&report), [PanicKind::Warning]);
    let signature = report.signature.as_ref().unwrap();
    assert_eq!(signature.function.as_deref(), Some("pump_water"));
}

#[test]
fn a_survived_oops_is_context_of_the_fatal_one() {
    let text = [
        &oops(50, 70, 1, "pump_water"),
        &everyday(60, 200),
        &oops(400, 71, 2, "drain_water"),
        "[  400.500000] Kernel panic - not syncing: Fatal exception\n",
    ]
    .map(String::from)
    .concat();
    let report = report(&text);
    assert_eq!(place(&report), (Some("drain_water"), Some(0x13)));
    assert_eq!(earlier(&report), [PanicKind::NullPointerDereference]);
    assert_eq!(report.panic.as_ref().unwrap().fatal.as_deref(), Some("Fatal exception"));
    // Where nothing was fatal, the first counts.
    let text = [
        oops(50, 70, 1, "pump_water"),
        everyday(60, 200),
        WARNING.replace("[   20", "[  300"),
        everyday(301, 80),
    ]
    .concat();
    assert_eq!(place(&self::report(&text)), (Some("pump_water"), Some(0x13)));
}

#[test]
fn a_log_that_is_cut_off_in_the_oops_keeps_what_it_has() {
    let whole = oops(50, 70, 1, "pump_water");
    for lines in 1..whole.lines().count() {
        let text: String = whole.lines().take(lines).map(|line| format!("{line}\n")).collect();
        let report = report(&text);
        assert_eq!(kind(&report), Some(PanicKind::NullPointerDereference), "{lines}");
        assert_eq!(report.panic.as_ref().unwrap().address, Some(VirtAddr(0x18)), "{lines}");
        assert_eq!(report.fault.is_some(), lines >= 6, "{lines}");
    }
    // The other end: the headline is gone.
    let tail: String = whole.lines().skip(5).map(|line| format!("{line}\n")).collect();
    let report = report(&tail);
    assert_eq!(place(&report), (Some("pump_water"), Some(0x13)));
    assert_eq!(names(&report), ["pump_water", "fill_tank", "kthread", "ret_from_fork"]);
}

#[test]
fn two_cpus_that_print_at_once_are_told_apart_by_their_callers() {
    let one = oops(50, 70, 1, "pump_water").replace("] ", "][   T70] ");
    let other = WARNING.replace("[   20", "[   50").replace("] ", "][    T9] ");
    let mut lines: Vec<&str> = Vec::new();
    let (mut left, mut right) = (one.lines(), other.lines());
    loop {
        let pair = (left.next(), right.next());
        lines.extend([pair.0, pair.1].into_iter().flatten());
        if pair == (None, None) {
            break;
        }
    }
    let report = report(&lines.join("\n"));
    assert_eq!(place(&report), (Some("pump_water"), Some(0x13)));
    assert_eq!(names(&report), ["pump_water", "fill_tank", "kthread", "ret_from_fork"]);
}

#[test]
fn frames_between_the_headline_and_the_registers_are_somebody_elses() {
    let text = oops(50, 70, 1, "pump_water").replace(
        "[   50.000005]",
        "[   50.000004]  other_work+0x1/0x20\n[   50.000004]  ? stale_one+0x1/0x20\n[   50.000005]",
    );
    assert_eq!(
        names(&report(&text)),
        ["pump_water", "fill_tank", "kthread", "ret_from_fork"]
    );
}

#[test]
fn a_trace_may_stand_before_its_headline() {
    let report = report(
        "RIP: 0010:valve_wait+0x61/0x1c0\nCall Trace:\n fill_tank+0x1e/0x30 [tank]\n pump_work+0xb8/0x730 [tank]\n\
         watchdog: BUG: soft lockup - CPU#1 stuck for 23s! [kworker/1:1:50]\n",
    );
    assert_eq!(kind(&report), Some(PanicKind::SoftLockup));
    assert_eq!(place(&report), (Some("valve_wait"), Some(0x61)));
    assert_eq!(fault(&report).role, FaultRole::Interrupted);
    assert_eq!(names(&report), ["valve_wait", "fill_tank", "pump_work"]);
    assert_eq!(report.task.as_ref().and_then(|task| task.pid), Some(50));
}

#[test]
fn names_alone_are_a_trace_where_several_follow_each_other() {
    let head = "BUG: unable to handle kernel NULL pointer dereference at 0000000000000018\n\
                CPU: 6 PID: 16 Comm: pump Tainted: G W 3.15.0 #398\n";
    let copied = report(&format!("{head}valve_lock\nfill_tank [tank]\npump_water\nkthread\n"));
    assert_eq!(names(&copied), ["valve_lock", "fill_tank", "pump_water", "kthread"]);
    assert_eq!(copied.frames[1].module.as_deref(), Some("tank"));
    // Two words are none, nor is prose.
    assert!(report(&format!("{head}valve_lock\nok\n")).frames.is_empty());
    assert!(
        report(&format!("{head}valve_lock is held\nby fill_tank\nand others\n"))
            .frames
            .is_empty()
    );
}

#[test]
fn a_pointer_may_stand_without_its_segment_or_behind_a_footnote() {
    for line in ["RIP: pump_water+0x13/0x60", " [2] RIP: 0010:pump_water+0x13/0x60"] {
        let report = report(&format!("{line}\nCall Trace:\n fill_tank+0x2d/0x90\n"));
        assert_eq!(place(&report), (Some("pump_water"), Some(0x13)), "{line}");
        assert_eq!(names(&report), ["pump_water", "fill_tank"], "{line}");
    }
}

#[test]
fn the_kernel_debuggers_trace_is_one_of_a_task() {
    let report = report(
        "Stack traceback for pid 77\n0xffff880c3a0b8000       77        2  1    3   R  0xffff880c3a0b8670 *pump\n\
         Call Trace:\n [<ffffffff810c4dd0>] pump_water+0x110/0x200\n [<ffffffff810c4fc9>] fill_tank+0x109/0x600\n",
    );
    assert_eq!(kind(&report), None, "nothing in it names a failure");
    assert_eq!(names(&report), ["pump_water", "fill_tank"]);
    assert_eq!(report.task.as_ref().and_then(|task| task.pid), Some(77));
}

#[test]
fn a_lock_report_of_workers_alone_is_named_by_what_came_before() {
    let report = report(
        "WARNING: possible circular locking dependency detected\n\
         kworker/u8:2/43 is trying to acquire lock:\n\
         ffffc9000027fdf0 ((work_completion)(&valve->work)){+.+.}, at: process_one_work+0x8c0/0x17b0\n\
         -> #1 ((wq_completion)tank#8){+.+.}:\n       flush_workqueue+0x115/0x1520\n       tank_remove+0x16a/0x230\n\
         stack backtrace:\nCPU: 1 PID: 43 Comm: kworker/u8:2 Not tainted 5.5.0 #10\nCall Trace:\n\
         dump_stack+0x199/0x216\n check_noncircular+0x349/0x400\n lock_acquire+0x194/0x410\n\
         process_one_work+0x91b/0x17b0\n worker_thread+0x8b/0xd20\n kthread+0x365/0x450\n",
    );
    assert_eq!(kind(&report), Some(PanicKind::Deadlock));
    let signature = report.signature.as_ref().unwrap();
    assert_eq!(signature.function.as_deref(), Some("tank_remove"));
}

#[test]
fn i386_prints_eip() {
    let report = report(
        "BUG: unable to handle kernel NULL pointer dereference at 0000000c\nIP: [<f8a4b123>] pump_water+0x13/0x60 [tank]\n\
         *pde = 00000000\nOops: 0002 [#1] SMP\n\
         Pid: 77, comm: pump Not tainted (2.6.32-431.el6.i686 #1) PowerEdge 1950\n\
         EIP: 0060:[<f8a4b123>] EFLAGS: 00010246 CPU: 1\nEIP is at pump_water+0x13/0x60 [tank]\n\
         EAX: 00000000 EBX: f4a5c000 ECX: 00000007 EDX: 0000000c\nESI: f4a5c010 EDI: f4a5c020 EBP: f4b81f9c ESP: f4b81f80\n\
         Call Trace:\n [<f8a4b456>] ? fill_tank+0x2d/0x90 [tank]\n [<c047b2a5>] ? kthread+0x75/0x80\n",
    );
    assert_eq!(kind(&report), Some(PanicKind::NullPointerDereference));
    assert_eq!(place(&report), (Some("pump_water"), Some(0x13)));
    assert_eq!(fault(&report).registers.get("eax"), Some(&VirtAddr(0)));
    assert_eq!(fault(&report).registers.get("esp"), Some(&VirtAddr(0xf4b8_1f80)));
    assert_eq!(names(&report), ["pump_water", "fill_tank?", "kthread?"]);
    assert_eq!(report.system.machine.as_deref(), Some("i686"));
    assert_eq!(report.system.stream.as_deref(), Some("el6"));
}

#[test]
fn arm64_prints_pc_and_lr() {
    let report = report(
        "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000018\nMem abort info:\n\
         ESR = 0x0000000096000044\n  CM = 0, WnR = 1\nInternal error: Oops: 0000000096000044 [#1] SMP\n\
         CPU: 2 PID: 77 Comm: pump Not tainted 6.1.0-18-arm64 #1\nHardware name: linux,dummy-virt (DT)\n\
         pstate: 60400005 (nZCv daif +PAN -UAO -TCO -DIT -SSBS BTYPE=--)\npc : pump_water+0x24/0x80 [tank]\n\
         lr : fill_tank+0x30/0x90 [tank]\nsp : ffff80000a5bbd60\nx29: ffff80000a5bbd60 x28: 0000000000000000\n\
         x1 : 0000000000000001 x0 : 0000000000000018\nCall trace:\n pump_water+0x24/0x80 [tank]\n\
         fill_tank+0x30/0x90 [tank]\n kthread+0x110/0x120\n ret_from_fork+0x10/0x20\n",
    );
    assert_eq!(kind(&report), Some(PanicKind::NullPointerDereference));
    let panic = report.panic.as_ref().unwrap();
    assert_eq!(
        (panic.address, panic.access),
        (Some(VirtAddr(0x18)), Some(Access::Write))
    );
    assert_eq!(place(&report), (Some("pump_water"), Some(0x24)));
    assert_eq!(fault(&report).registers.get("x0"), Some(&VirtAddr(0x18)));
    assert_eq!(names(&report), ["pump_water", "fill_tank", "kthread", "ret_from_fork"]);
    assert_eq!(report.system.machine.as_deref(), Some("aarch64"));
}

#[test]
fn arm_prints_callee_and_caller() {
    let report = report(
        "Unable to handle kernel NULL pointer dereference at virtual address 00000018\npgd = c0004000\n\
         Internal error: Oops: 805 [#1] SMP ARM\nCPU: 0 PID: 77 Comm: pump Not tainted 4.9.0 #1\n\
         PC is at pump_water+0x24/0x80 [tank]\nLR is at fill_tank+0x30/0x90 [tank]\n\
         pc : [<bf0001a4>]    lr : [<bf000230>]    psr: 60000013\nsp : ec4b1ea8  ip : 00000000  fp : ec4b1ebc\n\
         r3 : 00000000  r2 : 00000018  r1 : 00000001  r0 : 00000018\n\
         [<bf000180>] (pump_water [tank]) from [<bf000230>] (fill_tank+0x30/0x90 [tank])\n\
         [<bf000200>] (fill_tank [tank]) from [<c0140a0c>] (kthread+0x10c/0x124)\n",
    );
    assert_eq!(kind(&report), Some(PanicKind::NullPointerDereference));
    assert_eq!(place(&report), (Some("pump_water"), Some(0x24)));
    assert_eq!(fault(&report).registers.get("r0"), Some(&VirtAddr(0x18)));
    assert_eq!(names(&report), ["pump_water", "fill_tank", "kthread"]);
    assert_eq!(report.frames[1].module.as_deref(), Some("tank"));
    assert_eq!(report.system.machine.as_deref(), Some("arm"));
}

#[test]
fn powerpc_prints_nip() {
    let report = report(
        "BUG: Kernel NULL pointer dereference on write at 0x00000018\nFaulting instruction address: 0xc008000003a40124\n\
         Oops: Kernel access of bad area, sig: 11 [#1]\nLE PAGE_SIZE=64K MMU=Radix SMP NR_CPUS=2048 NUMA PowerNV\n\
         CPU: 3 PID: 77 Comm: pump Not tainted 5.14.0-70.el9.ppc64le #1\n\
         NIP:  c008000003a40124 LR: c008000003a40230 CTR: c000000000155a60\n\
         REGS: c00000000b5f3a10 TRAP: 0300   Not tainted  (5.14.0-70.el9.ppc64le)\n\
         MSR:  9000000000009033 <SF,HV,EE,ME,IR,DR,RI,LE>  CR: 28000222  XER: 00000000\n\
         CFAR: c000000000155a64 DAR: 0000000000000018 DSISR: 42000000 IRQMASK: 0\n\
         GPR00: c008000003a40230 c00000000b5f3cb0 c008000003a68000 0000000000000018\n\
         NIP [c008000003a40124] pump_water+0x24/0x80 [tank]\nLR [c008000003a40230] fill_tank+0x30/0x90 [tank]\n\
         Call Trace:\n[c00000000b5f3cb0] [c008000003a40230] fill_tank+0x30/0x90 [tank]\n\
         [c00000000b5f3d10] [c000000000159e4c] kthread+0x1ac/0x1c0\n",
    );
    assert_eq!(kind(&report), Some(PanicKind::NullPointerDereference));
    assert_eq!(report.panic.as_ref().unwrap().access, Some(Access::Write));
    assert_eq!(place(&report), (Some("pump_water"), Some(0x24)));
    assert_eq!(fault(&report).registers.get("r3"), Some(&VirtAddr(0x18)));
    assert_eq!(names(&report), ["pump_water", "fill_tank", "kthread"]);
    assert_eq!(report.system.machine.as_deref(), Some("ppc64le"));
    assert_eq!(report.system.stream.as_deref(), Some("el9"));
}

#[test]
fn s390_prints_its_psw() {
    let report = report(
        "Unable to handle kernel pointer dereference in virtual kernel address space\n\
         Failing address: 0000000000000000 TEID: 0000000000000483\nFault in home space mode while using kernel ASCE.\n\
         Oops: 0004 ilc:3 [#1] SMP\nCPU: 1 PID: 77 Comm: pump Not tainted 4.18.0-305.el8.s390x #1\n\
         Krnl PSW : 0704c00180000000 000003ff80123456 (pump_water+0x24/0x80 [tank])\n\
         R:0 T:1 IO:1 EX:1 Key:0 M:1 W:0 P:0 AS:3 CC:0 PM:0 RI:0 EA:3\n\
         Krnl GPRS: 0000000000000018 0000000000000001 0000000000000002 0000000000000003\n\
         0000000000000004 0000000000000005 0000000000000006 0000000000000007\n\
         Call Trace:\n([<000003ff80123400>] fill_tank+0x30/0x90 [tank])\n [<000000000015d2a4>] kthread+0x124/0x150\n",
    );
    assert!(
        kind(&report).is_some_and(|kind| kind != PanicKind::Unknown),
        "{:?}",
        kind(&report)
    );
    assert_eq!(place(&report), (Some("pump_water"), Some(0x24)));
    assert_eq!(fault(&report).registers.get("r0"), Some(&VirtAddr(0x18)));
    assert_eq!(fault(&report).registers.get("r7"), Some(&VirtAddr(7)));
    assert_eq!(names(&report), ["pump_water", "fill_tank", "kthread"]);
    assert_eq!(report.system.machine.as_deref(), Some("s390x"));
}

#[test]
fn riscv_prints_epc() {
    let report = report(
        "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000018\nOops [#1]\n\
         CPU: 1 PID: 77 Comm: pump Not tainted 6.1.0 #1\nepc : pump_water+0x24/0x80 [tank]\n ra : fill_tank+0x30/0x90 [tank]\n\
         epc : ffffffff01a4e124 ra : ffffffff01a4e230 sp : ff2000000a5bbd60\n gp : ffffffff81a3b8f8 tp : ff6000000a1e0000 t0 : 0\n\
         status: 0000000200000120 badaddr: 0000000000000018 cause: 000000000000000f\n\
         [<ffffffff01a4e124>] pump_water+0x24/0x80 [tank]\n[<ffffffff01a4e230>] fill_tank+0x30/0x90 [tank]\n\
         [<ffffffff80031f84>] kthread+0xc4/0xe0\n",
    );
    assert_eq!(kind(&report), Some(PanicKind::NullPointerDereference));
    assert_eq!(place(&report), (Some("pump_water"), Some(0x24)));
    assert_eq!(names(&report), ["pump_water", "fill_tank", "kthread"]);
    assert_eq!(report.system.machine.as_deref(), Some("riscv64"));
}

#[test]
fn any_source_of_the_text_gives_the_same_crash() {
    let plain = oops(50, 70, 1, "pump_water");
    let lines = |edit: &dyn Fn(&str) -> String| -> String { plain.lines().map(|line| edit(line) + "\n").collect() };
    let body = |line: &str| line.split_once("] ").map_or(line, |(_, body)| body).to_owned();
    let texts = [
        lines(&|line| format!("<4>{line}")),
        lines(&|line| format!("Jul 15 05:52:53 host kernel: {line}")),
        lines(&|line| format!("2019-07-15T05:52:53.123456+02:00 host kernel: {line}")),
        lines(&|line| format!("[Mon Jul 15 05:52:53 2019] {}", body(line))),
        lines(&|line| format!("kern  :alert : {line}")),
        lines(&|line| format!("{line}\r")),
        lines(&|line| format!("\u{1b}[31m{line}\u{1b}[0m")),
        lines(&|line| format!("> {line}")),
        lines(&|line| body(line)),
    ];
    let expected = report(&plain);
    for text in &texts {
        let report = report(text);
        assert_eq!(report.panic, expected.panic, "{text}");
        assert_eq!(report.fault, expected.fault, "{text}");
        assert_eq!(report.frames, expected.frames, "{text}");
        assert_eq!(report.signature, expected.signature, "{text}");
    }
}
