//! One line of a call trace → a frame. Every form that Linux prints, from 2.6 to 7.x, and ARM's, powerpc's and s390's.
//!
//! It must not know where a trace begins or ends, nor what it belongs to.

use crate::addr::VirtAddr;
use crate::crash::Frame;
use crate::crash::machinery::{is_machinery, normalise_symbol};

use super::scan;

/// Which stack the frames that follow are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// `<IRQ>`, `<NMI>`, `<#DF>`, …: another stack begins (innermost first, so the frames of that stack follow).
    Enter,
    /// `<EOI>`, `<<EOE>>`, `</IRQ>`, …: that stack ends; what follows was interrupted.
    Leave,
    /// `<TASK>`: the task's own stack.
    Task,
}

/// What one line of a trace holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    /// The marks on the line, before its frame.
    pub marks: Vec<Mark>,
    /// The frame.
    pub frame: Option<Frame>,
    /// ARM's `A from B` lines: where A was called from, a frame of its own if it is the trace's last line.
    pub from: Option<Frame>,
}

/// Reads a line as part of a trace; `None` when it is none.
pub fn entry(body: &str) -> Option<Entry> {
    let mut entry = Entry::default();
    let mut rest = body.trim();
    while let Some((mark, after)) = mark(rest) {
        entry.marks.push(mark);
        rest = after.trim_start();
    }
    if rest.is_empty() {
        return (!entry.marks.is_empty()).then_some(entry);
    }
    // How some unwinders end a stack: no frame.
    if rest.ends_with(" 0xffffffffffffffff") || rest == "0xffffffffffffffff" {
        return Some(entry);
    }
    (entry.frame, entry.from) = match frame(rest) {
        Some(frame) => (Some(frame), None),
        None => {
            let (frame, from) = arm(rest)?;
            (Some(frame), from)
        }
    };
    Some(entry)
}

/// `<IRQ> ` and the like at the start of a line.
fn mark(text: &str) -> Option<(Mark, &str)> {
    let inner = text.strip_prefix('<')?;
    let inner = inner.strip_prefix('<').unwrap_or(inner);
    let close = inner.find('>').filter(|at| *at <= 8)?;
    let (name, rest) = (inner.get(..close)?, inner.get(close + 1..)?);
    let rest = rest.strip_prefix('>').unwrap_or(rest);
    let mark = match name {
        "TASK" => Mark::Task,
        "EOI" | "EOE" | "/IRQ" | "/NMI" | "/TASK" | "/SOFTIRQ" | "/ENTRY" | "/#DF" | "/#DB" | "/#MC" | "/#VC"
        | "/#VC2" | "/HARDIRQ" | "/UNKNOWN" | "/#DB1" => Mark::Leave,
        "IRQ" | "NMI" | "SOFTIRQ" | "HARDIRQ" | "ENTRY" | "ENTRY_TRAM" | "#DF" | "#DB" | "#MC" | "#VC" | "#VC2"
        | "DOUBLEF" | "DEBUG" | "MCE" | "STACKFA" | "UNKNOWN" | "UNK" | "NMIEXC" => Mark::Enter,
        _ => return None,
    };
    Some((mark, rest))
}

/// ARM: `[<c0016b30>] (unwind_backtrace+0x0/0xf8) from [<c06f2b7c>] (dump_stack+0x20/0x24)`, and since 5.19
/// ` dump_stack from panic+0x10/0x20`.
fn arm(text: &str) -> Option<(Frame, Option<Frame>)> {
    let (left, right) = scan::split_once(text, " from ")?;
    let side = |text: &str| -> Option<Frame> {
        let (address, rest) = bracketed_address(text).map_or((None, text), |(address, rest)| (Some(address), rest));
        let rest = rest.trim_start();
        let name = rest
            .strip_prefix('(')
            .and_then(|rest| rest.split_once(')'))
            .map_or(rest, |(name, _)| name)
            .trim();
        let mut frame = match scan::symbol_ref(name) {
            Some(symbol) => from_symbol(&symbol),
            None => named(name)?,
        };
        frame.address = address;
        Some(frame)
    };
    let left_name = left.trim_start_matches(|c: char| c != '(' && c != '[' && !c.is_alphabetic() && c != '_');
    let frame = side(left_name)?;
    let from = side(right)?;
    Some((frame, Some(from)))
}

