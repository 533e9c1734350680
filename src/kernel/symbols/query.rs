//! What people ask of symbols: an address's name, a name's addresses.

use std::fmt;

use serde::Serialize;

use super::{Symbolised, Symbols};
use crate::addr::VirtAddr;

/// One answer: an address and the symbol that covers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// The address.
    pub address: VirtAddr,
    /// The symbol's name as the kernel spells it.
    pub symbol: String,
    /// Bytes from the symbol's start.
    pub offset: u64,
    /// Bytes to the next symbol.
    pub size: u64,
    /// Its type as `nm` prints it; lower case for static ones.
    pub kind: char,
    /// The module it belongs to; absent for the kernel proper.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<String>,
}

impl Found {
    fn new(address: VirtAddr, at: Symbolised) -> Self {
        Found {
            address,
            symbol: at.name,
            offset: at.offset,
            size: at.size,
            kind: at.kind,
            module: at.module.map(|name| name.to_string()),
        }
    }
}

impl fmt::Display for Found {
    /// `0xffffffff81123456 (T) down_read_trylock+0x9/0x50 [module]`; the offset only where there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) {}", self.address, self.kind, self.symbol)?;
        if self.offset != 0 {
            write!(f, "+{:#x}/{:#x}", self.offset, self.size)?;
        }
        match &self.module {
            Some(module) => write!(f, " [{module}]"),
            None => Ok(()),
        }
    }
}

impl Symbols {
    /// What `query` names: an address (`0x…`, or 16 hex digits as dumps print them), a symbol, `module:symbol`, a
    /// symbol with an offset (`panic+0x10`), or one CPU's copy of a per-CPU variable (`runqueues:3`). A name may stand
    /// at several addresses. Empty: the kernel has no such thing.
    pub fn query(&self, query: &str) -> Vec<Found> {
        if let Some(address) = address(query) {
            // The last of the per-CPU symbols, which are offsets, covers nothing although the next symbol is far away.
            let at = self.by_address(address).filter(|at| at.kind != 'A' || at.offset == 0);
            return at.map(|at| Found::new(address, at)).into_iter().collect();
        }
        if let Some((name, cpu)) = query
            .split_once(':')
            .and_then(|(name, cpu)| Some((name, cpu.parse().ok()?)))
        {
            let copy = self.per_cpu(name, cpu).filter(|_| self.has_cpu(cpu));
            let variable = self.by_name(name).and_then(|template| self.by_address(template));
            return copy
                .zip(variable)
                .map(|(address, at)| Found {
                    symbol: query.to_owned(),
                    ..Found::new(address, Symbolised { offset: 0, ..at })
                })
                .into_iter()
                .collect();
        }
        let (name, offset) = match query.split_once('+') {
            Some((name, offset)) => match number(offset) {
                Some(offset) => (name, offset),
                None => return Vec::new(),
            },
            None => (query, 0),
        };
        self.all_by_name(name)
            .into_iter()
            .filter_map(|start| {
                // Several names may share an address: the one that was asked for is given.
                let at = self.by_address(start)?;
                let address = start.checked_add(offset)?;
                let symbol = name.rsplit(':').next().unwrap_or(name).to_owned();
                Some(Found {
                    symbol,
                    offset,
                    ..Found::new(address, at)
                })
            })
            .collect()
    }
}

impl Symbols {
    /// Whether the machine can have a CPU of that number; yes where the dump does not tell.
    fn has_cpu(&self, cpu: u32) -> bool {
        let count = self.by_name("nr_cpu_ids").and_then(|at| self.memory.u32(at).ok());
        count.is_none_or(|count| cpu < count)
    }
}

fn address(text: &str) -> Option<VirtAddr> {
    let digits = match text.strip_prefix("0x") {
        Some(digits) => digits,
        None if text.len() == 16 => text,
        None => return None,
    };
    u64::from_str_radix(digits, 16).ok().map(VirtAddr)
}

fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_from_a_name() {
        assert_eq!(address("0xdead"), Some(VirtAddr(0xdead)));
        assert_eq!(address("ffffffff81000000"), Some(VirtAddr(0xffff_ffff_8100_0000)));
        assert_eq!(address("dead"), None, "a function may be called that");
        assert_eq!(address("down_read_trylock"), None);
    }

    #[test]
    fn an_answer_reads_as_an_oops_writes_it() {
        let mut found = Found {
            address: VirtAddr(0x1010),
            symbol: "f".to_owned(),
            offset: 0x10,
            size: 0x20,
            kind: 't',
            module: Some("ext4".to_owned()),
        };
        assert_eq!(found.to_string(), "0x1010 (t) f+0x10/0x20 [ext4]");
        found.offset = 0;
        found.module = None;
        assert_eq!(found.to_string(), "0x1010 (t) f");
    }
}
