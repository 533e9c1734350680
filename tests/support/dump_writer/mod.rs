//! Writes dumps of every format that is read, from a description of a machine's memory: the reader's opposite, and
//! written apart from it (fields are laid out by the C rules of alignment, not by the reader's tables of offsets).
//!
//! ```ignore
//! let mut machine = Machine::new(Abi::X86_64);
//! machine.pages.insert(0x100, vec![0xaa; 4096]);
//! let kdump = kdump::write(&machine, &Kdump { compression: Compression::Zlib, ..Kdump::default() });
//! let elf = elf::write(&machine, &Elf::default());
//! let flat = flat::write(&kdump, &Flat::default());
//! ```

pub mod elf;
pub mod encoder;
pub mod flat;
pub mod kdump;
pub mod notes;

use std::collections::{BTreeMap, BTreeSet};

pub use encoder::Abi;
pub use notes::{CpuState, Note};

/// The machine that is dumped, as far as dump formats can tell of it.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Word size, alignment and byte order of its integers.
    pub abi: Abi,
    /// sysname, nodename, release, version, machine, domainname; at most 64 bytes each.
    pub utsname: [String; 6],
    /// A power of two.
    pub page_size: usize,
    /// Seconds since 1970.
    pub timestamp: u64,
    /// phys_base of the kdump sub header.
    pub phys_base: u64,
    /// The number of page frames, present or not; 0: one past the last page below.
    pub page_frames: u64,
    /// The pages that the dump stores, by page frame number; each `page_size` bytes.
    pub pages: BTreeMap<u64, Vec<u8>>,
    /// Page frames with memory that the dump leaves out.
    pub filtered: BTreeSet<u64>,
    /// The VMCOREINFO text.
    pub vmcoreinfo: Option<Vec<u8>>,
    /// An NT_PRSTATUS note each.
    pub cpus: Vec<CpuState>,
    /// Further notes, behind the others.
    pub notes: Vec<Note>,
}

impl Machine {
    /// A machine without memory, called `tester`, of the kernel release 6.1.0-test.
    pub fn new(abi: Abi) -> Self {
        let names = ["Linux", "tester", "6.1.0-test", "#1 SMP", abi.machine(), "(none)"];
        Self {
            abi,
            utsname: names.map(str::to_owned),
            page_size: 4096,
            timestamp: 1_700_000_000,
            phys_base: 0,
            page_frames: 0,
            pages: BTreeMap::new(),
            filtered: BTreeSet::new(),
            vmcoreinfo: None,
            cpus: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The number of page frames that a header states.
    pub fn frame_count(&self) -> u64 {
        let last = |frame: Option<u64>| frame.map_or(0, |frame| frame + 1);
        let stored = last(self.pages.keys().next_back().copied());
        let filtered = last(self.filtered.iter().next_back().copied());
        self.page_frames.max(stored).max(filtered)
    }

    /// All its notes in the order in which kernels write them: CPUs, VMCOREINFO, the rest.
    pub fn all_notes(&self) -> Vec<Note> {
        let mut notes: Vec<Note> = self.cpus.iter().map(|cpu| cpu.prstatus(self.abi)).collect();
        notes.extend(
            self.vmcoreinfo
                .iter()
                .map(|text| Note::new("VMCOREINFO", 0, text.clone())),
        );
        notes.extend(self.notes.iter().cloned());
        notes
    }
}
