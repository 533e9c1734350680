//! The dumped kernel as far as headers, page tables and VMCOREINFO lead: memory, names, times, log.
//!
//! A fact that cannot be had is absent and [`Kernel::problems`] says why; symbols and types are built on top of this.

use std::sync::Arc;

use super::access::{Abi, KernelMemory};
use super::locate::{self, SEARCH_BUDGET, SelfCheck};
use super::log::{FindSymbol, KernelLog, LogError};
use super::paging::{AddressSpace, KERNEL_MAP};
use super::utsname;
use super::vmcoreinfo::Vmcoreinfo;
use crate::addr::VirtAddr;
use crate::dump::{Header, PhysicalMemory, Utsname};

/// How many page table entries are looked at for the start of the image: one every 2 MiB of its 1 GiB, and some more.
const MAX_HOLES: usize = 1024;

/// The dumped kernel.
#[derive(Debug)]
pub struct Kernel {
    space: Arc<AddressSpace>,
    memory: KernelMemory,
    vmcoreinfo: Vmcoreinfo,
    utsname: Option<Utsname>,
    banner: Option<String>,
    crashed_at: Option<u64>,
    self_check: SelfCheck,
    problems: Vec<Problem>,
}

/// A fact that could not be had, or is in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which: `memory`, `vmcoreinfo`, `utsname`, `crashed_at`.
    pub fact: &'static str,
    /// Why, in plain words.
    pub why: String,
}

/// Why a dump's memory gave no kernel at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// Nothing in it leads to one.
    #[error("no Linux kernel found in this dump: {0}")]
    NotFound(String),
}

/// Why a banner does not confirm the address translation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BannerError {
    /// It could not be read.
    #[error("linux_banner cannot be read: {0}")]
    Unreadable(#[from] super::ReadError),
    /// It is not a banner, or that of another kernel.
    #[error("linux_banner should start with {expected:?}, found {found:?}")]
    Different {
        /// How it should start.
        expected: String,
        /// The first bytes found, escaped.
        found: String,
    },
}

impl Kernel {
    /// Finds the kernel in `memory`. Where the headers do not lead to it, at most [`SEARCH_BUDGET`] bytes are searched.
    pub fn open(memory: Arc<dyn PhysicalMemory>, header: &Header) -> Result<Kernel, KernelError> {
        Kernel::open_searching(memory, header, SEARCH_BUDGET)
    }

    /// [`Kernel::open`] with another limit, in bytes.
    pub fn open_searching(
        memory: Arc<dyn PhysicalMemory>,
        header: &Header,
        budget: u64,
    ) -> Result<Kernel, KernelError> {
        let mut problems = Vec::new();
        let mut problem = |fact, why| problems.push(Problem { fact, why });
        let found = match locate::locate(&memory, header, budget) {
            Ok(found) => found,
            Err(why) if header.utsname.is_none() => return Err(KernelError::NotFound(why)),
            Err(why) => locate::nothing(&memory, why),
        };
        for why in found.problems {
            problem("memory", why);
        }
        if let SelfCheck::Failed(why) = &found.self_check {
            problem("memory", why.clone());
        }
        if found.vmcoreinfo.as_ref().is_some_and(Vmcoreinfo::is_cut) {
            problem(
                "vmcoreinfo",
                "its text fills its page to the end: lines may be missing".to_owned(),
            );
        }
        let utsname = found.utsname.or_else(|| from_header(header, found.vmcoreinfo.as_ref()));
        if utsname.is_none() {
            problem(
                "utsname",
                "neither the kernel's memory nor the dump's header has it".to_owned(),
            );
        }
        let mut vmcoreinfo = found.vmcoreinfo.unwrap_or_default();
        for (name, address) in header.capsule.iter().flat_map(|capsule| &capsule.symbols) {
            vmcoreinfo.complete(name, *address);
        }
        let crashed_at = vmcoreinfo
            .crashtime()
            .or(header.timestamp.filter(|&seconds| seconds != 0));
        if crashed_at.is_none() {
            problem(
                "crashed_at",
                "neither VMCOREINFO nor the dump's header tells the time".to_owned(),
            );
        }
        let space = found.space;
        let abi = Abi {
            order: header.byte_order,
            is_64bit: header.is_64bit,
        };
        Ok(Kernel {
            memory: KernelMemory::new(space.clone(), abi),
            space,
            vmcoreinfo,
            utsname,
            banner: found.banner,
            crashed_at,
            self_check: found.self_check,
            problems,
        })
    }

