//! One line of a register dump → where the CPU was and what its registers held, for every machine Linux prints them on.
//!
//! x86's lines are read here, the other machines' in `machines`, the values of all in `values`. It must
//! not know which of a text's dumps matters.

mod machines;
mod values;

use crate::addr::VirtAddr;

use super::scan::{self, SymbolRef};
use machines::other_pointer;
use values::{pairs, s390_continuation, values_line};

/// A place in code as a register dump names it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// The function. Absent: a bare address.
    pub symbol: Option<String>,
    /// Bytes from its start.
    pub offset: Option<u64>,
    /// Its size.
    pub size: Option<u64>,
    /// Its module.
    pub module: Option<String>,
    /// The address.
    pub address: Option<VirtAddr>,
}

impl From<SymbolRef<'_>> for Place {
    fn from(symbol: SymbolRef<'_>) -> Self {
        Place {
            symbol: Some(symbol.symbol.trim_start_matches('.').to_owned()),
            offset: symbol.offset,
            size: symbol.size,
            module: symbol.module.map(str::to_owned),
            address: None,
        }
    }
}

/// What a line is to the dump that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// It begins a new dump: the line with the instruction pointer.
    Start,
    /// It continues one.
    Inside,
    /// It repeats the instruction pointer at the end of an oops (`RIP  [<…>] …`).
    Echo,
}

/// What one line of a register dump says.
#[derive(Clone, Debug, PartialEq)]
pub struct RegisterLine {
    /// What the line is to its dump.
    pub position: Position,
    /// Whether the CPU was in user mode, when the line tells.
    pub user: Option<bool>,
    /// Where the CPU was.
    pub place: Option<Place>,
    /// Where it would have returned to (machines with a link register).
    pub link: Option<Place>,
    /// Register values by the record's names: lower case, unpadded.
    pub values: Vec<(String, u64)>,
    /// The machine, as `uname -m` names it, when the form of the line tells.
    pub machine: Option<&'static str>,
}

impl RegisterLine {
    fn new(position: Position, machine: Option<&'static str>) -> Self {
        RegisterLine {
            position,
            user: None,
            place: None,
            link: None,
            values: Vec::new(),
            machine,
        }
    }
}

/// Reads a line as part of a register dump; `None` when it is none.
pub fn parse(body: &str) -> Option<RegisterLine> {
    let text = body.trim();
    let first = *text.as_bytes().first()?;
    match first {
        b'R' | b'E' | b'C' | b'D' | b'F' | b'K' | b'G' | b'N' | b'L' | b'P' | b'U' | b'M' | b'O' | b'S' => {}
        b'a' | b'c' | b'd' | b'e' | b'f' | b'g' | b'i' | b'l' | b'p' | b'r' | b's' | b't' | b'x' | b'm' => {}
        b'0'..=b'9' => return s390_continuation(text),
        _ => return None,
    }
    x86_pointer(text)
        .or_else(|| other_pointer(text))
        .or_else(|| values_line(text))
}

/// `RIP: …` and `EIP: …` in all their forms.
fn x86_pointer(text: &str) -> Option<RegisterLine> {
    let (name, machine) = match text.get(..3)? {
        "RIP" => ("rip", "x86_64"),
        "EIP" => ("eip", "i386"),
        _ => return None,
    };
    let rest = text.get(3..)?;
    if let Some(rest) = rest.strip_prefix(" is at ") {
        let mut line = RegisterLine::new(Position::Inside, Some(machine));
        line.place = scan::symbol_ref(rest.trim()).map(Place::from);
        return line.place.is_some().then_some(line);
    }
    let Some(rest) = rest.strip_prefix(':') else {
        // `RIP  [<ffffffff810acac5>] down_read_trylock+0x5/0x50`: the oops's last lines say it again.
        let mut line = RegisterLine::new(Position::Echo, Some(machine));
        line.place = place(rest);
        return line.place.is_some().then_some(line);
    };
    let rest = rest.trim_start();
    if let Some((segment, after)) = segment(rest) {
        let mut line = RegisterLine::new(Position::Start, Some(machine));
        line.values.push(("cs".to_owned(), segment));
        line.user = Some(segment & 3 == 3);
        line.place = place(after);
        if let Some(address) = line.place.as_ref().and_then(|place| place.address) {
            line.values.push((name.to_owned(), address.0));
        }
        line.values.extend(pairs(after).filter(|(name, _)| name != "cpu"));
        return Some(line);
    }
    // `RIP: down_read_trylock+0x5/0x50 RSP: ffff8801b4c3ba90` closes an oops; `EIP: foo+0x1/0x2` opens a dump on i386;
    // crash prints `RIP: ffffffff9c0c2e89  RSP: …`.
    if let Some((address, after)) = scan::leading_hex(rest)
        && (after.is_empty() || after.starts_with(' '))
    {
        // Only the kernel writes `0x`, and closes an oops so; `crash` begins a dump without.
        let echo = rest.starts_with("0x") && rest.contains("RSP:");
        let position = if echo { Position::Echo } else { Position::Start };
        let mut line = RegisterLine::new(position, Some(machine));
        line.place = Some(Place {
            address: Some(VirtAddr(address)),
            ..Place::default()
        });
        line.values.push((name.to_owned(), address));
        line.values.extend(pairs(after));
        return Some(line);
    }
    let echo = rest.contains("RSP:") || rest.contains("SS:ESP");
    let position = if echo { Position::Echo } else { Position::Start };
    let mut line = RegisterLine::new(position, Some(machine));
    line.place = place(rest);
    line.place.is_some().then_some(line)
}

