//! Writes kallsyms tables as the kernels' builds do, for tests: what is encoded here must decode to the same.

use std::collections::HashMap;

use super::names::GROUP;
use crate::kernel::access::test_memory::TestMemory;

/// How one era's build writes the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    /// To 4.5 (2.6.32, el7): words everywhere.
    Absolute,
    /// 4.6 to 4.19 (el8).
    AbsolutePerCpuWords,
    /// 4.20 to 6.0 (5.10, el9): markers of 32 bits.
    AbsolutePerCpu,
    /// 6.1.y to 6.3: sequence numbers before the token table.
    AbsolutePerCpuSeqs,
    /// 4.20 to 6.3 without SMP, or other architectures.
    Relative,
    /// 6.4 to 6.14: addresses behind the names.
    NewOrderPerCpu,
    /// 6.15 to 6.19.
    NewOrder,
    /// 7.0 on.
    PlaceRelative,
}

impl Era {
    pub(crate) const ALL: [Era; 8] = [
        Era::Absolute,
        Era::AbsolutePerCpuWords,
        Era::AbsolutePerCpu,
        Era::AbsolutePerCpuSeqs,
        Era::Relative,
        Era::NewOrderPerCpu,
        Era::NewOrder,
        Era::PlaceRelative,
    ];

    /// Whether small (per-CPU) addresses can be said.
    pub(crate) fn says_small(self) -> bool {
        !matches!(self, Era::Relative | Era::NewOrder | Era::PlaceRelative)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Symbol {
    pub(crate) kind: char,
    pub(crate) name: String,
    pub(crate) address: u64,
}

/// An image with the tables in it, and where each table lies.
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) labels: HashMap<&'static str, u64>,
}

impl Encoded {
    pub(crate) fn memory(self, at: u64) -> TestMemory {
        TestMemory::one(at, self.bytes)
    }
}

/// Tables of `symbols` (ascending) in an image that starts at `at`, behind `before` bytes of something else.
pub(crate) fn encode(symbols: &[Symbol], era: Era, at: u64, before: usize) -> Encoded {
    let (tokens, names) = compress(symbols);
    let lowest = symbols.iter().map(|s| s.address).find(|a| *a > 1 << 32).unwrap_or(0);
    let mut out = Writer {
        at,
        bytes: noise(before),
        labels: HashMap::new(),
        grain: if era == Era::PlaceRelative { 4 } else { 8 },
    };
    out.align();
    let addresses = |out: &mut Writer| match era {
        Era::Absolute => {
            out.label("kallsyms_addresses");
            for symbol in symbols {
                out.bytes.extend(symbol.address.to_le_bytes());
            }
        }
        Era::PlaceRelative => {
            out.label("kallsyms_offsets");
            for symbol in symbols {
                let offset = symbol.address.wrapping_sub(out.here()) as u32;
                out.bytes.extend(offset.to_le_bytes());
            }
            out.align();
        }
        _ => {
            out.label("kallsyms_offsets");
            for symbol in symbols {
                let offset = match symbol.address {
                    small if era.says_small() && small < 1 << 31 => small as u32,
                    address if era.says_small() => (lowest - 1).wrapping_sub(address) as u32,
                    address => (address - lowest) as u32,
                };
                out.bytes.extend(offset.to_le_bytes());
            }
            out.align();
            out.label("kallsyms_relative_base");
            out.bytes.extend(lowest.to_le_bytes());
        }
    };
    let seqs = |out: &mut Writer| {
        let mut order: Vec<usize> = (0..symbols.len()).collect();
        order.sort_by_key(|number| &symbols[*number].name);
        out.label("kallsyms_seqs_of_names");
        for number in order {
            out.bytes.extend(&(number as u32).to_be_bytes()[1..]);
        }
        out.align();
    };
    let words = matches!(era, Era::Absolute | Era::AbsolutePerCpuWords);
    let new_order = matches!(era, Era::NewOrderPerCpu | Era::NewOrder | Era::PlaceRelative);
    if !new_order {
        addresses(&mut out);
    }
    out.label("kallsyms_num_syms");
    out.number(symbols.len() as u64, words);
    out.align();
    out.label("kallsyms_names");
    let start = out.bytes.len();
    let mut markers = Vec::new();
    for (number, codes) in names.iter().enumerate() {
        if (number as u32).is_multiple_of(GROUP) {
            markers.push(out.bytes.len() - start);
        }
        if codes.len() < 0x80 {
            out.bytes.push(codes.len() as u8);
        } else {
            out.bytes.push(codes.len() as u8 & 0x7f | 0x80);
            out.bytes.push((codes.len() >> 7) as u8);
        }
        out.bytes.extend(codes);
    }
    out.align();
    out.label("kallsyms_markers");
    for marker in markers {
        out.number(marker as u64, words);
    }
    out.align();
    if era == Era::AbsolutePerCpuSeqs {
        seqs(&mut out);
    }
    out.label("kallsyms_token_table");
    let mut index = Vec::new();
    let mut offset = 0_u16;
    for token in &tokens {
        index.extend(offset.to_le_bytes());
        out.bytes.extend(token);
        out.bytes.push(0);
        offset += token.len() as u16 + 1;
    }
    out.align();
    out.label("kallsyms_token_index");
    out.bytes.extend(index);
    out.align();
    if new_order {
        addresses(&mut out);
        seqs(&mut out);
    }
    out.bytes.extend(noise(12_000));
    Encoded {
        bytes: out.bytes,
        labels: out.labels,
    }
}

struct Writer {
    at: u64,
    bytes: Vec<u8>,
    labels: HashMap<&'static str, u64>,
    /// What labels are aligned to.
    grain: usize,
}

impl Writer {
    fn here(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    fn label(&mut self, name: &'static str) {
        let here = self.here();
        self.labels.insert(name, here);
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(self.grain), 0);
    }

    fn number(&mut self, number: u64, word: bool) {
        let bytes = number.to_le_bytes();
        self.bytes.extend(if word { &bytes[..] } else { &bytes[..4] });
    }
}

/// Bytes that look like nothing (a linear congruential generator's).
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// 256 tokens, and every symbol's type and name in their codes.
fn compress(symbols: &[Symbol]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    const ROUNDS: usize = 40;
    let mut names: Vec<Vec<u8>> = symbols
        .iter()
        .map(|s| format!("{}{}", s.kind, s.name).into_bytes())
        .collect();
    let mut tokens: Vec<Vec<u8>> = vec![Vec::new(); 256];
    for byte in names.iter().flatten().chain(b"0123456789") {
        tokens[usize::from(*byte)] = vec![*byte];
    }
    let free: Vec<usize> = (0..256).filter(|code| tokens[*code].is_empty()).take(ROUNDS).collect();
    for code in free {
        let mut pairs: HashMap<(u8, u8), usize> = HashMap::new();
        for name in &names {
            for pair in name.windows(2) {
                *pairs.entry((pair[0], pair[1])).or_default() += 1;
            }
        }
        let Some((best, _)) = pairs.into_iter().max_by_key(|(pair, count)| (*count, *pair)) else {
            break;
        };
        tokens[code] = [&tokens[usize::from(best.0)][..], &tokens[usize::from(best.1)][..]].concat();
        for name in &mut names {
            let mut at = 0;
            while at + 1 < name.len() {
                if (name[at], name[at + 1]) == best {
                    name[at] = code as u8;
                    name.remove(at + 1);
                }
                at += 1;
            }
        }
    }
    (tokens, names)
}
