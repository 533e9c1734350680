//! The faults in the real dumps of the shared test data folder, explained from the dump's own text and registers.
//!
//! The folder is `$VMCORONER_SHARED`, else `../shared`; without it these tests say so and pass. `$VMCORONER_MORE_DUMPS`
//! may name further ones.

mod support;

use support::opened::Opened;
use vmcoroner::addr::VirtAddr;
use vmcoroner::crash::{FaultRole, PanicKind, Registers};
use vmcoroner::extract::fault::{Explanation, Place, explain};
use vmcoroner::kernel::bug_table;

/// How the guests were crashed, what must be told of it from the processor's state alone, and words of the sentence.
const EXPECTED: &[(&str, PanicKind, &str)] = &[
    (
        "anonvma",
        PanicKind::NullPointerDereference,
        "8 bytes at rdi (0x8): rdi is NULL plus a member offset of 8",
    ),
    (
        "anonvma_direct",
        PanicKind::NullPointerDereference,
        "rdi is NULL plus a member offset of 8",
    ),
    (
        "null_read",
        PanicKind::NullPointerDereference,
        "reads 8 bytes at rax+0x38 (0x38): rax is NULL",
    ),
    (
        "null_write",
        PanicKind::NullPointerDereference,
        "writes 8 bytes at rax+0x38 (0x38): rax is NULL",
    ),
    (
        "bad_ptr",
        PanicKind::BadPageFault,
        "is a kernel address where nothing is mapped",
    ),
    (
        "write_ro",
        PanicKind::BadPageFault,
        "is a kernel address, but that page must not be written",
    ),
    (
        "gpf",
        PanicKind::GeneralProtection,
        "rax (0x1234beef00c0ffee) is not a canonical address",
    ),
    ("uaf", PanicKind::GeneralProtection, "is POISON_FREE: freed slab memory"),
    ("div0", PanicKind::DivideError, "which is 0"),
    ("bug", PanicKind::Bug, "stops itself here (BUG)"),
    ("list_add", PanicKind::Bug, "stops itself here (BUG)"),
    ("list_del", PanicKind::Bug, "stops itself here (BUG)"),
    ("usercopy", PanicKind::Bug, "stops itself here (BUG)"),
];

fn explained(opened: &Opened) -> Option<Explanation> {
    let truth = &opened.truth["truth"];
    let mut registers: Registers = truth["exception"]["regs"]
        .as_object()?
        .iter()
        .map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap().parse().unwrap()))
        .collect();
    if let Some(cr2) = truth["oops_text"]["regs"]["CR2"].as_str() {
        registers.insert("cr2".to_owned(), cr2.parse().unwrap());
    }
    let memory = opened.kernel.memory();
    let rip = registers["rip"];
    let code = (1..=15).rev().find_map(|len| memory.bytes(rip, len).ok())?;
    let is_mapped = |address: VirtAddr| memory.u8(address).is_ok();
    Some(explain(&Place {
        role: FaultRole::Faulted,
        code: &code,
        registers: &registers,
        kind: None,
        address: None,
        access: None,
        error_code: None,
        is_mapped: Some(&is_mapped),
    }))
}

#[test]
fn faults_are_told_from_text_and_registers_alone() {
    let mut told = 0;
    let all = Opened::all();
    for opened in &all {
        let made = opened.truth["made"]["kind"].as_str().unwrap();
        let Some((_, kind, words)) = EXPECTED
            .iter()
            .find(|(name, ..)| made.trim_start_matches("init_") == *name)
        else {
            continue;
        };
        let Some(explanation) = explained(opened) else {
            assert!(
                opened.header.truncated || opened.truth["truth"]["exception"].is_null(),
                "{}",
                opened.name
            );
            continue;
        };
        assert_eq!(explanation.told.map(|told| told.kind), Some(*kind), "{}", opened.name);
        let sentence = explanation.sentence.unwrap();
        assert!(sentence.contains(words), "{}: {sentence}", opened.name);
        told += 1;
    }
    assert!(told >= 5 || all.is_empty(), "only {told} faults were told");
}

#[test]
fn the_line_of_a_bug_is_known_without_debuginfo() {
    let mut found = 0;
    let all = Opened::all();
    for opened in &all {
        let truth = &opened.truth["truth"];
        let (Some(rip), Some(headline)) = (
            truth["exception"]["regs"]["RIP"].as_str(),
            truth["oops_text"]["headline"].as_str(),
        ) else {
            continue;
        };
        let (Some((_, place)), is_warning) = (match headline.split_once("kernel BUG at ") {
            Some(found) => (Some(found), false),
            None => (
                headline
                    .split_once(" at ")
                    .filter(|(before, _)| before.starts_with("WARNING")),
                true,
            ),
        }) else {
            continue;
        };
        let place = place.split([' ', '!']).next().unwrap();
        let entry = bug_table::find(
            opened.kernel.memory(),
            &opened.symbols,
            &opened.types,
            rip.parse().unwrap(),
        );
        let Some(entry) = entry else {
            assert!(opened.header.truncated, "{}", opened.name);
            continue;
        };
        assert_eq!(format!("{}:{}", entry.file, entry.line), place, "{}", opened.name);
        assert_eq!(entry.is_warning, is_warning, "{}", opened.name);
        found += 1;
    }
    assert!(found >= 1 || all.is_empty());
}