/// `0010:` at the start of `text`.
fn segment(text: &str) -> Option<(u64, &str)> {
    let (digits, rest) = text.split_once(':')?;
    (digits.len() == 4).then(|| scan::bare_hex(digits).map(|segment| (segment, rest)))?
}

/// `[<addr>]  [<addr>] sym+0x9/0x50 [mod]`, `sym+0x9/0x50`, `0x47b7a0`, `(null)`.
pub fn place(text: &str) -> Option<Place> {
    let mut rest = text.trim();
    let mut address = None;
    while let Some((tag, after)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        let digits = tag.trim_start_matches('<').trim_end_matches('>').trim();
        match scan::bare_hex(digits) {
            Some(value) => address = Some(VirtAddr(value)),
            None if digits == "(null)" || digits == "0x0" => address = Some(VirtAddr(0)),
            None => break,
        }
        rest = after.trim_start();
    }
    if let Some(symbol) = scan::symbol_ref(rest) {
        return Some(Place {
            address,
            ..Place::from(symbol)
        });
    }
    // A symbolizer took the offset away: `foo (mm/foo.c:12)`.
    if let Some((symbol, source)) = rest.split_once(" (")
        && scan::is_symbol(symbol)
        && source
            .split([')', ' '])
            .next()
            .is_some_and(|source| source.contains(':'))
    {
        return Some(Place {
            symbol: Some(symbol.to_owned()),
            address,
            ..Place::default()
        });
    }
    if rest.starts_with("(null)") {
        address = address.or(Some(VirtAddr(0)));
    } else if let Some((value, _)) = rest.strip_prefix("0x").and_then(scan::leading_hex) {
        address = address.or(Some(VirtAddr(value)));
    }
    address.map(|_| Place {
        address,
        ..Place::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(line: &RegisterLine, name: &str) -> Option<u64> {
        line.values
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| *value)
    }

    #[test]
    fn both_rip_forms_name_the_place() {
        for text in [
            "RIP: 0010:[<ffffffff810aca65>]  [<ffffffff810aca65>] down_read_trylock+0x5/0x50 [mod]",
            "RIP: 0010:down_read_trylock+0x5/0x50 [mod]",
            "RIP: e030:[<ffffffff810aca65>] down_read_trylock+0x5/0x50 [mod]",
        ] {
            let line = parse(text).unwrap();
            assert_eq!((line.position, line.user), (Position::Start, Some(false)), "{text}");
            let place = line.place.unwrap();
            assert_eq!(place.symbol.as_deref(), Some("down_read_trylock"));
            assert_eq!(
                (place.offset, place.size, place.module.as_deref()),
                (Some(5), Some(0x50), Some("mod"))
            );
        }
        let user = parse("RIP: 0033:0x47b7a0").unwrap();
        assert_eq!(
            (user.user, user.place.unwrap().address),
            (Some(true), Some(VirtAddr(0x47b7a0)))
        );
        let null = parse("RIP: 0010:[<0000000000000000>]  [<          (null)>]           (null)").unwrap();
        assert_eq!(null.place.unwrap().address, Some(VirtAddr(0)));
    }

    #[test]
    fn the_closing_lines_of_an_oops_are_echoes() {
        for text in [
            "RIP  [<ffffffff810acac5>] down_read_trylock+0x5/0x50",
            "RIP: down_read_trylock+0x5/0x50 RSP: ffff8801b4c3ba90",
            "EIP: [<c0123456>] foo+0x1/0x2 SS:ESP 0068:c1234567",
        ] {
            assert_eq!(parse(text).unwrap().position, Position::Echo, "{text}");
        }
    }

    #[test]
    fn register_names_are_lower_case_and_unpadded() {
        let line = parse("RBP: ffff9b5edb3d5000 R08: ffffffff86798ebb R09: ffffffff86798ebc").unwrap();
        assert_eq!(value(&line, "rbp"), Some(0xffff_9b5e_db3d_5000));
        assert_eq!(value(&line, "r8"), Some(0xffff_ffff_8679_8ebb));
        assert_eq!(value(&line, "r9"), Some(0xffff_ffff_8679_8ebc));
        let line = parse("RSP: 0018:ffffb79bc014fdc0 EFLAGS: 00000246").unwrap();
        assert_eq!(
            (value(&line, "ss"), value(&line, "rsp")),
            (Some(0x18), Some(0xffff_b79b_c014_fdc0))
        );
        assert_eq!(value(&line, "eflags"), Some(0x246));
        let line = parse("RBP: ffff9c857ba3fa80   R8: ffffe7f22a9b0020   R9: 000000103578f000").unwrap();
        assert_eq!(value(&line, "r9"), Some(0x10_3578_f000));
        let line = parse("ORIG_RAX: ffffffffffffffff  CS: 0010  SS: 0018").unwrap();
        assert_eq!(
            (value(&line, "orig_rax"), value(&line, "ss")),
            (Some(u64::MAX), Some(0x18))
        );
    }

    #[test]
    fn other_machines_are_read() {
        let line = parse("pc : ext4_get+0x10/0x20 [ext4]").unwrap();
        assert_eq!(line.place.unwrap().symbol.as_deref(), Some("ext4_get"));
        assert_eq!(
            value(&parse("x29: ffff800012345678 x28: 0000000000000001").unwrap(), "x28"),
            Some(1)
        );
        assert_eq!(value(&parse("x9 : 0000000000000007").unwrap(), "x9"), Some(7));
        let psw = parse("Krnl PSW : 0704e00180000000 0000000000112233 (schedule+0x10/0x20)").unwrap();
        assert_eq!(psw.place.unwrap().symbol.as_deref(), Some("schedule"));
        let nip = parse("NIP [c0000000001d2f5c] .do_fork+0x9c/0x3f0").unwrap();
        assert_eq!(nip.place.unwrap().symbol.as_deref(), Some("do_fork"));
        assert_eq!(value(&parse("GPR04: 1 2 3 4").unwrap(), "r6"), Some(3));
        let m68k = parse("PC: [<00201d3c>] lab_compare+0x28/0x56").unwrap();
        assert_eq!((m68k.position, m68k.machine), (Position::Start, Some("m68k")));
        assert_eq!(m68k.place.unwrap().offset, Some(0x28));
        let values = parse("SR: 2010  SP: 01199e60  a2: 01152370").unwrap();
        assert_eq!(
            (value(&values, "sp"), value(&values, "a2")),
            (Some(0x119_9e60), Some(0x115_2370))
        );
        let values = parse("d0: 00000001    d1: 01013000    d2: 01002790    d3: 00000000").unwrap();
        assert_eq!(value(&values, "d2"), Some(0x100_2790));
    }

    #[test]
    fn other_lines_are_no_registers() {
        for text in [
            "Call Trace:",
            "Code: 00",
            "RAM: 4 GB",
            "sp",
            "Memory: 12",
            "random: crng",
            "rtc: x",
            "tun: y",
            "R: 1",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read(line in "\\PC{0,120}") {
            parse(&line);
        }

        #[test]
        fn register_like_lines_are_read(line in "(RIP|EIP|RSP|x9|GPR|NIP|pc )[:<\\[\\] 0-9a-fA-Fé()+x/]{0,60}") {
            parse(&line);
        }
    }
}
