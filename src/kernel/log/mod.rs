//! The kernel's log (printk) out of the dump's memory, in each of the three forms it has had.
//!
//! - [`bytes`]: one circular text, before 3.5 (2.6.32 el6);
//! - [`records`]: records in a circular buffer, 3.5–5.9 (el7, el8);
//! - [`ring`]: the lockless ring of descriptors, 5.10+ (el9).
//!
//! The layouts come from VMCOREINFO where it has them. A log with missing pages or damaged records gives what is left,
//! and says what is not. It knows nothing of what the lines mean.

mod bytes;
mod collect;
mod records;
mod render;
mod ring;

use super::ReadError;
use super::access::KernelMemory;
use super::vmcoreinfo::Vmcoreinfo;
use crate::addr::VirtAddr;

/// `LOG_CONT` of a record's flags (`enum log_flags`).
const FLAG_CONT: u8 = 8;

/// The kernel's log as it stood when the dump was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelLog {
    /// In which form the kernel kept it.
    pub form: Form,
    /// Oldest first.
    pub records: Vec<Record>,
    /// Nothing was overwritten, dropped or unreadable from the kernel's first record to its last.
    pub complete: bool,
    /// What was lost or looks wrong, in plain words.
    pub problems: Vec<String>,
}

/// How the kernel keeps its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Circular text (before 3.5).
    Bytes,
    /// Circular records (3.5–5.9).
    Records,
    /// Descriptor ring (5.10+).
    Ring,
}

/// One printk message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The kernel's number of it, from 0 on; for the older forms counted from the oldest that is left.
    pub seq: u64,
    /// Nanoseconds since boot. `None`: the text carries none, or the page that holds it is missing.
    pub nanoseconds: Option<u64>,
    /// 0 (emergency) to 7 (debug).
    pub level: Option<u8>,
    /// 0: the kernel; others were written by processes through /dev/kmsg.
    pub facility: Option<u8>,
    /// Who printed it, where the kernel notes that (5.10+; 5.1+ with PRINTK_CALLER).
    pub caller: Option<Caller>,
    /// It goes on the line of the record before (`LOG_CONT`).
    pub continues: bool,
    /// The message without its line end; it may hold several lines and any byte.
    pub text: Vec<u8>,
    /// How far to trust it.
    pub state: State,
}

/// Who printed a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The thread with this id.
    Thread(u32),
    /// This CPU, in an interrupt.
    Cpu(u32),
}

impl Caller {
    /// Decodes `caller_id`: its top bit tells a CPU from a thread (`printk_caller_id`).
    fn from_id(id: u32) -> Caller {
        const CPU: u32 = 1 << 31;
        if id & CPU != 0 {
            Caller::Cpu(id & !CPU)
        } else {
            Caller::Thread(id)
        }
    }
}

/// How far to trust a [`Record`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It was written to its end.
    Whole,
    /// Its writer was stopped in the middle: the text may be cut, or end in what was there before. Not rendered, as no
    /// tool prints it.
    HalfWritten,
    /// The kernel had no room for its text, or has overwritten it since.
    TextLost,
    /// The dump lacks the page with its text. Not rendered: there is no more to it than its time.
    Missing,
    /// Something about it contradicts something else (its block carries another record's number, its head is missing).
    Suspect,
}

/// Why there is no log at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// None of the variables that lead to a log is known.
    #[error("the log's address is not known: no symbol prb, log_first_idx or log_end ({0})")]
    NoSymbols(&'static str),
    /// A variable that leads to it could not be read.
    #[error("cannot read {what}: {source}")]
    Unreadable {
        /// The variable's name.
        what: &'static str,
        /// Why.
        source: ReadError,
    },
    /// A variable has a value that no kernel gives it.
    #[error("{what} is {value:#x}, which cannot be: the log's control data is damaged, or the addresses are wrong")]
    Implausible {
        /// The variable's name.
        what: &'static str,
        /// What it holds.
        value: u64,
    },
}

/// Finds the address of a kernel variable by name.
pub type FindSymbol<'a> = &'a dyn Fn(&str) -> Option<VirtAddr>;

impl KernelLog {
    /// Reads the log: `info` has the layouts, `find` the addresses of what `info` lacks.
    pub fn read(memory: &KernelMemory, info: &Vmcoreinfo, find: FindSymbol<'_>) -> Result<KernelLog, LogError> {
        let source = Source { memory, info, find };
        if let Some(prb) = source.symbol("prb") {
            ring::read(&source, prb)
        } else if let Some(first) = source.symbol("log_first_idx") {
            records::read(&source, first)
        } else if let Some(end) = source.symbol("log_end") {
            bytes::read(&source, end)
        } else if source.info.osrelease().is_some() {
            Err(LogError::NoSymbols("VMCOREINFO lacks them"))
        } else {
            Err(LogError::NoSymbols("there is no VMCOREINFO"))
        }
    }
}

/// Where the readers get their facts from.
struct Source<'a> {
    memory: &'a KernelMemory,
    info: &'a Vmcoreinfo,
    find: FindSymbol<'a>,
}

impl Source<'_> {
    fn symbol(&self, name: &str) -> Option<VirtAddr> {
        self.info.symbol(name).or_else(|| (self.find)(name))
    }

    fn need(&self, name: &'static str) -> Result<VirtAddr, LogError> {
        self.symbol(name).ok_or(LogError::NoSymbols(name))
    }

    fn u32(&self, name: &'static str) -> Result<u32, LogError> {
        let at = self.need(name)?;
        self.memory
            .u32(at)
            .map_err(|source| LogError::Unreadable { what: name, source })
    }

    fn pointer(&self, name: &'static str) -> Result<VirtAddr, LogError> {
        let at = self.need(name)?;
        self.memory
            .pointer(at)
            .map_err(|source| LogError::Unreadable { what: name, source })
    }
}
