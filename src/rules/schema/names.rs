//! Names of things that a rule points at: registers, taint letters, streams, sysctls.
//!
//! Knows the names that there are, and what people write instead.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer};

use super::text::{Fault, Word, words};
use crate::rules::suggest::nearest;

words!(Register, Operand, TaintLetter, StreamName, SysctlName);

/// The registers that a report can hold, in its spelling (lower case, unpadded).
pub const REGISTERS: &[&str] = &[
    // x86_64 and i386
    "rip", "rsp", "rbp", "rflags", "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15", "orig_rax", "cs", "ss", "ds", "es", "fs", "gs", "cr0", "cr2", "cr3", "cr4", "eip", "esp", "ebp",
    "eflags", "eax", "ebx", "ecx", "edx", "esi", "edi", // arm64
    "pc", "sp", "lr", "pstate", "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13",
    "x14", "x15", "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29",
    "x30",
];

/// A register by its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Register(String);

impl Register {
    /// The pseudo register that stands for each of the general ones.
    pub const ANY: &'static str = "any";

    /// The register's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for each of the general registers.
    pub fn is_any(&self) -> bool {
        self.0 == Self::ANY
    }
}

impl Word for Register {
    const FORMAT: &'static str = "register";

    fn read(text: &str) -> Result<Self, Fault> {
        if REGISTERS.contains(&text) || text == Self::ANY {
            return Ok(Register(text.to_owned()));
        }
        let fault = Fault::new("unknown-register", format!("{text:?} is not a register"));
        let lower = text.to_ascii_lowercase();
        // An oops pads (R08) and old ones print 32-bit names in capitals.
        let unpadded = lower
            .strip_prefix("r0")
            .map_or(lower.clone(), |number| format!("r{number}"));
        Err(if REGISTERS.contains(&&*unpadded) {
            fault.help(format!("write `{unpadded}`: lower case, not padded"))
        } else {
            match nearest(&lower, REGISTERS.iter().copied()) {
                Some(near) => fault.help(format!("did you mean `{near}`?")),
                None => fault.help("write a register as the report spells it: rdi, r8, cr2, …"),
            }
        })
    }
}

/// A value to compare with: a register, or `fault.address`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// A register at the fault.
    Register(Register),
    /// The address whose access failed.
    FaultAddress,
    /// A number: `0xffffffff81000000`.
    Number(u64),
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Register(register) => f.write_str(register.as_str()),
            Operand::FaultAddress => f.write_str("fault.address"),
            Operand::Number(number) => write!(f, "{number:#x}"),
        }
    }
}

impl Word for Operand {
    const FORMAT: &'static str = "register-or-address";

    fn read(text: &str) -> Result<Self, Fault> {
        if text == "fault.address" {
            return Ok(Operand::FaultAddress);
        }
        if let Some(number) = text
            .strip_prefix("0x")
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        {
            return Ok(Operand::Number(number));
        }
        if text == Register::ANY {
            return Err(Fault::new("unknown-register", "`any` cannot be compared with").help("name one register"));
        }
        Register::read(text).map(Operand::Register)
    }
}

/// A taint letter, as `Tainted:` prints it (Documentation/admin-guide/tainted-kernels.rst; H, T, Z: RHEL's own).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaintLetter(String);

impl TaintLetter {
    /// The letter.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Word for TaintLetter {
    const FORMAT: &'static str = "taint-letter";

    fn read(text: &str) -> Result<Self, Fault> {
        const LETTERS: &str = "PFSRMBUDAWCIOELKXTNJHZ";
        if text.len() == 1 && LETTERS.contains(text) {
            return Ok(TaintLetter(text.to_owned()));
        }
        let fault = Fault::new("bad-taint", format!("{text:?} is not a taint letter"));
        Err(if text == "G" {
            fault.help("G means that no proprietary module is loaded: write `{not: [P]}`")
        } else if text.len() > 1 && text.chars().all(|c| LETTERS.contains(c)) {
            let letters: Vec<String> = text.chars().map(String::from).collect();
            fault.help(format!("write [{}]", letters.join(", ")))
        } else {
            fault.help(format!("the letters are {LETTERS}"))
        })
    }
}

/// A stream's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamName(String);

impl StreamName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Word for StreamName {
    const FORMAT: &'static str = "stream";

    fn read(text: &str) -> Result<Self, Fault> {
        use crate::crash::stream::NAMES;
        if NAMES.contains(&text) {
            return Ok(StreamName(text.to_owned()));
        }
        let fault = Fault::new("unknown-stream", format!("{text:?} is not a stream of kernel builds"));
        let alias = match text.to_ascii_lowercase().as_str() {
            "mainline" | "stable" | "linux" | "vanilla" => Some("upstream"),
            "suse" | "sle" | "sle12" | "sle15" => Some("sles"),
            "amazon" | "al2" | "amzn2" | "al2023" => Some("amzn"),
            "ol" | "oracle" => Some("uek"),
            "mariner" => Some("azurelinux"),
            "pve" => Some("proxmox"),
            word => ["rhel", "centos", "ol"]
                .iter()
                .find_map(|prefix| word.strip_prefix(prefix))
                .and_then(|number| {
                    NAMES
                        .iter()
                        .find(|name| name.strip_prefix("el") == Some(number))
                        .copied()
                }),
        };
        Err(match alias.or_else(|| nearest(text, NAMES.iter().copied())) {
            Some(near) => fault.help(format!("did you mean `{near}`?")),
            None => fault.help(format!("the streams are {}", NAMES.join(", "))),
        })
    }
}

/// A sysctl's name: `vm.min_free_kbytes`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SysctlName(String);

impl SysctlName {
    /// The name, with dots.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Word for SysctlName {
    const FORMAT: &'static str = "sysctl-name";

    fn read(text: &str) -> Result<Self, Fault> {
        // Names under net and dev may hold interface names: net.ipv4.conf.eth0/1.rp_filter.
        let good = text.contains('.')
            && text.split('.').all(|part| {
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-/*".contains(&b))
            });
        if good {
            return Ok(SysctlName(text.to_owned()));
        }
        let fault = Fault::new("bad-sysctl-name", format!("{text:?} is not a sysctl's name"));
        Err(if let Some(path) = text.strip_prefix("/proc/sys/") {
            fault.help(format!("write `{}`", path.replace('/', ".")))
        } else {
            fault.help("write it as `sysctl` does: vm.min_free_kbytes")
        })
    }
}