/// `[<ffffffff810aca65>] ` or `[c0000000001d2f5c] `, with s390's bracket around it.
fn bracketed_address(text: &str) -> Option<(VirtAddr, &str)> {
    let inner = text.strip_prefix('(').unwrap_or(text).strip_prefix('[')?;
    let close = inner.find(']').filter(|at| *at <= 22)?;
    let (tag, rest) = (inner.get(..close)?, inner.get(close + 1..)?);
    let digits = tag
        .strip_prefix('<')
        .and_then(|tag| tag.strip_suffix('>'))
        .unwrap_or(tag);
    if digits.trim() == "(null)" {
        return Some((VirtAddr(0), rest));
    }
    let address = scan::bare_hex(digits).filter(|_| digits.len() >= 8)?;
    Some((VirtAddr(address), rest))
}

fn frame(text: &str) -> Option<Frame> {
    // 4.15 to 5.x hide the addresses.
    let mut rest = text.strip_prefix("[<0>] ").unwrap_or(text);
    let mut addresses = [None, None];
    for slot in &mut addresses {
        match bracketed_address(rest) {
            Some((address, after)) => {
                *slot = Some(address);
                rest = after.trim_start();
            }
            None => break,
        }
    }
    // powerpc prints where on the stack the frame is, then the code address.
    let (stack_address, address) = match addresses {
        [Some(stack), Some(code)] => (Some(stack), Some(code)),
        [code, _] => (None, code),
    };
    let mut reliable = true;
    if let Some(after) = rest.strip_prefix("? ").or_else(|| rest.strip_prefix("?")) {
        reliable = false;
        rest = after.trim_start();
    }
    // 2.6.16: `<ffffffff8010f0f1>{schedule+123}`.
    if let Some((digits, braced)) = rest.strip_prefix('<').and_then(|rest| rest.split_once(">{"))
        && let Some(address) = scan::bare_hex(digits)
        && let Some(symbol) = scan::symbol_ref(braced)
    {
        let mut frame = from_symbol(&symbol);
        frame.address = Some(VirtAddr(address));
        return Some(frame);
    }
    let mut frame = if let Some(symbol) = scan::symbol_ref(rest) {
        if symbol.size.is_none()
            && address.is_none()
            && symbol.rest.trim_start().starts_with(|c: char| c.is_alphanumeric())
        {
            return None;
        }
        let behind = symbol.rest.trim_start();
        if behind.starts_with("from ") {
            return None;
        }
        if behind.contains("(unreliable)") {
            reliable = false;
        }
        from_symbol(&symbol)
    } else if let Some(frame) = inlined(rest).or_else(|| decoded(rest)) {
        frame
    } else if let Some(digits) = rest.strip_prefix("0x")
        && let Some((value, after)) = scan::leading_hex(digits)
        && after.trim().is_empty()
        && value > 0xffff
    {
        Frame {
            address: Some(VirtAddr(value)),
            ..Frame::default()
        }
    } else if address.is_some() && rest.starts_with("(null)") {
        Frame::default()
    } else {
        return None;
    };
    frame.reliable = reliable;
    frame.address = frame.address.or(address);
    frame.stack_address = stack_address;
    Some(frame)
}

/// `kmalloc include/linux/slab.h:468 [inline]`, as a text that went through a symbolizer has it.
fn inlined(text: &str) -> Option<Frame> {
    let text = text.trim_end().strip_suffix("[inline]")?;
    let (symbol, source) = text.trim_end().split_once(' ')?;
    let (symbol, source) = (symbol.trim(), source.trim());
    (scan::is_symbol(symbol) && is_source(source) && !source.contains(' ')).then(|| Frame {
        symbol: Some(symbol.to_owned()),
        source: Some(source.to_owned()),
        inlined: true,
        machinery: is_machinery(symbol),
        ..Frame::default()
    })
}

