//! Which saved registers belong to which CPU: the kernel's own `crash_notes`, the file's notes, a hypervisor's.
//!
//! The order of notes in a file is no CPU number: a CPU that did not answer the crash NMI has none. `crash_notes` is
//! per-CPU memory and cannot be mistaken; a hypervisor's note names its CPU by the base of gs.

use std::rc::Rc;

use super::registers::SavedRegisters;
use crate::addr::VirtAddr;
use crate::dump::{Prstatus, QemuCpu};
use crate::kernel::access::KernelMemory;
use crate::kernel::symbols::Symbols;

/// How a CPU's registers came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The kernel saved them when it crashed: the place that the crash or its NMI stopped.
    Kernel,
    /// The hypervisor saved them when it wrote the dump: where the CPU stood then.
    Hypervisor,
}

/// A CPU's registers at the time of the dump.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuRegisters {
    /// Who saved them.
    pub origin: Origin,
    /// The pid that the note names; of no meaning in a hypervisor's.
    pub pid: Option<i32>,
    /// The registers.
    pub registers: Rc<SavedRegisters>,
}

/// All notes of a dump.
#[derive(Clone, Copy)]
pub struct Notes<'a> {
    /// NT_PRSTATUS, in file order.
    pub prstatus: &'a [Prstatus],
    /// QEMU's, in file order.
    pub qemu: &'a [QemuCpu],
}

impl Notes<'_> {
    /// The registers of CPU `cpu`, which ran a task called `pid`; `online` lists the CPUs.
    pub fn of_cpu(
        &self,
        memory: &KernelMemory,
        symbols: &Symbols,
        cpu: u32,
        pid: Option<i32>,
        online: &[u32],
    ) -> Option<CpuRegisters> {
        if !self.qemu.is_empty() {
            return self.of_virtual_cpu(symbols, cpu);
        }
        let in_memory = || {
            let base = memory.u64(symbols.by_name("crash_notes")?).ok()?;
            crash_note(memory, VirtAddr(base.wrapping_add(symbols.per_cpu_offset(cpu)?)))
        };
        let note = in_memory().or_else(|| self.in_file(cpu, pid, online).cloned())?;
        Some(CpuRegisters {
            origin: Origin::Kernel,
            pid: Some(note.pid),
            registers: Rc::new(SavedRegisters::from_prstatus(&note.registers)?),
        })
    }

    /// The file's note for CPU `cpu`: the one with its task's pid, or by order when every online CPU has one.
    fn in_file(&self, cpu: u32, pid: Option<i32>, online: &[u32]) -> Option<&Prstatus> {
        // Every CPU's idle task is called 0, so that a pid tells a CPU only when it is another.
        let mut named = self
            .prstatus
            .iter()
            .filter(|note| note.pid != 0 && Some(note.pid) == pid);
        if let (Some(note), None) = (named.next(), named.next()) {
            return Some(note);
        }
        let index = online.iter().position(|other| *other == cpu)?;
        self.prstatus.get(index).filter(|_| self.prstatus.len() == online.len())
    }

    fn of_virtual_cpu(&self, symbols: &Symbols, cpu: u32) -> Option<CpuRegisters> {
        let base = symbols.per_cpu_offset(cpu)?;
        // gs points at the CPU's per-CPU area in the kernel; user code has it put aside.
        let index = self
            .qemu
            .iter()
            .position(|state| state.gs_base == base || state.kernel_gs_base == Some(base))
            .or_else(|| usize::try_from(cpu).ok().filter(|index| *index < self.qemu.len()))?;
        let state = self.qemu.get(index)?;
        let short = SavedRegisters::from_qemu(&state.registers);
        // QEMU writes an NT_PRSTATUS for the same CPU in the same place, which has the segments too.
        let full = self
            .prstatus
            .get(index)
            .and_then(|note| SavedRegisters::from_prstatus(&note.registers))
            .filter(|full| full.rip() == short.rip() && full.rsp() == short.rsp());
        Some(CpuRegisters {
            origin: Origin::Hypervisor,
            pid: None,
            registers: Rc::new(full.unwrap_or(short)),
        })
    }
}

/// What `crash_save_cpu` (kernel/kexec_core.c) wrote at `note`: an ELF note called `CORE`, of type NT_PRSTATUS, around
/// `struct elf_prstatus`. `None`: it did not.
fn crash_note(memory: &KernelMemory, note: VirtAddr) -> Option<Prstatus> {
    const NAME: [u8; 5] = *b"CORE\0";
    const NT_PRSTATUS: u32 = 1;
    const HEADER: u64 = 12 + 8;
    const PID: u64 = HEADER + 32;
    const REGISTERS: u64 = HEADER + 112;
    const COUNT: usize = 27;
    let size = memory.u32(note).ok()?;
    let kind = memory.u32(note.checked_add(8)?).ok()?;
    let name = memory.bytes(note.checked_add(12)?, NAME.len()).ok()?;
    if size as usize != NAME.len() || kind != NT_PRSTATUS || name != NAME {
        return None;
    }
    let registers = memory.bytes(note.checked_add(REGISTERS)?, COUNT * 8).ok()?;
    Some(Prstatus {
        pid: memory.i32(note.checked_add(PID)?).ok()?,
        registers: registers.chunks_exact(8).map(|word| memory.abi().uint(word)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::access::test_memory::TestMemory;

    fn prstatus(pid: i32) -> Prstatus {
        Prstatus {
            pid,
            registers: vec![0; 27],
        }
    }

    #[test]
    fn a_file_note_is_found_by_pid_or_by_full_order() {
        let pids = |pids: &[i32]| pids.iter().map(|pid| prstatus(*pid)).collect::<Vec<_>>();
        let find = |notes: &[Prstatus], cpu, pid, online: &[u32]| {
            let notes = Notes {
                prstatus: notes,
                qemu: &[],
            };
            let found = notes.in_file(cpu, pid, online)?;
            notes.prstatus.iter().position(|note| std::ptr::eq(note, found))
        };
        // CPU 1 did not answer: what stands second is CPU 2's.
        let notes = pids(&[0, 163]);
        assert_eq!(find(&notes, 2, Some(163), &[0, 1, 2]), Some(1));
        assert_eq!(find(&notes, 1, Some(0), &[0, 1, 2]), None);
        // CPU 1 is offline, all others answered.
        assert_eq!(find(&notes, 2, None, &[0, 2]), Some(1));
        // Two tasks of one name tell nothing, but the order does.
        assert_eq!(find(&pids(&[7, 7]), 1, Some(7), &[0, 1]), Some(1));
    }

    #[test]
    fn a_note_in_memory_is_read_or_refused() {
        let mut bytes = Vec::new();
        for word in [5_u32, 336, 1] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(b"CORE\0\0\0\0");
        bytes.resize(20 + 336, 0);
        bytes[52..56].copy_from_slice(&163_i32.to_le_bytes());
        bytes[20 + 112 + 16 * 8..][..8].copy_from_slice(&0x1234_u64.to_le_bytes());
        let read = |bytes: &[u8]| crash_note(&TestMemory::one(0x1000, bytes.to_vec()).reader(), VirtAddr(0x1000));
        let note = read(&bytes).unwrap();
        assert_eq!((note.pid, note.registers.len(), note.registers[16]), (163, 27, 0x1234));
        assert_eq!(read(&[0; 356]), None);
        assert_eq!(read(&bytes[..300]), None);
    }
}
