//! The kernel's symbols from elsewhere than its own memory: the symbol table of its debuginfo.

use std::collections::HashMap;

use super::table::Kallsyms;
use crate::addr::VirtAddr;

/// A symbol of a list: name, type as `nm` prints it, address in the dumped kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSymbol {
    /// Its name.
    pub name: String,
    /// Its type; lower case for static ones.
    pub kind: char,
    /// Where it lies.
    pub address: VirtAddr,
}

/// Where the symbols of the kernel proper come from.
#[derive(Debug)]
pub(super) enum Table {
    /// Its own table, in its memory.
    Kallsyms(Box<Kallsyms>),
    /// A list.
    Listed(Listed),
}

/// The symbol at the greatest address not above the one that was asked for.
pub(super) struct Covering {
    pub(super) name: String,
    pub(super) kind: char,
    pub(super) start: VirtAddr,
    /// The next greater address that has a symbol.
    pub(super) next: VirtAddr,
}

impl Table {
    /// Every address that bears `name`, ascending.
    pub(super) fn named(&self, name: &str) -> Vec<VirtAddr> {
        match self {
            Table::Kallsyms(kallsyms) => kallsyms
                .named(name)
                .into_iter()
                .filter_map(|number| kallsyms.address(number))
                .collect(),
            Table::Listed(listed) => listed.named(name),
        }
    }

    pub(super) fn covering(&self, address: VirtAddr) -> Option<Covering> {
        match self {
            Table::Kallsyms(kallsyms) => {
                let (number, next) = kallsyms.covering(address)?;
                let (kind, name) = kallsyms.name(number)?;
                Some(Covering {
                    name,
                    kind,
                    start: kallsyms.address(number)?,
                    next,
                })
            }
            Table::Listed(listed) => listed.covering(address),
        }
    }
}

/// A list of symbols, ready to be asked.
#[derive(Debug)]
pub(super) struct Listed {
    /// Ascending by address, in the list's order where several have one.
    symbols: Vec<ListedSymbol>,
    /// Indices into `symbols`.
    names: HashMap<String, Vec<u32>>,
}

impl Listed {
    /// Made from `symbols` in any order.
    pub(super) fn new(mut symbols: Vec<ListedSymbol>) -> Listed {
        symbols.truncate(u32::MAX as usize);
        symbols.sort_by_key(|symbol| symbol.address);
        let mut names: HashMap<String, Vec<u32>> = HashMap::new();
        for (index, symbol) in symbols.iter().enumerate() {
            names.entry(symbol.name.clone()).or_default().push(index as u32);
        }
        Listed { symbols, names }
    }

    fn named(&self, name: &str) -> Vec<VirtAddr> {
        let indices = self.names.get(name).map(Vec::as_slice).unwrap_or_default();
        indices
            .iter()
            .filter_map(|index| Some(self.symbols.get(*index as usize)?.address))
            .collect()
    }

    fn covering(&self, address: VirtAddr) -> Option<Covering> {
        let behind = self.symbols.partition_point(|symbol| symbol.address <= address);
        let next = self.symbols.get(behind)?.address;
        let start = self.symbols.get(behind.checked_sub(1)?)?.address;
        // Of several at one address the first, as with kallsyms.
        let first = self.symbols.partition_point(|symbol| symbol.address < start);
        let symbol = self.symbols.get(first)?;
        Some(Covering {
            name: symbol.name.clone(),
            kind: symbol.kind,
            start,
            next,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_answers_as_kallsyms_does() {
        let symbol = |name: &str, address| ListedSymbol {
            name: name.to_owned(),
            kind: 't',
            address: VirtAddr(address),
        };
        let table = Table::Listed(Listed::new(vec![
            symbol("c", 0x3000),
            symbol("a", 0x1000),
            symbol("b", 0x2000),
            symbol("b_alias", 0x2000),
            symbol("a", 0x2800),
        ]));
        assert_eq!(table.named("a"), [VirtAddr(0x1000), VirtAddr(0x2800)]);
        assert_eq!(table.named("x"), []);
        let found = table.covering(VirtAddr(0x2004)).unwrap();
        assert_eq!(
            (found.name.as_str(), found.start, found.next),
            ("b", VirtAddr(0x2000), VirtAddr(0x2800))
        );
        assert!(table.covering(VirtAddr(0xfff)).is_none());
        assert!(table.covering(VirtAddr(0x3000)).is_none());
    }
}