    /// Its virtual memory and the tables behind it.
    pub fn space(&self) -> &Arc<AddressSpace> {
        &self.space
    }

    /// The lowest address of its image: `_stext`, else the lowest that the page tables map there.
    pub fn image_start(&self) -> Option<VirtAddr> {
        self.vmcoreinfo.symbol("_stext").or_else(|| {
            let (start, end) = (VirtAddr(KERNEL_MAP), VirtAddr(KERNEL_MAP + (1 << 30)));
            Some(self.space.mapped(start, end, MAX_HOLES).first()?.start)
        })
    }

    /// Typed access to its virtual memory.
    pub fn memory(&self) -> &KernelMemory {
        &self.memory
    }

    /// VMCOREINFO, from the dump's notes or from the kernel's memory; without any entry when there is none.
    pub fn vmcoreinfo(&self) -> &Vmcoreinfo {
        &self.vmcoreinfo
    }

    /// `init_uts_ns.name` from memory, else the copy in the dump's header.
    pub fn utsname(&self) -> Option<&Utsname> {
        self.utsname.as_ref()
    }

    /// The first line of the log, as `linux_banner` holds it: known when the search for the kernel went past it.
    pub fn banner(&self) -> Option<&str> {
        self.banner.as_deref()
    }

    /// When the crash was saved (else: when the dump was made): seconds since 1970, UTC.
    pub fn crashed_at(&self) -> Option<u64> {
        self.crashed_at
    }

    /// Whether what was read back proves the translation of addresses.
    pub fn self_check(&self) -> &SelfCheck {
        &self.self_check
    }

    /// What could not be had, or is in doubt.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The kernel's log by VMCOREINFO alone.
    pub fn log(&self) -> Result<KernelLog, LogError> {
        self.log_with(&|_| None)
    }

    /// The kernel's log; `find` gives the addresses of variables that VMCOREINFO lacks.
    pub fn log_with(&self, find: FindSymbol<'_>) -> Result<KernelLog, LogError> {
        KernelLog::read(&self.memory, &self.vmcoreinfo, find)
    }

    /// Reads the banner at `linux_banner`'s address (from the symbols) and holds it against the release.
    pub fn check_banner(&self, linux_banner: VirtAddr) -> Result<String, BannerError> {
        let text = self.memory.c_string(linux_banner, 512)?;
        let text = String::from_utf8_lossy(&text);
        let release = self
            .vmcoreinfo
            .osrelease()
            .or(self.utsname.as_ref().map(|utsname| utsname.release.as_str()));
        let expected = format!(
            "Linux version {}",
            release.map(|release| format!("{release} ")).unwrap_or_default()
        );
        if text.starts_with(&expected) {
            return Ok(text.trim_end().to_owned());
        }
        Err(BannerError::Different {
            expected,
            found: text.chars().take(80).collect::<String>().escape_debug().to_string(),
        })
    }
}

/// The header's copy, completed by VMCOREINFO; what neither has stays empty.
fn from_header(header: &Header, info: Option<&Vmcoreinfo>) -> Option<Utsname> {
    let named = header
        .utsname
        .clone()
        .filter(|utsname| utsname::is_release(&utsname.release));
    named.or_else(|| {
        let release = info.and_then(Vmcoreinfo::osrelease)?.to_owned();
        Some(Utsname {
            release,
            ..Utsname::default()
        })
    })
}