/// `mutex_lock (kernel/locking/mutex.c:289 (discriminator 2)) ext4`, as scripts/decode_stacktrace.sh leaves it.
fn decoded(text: &str) -> Option<Frame> {
    let (symbol, rest) = scan::split_once(text.trim_end(), " (")?;
    let (source, tail) = rest.split_once([')', ' '])?;
    if !scan::is_symbol(symbol) || !is_source(source) {
        return None;
    }
    let last = tail.trim_end_matches(')').rsplit([' ', ')']).next().unwrap_or_default();
    let module = last.trim_matches(['[', ']']);
    let module = (tail.contains(' ') && !tail.ends_with(')') && scan::is_module(module)).then(|| module.to_owned());
    Some(Frame {
        symbol: Some(symbol.to_owned()),
        source: Some(source.to_owned()),
        module,
        machinery: is_machinery(symbol),
        ..Frame::default()
    })
}

/// A line that holds a function's name and, at most, its module: `shrink_zone`, `drbd_worker [drbd]`.
pub fn bare(text: &str) -> Option<Frame> {
    let frame = named(text)?;
    let name = frame.symbol.as_deref().unwrap_or_default();
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let sound = name.len() >= 3
        && (name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_') || name.starts_with("SyS_"))
        && name.bytes().all(letter)
        && !name.ends_with('.');
    sound.then_some(frame)
}

/// `foo` and `foo [mod]`.
fn named(text: &str) -> Option<Frame> {
    let (name, module) = match scan::split_once(text, " [") {
        Some((name, tail)) => (name.trim_end(), Some(tail.strip_suffix(']')?)),
        None => (text, None),
    };
    let sound = scan::is_symbol(name) && module.is_none_or(scan::is_module);
    sound.then(|| Frame {
        symbol: Some(name.to_owned()),
        module: module.map(str::to_owned),
        machinery: is_machinery(name),
        ..Frame::default()
    })
}

/// Whether a stack surely goes no further than this frame: the kernel was entered here.
pub fn ends_a_stack(frame: &Frame) -> bool {
    const STARTS: [&str; 7] = [
        "ret_from_",
        "entry_SYSCALL",
        "entry_INT80",
        "el0_",
        "el0t_",
        "secondary_startup",
        "system_call",
    ];
    const NAMES: [&str; 12] = [
        "kernel_thread_helper",
        "child_rip",
        "sysenter_do_call",
        "start_secondary",
        "common_startup_64",
        "ret_fast_syscall",
        "x86_64_start_kernel",
        "sysret_check",
        "tracesys",
        "ia32_sysret",
        "__do_syscall",
        "handle_exception",
    ];
    frame.reliable
        && frame.symbol.as_deref().is_some_and(|symbol| {
            let name = normalise_symbol(symbol);
            STARTS.iter().any(|start| name.starts_with(start)) || NAMES.contains(&name)
        })
}

/// Whether `text` is `file.c:12`.
fn is_source(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(file, line)| {
        file.contains(['.', '/']) && !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit() || byte == b'?')
    })
}

