//! Lines that head a stack or go with one, told by their shape alone.

use crate::addr::VirtAddr;

use super::super::scan;

/// What stands behind a trace's label on its line; `None` when the line is none.
pub fn trace_label(text: &str) -> Option<&str> {
    const LABELS: [&str; 8] = [
        "Call Trace:",
        "Call trace:",
        "Call Trace :",
        "Backtrace:",
        "backtrace:",
        "Stack traceback:",
        "Trace:",
        "Call backtrace:",
    ];
    if let Some(rest) = LABELS.iter().find_map(|label| text.strip_prefix(label)) {
        return Some(rest.trim());
    }
    // `backtrace (crc 1234abcd):` of kmemleak.
    (text.starts_with("backtrace (") && text.ends_with("):")).then_some("")
}

/// What heads the stack of a CPU that was sent an NMI to show what it does.
pub const OTHER_CPU: &str = "NMI backtrace for cpu ";

/// The pid in the kernel debugger's `Stack traceback for pid 1234`.
pub fn asked_for(text: &str) -> Option<u64> {
    scan::leading_decimal(text.strip_prefix("Stack traceback for pid ")?).map(|(pid, _)| pid)
}

/// Headings of stacks from earlier: of allocation and freeing, and of lockdep's chains.
pub fn is_history_label(text: &str) -> bool {
    text.starts_with("Allocated by task")
        || text.starts_with("Freed by task")
        || text.starts_with("Last potentially related work creation")
        || text.starts_with("Second to last potentially related")
        || text.starts_with("INFO: Allocated in ")
        || text.starts_with("INFO: Freed in ")
        || text.starts_with("Allocated in ")
        || text.starts_with("Freed in ")
        || text.starts_with("allocated by task ")
        || text.starts_with("freed by task ")
        || text.starts_with("Uninit was ")
        || text.starts_with("Local variable ")
        || text.starts_with("page last allocated via")
        || text.starts_with("page last free ")
        || text.starts_with("Memory state around")
        || text.starts_with("-> #")
        || text.starts_with("the existing dependency chain")
        || text.ends_with("irq-safe at:")
        || text.ends_with("irq-unsafe at:")
        || text.ends_with("was registered at:")
        || text.ends_with("IRQ-safe at:")
        || text.ends_with("which became")
        || text.ends_with("holding lock:")
        || text.ends_with("lock to be acquired")
        || text.ends_with("USE at:")
        || text.ends_with("-W at:")
        || text.ends_with("-R at:")
}

/// `task:tee state:D stack:0 pid:131 …` and `tee  D ffffffffc00c1048  0  131  1 0x00000000`.
pub fn is_task_dump(text: &str) -> bool {
    if text.starts_with("task:") && text.contains("state:") {
        return true;
    }
    let mut words = text.split_ascii_whitespace();
    let (Some(_), Some(state)) = (words.next(), words.next()) else {
        return false;
    };
    let hex_or_running = words
        .next()
        .is_some_and(|word| scan::bare_hex(word).is_some() || word == "running");
    matches!(state, "D" | "R" | "S" | "I" | "T" | "Z" | "X") && hex_or_running && text.len() < 120
}

/// The words of one line of a `Stack:` dump.
pub fn stack_words(text: &str) -> Option<Vec<VirtAddr>> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    if words.is_empty() || words.len() > 8 {
        return None;
    }
    words
        .iter()
        .map(|word| match *word {
            "(null)" => Some(VirtAddr(0)),
            word if word.len() == 16 || word.len() == 8 => scan::bare_hex(word).map(VirtAddr),
            _ => None,
        })
        .collect()
}

/// A line of ARM's stack dump: `1ae0: 80000013 851eb85c …`.
pub fn is_arm_stack(text: &str) -> bool {
    text.split_once(": ").is_some_and(|(offset, words)| {
        offset.len() == 4 && scan::bare_hex(offset).is_some() && stack_words(words).is_some()
    })
}
