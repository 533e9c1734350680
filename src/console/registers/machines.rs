//! The instruction pointers and link registers of the machines that are not x86.

use crate::addr::VirtAddr;

use super::super::scan;
use super::values::{numbered, pairs};
use super::{Place, Position, RegisterLine, place};

/// The instruction pointers and link registers of the other machines.
pub fn other_pointer(text: &str) -> Option<RegisterLine> {
    let start = |machine| RegisterLine::new(Position::Start, machine);
    // arm, arm64
    if let Some(rest) = text.strip_prefix("PC is at ") {
        let mut line = start(None);
        line.place = place(rest);
        return line.place.is_some().then_some(line);
    }
    if let Some(rest) = text.strip_prefix("LR is at ") {
        let mut line = RegisterLine::new(Position::Inside, None);
        line.link = place(rest);
        return line.link.is_some().then_some(line);
    }
    if let Some(rest) = text.strip_prefix("pc : ") {
        let machine = if rest.contains("psr:") { "arm" } else { "aarch64" };
        let mut line = start(Some(machine));
        line.place = place(rest);
        if rest.trim_start().starts_with('[') {
            line.values = pairs(text).collect();
            // The symbols came before (`PC is at`) or come after: same dump.
            line.position = Position::Inside;
        }
        if let Some(state) = scan::after(rest, "pstate: ").and_then(scan::leading_hex) {
            line.user = Some(state.0 & 0xf == 0);
        }
        return line.place.is_some().then_some(line);
    }
    if let Some(rest) = text.strip_prefix("lr : ") {
        let mut line = RegisterLine::new(Position::Inside, Some("aarch64"));
        line.link = place(rest);
        return line.link.is_some().then_some(line);
    }
    // powerpc
    if let Some(rest) = text.strip_prefix("NIP ") {
        let mut line = RegisterLine::new(Position::Inside, Some("ppc64"));
        line.place = place(rest);
        return line.place.is_some().then_some(line);
    }
    if let Some(rest) = text.strip_prefix("LR ") {
        let mut line = RegisterLine::new(Position::Inside, Some("ppc64"));
        line.link = place(rest);
        return line.link.is_some().then_some(line);
    }
    if text.starts_with("NIP: ") {
        let mut line = start(Some("ppc64"));
        line.values = pairs(text).collect();
        return (!line.values.is_empty()).then_some(line);
    }
    if let Some(rest) = text.strip_prefix("GPR") {
        let (first, values) = rest.split_once(':')?;
        return numbered("r", first.parse().ok()?, values, Some("ppc64"));
    }
    // m68k
    if let Some(rest) = text.strip_prefix("PC: ").filter(|rest| rest.starts_with("[<")) {
        let mut line = start(Some("m68k"));
        line.place = place(rest);
        return line.place.is_some().then_some(line);
    }
    // s390
    if let Some(rest) = text
        .strip_prefix("Krnl PSW : ")
        .or_else(|| text.strip_prefix("User PSW : "))
    {
        let mut line = start(Some("s390x"));
        line.user = Some(text.starts_with('U'));
        let mut words = rest.split_ascii_whitespace();
        let (mask, address) = (
            words.next().and_then(scan::bare_hex)?,
            words.next().and_then(scan::bare_hex)?,
        );
        line.values
            .extend([("psw_mask".to_owned(), mask), ("psw_addr".to_owned(), address)]);
        let symbol = scan::between(rest, "(", ")")
            .and_then(scan::symbol_ref)
            .map(Place::from);
        line.place = Some(Place {
            address: Some(VirtAddr(address)),
            ..symbol.unwrap_or_default()
        });
        return Some(line);
    }
    if let Some(rest) = text
        .strip_prefix("Krnl GPRS: ")
        .or_else(|| text.strip_prefix("User GPRS: "))
    {
        return numbered("r", 0, rest, Some("s390x"));
    }
    // riscv, mips, loongarch
    if let Some(rest) = text.strip_prefix("epc : ") {
        let mut line = start(Some("riscv64"));
        line.place = place(rest);
        if line.place.is_none() {
            line.position = Position::Inside;
            line.values = pairs(text).collect();
        }
        return Some(line);
    }
    if let Some(rest) = text.strip_prefix("ra : ") {
        let mut line = RegisterLine::new(Position::Inside, Some("riscv64"));
        line.link = place(rest);
        return line.link.is_some().then_some(line);
    }
    for (label, machine) in [
        ("epc   : ", "mips"),
        ("era   : ", "loongarch64"),
        ("ERA: ", "loongarch64"),
    ] {
        if let Some(rest) = text.strip_prefix(label) {
            let mut line = start(Some(machine));
            let (address, rest) = scan::leading_hex(rest.trim_start())?;
            let symbol = scan::symbol_ref(rest.trim_start()).map(Place::from);
            line.place = Some(Place {
                address: Some(VirtAddr(address)),
                ..symbol.unwrap_or_default()
            });
            return Some(line);
        }
    }
    None
}
