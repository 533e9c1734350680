//! What had tainted the kernel and its modules, in the letters that it prints.

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

/// The bits that a module's own taints show in kernels whose table is not found, in the order of `module_flags_taint`
/// before 4.10 (kernel/module.c): proprietary, out of tree, forced, staging, unsigned.
const COMMON_OF_MODULES: &[(u32, char)] = &[(0, 'P'), (12, 'O'), (1, 'F'), (10, 'C'), (13, 'E')];

/// One entry of `taint_flags`.
#[derive(Clone, Copy)]
struct Flag {
    /// The letter where the bit is set.
    set: u8,
    /// The letter where it is clear.
    clear: u8,
    /// Whether the module list shows it of a module.
    of_module: bool,
}

impl Machine<'_> {
    /// The taint state.
    pub fn taint(&self) -> Fact<Taint> {
        let mask = self.long("tainted_mask")? as u64;
        let flags = self.taint_flags().unwrap_or_else(|_| {
            let flag = |letter: &u8| Flag {
                set: *letter,
                clear: b' ',
                of_module: false,
            };
            COMMON.iter().map(flag).collect()
        });
        let is_set = |bit: usize| mask >> bit & 1 == 1;
        let text = flags
            .iter()
            .enumerate()
            .map(|(bit, flag)| char::from(if is_set(bit) { flag.set } else { flag.clear }))
            .collect::<String>();
        Ok(Taint {
            mask,
            letters: flags
                .iter()
                .enumerate()
                .filter(|(bit, _)| is_set(*bit))
                .map(|(_, flag)| char::from(flag.set))
                .collect(),
            text: (mask != 0).then(|| text.trim_end().to_owned()),
        })
    }

    /// What the module list shows in brackets for modules with these taint bits, in their order: "OE", or nothing.
    pub fn module_taints(&self, taints: &[u64]) -> Vec<String> {
        let shown: Vec<(u32, char)> = match self.taint_flags() {
            Ok(flags) => {
                // 7.x has dropped the mark, and shows all that are set.
                let is_marked = flags.iter().any(|flag| flag.of_module);
                (0..)
                    .zip(flags)
                    .filter(|(_, flag)| flag.of_module || !is_marked)
                    .map(|(bit, flag)| (bit, char::from(flag.set)))
                    .collect()
            }
            Err(_) => COMMON_OF_MODULES.to_vec(),
        };
        let letters = |taints: &u64| {
            let set = shown.iter().filter(|(bit, _)| taints >> bit & 1 == 1);
            set.map(|(_, letter)| letter).collect()
        };
        taints.iter().map(letters).collect()
    }

    /// `taint_flags`: two letters and a flag each since 4.10, with a pointer to a description since 6.11.
    fn taint_flags(&self) -> Fact<Vec<Flag>> {
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
                [set, clear, of_module, ..] if is_letter(set) && is_letter(clear) => Some(Flag {
                    set: *set,
                    clear: *clear,
                    of_module: *of_module != 0,
                }),
                _ => None,
            })
            .take(MAX_FLAGS)
            .collect())
    }
}
