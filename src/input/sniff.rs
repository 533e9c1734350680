//! What first bytes say: a wrapper, a dump, a format that is not read, text, or nothing known.

use super::foreign::{self, Foreign};
use super::wrapping::Wrapping;

/// What an input is, by its first bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Wrapped(Wrapping),
    /// A format that `dump` reads.
    Dump,
    /// A format that is known by name only.
    Foreign(&'static Foreign),
    Text,
    /// Nothing but zero bytes as far as it was looked at.
    Zeros,
    Unknown,
}

/// Classifies `head`, the first bytes of an input (a few KiB, or all of it when shorter).
pub(super) fn classify(head: &[u8]) -> Kind {
    if let Some(wrapping) = Wrapping::of(head) {
        return Kind::Wrapped(wrapping);
    }
    if is_dump(head) {
        return Kind::Dump;
    }
    if let Some(foreign) = foreign::recognise(head) {
        return Kind::Foreign(foreign);
    }
    if is_text(head) {
        return Kind::Text;
    }
    if head.iter().all(|byte| *byte == 0) {
        Kind::Zeros
    } else {
        Kind::Unknown
    }
}

/// The magic of the formats that `dump` reads.
fn is_dump(head: &[u8]) -> bool {
    const ET_CORE: [u8; 2] = [4, 0];
    let is_core = || match (head.get(5), head.get(16..18)) {
        (Some(2), Some(kind)) => kind.iter().rev().eq(&ET_CORE),
        (_, Some(kind)) => kind == ET_CORE,
        // Too short to tell: the dump reader says what is missing.
        (_, None) => true,
    };
    head.starts_with(b"KDUMP   ")
        || head.starts_with(b"DISKDUMP")
        || head.starts_with(b"makedumpfile\0")
        || head.starts_with(b"\x7fELF") && is_core()
}

/// Zero bytes in a row that a crash leaves in a text file (blocks that were never written) rather than binary data.
const HOLE: usize = 16;

/// Whether `head` reads as text in UTF-8, ASCII or an 8-bit code, escape sequences and unwritten blocks included.
fn is_text(head: &[u8]) -> bool {
    if is_utf16(head) {
        return true;
    }
    let (mut looked_at, mut odd) = (0usize, 0usize);
    for run in head.chunk_by(|a, b| (*a == 0) == (*b == 0)) {
        if run.first() == Some(&0) {
            if run.len() < HOLE {
                looked_at += run.len();
                odd += run.len();
            }
            continue;
        }
        looked_at += run.len();
        for chunk in run.utf8_chunks() {
            odd += chunk.invalid().len();
            odd += chunk.valid().bytes().filter(is_odd_control).count();
        }
    }
    // A log with some damage in it is still a log; of random bytes more than a third is odd.
    looked_at != 0 && odd * 8 <= looked_at
}

fn is_odd_control(byte: &u8) -> bool {
    // Tab, line feed, vertical tab, form feed, return, backspace, bell and escape are what terminals are sent.
    matches!(byte, 0x01..=0x06 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f)
}

/// UTF-16 with a byte order mark, as some terminals save a session.
pub(super) fn is_utf16(head: &[u8]) -> bool {
    head.starts_with(&[0xff, 0xfe]) && head.get(3) == Some(&0)
        || head.starts_with(&[0xfe, 0xff]) && head.get(2) == Some(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_with_damage_and_holes_is_text() {
        let mut log = b"[    1.0] BUG: kernel NULL pointer dereference\n".repeat(20);
        log.extend([0; 4096]);
        log.extend(b"caf\xe9 \x1b[31mred\x1b[0m\n");
        log.extend([0x9d, 0x81, 0x02, 0x00]);
        assert!(matches!(classify(&log), Kind::Text));
        assert!(matches!(classify(&[0xff, 0xfe, b'O', 0, b'o', 0]), Kind::Text));
    }

    #[test]
    fn binary_is_not_text() {
        let mut state = 1u64;
        let noise: Vec<u8> = (0..5000)
            .map(|_| {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                (state >> 56) as u8
            })
            .collect();
        assert!(matches!(classify(&noise), Kind::Unknown));
        assert!(matches!(classify(&[0; 512]), Kind::Zeros));
        let words: Vec<u8> = (0..1000u32).flat_map(u32::to_le_bytes).collect();
        assert!(matches!(classify(&words), Kind::Unknown));
    }

    #[test]
    fn an_elf_file_is_a_dump_only_when_it_is_a_core() {
        let elf = |data: u8, kind: [u8; 2]| {
            let mut head = b"\x7fELF\x02".to_vec();
            head.push(data);
            head.resize(16, 0);
            head.extend(kind);
            head.resize(64, 0);
            head
        };
        assert!(matches!(classify(&elf(1, [4, 0])), Kind::Dump));
        assert!(matches!(classify(&elf(2, [0, 4])), Kind::Dump));
        assert!(matches!(classify(&elf(1, [2, 0])), Kind::Foreign(_)));
        assert!(matches!(classify(&elf(2, [4, 0])), Kind::Foreign(_)));
    }
}
