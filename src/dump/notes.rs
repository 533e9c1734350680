//! ELF notes of a dump, wherever they lie: PT_NOTE segments, or the notes that a kdump header points at.
//!
//! Name and description are aligned to 4 bytes, in ELF64 too (as the kernel writes them, fs/proc/vmcore.c).

use std::sync::Arc;

use crate::input::ReadAt;

use super::capsule::{self, CapsuleFacts};
use super::io::read_vec;
use super::layout::Layout;
use super::{DumpError, Prstatus, QemuCpu};

/// Notes looked at before giving up: a machine has a few for each CPU.
const MAX_NOTES: usize = 1 << 17;
/// Notes that hold less than this are read; larger ones (device dumps) are stepped over.
const MAX_DESCRIPTION: u64 = 1 << 20;
const HEADER_SIZE: u64 = 12;
/// Bytes of notes that are kept as they stand: 8192 CPUs' and more.
const MAX_KEPT: usize = 4 << 20;
const NT_PRSTATUS: u32 = 1;
const NT_AUXV: u32 = 6;
const NT_FILE: u32 = 0x4649_4c45;

/// Whose notes they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect<'a> {
    pub(super) layout: Layout,
    /// As `uname -m` names it; the register counts depend on it.
    pub(super) machine: Option<&'a str>,
}

/// What the notes say.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) vmcoreinfo: Option<Vec<u8>>,
    pub(super) prstatus: Vec<Prstatus>,
    pub(super) qemu_cpus: Vec<QemuCpu>,
    /// The CPUs' and the hypervisor's notes, as they stand in the file.
    pub(super) raw: Vec<u8>,
    pub(super) capsule: Option<Arc<CapsuleFacts>>,
    /// Whether there is a note that only a process's core has.
    pub(super) of_process: bool,
    /// Whether the file ends inside the notes.
    pub(super) cut: bool,
    /// Whether notes were left out because there were too many.
    pub(super) too_many: bool,
}

impl Notes {
    /// Adds the notes in `size` bytes at `offset`.
    pub(super) fn read(
        &mut self,
        file: &dyn ReadAt,
        offset: u64,
        size: u64,
        dialect: Dialect<'_>,
    ) -> Result<(), DumpError> {
        let end = offset.saturating_add(size);
        self.cut |= end > file.size();
        let end = end.min(file.size());
        let mut at = offset;
        for _ in 0..MAX_NOTES {
            if at.saturating_add(HEADER_SIZE) > end {
                return Ok(());
            }
            let head = read_vec(file, at, HEADER_SIZE as usize + 16)?;
            let field = |index| dialect.layout.u32(&head, index).map_or(0, u64::from);
            let (name_size, description_size, kind) = (field(0), field(4), field(8) as u32);
            let description_at = at + HEADER_SIZE + align(name_size);
            let next = description_at.saturating_add(align(description_size));
            // A CPU that never saved its state leaves a note without a name (zeros).
            if name_size != 0 && description_size <= MAX_DESCRIPTION {
                if description_at.saturating_add(description_size) > end {
                    return Ok(());
                }
                let name_end = HEADER_SIZE as usize + name_size.min(16) as usize;
                let name = head.get(HEADER_SIZE as usize..name_end).unwrap_or_default();
                let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
                match (name, kind) {
                    (b"CORE", NT_PRSTATUS) => {
                        let bytes = read_vec(file, description_at, description_size as usize)?;
                        self.prstatus.extend(prstatus(&bytes, dialect));
                        self.keep(file, at, next);
                    }
                    (b"CORE", NT_AUXV | NT_FILE) => self.of_process = true,
                    (b"VMCOREINFO", 0) => {
                        self.vmcoreinfo = Some(read_vec(file, description_at, description_size as usize)?);
                    }
                    (b"QEMU", 0) => {
                        let bytes = read_vec(file, description_at, description_size as usize)?;
                        self.qemu_cpus.extend(qemu_cpu(&bytes, dialect.layout));
                        self.keep(file, at, next);
                    }
                    (name, capsule::NOTE_TYPE) if name == capsule::NOTE_NAME.as_bytes() => {
                        let bytes = read_vec(file, description_at, description_size as usize)?;
                        self.capsule = CapsuleFacts::parse(&bytes).map(Arc::new);
                    }
                    _ => {}
                }
            }
            at = next;
        }
        self.too_many = true;
        Ok(())
    }
}

impl Notes {
    /// Keeps the note from `at` up to `end` as it stands.
    fn keep(&mut self, file: &dyn ReadAt, at: u64, end: u64) {
        let size = usize::try_from(end - at).unwrap_or(usize::MAX);
        // A note that cannot be read again was not read before either.
        if self.raw.len().saturating_add(size) <= MAX_KEPT
            && let Ok(bytes) = read_vec(file, at, size)
        {
            self.raw.extend(bytes);
        }
    }
}

fn align(size: u64) -> u64 {
    size.saturating_add(3) & !3
}

/// `struct elf_prstatus` (include/linux/elfcore.h): pr_pid and pr_reg.
fn prstatus(bytes: &[u8], dialect: Dialect<'_>) -> Option<Prstatus> {
    let layout = dialect.layout;
    // Common part: 4 longs and a 16-byte head, four pids, four timevals.
    let (pid_at, registers_at) = if layout.is_64bit { (32, 112) } else { (24, 72) };
    let words = match dialect.machine {
        Some("x86_64") => 27,
        Some("aarch64") => 34,
        Some("arm") => 18,
        Some("riscv64") => 32,
        Some("ppc64" | "ppc64le") => 48,
        Some(name) if name.starts_with('i') && name.ends_with("86") => 17,
        // pr_fpvalid, an int padded to a long, ends the structure.
        _ => (bytes.len().saturating_sub(registers_at) / layout.word_size()).saturating_sub(1),
    };
    let registers = (0..words).map(|index| layout.word(bytes, registers_at + index * layout.word_size()));
    Some(Prstatus {
        pid: layout.u32(bytes, pid_at)? as i32,
        registers: registers.collect::<Option<_>>()?,
    })
}

/// `QEMUCPUState` version 1 (QEMU, target/i386/arch_dump.c).
fn qemu_cpu(bytes: &[u8], layout: Layout) -> Option<QemuCpu> {
    const SEGMENTS_AT: usize = 152;
    const SEGMENT_SIZE: usize = 24;
    const CONTROL_AT: usize = 392;
    if layout.u32(bytes, 0)? != 1 {
        return None;
    }
    let segment_base = |index: usize| layout.u64(bytes, SEGMENTS_AT + index * SEGMENT_SIZE + 16);
    let mut cpu = QemuCpu {
        registers: [0; 18],
        control: [0; 5],
        idt_base: segment_base(9)?,
        gs_base: segment_base(4)?,
        kernel_gs_base: layout.u64(bytes, CONTROL_AT + 40),
    };
    for (index, register) in cpu.registers.iter_mut().enumerate() {
        *register = layout.u64(bytes, 8 + index * 8)?;
    }
    for (index, register) in cpu.control.iter_mut().enumerate() {
        *register = layout.u64(bytes, CONTROL_AT + index * 8)?;
    }
    Some(cpu)
}
