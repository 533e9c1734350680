//! Register values, as names and hex numbers on a line.

use super::super::scan;
use super::{Position, RegisterLine};

/// `a b c d` as registers `prefix`N, `prefix`N+1, …
pub fn numbered(prefix: &str, first: u64, values: &str, machine: Option<&'static str>) -> Option<RegisterLine> {
    let mut line = RegisterLine::new(Position::Inside, machine);
    for (number, word) in values.split_ascii_whitespace().take(8).enumerate() {
        line.values
            .push((format!("{prefix}{}", first + number as u64), scan::bare_hex(word)?));
    }
    (!line.values.is_empty() && first < 64).then_some(line)
}

/// The three lines that continue s390's `Krnl GPRS:`. Which registers they are only the dump before them tells.
pub fn s390_continuation(text: &str) -> Option<RegisterLine> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let sound = words.len() == 4 && words.iter().all(|word| word.len() == 16);
    if !sound {
        return None;
    }
    let mut line = RegisterLine::new(Position::Inside, Some("s390x"));
    for word in words {
        line.values.push(("r+".to_owned(), scan::bare_hex(word)?));
    }
    Some(line)
}

/// `RAX: 0000000000000000 RBX: ffff9b5edb87e701 RCX: 8000000000000007`, `x29: … x28: …`, `sp : c0001234  ip : …`.
pub fn values_line(text: &str) -> Option<RegisterLine> {
    let name = text.split([':', ' ']).next()?;
    let machine = register_machine(name)?;
    // `sp :`, `r9 :` and so on only count with their colon.
    let after = text.get(name.len()..)?.trim_start();
    if !after.starts_with(':') {
        return None;
    }
    let mut line = RegisterLine::new(Position::Inside, machine.then_some("x86_64"));
    if name.starts_with('E') && name.len() == 3 {
        line.machine = Some("i386");
    }
    line.values = pairs(text).collect();
    if name == "RSP" || name == "CS" {
        // `RSP: 0018:…` is kernel mode, `RSP: 002b:…` user mode.
        line.user = line
            .values
            .iter()
            .find(|(name, _)| name == "ss" || name == "cs")
            .map(|(_, value)| value & 3 == 3);
    }
    (!line.values.is_empty()).then_some(line)
}

/// Whether `name` is a register's name as dumps print it; true: of x86_64.
fn register_machine(name: &str) -> Option<bool> {
    const X86_64: [&str; 10] = [
        "RAX", "RDX", "RBP", "RSP", "RCX", "RBX", "RSI", "RDI", "ORIG_RAX", "R10",
    ];
    const OTHER: [&str; 25] = [
        "R13", "EAX", "ESI", "EDI", "EBP", "ESP", "CS", "DS", "CR0", "CR2", "EFLAGS", "R08", "R8", "sp", "ip", "fp",
        "gp", "tp", "CFAR", "MSR", "psr", "pstate", "Flags", "s0", "SR",
    ];
    if X86_64.contains(&name) {
        return Some(true);
    }
    if OTHER.contains(&name) {
        return Some(false);
    }
    let (letter, number) = name.split_at_checked(1)?;
    let numbered = matches!(letter, "x" | "r" | "t" | "s" | "a" | "d")
        && !number.is_empty()
        && number.len() <= 2
        && number.bytes().all(|byte| byte.is_ascii_digit());
    numbered.then_some(false)
}

/// All `NAME: hex` pairs of a line, with the record's names. A segment before the value (`RSP: 0018:ffff…`) becomes the
/// register `ss`.
pub fn pairs(text: &str) -> impl Iterator<Item = (String, u64)> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(colon) = rest.find(':') {
        let (before, after) = (
            rest.get(..colon).unwrap_or_default(),
            rest.get(colon + 1..).unwrap_or_default(),
        );
        let name = before
            .trim_end()
            .rsplit([' ', '\t', '>', ')'])
            .next()
            .unwrap_or_default();
        rest = after;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let value_text = after.trim_start();
        let value_text = value_text.strip_prefix("[<").unwrap_or(value_text);
        let Some((value, tail)) = scan::leading_hex(value_text) else {
            continue;
        };
        let name = record_name(name);
        match tail.strip_prefix(':').and_then(scan::leading_hex) {
            Some((inner, after)) if name == "rsp" || name == "esp" => {
                out.push(("ss".to_owned(), value));
                out.push((name, inner));
                rest = after;
            }
            // `RAX: 0000 RBX: …`: a value is followed by a blank, a bracket or the end.
            _ if tail.is_empty() || tail.starts_with([' ', '\t', '(', '>', ',']) => {
                // `FS:` and `GS:` of a 64-bit dump are segment bases with the selector behind them.
                if !(matches!(name.as_str(), "fs" | "gs" | "knlgs") && tail.starts_with('(')) {
                    out.push((name, value));
                }
                rest = tail;
            }
            _ => {}
        }
    }
    out.into_iter()
}

/// `R08` → `r8`, `EFLAGS` → `rflags` stays with the machine's own width (see [`super::facts`]).
fn record_name(name: &str) -> String {
    let mut lower = name.to_ascii_lowercase();
    if lower == "r08" || lower == "r09" {
        lower.remove(1);
    }
    lower
}
