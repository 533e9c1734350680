//! The registers of an x86_64 CPU as an exception, an interrupt, a system call or a note saved them.
//!
//! It knows the layouts (`struct pt_regs`, the iret frame, the notes' register lists) and nothing of stacks or symbols.

use crate::addr::VirtAddr;
use crate::kernel::ReadError;
use crate::kernel::access::KernelMemory;

/// Bytes of `struct pt_regs` (arch/x86/include/asm/ptrace.h; the same in every 64-bit kernel).
pub const PT_REGS_SIZE: u64 = 168;

/// Where the five words that the processor itself pushes begin in `struct pt_regs`.
pub const IRET_OFFSET: u64 = 128;

const COUNT: usize = 21;

/// A register by its place in `struct pt_regs`, in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Register {
    R15,
    R14,
    R13,
    R12,
    Rbp,
    Rbx,
    R11,
    R10,
    R9,
    R8,
    Rax,
    Rcx,
    Rdx,
    Rsi,
    Rdi,
    OrigRax,
    Rip,
    Cs,
    Rflags,
    Rsp,
    Ss,
}

impl Register {
    /// All of them, in the order of `struct pt_regs`.
    pub const ALL: [Register; COUNT] = [
        Register::R15,
        Register::R14,
        Register::R13,
        Register::R12,
        Register::Rbp,
        Register::Rbx,
        Register::R11,
        Register::R10,
        Register::R9,
        Register::R8,
        Register::Rax,
        Register::Rcx,
        Register::Rdx,
        Register::Rsi,
        Register::Rdi,
        Register::OrigRax,
        Register::Rip,
        Register::Cs,
        Register::Rflags,
        Register::Rsp,
        Register::Ss,
    ];

    /// Its name as reports write it: `rip`, `r8`, `orig_rax`.
    pub fn name(self) -> &'static str {
        const NAMES: [&str; COUNT] = [
            "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
            "orig_rax", "rip", "cs", "rflags", "rsp", "ss",
        ];
        NAMES.get(self as usize).copied().unwrap_or_default()
    }
}

/// Registers that were saved at one moment. Those that were not saved, or whose slot holds something else, are absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedRegisters {
    /// Where in memory the `struct pt_regs` is; absent: they come from the dump's notes.
    pub at: Option<VirtAddr>,
    words: [Option<u64>; COUNT],
}

