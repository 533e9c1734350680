//! The log before 3.5: one circular text of lines `<6>[    1.234567] message` (kernel/printk.c of 2.6.32).

use super::collect::{Collector, MAX_TEXT};
use super::{Form, KernelLog, LogError, Record, Source, State};
use crate::addr::VirtAddr;
use crate::kernel::partial::Partial;

/// Reads the log; `end` is the address of `log_end`, which counts all characters ever logged.
pub(super) fn read(source: &Source<'_>, end: VirtAddr) -> Result<KernelLog, LogError> {
    let buffer = source.pointer("log_buf")?;
    let size = u64::from(source.u32("log_buf_len")?);
    if !size.is_power_of_two() || size > 1 << 31 {
        return Err(LogError::Implausible {
            what: "log_buf_len",
            value: size,
        });
    }
    let end = source.memory.u32(end).map_err(|source| LogError::Unreadable {
        what: "log_end",
        source,
    })?;
    let end = u64::from(end);
    let kept = end.min(size).min(MAX_TEXT as u64);
    let mut log = Collector::new();
    // From `end - kept` on, in one piece or around the buffer's end.
    let start = (end - kept) % size;
    let first = kept.min(size - start);
    let mut text = Vec::with_capacity(kept as usize);
    for (offset, length) in [(start, first), (0, kept - first)] {
        if length == 0 {
            continue;
        }
        let Some(at) = buffer.checked_add(offset) else { break };
        let part = Partial::read(source.memory, at, length as usize);
        for hole in part.holes() {
            log.problem(format!(
                "{} bytes of the log are missing: {}",
                hole.range.len(),
                hole.why
            ));
        }
        text.extend_from_slice(part.bytes());
    }
    let wrapped = end > kept;
    for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
        // What a missing page left, and what lies behind the last line's end.
        let line = line.iter().copied().filter(|&byte| byte != 0).collect::<Vec<u8>>();
        if !line.is_empty() {
            let state = if number == 0 && wrapped {
                State::Suspect
            } else {
                State::Whole
            };
            log.push(record(number as u64, &line, state));
        }
    }
    Ok(log.finish(Form::Bytes, !wrapped))
}

fn record(seq: u64, line: &[u8], state: State) -> Record {
    let (priority, line) = priority(line);
    let (nanoseconds, text) = time(line);
    Record {
        seq,
        nanoseconds,
        level: priority.map(|priority| (priority & 7) as u8),
        facility: priority.and_then(|priority| u8::try_from(priority >> 3).ok()),
        caller: None,
        continues: false,
        text: text.to_vec(),
        state,
    }
}

/// Takes `<N>` off the line: the level in the lowest 3 bits, above them the facility.
fn priority(line: &[u8]) -> (Option<u16>, &[u8]) {
    let parse = || {
        let rest = line.strip_prefix(b"<")?;
        let close = rest.iter().position(|&byte| byte == b'>')?;
        let number = rest
            .get(..close)
            .filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        Some((std::str::from_utf8(number).ok()?.parse().ok()?, rest.get(close + 1..)?))
    };
    match parse() {
        Some((number, text)) => (Some(number), text),
        None => (None, line),
    }
}

/// Takes `[    1.234567] ` off the line.
fn time(line: &[u8]) -> (Option<u64>, &[u8]) {
    let parse = || {
        let rest = line.strip_prefix(b"[")?;
        let close = rest.iter().position(|&byte| byte == b']')?;
        let (seconds, micros) = std::str::from_utf8(rest.get(..close)?)
            .ok()?
            .trim_start()
            .split_once('.')?;
        if micros.len() != 6 {
            return None;
        }
        let (seconds, micros): (u64, u64) = (seconds.parse().ok()?, micros.parse().ok()?);
        let text = rest.get(close + 1..)?;
        let nanoseconds = seconds.checked_mul(1_000_000_000)?.checked_add(micros * 1000)?;
        Some((nanoseconds, text.strip_prefix(b" ").unwrap_or(text)))
    };
    match parse() {
        Some((nanoseconds, text)) => (Some(nanoseconds), text),
        None => (None, line),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kernel::access::test_memory::TestMemory;
    use crate::kernel::vmcoreinfo::Vmcoreinfo;

    const BUFFER: u64 = 0xffff_ffff_8200_0000;
    const VARIABLES: u64 = 0xffff_ffff_8100_0000;

    fn log(buffer: &[u8], size: u32, end: u32) -> Result<KernelLog, LogError> {
        let mut variables = BUFFER.to_le_bytes().to_vec();
        variables.extend(size.to_le_bytes());
        variables.extend(end.to_le_bytes());
        let memory = TestMemory {
            parts: vec![(VARIABLES, variables), (BUFFER, buffer.to_vec())],
        };
        let info = format!(
            "OSRELEASE=2.6.32\nSYMBOL(log_buf)={VARIABLES:x}\nSYMBOL(log_buf_len)={:x}\nSYMBOL(log_end)={:x}\n",
            VARIABLES + 8,
            VARIABLES + 12
        );
        KernelLog::read(&memory.reader(), &Vmcoreinfo::parse(info.as_bytes()), &|_| None)
    }

    #[test]
    fn a_log_that_never_wrapped() {
        let text = b"<6>[    0.000000] Linux version 2.6.32\n<4>no time\n<0>[   12.000345] Kernel panic\n";
        let mut buffer = text.to_vec();
        buffer.resize(256, 0);
        let log = log(&buffer, 256, text.len() as u32).unwrap();
        assert_eq!(
            log.render(),
            "[    0.000000] Linux version 2.6.32\nno time\n[   12.000345] Kernel panic\n"
        );
        assert!(log.complete, "{:?}", log.problems);
        assert_eq!(log.records[2].level, Some(0));
    }

    #[test]
    fn a_log_that_wrapped_has_a_torn_first_line() {
        // 16 bytes of buffer, 20 written: the oldest 4 are gone.
        let written = b"<6>abcd\n<4>efghijk\n\n";
        let mut buffer = written[4..16].to_vec();
        buffer.splice(0..0, written[16..].iter().copied());
        let log = log(&buffer, 16, written.len() as u32).unwrap();
        assert_eq!(log.render(), "bcd\nefghijk\n");
        assert_eq!(log.records[0].state, State::Suspect);
        assert!(!log.complete);
    }

    #[test]
    fn a_size_that_cannot_be_is_refused() {
        assert!(matches!(log(&[], 100, 5), Err(LogError::Implausible { .. })));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(
            buffer in proptest::collection::vec(any::<u8>(), 0..2048),
            shift in 0u32..32,
            end: u32,
        ) {
            let _ = log(&buffer, 1 << shift.min(22), end);
        }
    }
}
