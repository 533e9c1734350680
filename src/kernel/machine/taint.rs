//! What had tainted the kernel, in the letters that it prints.

use super::{Fact, Machine, unreadable};

/// The kernel's taint state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// `tainted_mask`.
    pub mask: u64,
    /// The letters of the bits that are set: those that stand for something out of order.
    pub letters: Vec<char>,
    /// What an oops prints behind `Tainted: `, or `None` when nothing is set (`Not tainted`).
    pub text: Option<String>,
}

/// Bits and their letters in kernels whose table is not found: those that all kernels since 3.2 agree on
/// (include/linux/kernel.h, kernel/panic.c).
const COMMON: &[u8] = b"PFSRMBUDAWCIO";
/// A table is no longer than a `long` has bits.
const MAX_FLAGS: usize = 64;

/// One entry of `taint_flags`: the letter where the bit is set, and where it is clear.
type Letters = (u8, u8);

impl Machine<'_> {
    /// The taint state.
    pub fn taint(&self) -> Fact<Taint> {
        let mask = self.long("tainted_mask")? as u64;
        let letters = self
            .taint_letters()
            .unwrap_or_else(|_| COMMON.iter().map(|letter| (*letter, b' ')).collect());
        let set = |(bit, _): &(usize, &Letters)| mask >> bit & 1 == 1;
        let text = letters
            .iter()
            .enumerate()
            .map(|entry| char::from(if set(&entry) { entry.1.0 } else { entry.1.1 }))
            .collect::<String>();
        Ok(Taint {
            mask,
            letters: letters
                .iter()
                .enumerate()
                .filter(set)
                .map(|(_, (letter, _))| char::from(*letter))
                .collect(),
            text: (mask != 0).then(|| text.trim_end().to_owned()),
        })
    }

    /// `taint_flags`: two letters and a flag each since 4.10, with a pointer to a description since 6.11.
    fn taint_letters(&self) -> Fact<Vec<Letters>> {
        let at = self.symbol(&["taint_flags"])?;
        let room = self.room(at, 1).min(16 * MAX_FLAGS as u64) as usize;
        let bytes = self
            .memory
            .bytes(at, room)
            .map_err(|source| unreadable("taint_flags", source))?;
        // The second flag is always F (a module was forced), which tells how far the entries lie apart.
        let stride = [3, 4, 8, 16]
            .into_iter()
            .find(|stride| bytes.starts_with(b"PG") && bytes.get(*stride..stride + 2) == Some(b"F "))
            .ok_or_else(|| super::Unknown::Implausible("taint_flags".to_owned()))?;
        let is_letter = |letter: &u8| letter.is_ascii_graphic() || *letter == b' ';
        Ok(bytes
            .chunks(stride)
            .map_while(|entry| match entry {
                [set, clear, ..] if is_letter(set) && is_letter(clear) => Some((*set, *clear)),
                _ => None,
            })
            .take(MAX_FLAGS)
            .collect())
    }
}
