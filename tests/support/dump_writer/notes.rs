//! ELF notes: name and description aligned to 4 bytes, as kernels and hypervisors write them.

use super::encoder::{Abi, Encoder};

/// One note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub name: String,
    pub kind: u32,
    pub description: Vec<u8>,
}

impl Note {
    pub fn new(name: &str, kind: u32, description: Vec<u8>) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            description,
        }
    }

    /// The note of a CPU that never saved its state: all zeros.
    pub fn blank() -> Self {
        Self::new("", 0, Vec::new())
    }
}

/// A CPU's registers for an NT_PRSTATUS note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuState {
    pub pid: i32,
    /// The machine's `elf_gregset_t`: 27 words on x86_64, 17 on i386.
    pub registers: Vec<u64>,
}

impl CpuState {
    /// `struct elf_prstatus` (include/linux/elfcore.h).
    pub fn prstatus(&self, abi: Abi) -> Note {
        let mut body = Encoder::new(abi);
        body.u32(0).u32(0).u32(0); // pr_info
        body.u16(0); // pr_cursig
        body.word(0).word(0); // pr_sigpend, pr_sighold
        body.u32(self.pid as u32).u32(0).u32(0).u32(0); // pr_pid, ppid, pgrp, sid
        for _ in 0..8 {
            body.word(0); // pr_utime, stime, cutime, cstime
        }
        for register in &self.registers {
            body.word(*register);
        }
        body.u32(0).align(abi.word); // pr_fpvalid
        Note::new("CORE", 1, body.into_bytes())
    }
}

/// A `QEMUCPUState` of version 1: 18 registers, ten segment bases (cs ds es fs gs ss ldt tr gdt idt), cr0 … cr4.
pub fn qemu_cpu(registers: [u64; 18], segment_bases: [u64; 10], control: [u64; 5], kernel_gs: Option<u64>) -> Note {
    let mut body = Encoder::new(Abi::X86_64);
    body.u32(1).u32(432 + kernel_gs.map_or(0, |_| 8));
    for register in registers {
        body.u64(register);
    }
    for base in segment_bases {
        body.u32(0x10).u32(0xffff).u32(0).u32(0).u64(base);
    }
    for register in control {
        body.u64(register);
    }
    if let Some(base) = kernel_gs {
        body.u64(base);
    }
    Note::new("QEMU", 0, body.into_bytes())
}

/// Notes one after the other.
pub fn encode(notes: &[Note], abi: Abi) -> Vec<u8> {
    let mut bytes = Encoder::new(abi);
    for note in notes {
        let name_size = if note.name.is_empty() { 0 } else { note.name.len() + 1 };
        bytes
            .u32(name_size as u32)
            .u32(note.description.len() as u32)
            .u32(note.kind);
        if name_size != 0 {
            bytes.text(&note.name, name_size).align(4);
        }
        bytes.raw(&note.description).align(4);
    }
    bytes.into_bytes()
}