impl SavedRegisters {
    /// The full `struct pt_regs` at `at`.
    pub fn read(memory: &KernelMemory, at: VirtAddr) -> Result<SavedRegisters, ReadError> {
        let mut bytes = [0; PT_REGS_SIZE as usize];
        memory.read(at, &mut bytes)?;
        let mut registers = SavedRegisters {
            at: Some(at),
            words: [None; COUNT],
        };
        for (word, chunk) in registers.words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = Some(memory.abi().uint(chunk));
        }
        Ok(registers)
    }

    /// Only what the processor itself pushed, from the iret frame at `at`: rip, cs, rflags, rsp, ss.
    pub fn read_iret(memory: &KernelMemory, at: VirtAddr) -> Result<SavedRegisters, ReadError> {
        let mut bytes = [0; (PT_REGS_SIZE - IRET_OFFSET) as usize];
        memory.read(at, &mut bytes)?;
        let mut registers = SavedRegisters {
            at: Some(at.wrapping_offset(-(IRET_OFFSET as i64))),
            words: [None; COUNT],
        };
        let pushed = registers.words.iter_mut().skip(IRET_OFFSET as usize / 8);
        for (word, chunk) in pushed.zip(bytes.chunks_exact(8)) {
            *word = Some(memory.abi().uint(chunk));
        }
        Ok(registers)
    }

    /// From `pr_reg` of an NT_PRSTATUS note, whose first 21 words are those of `struct pt_regs`.
    pub fn from_prstatus(words: &[u64]) -> Option<SavedRegisters> {
        let mut registers = SavedRegisters {
            at: None,
            words: [None; COUNT],
        };
        if words.len() < COUNT {
            return None;
        }
        for (to, from) in registers.words.iter_mut().zip(words) {
            *to = Some(*from);
        }
        Some(registers)
    }

    /// From a QEMU note: rax rbx rcx rdx rsi rdi rsp rbp r8 … r15 rip rflags. It lacks the segments.
    pub fn from_qemu(words: &[u64; 18]) -> SavedRegisters {
        use Register::*;
        const ORDER: [Register; 18] = [
            Rax, Rbx, Rcx, Rdx, Rsi, Rdi, Rsp, Rbp, R8, R9, R10, R11, R12, R13, R14, R15, Rip, Rflags,
        ];
        let mut registers = SavedRegisters {
            at: None,
            words: [None; COUNT],
        };
        for (register, value) in ORDER.into_iter().zip(words) {
            registers.set(register, Some(*value));
        }
        registers
    }

    /// Without r12 to r15, whose slots the entry code left as they were (interrupts before 4.2 did not save them).
    pub(crate) fn without_callee_saved(mut self) -> SavedRegisters {
        for register in [Register::R12, Register::R13, Register::R14, Register::R15] {
            self.set(register, None);
        }
        self
    }

    fn set(&mut self, register: Register, value: Option<u64>) {
        if let Some(word) = self.words.get_mut(register as usize) {
            *word = value;
        }
    }

    /// A register's value, if it was saved. Segment selectors come without what FRED (6.9+) keeps beside them.
    pub fn get(&self, register: Register) -> Option<u64> {
        let word = self.words.get(register as usize).copied().flatten()?;
        Some(match register {
            Register::Cs | Register::Ss => word & 0xffff,
            _ => word,
        })
    }

    /// The instruction pointer.
    pub fn rip(&self) -> u64 {
        self.get(Register::Rip).unwrap_or(0)
    }

    /// The stack pointer.
    pub fn rsp(&self) -> u64 {
        self.get(Register::Rsp).unwrap_or(0)
    }

    /// The frame pointer, if it was saved.
    pub fn rbp(&self) -> Option<u64> {
        self.get(Register::Rbp)
    }

    /// Whether the processor ran user code. Without a code segment (QEMU's notes) the address decides: the kernel has
    /// the upper half.
    pub fn user_mode(&self) -> bool {
        match self.get(Register::Cs) {
            Some(cs) => cs & 3 == 3,
            None => self.rip() >> 63 == 0 && self.rsp() >> 63 == 0,
        }
    }

    /// Whether more than the iret frame is known.
    pub fn is_full(&self) -> bool {
        self.rbp().is_some()
    }

    /// The saved registers with their names, in the order of `struct pt_regs`.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, VirtAddr)> {
        Register::ALL
            .into_iter()
            .filter_map(|register| Some((register.name(), VirtAddr(self.get(register)?))))
    }

    /// Whether these 21 words, found on a stack by guesswork, can be a saved register set at all.
    ///
    /// The selectors are those of Linux (arch/x86/include/asm/segment.h: kernel 0x10/0x18, user 0x33/0x2b, compat 0x23)
    /// and of a Xen guest (0xe030 …); in rflags bit 1 is always set and 3, 5, 15 and 22 upwards never.
    pub fn is_plausible(&self) -> bool {
        let raw = |register: Register| self.words.get(register as usize).copied().flatten();
        let (Some(cs), Some(ss), Some(flags)) = (raw(Register::Cs), raw(Register::Ss), raw(Register::Rflags)) else {
            return false;
        };
        let flags_fit = flags & 2 != 0 && flags & !0x3f_7fd7 == 0;
        let kernel = matches!(cs, 0x10 | 0xe030) && matches!(ss, 0 | 0x18 | 0xe02b) && self.rsp() >> 47 == 0x1_ffff;
        let kernel_five_level = matches!(cs, 0x10) && matches!(ss, 0 | 0x18) && self.rsp() >> 56 == 0xff;
        let user = matches!(cs, 0x33 | 0x23 | 0xe033) && matches!(ss, 0x2b | 0xe02b) && self.rsp() >> 63 == 0;
        flags_fit && (kernel || kernel_five_level || user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::access::test_memory::TestMemory;

    fn words(values: &[u64]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn pt_regs() -> Vec<u64> {
        let mut values: Vec<u64> = (0..21).map(|index| 0x100 + index).collect();
        values[16] = 0xffff_ffff_8100_0010;
        values[17] = 0x10;
        values[18] = 0x246;
        values[19] = 0xffff_c900_0000_3f00;
        values[20] = 0x18;
        values
    }

    #[test]
    fn pt_regs_are_read_in_the_kernels_order() {
        let memory = TestMemory::one(0x1000, words(&pt_regs())).reader();
        let registers = SavedRegisters::read(&memory, VirtAddr(0x1000)).unwrap();
        assert_eq!(registers.get(Register::R15), Some(0x100));
        assert_eq!(registers.rbp(), Some(0x104));
        assert_eq!(registers.get(Register::OrigRax), Some(0x10f));
        assert_eq!(registers.rip(), 0xffff_ffff_8100_0010);
        assert!(registers.is_plausible() && !registers.user_mode() && registers.is_full());
        assert_eq!(registers.iter().count(), 21);
        assert_eq!(registers.iter().last(), Some(("ss", VirtAddr(0x18))));
    }

    #[test]
    fn an_iret_frame_holds_five_registers() {
        let memory = TestMemory::one(0x1000, words(&pt_regs()[16..])).reader();
        let registers = SavedRegisters::read_iret(&memory, VirtAddr(0x1000)).unwrap();
        assert!(!registers.is_full());
        assert_eq!(registers.iter().count(), 5);
        assert_eq!(registers.rsp(), 0xffff_c900_0000_3f00);
        assert_eq!(registers.at, Some(VirtAddr(0x1000 - 128)));
    }

    #[test]
    fn chance_words_are_no_registers() {
        for (index, value) in [(17, 0x11), (18, 0x244), (18, 0x1_0000_0002), (19, 0x4000), (20, 0x2b)] {
            let mut values = pt_regs();
            values[index] = value;
            let memory = TestMemory::one(0x1000, words(&values)).reader();
            let registers = SavedRegisters::read(&memory, VirtAddr(0x1000)).unwrap();
            assert!(!registers.is_plausible(), "word {index} = {value:#x}");
        }
    }

    #[test]
    fn a_short_note_gives_nothing() {
        assert_eq!(SavedRegisters::from_prstatus(&[0; 20]), None);
        assert!(SavedRegisters::from_prstatus(&[0; 27]).is_some());
    }
}
