//! Going through physical memory: in pieces, past the pages that a dump lacks, and never without end.

use std::ops::ControlFlow;
use std::ops::Range;

use crate::addr::PhysAddr;
use crate::dump::PhysicalMemory;
use crate::kernel::vmcoreinfo::Vmcoreinfo;

/// How much is read at once, in bytes.
const PIECE: u64 = 1 << 20;
const PAGE: u64 = 4096;

/// The most places that [`strides`] gives: at 2 MiB this covers 2 TiB of physical addresses.
const MAX_STRIDES: usize = 1 << 20;

/// VMCOREINFO's text is two pages at most.
const MAX_INFO: u64 = 2 * PAGE;

/// Every multiple of `step` in what the dump holds, ascending.
pub(super) fn strides(memory: &dyn PhysicalMemory, step: u64) -> impl Iterator<Item = u64> {
    let places = move |range: &Range<u64>| (range.start / step * step..range.end).step_by(step as usize);
    memory.ranges().iter().flat_map(places).take(MAX_STRIDES)
}

/// Hands `range` to `look` in pieces, each with its address. A piece with missing pages comes page by page without them.
pub(super) fn pieces<T>(
    memory: &dyn PhysicalMemory,
    range: Range<u64>,
    mut look: impl FnMut(u64, &[u8]) -> ControlFlow<T>,
) -> Option<T> {
    let mut buffer = vec![0; PIECE as usize];
    let mut at = range.start;
    while at < range.end {
        let length = PIECE.min(range.end - at);
        for piece in [length, PAGE] {
            let mut done = 0;
            let mut complete = true;
            while done < length {
                let size = piece.min(length - done);
                let Some(part) = buffer.get_mut(..size as usize) else {
                    break;
                };
                if memory.peek(PhysAddr(at + done), part).is_ok() {
                    if let ControlFlow::Break(found) = look(at + done, part) {
                        return Some(found);
                    }
                } else {
                    complete = false;
                }
                done += size;
            }
            if complete {
                break;
            }
        }
        at += length;
    }
    None
}

/// The places in `bytes` where `what` starts.
pub(super) fn occurrences<'a>(bytes: &'a [u8], what: &'a regex::bytes::Regex) -> impl Iterator<Item = usize> + 'a {
    what.find_iter(bytes).map(|found| found.start())
}

/// A pattern that matches this text alone.
pub(super) fn literal(text: &str) -> Option<regex::bytes::Regex> {
    regex::bytes::Regex::new(&regex::escape(text)).ok()
}

/// The VMCOREINFO that starts at this physical address, if one does.
pub(super) fn vmcoreinfo(memory: &dyn PhysicalMemory, at: u64) -> Option<Vmcoreinfo> {
    let mut text = Vec::new();
    let mut from = at;
    let end = at.checked_add(MAX_INFO)?;
    while from < end {
        let stop = (from / PAGE + 1) * PAGE;
        let mut part = vec![0; (stop.min(end) - from) as usize];
        if memory.read(PhysAddr(from), &mut part).is_err() {
            break;
        }
        text.extend_from_slice(&part);
        if part.contains(&0) {
            break;
        }
        from = stop;
    }
    if !text.starts_with(b"OSRELEASE=") {
        return None;
    }
    Some(Vmcoreinfo::parse(&text)).filter(Vmcoreinfo::is_plausible)
}

/// What the kernel calls itself in `linux_banner`, from "Linux version" to the end of the line, and its release.
pub(super) fn banner(bytes: &[u8]) -> Option<(String, String)> {
    let line = bytes
        .get(..bytes.len().min(512))?
        .split(|&byte| byte == b'\n' || byte == 0)
        .next()?;
    let line = std::str::from_utf8(line).ok()?;
    let release = line.strip_prefix("Linux version ")?.split(' ').next()?;
    let named = release.starts_with(|first: char| first.is_ascii_digit()) && line.contains(" (");
    named.then(|| (line.to_owned(), release.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::SparseMemory;

    #[test]
    fn missing_pages_are_passed_over() {
        let mut memory = SparseMemory::default();
        memory.write(0x1000, b"one");
        memory.write(0x20_0000, b"two");
        let mut seen = Vec::new();
        let found: Option<()> = pieces(&memory, 0..0x30_0000, |at, bytes| {
            seen.push((at, bytes.len()));
            ControlFlow::Continue(())
        });
        assert_eq!(found, None);
        assert_eq!(seen, [(0x1000, 4096), (0x20_0000, 4096)]);
        let strides: Vec<u64> = strides(&memory, 0x20_0000).collect();
        assert_eq!(strides, [0, 0x20_0000]);
    }

    #[test]
    fn a_format_string_is_no_vmcoreinfo() {
        let mut memory = SparseMemory::default();
        memory.write(0x1000, b"OSRELEASE=%s\n\0PAGESIZE=%ld\n\0");
        memory.write(
            0x2000,
            b"OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(_stext)=ffffffff81000000\n\0",
        );
        assert!(vmcoreinfo(&memory, 0x1000).is_none());
        assert_eq!(vmcoreinfo(&memory, 0x2000).unwrap().osrelease(), Some("6.1.0"));
    }

    #[test]
    fn a_banner_names_its_release() {
        let (line, release) = banner(b"Linux version 6.1.0-56-amd64 (debian@x) (gcc) #1 SMP\n\0junk").unwrap();
        assert_eq!(release, "6.1.0-56-amd64");
        assert!(line.ends_with("#1 SMP"));
        assert_eq!(banner(b"Linux version %s (%s@%s)"), None);
        assert_eq!(banner(b"Linux version 6.1.0"), None);
    }
}