/// A frame from a symbol the kernel printed; a file and line that a symbolizer put behind it are taken along.
pub fn from_symbol(symbol: &scan::SymbolRef<'_>) -> Frame {
    let tail = symbol.rest.trim();
    let source = tail.split_ascii_whitespace().next().filter(|word| is_source(word));
    Frame {
        symbol: Some(symbol.symbol.trim_start_matches('.').to_owned()),
        offset: symbol.offset,
        size: symbol.size,
        module: symbol.module.map(str::to_owned),
        source: source.map(str::to_owned),
        machinery: is_machinery(symbol.symbol),
        ..Frame::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Frame {
        entry(line)
            .unwrap_or_else(|| panic!("no entry in {line:?}"))
            .frame
            .unwrap()
    }

    #[test]
    fn all_x86_forms_are_read() {
        for line in [
            " down_read+0x9/0x50 [ext4]",
            " [<ffffffff810aca65>] down_read+0x9/0x50 [ext4]",
            "[<ffffffff810aca65>] down_read+0x9/0x50 [ext4]",
            " down_read+0x9/0x50 [ext4 0123456789abcdef0123456789abcdef01234567]",
            " [<ffffffff810aca65>] :ext4:down_read+0x9/0x50",
        ] {
            let frame = one(line);
            assert_eq!(frame.symbol.as_deref(), Some("down_read"), "{line}");
            assert_eq!((frame.offset, frame.size), (Some(9), Some(0x50)), "{line}");
            assert_eq!(frame.module.as_deref(), Some("ext4"), "{line}");
            assert!(frame.reliable);
        }
        let unsure = one(" [<ffffffff811b22b5>] ? page_lock_anon_vma_read+0x55/0x110");
        assert!(!unsure.reliable);
        assert_eq!(unsure.address, Some(VirtAddr(0xffff_ffff_811b_22b5)));
        assert_eq!(one(" [<0>] ? down_read+0x9/0x50").address, None);
        assert_eq!(
            entry(" [<ffffffffffffffff>] 0xffffffffffffffff"),
            Some(Entry::default())
        );
        assert_eq!(one(" <ffffffff8010f0f1>{schedule+123}").offset, Some(123));
    }

    #[test]
    fn marks_stand_alone_or_before_a_frame() {
        assert_eq!(entry(" <IRQ>").unwrap().marks, [Mark::Enter]);
        let both = entry(" <EOI>  [<ffffffffc0395212>] ? spin+0x22/0x30 [lab]").unwrap();
        assert_eq!(both.marks, [Mark::Leave]);
        assert!(!both.frame.unwrap().reliable);
        assert_eq!(
            entry(" <<EOE>>  [<ffffffffc0395212>] spin+0x22/0x30").unwrap().marks,
            [Mark::Leave]
        );
        assert_eq!(entry("<TASK>").unwrap().marks, [Mark::Task]);
    }

    #[test]
    fn other_machines_have_their_own_forms() {
        let power = one("[c0000000fee0b3a0] [c0000000001d2f5c] .do_fork+0x9c/0x3f0 (unreliable)");
        assert_eq!(power.symbol.as_deref(), Some("do_fork"));
        assert_eq!(power.stack_address, Some(VirtAddr(0xc000_0000_fee0_b3a0)));
        assert!(!power.reliable);
        let s390 = one("([<0000000000112233>] schedule+0x10/0x20)");
        assert_eq!(s390.symbol.as_deref(), Some("schedule"));
        let arm = entry("[<c0016b30>] (unwind_backtrace+0x0/0xf8) from [<c06f2b7c>] (dump_stack+0x20/0x24)").unwrap();
        assert_eq!(arm.frame.unwrap().symbol.as_deref(), Some("unwind_backtrace"));
        assert_eq!(arm.from.unwrap().offset, Some(0x20));
        let new = entry(" dump_stack_lvl from panic+0x10/0x20").unwrap();
        assert_eq!(new.frame.unwrap().symbol.as_deref(), Some("dump_stack_lvl"));
    }

    #[test]
    fn a_symbolizer_leaves_file_and_line() {
        let inline = one(" kmalloc include/linux/slab.h:468 [inline]");
        assert!(inline.inlined);
        assert_eq!(inline.source.as_deref(), Some("include/linux/slab.h:468"));
        let decoded = one(" ? mutex_lock (kernel/locking/mutex.c:289 (discriminator 2)) dm_mod");
        assert!(!decoded.reliable);
        assert_eq!(decoded.symbol.as_deref(), Some("mutex_lock"));
        assert_eq!(decoded.source.as_deref(), Some("kernel/locking/mutex.c:289"));
        assert_eq!(decoded.module.as_deref(), Some("dm_mod"));
        assert_eq!(one(" acpi_ec_add (drivers/acpi/ec.c:1751)").module, None);
        assert_eq!(one(" foo+0x1/0x2 mm/foo.c:12").source.as_deref(), Some("mm/foo.c:12"));
    }

    #[test]
    fn other_lines_are_no_frames() {
        for line in [
            "",
            "RIP: 0010:foo+0x1/0x2",
            "CPU: 1 PID: 173 Comm: x Not tainted 4.9.0+",
            "Code: 00 01",
            "WARNING: CPU: 0 PID: 1 at mm/x.c:1 foo+0x1/0x2",
            "ext4 mounted from here",
            "raid6: using algorithm sse2x4 from cpu",
            "pc : foo+0x1/0x2",
            "[drm] Initialized",
            "pc : _compound_head include/linux/page-flags.h:253 [inline]",
            "Linux version 6.1 (gcc:12)",
        ] {
            assert_eq!(entry(line), None, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read(line in "\\PC{0,120}") {
            entry(&line);
        }

        #[test]
        fn frame_like_lines_are_read(line in "[<\\[\\]>(){}?+/x0-9a-f .:fromé]{0,60}") {
            entry(&line);
        }
    }
}
