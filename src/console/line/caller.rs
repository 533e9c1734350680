//! Who printed a line, where that stands before the message.

use super::{Caller, floor_boundary};

/// `[ T1234] ` or `[    C1] `.
pub(super) fn caller(line: &str) -> Option<(Caller, &str)> {
    let inner = line.strip_prefix('[')?;
    let close = floor_boundary(inner, 14).find(']')?;
    let tag = inner.get(..close)?.trim();
    let rest = inner.get(close + 1..)?;
    let (kind, number) = tag.split_at_checked(1)?;
    let number = number.parse().ok()?;
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    match kind {
        "T" => Some((Caller::Task(number), rest)),
        "C" => Some((Caller::Cpu(number), rest)),
        _ => None,
    }
}

/// What the makers of telephones have their kernels print behind the time: `c7   1827 ` (CPU and pid),
/// `[7:  kworker/7:1: 1827] ` and `(7)[1827:kworker/7:1]`.
pub(super) fn vendor_caller(line: &str) -> Option<(Caller, &str)> {
    let printer = |cpu: &str, pid: &str| match (cpu.parse().ok()?, pid.parse().ok()?) {
        // Every CPU has an idle task of this pid.
        (cpu, 0) => Some(Caller::Cpu(cpu)),
        (_, pid) => Some(Caller::Task(pid)),
    };
    let window = floor_boundary(line, 48);
    let (cpu, pid, length) = match window.as_bytes().first()? {
        b'c' => {
            let (cpu, rest) = window.get(1..)?.split_once(' ')?;
            let (pid, after) = rest.trim_start().split_once(' ')?;
            (cpu, pid, window.len() - after.len())
        }
        b'(' => {
            let (cpu, rest) = window.get(1..)?.split_once(")[")?;
            let (tag, after) = rest.split_once(']')?;
            (cpu, tag.split_once(':')?.0, window.len() - after.len())
        }
        b' ' | b'[' => {
            let (tag, after) = window.trim_start().strip_prefix('[')?.split_once(']')?;
            let (cpu, rest) = tag.split_once(':')?;
            let (comm, pid) = rest.rsplit_once(':')?;
            // A clock has colons, too.
            if !comm.contains(char::is_alphabetic) {
                return None;
            }
            (cpu, pid.trim_start(), window.len() - after.len())
        }
        _ => return None,
    };
    let rest = line.get(length..)?;
    Some((printer(cpu, pid)?, rest.strip_prefix(' ').unwrap_or(rest)))
}
