use proptest::prelude::*;

use super::*;
use crate::kernel::bug_table::BugEntry;

fn registers(values: &[(&str, u64)]) -> Registers {
    values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), VirtAddr(*value)))
        .collect()
}

fn hex(code: &str) -> Vec<u8> {
    code.split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

struct Case {
    kind: Option<PanicKind>,
    address: Option<u64>,
    access: Option<Access>,
    error_code: Option<u64>,
}

const NULL: Case = Case {
    kind: Some(PanicKind::NullPointerDereference),
    address: None,
    access: Some(Access::Read),
    error_code: Some(0),
};
const PAGE: Case = Case {
    kind: Some(PanicKind::BadPageFault),
    ..NULL
};
const GP: Case = Case {
    kind: Some(PanicKind::GeneralProtection),
    access: None,
    ..NULL
};
const NAMELESS: Case = Case {
    kind: None,
    address: None,
    access: None,
    error_code: None,
};

impl Case {
    fn at(self, address: u64) -> Case {
        Case {
            address: Some(address),
            ..self
        }
    }

    fn code(self, error_code: u64) -> Case {
        Case {
            error_code: Some(error_code),
            access: Some(if error_code & 2 != 0 {
                Access::Write
            } else {
                Access::Read
            }),
            ..self
        }
    }

    fn explain(&self, code: &str, values: &[(&str, u64)]) -> Explanation {
        let registers = registers(values);
        explain(&Place {
            role: FaultRole::Faulted,
            code: &hex(code),
            registers: &registers,
            kind: self.kind,
            address: self.address.map(VirtAddr),
            access: self.access,
            error_code: self.error_code,
            is_mapped: None,
        })
    }

    fn sentence(&self, code: &str, values: &[(&str, u64)]) -> String {
        self.explain(code, values).sentence.unwrap_or_default()
    }
}

fn instruction(code: &str) -> String {
    NAMELESS.explain(code, &[]).instruction.unwrap_or_default()
}

#[test]
fn instructions_read_as_crash_prints_them() {
    assert_eq!(instruction("48 8b 07"), "mov (%rdi),%rax");
    assert_eq!(instruction("f0 48 0f b1 17"), "lock cmpxchg %rdx,(%rdi)");
    assert_eq!(instruction("c7 00 00 00 00 00"), "movl $0x0,(%rax)");
    assert_eq!(instruction("48 8b 40 38"), "mov 0x38(%rax),%rax");
    assert_eq!(instruction("48 89 45 d0"), "mov %rax,-0x30(%rbp)");
    assert_eq!(instruction("0f 0b"), "ud2");
    assert_eq!(instruction("65 ff 0d 04 10 54 5d"), "decl %gs:0x5d541004(%rip)");
}

#[test]
fn a_member_of_a_null_object() {
    // down_read_trylock of el7 and of 6.1: `rdi` is the rw_semaphore of an anon_vma that is NULL.
    let said = "reads 8 bytes at rdi (0x8): rdi is NULL plus a member offset of 8";
    assert_eq!(NULL.at(8).sentence("48 8b 07 48 89 c2", &[("rdi", 8)]), said);
    // The same of 5.10, where the first access is the exchange itself.
    let written = NULL
        .at(8)
        .code(2)
        .sentence("f0 48 0f b1 17 75 25", &[("rdi", 8), ("rdx", 0x100)]);
    assert_eq!(
        written,
        "updates 8 bytes at rdi (0x8): rdi is NULL plus a member offset of 8"
    );
    assert_eq!(
        NULL.at(0x38).sentence("48 8b 40 38", &[("rax", 0)]),
        "reads 8 bytes at rax+0x38 (0x38): rax is NULL"
    );
    // The compiler knew the pointer to be NULL.
    assert_eq!(
        NULL.at(0x38).sentence("48 8b 04 25 38 00 00 00", &[]),
        "reads 8 bytes at 0x38, which is NULL plus a member offset of 56"
    );
}

#[test]
fn an_index_is_not_blamed_for_the_pointer() {
    // mov (%rax,%rcx,8),%rdx
    let said = NULL.at(0x28).sentence("48 8b 14 c8", &[("rax", 0), ("rcx", 5)]);
    assert_eq!(said, "reads 8 bytes at rax+rcx*8 (0x28): rax is NULL");
    let said = PAGE
        .at(0xffff_8880_1000_0000 + (0x4000_0000 * 8))
        .sentence("48 8b 14 c8", &[("rax", 0xffff_8880_1000_0000), ("rcx", 0x4000_0000)]);
    assert!(said.ends_with("rcx (0x40000000) is no index into anything"), "{said}");
    // mov (%rax,%rcx,1),%rdx with the pointer in the second register
    let said = GP.sentence("48 8b 14 08", &[("rax", 0x10), ("rcx", 0x6b6b_6b6b_6b6b_6b6b)]);
    assert!(said.contains("rcx (0x6b6b6b6b6b6b6b6b) is POISON_FREE"), "{said}");
}

#[test]
fn general_protection_by_the_pointer() {
    let case = || GP.at(0x1234_beef_00c1_0026);
    assert_eq!(
        case().sentence("48 8b 40 38 31 c0 c3", &[("rax", 0x1234_beef_00c0_ffee)]),
        "reads 8 bytes at rax+0x38 (0x1234beef00c10026): rax (0x1234beef00c0ffee) is not a canonical address"
    );
    // Older kernels print no address.
    assert_eq!(
        GP.sentence("48 8b 40 08", &[("rax", 0xdead_0000_0000_0100)]),
        "reads 8 bytes at rax+0x8 (0xdead000000000108): rax (0xdead000000000100) is LIST_POISON1: the list entry was \
         already deleted (include/linux/poison.h)"
    );
    let shadow = GP.sentence("80 3c 10 00", &[("rax", 3), ("rdx", 0xdfff_fc00_0000_0000)]);
    assert!(
        shadow.ends_with("KASAN's shadow of 0x18, which is NULL plus a member offset of 24"),
        "{shadow}"
    );
}

#[test]
fn a_member_of_what_container_of_made_of_null() {
    let said = NULL.at(0).sentence("48 8b 85 60 01 00 00", &[("rbp", u64::MAX - 351)]);
    assert_eq!(
        said,
        "reads 8 bytes at rbp+0x160 (0x0): rbp is NULL less a member offset of 352"
    );
}

#[test]
fn a_wild_pointer_in_kasans_check() {
    let said = GP.sentence(
        "80 3c 10 00",
        &[("rax", 0x63f_6697_6b9d_1f68), ("rdx", 0xdfff_fc00_0000_0000)],
    );
    assert!(
        said.ends_with("KASAN's shadow of 0x31fb34bb5ce8fb40, which is not a canonical address"),
        "{said}"
    );
}

#[test]
fn a_double_fault_is_the_stacks() {
    let case = Case {
        kind: Some(PanicKind::DoubleFault),
        ..NAMELESS
    };
    let said = case.sentence("41 51", &[("rsp", 0xffff_c900_0012_0000)]);
    assert_eq!(
        said,
        "writes 8 bytes at rsp-0x8 (0xffffc9000011fff8): the stack is used up, or rsp is wrong"
    );
    let unknown = case.sentence("41 51", &[]);
    assert_eq!(
        unknown,
        "writes 8 bytes at rsp-0x8: the stack is used up, or rsp is wrong"
    );
    // rep stos %rax,(%rdi) into an array of the function's own.
    let array = Case {
        kind: Some(PanicKind::StackOverflow),
        ..NAMELESS
    };
    let stack = [
        ("rsp", 0xffff_c900_0012_0010),
        ("rdi", 0xffff_c900_0012_0000),
        ("rcx", 64),
    ];
    let said = array.sentence("f3 48 ab", &stack);
    assert!(
        said.ends_with("(0xffffc90000120000): the stack is used up, or rsp is wrong"),
        "{said}"
    );
}

#[test]
fn general_protection_with_good_pointers() {
    let good = 0xffff_8880_1234_5678;
    let msr = GP.sentence("0f 30", &[("rcx", 0x1_0000_0da0), ("rax", 0)]);
    assert_eq!(msr, "`wrmsr` of MSR 0xda0: the processor or the hypervisor refuses it");
    let aligned = GP.sentence("0f 29 00", &[("rax", good)]);
    assert!(aligned.contains("not aligned to 16 bytes"), "{aligned}");
    let call = GP.sentence("ff d0", &[("rax", 0x1234_beef_00c0_ffee), ("rsp", good)]);
    assert_eq!(
        call,
        "calls through rax (0x1234beef00c0ffee), which is not a canonical address"
    );
    let plain = GP.sentence("48 8b 00", &[("rax", good)]);
    assert!(plain.ends_with("although its address is canonical"), "{plain}");
}

#[test]
fn five_levels_are_told_from_the_stack() {
    let five = [("rax", 0xff11_0000_1234_5678), ("rsp", 0xffa0_0000_0012_3d00)];
    assert!(
        GP.sentence("48 8b 00", &five)
            .ends_with("although its address is canonical")
    );
    let four = [("rax", 0xff11_0000_1234_5678), ("rsp", 0xffff_c900_0012_3d00)];
    assert!(
        GP.sentence("48 8b 00", &four)
            .contains("rax is not a canonical address")
    );
}

#[test]
fn a_page_fault_at_a_kernel_address() {
    let at = 0xffff_ffff_8180_0000;
    let said = PAGE.at(at).code(3).sentence("c6 00 01", &[("rax", at)]);
    assert_eq!(
        said,
        "writes 1 byte at rax (0xffffffff81800000): rax is a kernel address, but that page must not be written"
    );
    let said = PAGE.at(at).code(0).sentence("8a 00", &[("rax", at)]);
    assert!(
        said.ends_with("rax is a kernel address where nothing is mapped"),
        "{said}"
    );
    let said = PAGE
        .at(0xffff_ffff_ffff_fff8)
        .sentence("48 8b 40 04", &[("rax", 0xffff_ffff_ffff_fff4)]);
    assert!(
        said.ends_with("rax is an error code used as a pointer (-12, -ENOMEM)"),
        "{said}"
    );
    let said = PAGE
        .at(0xffff_8880_1000_1000)
        .sentence("48 8b 00", &[("rax", 0xffff_8880_1000_0ffc)]);
    assert!(
        said.contains("and runs on to 0xffff888010001000, a kernel address where"),
        "{said}"
    );
}

#[test]
fn a_flipped_bit_is_named_when_only_one_fits() {
    let good = 0xffff_8880_1234_5000;
    let mapped = |address: VirtAddr| address.0 & !0xfff == good;
    let registers = registers(&[("rax", good ^ 1 << 40)]);
    let sentence = explain(&Place {
        role: FaultRole::Faulted,
        code: &[0x48, 0x8b, 0x00],
        registers: &registers,
        kind: Some(PanicKind::BadPageFault),
        address: Some(VirtAddr(good ^ 1 << 40)),
        access: Some(Access::Read),
        error_code: Some(0),
        is_mapped: Some(&mapped),
    })
    .sentence
    .unwrap();
    assert!(
        sentence.ends_with("one bit (40) away from 0xffff888012345000, which is mapped"),
        "{sentence}"
    );
}

#[test]
fn a_call_through_a_bad_pointer() {
    let null = NULL
        .at(0)
        .code(0x10)
        .explain("", &[("rip", 0), ("rsp", 0xffff_c900_0012_3d00)]);
    assert_eq!(null.instruction, None);
    assert!(
        null.sentence
            .unwrap()
            .starts_with("calls through a NULL function pointer")
    );
    let data = PAGE
        .at(0xffff_ffff_c03f_4000)
        .code(0x11)
        .sentence("48 8b 07", &[("rip", 0xffff_ffff_c03f_4000), ("rdi", 8)]);
    assert!(
        data.starts_with("runs at 0xffffffffc03f4000, where there is no code"),
        "{data}"
    );
    let poisoned = GP.sentence("", &[("rip", 0x10)]);
    assert!(
        poisoned.starts_with("runs at 0x10: the function pointer is NULL plus"),
        "{poisoned}"
    );
    assert_eq!(
        NULL.at(0x18)
            .sentence("ff 50 18", &[("rax", 0), ("rip", 0xffff_ffff_8100_0000)]),
        "calls through the pointer at rax+0x18 (0x18): rax is NULL"
    );
}

#[test]
fn instructions_that_fail_by_themselves() {
    let of = |kind| Case {
        kind: Some(kind),
        ..NAMELESS
    };
    assert!(
        of(PanicKind::Bug)
            .sentence("0f 0b", &[])
            .contains("stops itself here (BUG)")
    );
    assert!(
        of(PanicKind::ListCorruption)
            .sentence("0f 0b", &[])
            .contains("broken list links")
    );
    assert!(of(PanicKind::Unknown).sentence("cc", &[]).contains("breakpoint"));
    // idiv %ecx
    let divide = of(PanicKind::DivideError);
    assert_eq!(
        divide.sentence("f7 f9", &[("rcx", 0xffff_ffff_0000_0000)]),
        "divides by rcx, which is 0"
    );
    assert!(
        divide
            .sentence("f7 f9", &[("rcx", 3)])
            .ends_with("the quotient does not fit")
    );
    assert!(divide.sentence("f7 f9", &[]).starts_with("divides by rcx: it is 0"));
}

#[test]
fn the_kind_is_told_where_nothing_named_it() {
    let told = |code: &str, values: &[(&str, u64)]| NAMELESS.explain(code, values).told.map(|told| told.kind);
    let null = NAMELESS.explain("48 8b 07", &[("rdi", 8), ("cr2", 8)]).told.unwrap();
    assert_eq!(
        (null.kind, null.source, null.address, null.access),
        (
            PanicKind::NullPointerDereference,
            KindSource::Cr2,
            Some(VirtAddr(8)),
            Some(Access::Read)
        )
    );
    let bad = 0xffff_8880_1234_5678;
    assert_eq!(
        told("48 8b 07", &[("rdi", bad), ("cr2", bad)]),
        Some(PanicKind::BadPageFault)
    );
    // CR2 is left over from an older page fault.
    let stale = [("rax", 0x1234_beef_00c0_ffee), ("cr2", 0x57_94a9)];
    assert_eq!(told("48 8b 40 38", &stale), Some(PanicKind::GeneralProtection));
    assert_eq!(told("48 8b 07", &[("rdi", bad), ("cr2", 0x57_94a9)]), None);
    // To print the code bytes faulted too.
    let code_line = [("rax", 0), ("cr2", 0xffff_ffff_c03f_1fdd)];
    let null = NAMELESS.explain("48 8b 40 38", &code_line).told.unwrap();
    assert_eq!(
        (null.kind, null.source),
        (PanicKind::NullPointerDereference, KindSource::Registers)
    );
    assert_eq!(null.address, Some(VirtAddr(0x38)));
    assert_eq!(told("0f 0b", &[("cr2", 0x57_94a9)]), Some(PanicKind::Bug));
    assert_eq!(told("f7 f9", &[("rcx", 0)]), Some(PanicKind::DivideError));
    assert_eq!(told("", &[("rip", 0)]), Some(PanicKind::NullPointerDereference));
    assert_eq!(told("", &[]), None);
}

#[test]
fn what_does_not_fit_is_said() {
    assert_eq!(
        NULL.at(0x38).sentence("48 8b 07", &[("rdi", 0xffff_8880_1234_5678)]),
        "reads 8 bytes at rdi (0xffff888012345678), but the fault was at 0x38: registers and code do not belong to it"
    );
    assert_eq!(
        NULL.at(0x38).sentence("48 8b 47 30", &[]),
        "reads 8 bytes at rdi+0x30 (0x38), which is NULL plus a member offset of 56"
    );
    assert_eq!(
        NULL.at(0x38).sentence("", &[]),
        "reads 0x38, which is NULL plus a member offset of 56"
    );
}

#[test]
fn a_repeated_string_instruction_reaches_as_far_as_it_counts() {
    // rep movsb: the fault may be anywhere in what is left to copy.
    let values = [
        ("rsi", 0xffff_8880_1000_0800),
        ("rdi", 0xffff_8880_2000_0000),
        ("rcx", 0x2000),
    ];
    let said = PAGE.at(0xffff_8880_1000_1000).sentence("f3 a4", &values);
    assert!(
        said.starts_with("reads 1 byte at rsi (0xffff888010000800): rsi is a kernel address"),
        "{said}"
    );
}

#[test]
fn an_interrupted_place_is_not_blamed() {
    let registers = registers(&[("rdi", 8), ("cr2", 8)]);
    let explanation = explain(&Place {
        role: FaultRole::Interrupted,
        code: &[0x48, 0x8b, 0x07],
        registers: &registers,
        kind: Some(PanicKind::SoftLockup),
        address: None,
        access: None,
        error_code: None,
        is_mapped: None,
    });
    assert_eq!(explanation.told, None);
    assert!(explanation.sentence.unwrap().contains("nothing wrong"));
}

fn report(code: &str, values: &[(&str, u64)]) -> CrashReport {
    let mut report = CrashReport::new(crate::crash::Source::new("-", crate::crash::SourceKind::Console));
    report.fault = Some(Fault {
        role: FaultRole::Faulted,
        symbol: None,
        offset: None,
        size: None,
        module: None,
        address: None,
        registers: registers(values),
        code: Some(code.to_owned()),
        instruction: None,
        source: None,
        explanation: None,
    });
    report
}

#[test]
fn a_report_is_explained_from_its_own_code_line() {
    let mut cut_off = report("55 48 89 e5 <48> 8b 07", &[("rdi", 8), ("cr2", 8)]);
    explain_report(&mut cut_off, None, None);
    let fault = cut_off.fault.unwrap();
    assert_eq!(fault.instruction.as_deref(), Some("mov (%rdi),%rax"));
    assert!(fault.explanation.unwrap().starts_with("reads 8 bytes at rdi (0x8)"));
    let panic = cut_off.panic.unwrap();
    assert_eq!(panic.kind, PanicKind::NullPointerDereference);
    assert_eq!(panic.kind_source, Some(KindSource::Cr2));
    assert_eq!(panic.address, Some(VirtAddr(8)));
}

#[test]
fn the_dumps_own_bytes_come_first_and_other_machines_are_left_alone() {
    let mut patched = report("<cc> 8b 07", &[]);
    explain_report(&mut patched, Some(&[0x48, 0x8b, 0x07]), None);
    assert_eq!(patched.fault.unwrap().instruction.as_deref(), Some("mov (%rdi),%rax"));
    let mut other = report("<48> 8b 07", &[]);
    other.system.machine = Some("s390x".to_owned());
    explain_report(&mut other, None, None);
    assert_eq!(other.fault.unwrap().instruction, None);
}

fn entry(is_warning: bool) -> BugEntry {
    BugEntry {
        file: "mm/rmap.c".to_owned(),
        line: 27,
        is_warning,
    }
}

#[test]
fn a_cut_off_bug_is_named_by_the_kernels_own_table() {
    for (is_warning, kind) in [(false, PanicKind::Bug), (true, PanicKind::Warning)] {
        let mut cut_off = report("<0f> 0b", &[]);
        cut_off.fault.as_mut().unwrap().address = Some(VirtAddr(0xffff_ffff_8100_0000));
        name_bug(&mut cut_off, &[0x0f, 0x0b, 0x90], |_| Some(entry(is_warning)));
        let panic = cut_off.panic.as_ref().unwrap();
        assert_eq!((panic.kind, panic.kind_source), (kind, Some(KindSource::Memory)));
        assert_eq!(cut_off.fault.unwrap().source.as_deref(), Some("mm/rmap.c:27"));
    }
}

#[test]
fn the_table_is_asked_for_nothing_but_ud2_and_overrules_no_headline() {
    let mut other = report("<48> 8b 07", &[]);
    other.fault.as_mut().unwrap().address = Some(VirtAddr(0xffff_ffff_8100_0000));
    name_bug(&mut other, &[0x48, 0x8b, 0x07], |_| panic!("asked"));
    assert_eq!(other.panic, None);
    let mut named = report("<0f> 0b", &[]);
    named.fault.as_mut().unwrap().address = Some(VirtAddr(0xffff_ffff_8100_0000));
    named.panic = Some(Panic {
        kind_source: Some(KindSource::Headline),
        ..Panic::of_kind(PanicKind::ListCorruption)
    });
    name_bug(&mut named, &[0x0f, 0x0b], |_| Some(entry(false)));
    assert_eq!(named.panic.unwrap().kind, PanicKind::ListCorruption);
}

const NAMES: [&str; 18] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r12", "r15", "rip", "cr2", "cr4", "gs_base",
    "rflags", "r13",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn anything_is_explained_without_harm(
        code: Vec<u8>,
        values in prop::collection::vec((0usize..NAMES.len(), prop_oneof![any::<u64>(), 0u64..8192, Just(u64::MAX)]), 0..18),
        kind in prop::option::of(0usize..PanicKind::ALL.len()),
        address: Option<u64>,
        error_code: Option<u64>,
        interrupted: bool,
        mapped: bool,
    ) {
        let registers = values.into_iter().map(|(name, value)| (NAMES[name].to_owned(), VirtAddr(value))).collect();
        let is_mapped = |address: VirtAddr| mapped && address.0.is_multiple_of(3);
        let _ = explain(&Place {
            role: if interrupted { FaultRole::Interrupted } else { FaultRole::Faulted },
            code: &code,
            registers: &registers,
            kind: kind.map(|kind| PanicKind::ALL[kind]),
            address: address.map(VirtAddr),
            access: None,
            error_code,
            is_mapped: Some(&is_mapped),
        });
    }
}
