//! The log since 5.10: the lockless ring (kernel/printk/printk_ringbuffer.[ch]).
//!
//! Three circular arrays: descriptors (state and place of the text), infos (number, time, level, length), and the text
//! itself in blocks that start with their record's id. Ids and text positions ("lpos") only ever grow; modulo the
//! array's size they give the place.

mod layout;
mod text;

use std::collections::{HashMap, HashSet};

use self::layout::Layout;
use self::text::{Text, position};
use super::collect::{Collector, MAX_RECORDS};
use super::{Caller, FLAG_CONT, Form, KernelLog, LogError, Record, Source, State};
use crate::addr::VirtAddr;
use crate::kernel::access::KernelMemory;
use crate::kernel::partial::Partial;

/// How many records are read at once.
const CHUNK: u64 = 2048;

/// Reads the log; `prb` is the address of the pointer `prb`.
pub(super) fn read(source: &Source<'_>, prb: VirtAddr) -> Result<KernelLog, LogError> {
    let layout = Layout::new(source);
    let unreadable = |source| LogError::Unreadable { what: "prb", source };
    // The pointer says which ring is in use; the static one is what most machines stay with.
    let at = match source.memory.pointer(prb) {
        Ok(at) => at,
        Err(error) => source.symbol("printk_rb_static").ok_or(unreadable(error))?,
    };
    let head = source.memory.bytes(at, layout.ring_size).map_err(unreadable)?;
    let ring = Ring::new(source.memory, layout, &head)?;
    Ok(ring.records())
}

struct Ring<'a> {
    memory: &'a KernelMemory,
    layout: Layout,
    descs: Array,
    infos: Array,
    head_id: u64,
    tail_id: u64,
    text: Text<'a>,
    log: Collector,
    /// What to add to an id for its record's number.
    seq_of_id: Option<u64>,
}

/// A circular array.
#[derive(Clone, Copy)]
struct Array {
    at: VirtAddr,
    element: u64,
    count: u64,
}

/// Some consecutive elements of an [`Array`], around its end if need be.
struct Slice {
    element: usize,
    first: Partial,
    rest: Partial,
    first_count: usize,
}

/// `struct prb_desc`.
#[derive(Clone, Copy)]
struct Desc {
    id: u64,
    state: u64,
    begin: u64,
    next: u64,
}

/// `struct printk_info`.
#[derive(Clone, Copy)]
struct Info {
    seq: u64,
    nanoseconds: u64,
    text_len: u64,
    facility: u8,
    flags: u8,
    caller: u32,
}

/// `enum desc_state`.
const RESERVED: u64 = 0;
const FINALIZED: u64 = 2;
const REUSABLE: u64 = 3;

impl<'a> Ring<'a> {
    fn new(memory: &'a KernelMemory, layout: Layout, head: &[u8]) -> Result<Ring<'a>, LogError> {
        let abi = memory.abi();
        let uint = |at: usize, size: usize| {
            let bytes = at.checked_add(size).and_then(|end| head.get(at..end));
            bytes.map_or(0, |bytes| abi.uint(bytes))
        };
        let word = |at: usize| uint(at, layout.word);
        let count_bits = uint(layout.count_bits, 4);
        // 5.10 to 5.19 have nothing between the two rings; without VMCOREINFO the text's size tells which it is.
        let plausible = |text_ring: usize| (3..32).contains(&uint(text_ring + layout.size_bits, 4));
        let text_ring = [layout.text_ring, layout.text_ring.saturating_sub(layout.word)];
        let text_ring = text_ring
            .into_iter()
            .find(|&at| plausible(at))
            .unwrap_or(layout.text_ring);
        let size_bits = uint(text_ring + layout.size_bits, 4);
        if !(1..31).contains(&count_bits) {
            return Err(LogError::Implausible {
                what: "prb->desc_ring.count_bits",
                value: count_bits,
            });
        }
        if !(3..32).contains(&size_bits) {
            return Err(LogError::Implausible {
                what: "prb->text_data_ring.size_bits",
                value: size_bits,
            });
        }
        let array = |at: usize, element: u64| Array {
            at: VirtAddr(word(at)),
            element,
            count: 1 << count_bits,
        };
        Ok(Ring {
            memory,
            descs: array(layout.descs, layout.desc_size),
            infos: array(layout.infos, layout.info_size),
            head_id: word(layout.head_id) & layout.id_mask(),
            tail_id: word(layout.tail_id) & layout.id_mask(),
            text: Text {
                memory,
                at: VirtAddr(word(text_ring + layout.data)),
                size: 1 << size_bits,
                head: position(word(text_ring + layout.head_lpos), layout.word),
                tail: position(word(text_ring + layout.tail_lpos), layout.word),
                word: layout.word as u64,
                fetched: None,
            },
            layout,
            log: Collector::new(),
            seq_of_id: None,
        })
    }

    fn records(mut self) -> KernelLog {
        let mask = self.layout.id_mask();
        let mut count = (self.head_id.wrapping_sub(self.tail_id) & mask).saturating_add(1);
        let mut from = self.tail_id;
        let most = self.descs.count.min(MAX_RECORDS as u64);
        if count > most {
            if count > self.descs.count {
                self.log.problem(format!(
                    "the ring claims {count} records but has room for {}",
                    self.descs.count
                ));
            } else {
                self.log
                    .problem(format!("the ring holds {count} records: the newest {most} were read"));
            }
            count = most;
            from = self.head_id.wrapping_sub(count - 1) & mask;
        }
        let mut done = 0;
        let mut homeless = Vec::new();
        while done < count {
            let length = CHUNK.min(count - done);
            self.chunk(from.wrapping_add(done) & mask, length, &mut homeless);
            done += length;
        }
        if !homeless.is_empty() {
            self.find_blocks(homeless);
        }
        let from_start = self.log.first().is_some_and(|record| record.seq == 0);
        self.log.finish(Form::Ring, from_start)
    }

    /// Takes the records of `count` ids from `from` on. Those without a descriptor go to `homeless`.
    fn chunk(&mut self, from: u64, count: u64, homeless: &mut Vec<(u64, Option<Info>)>) {
        let mask = self.layout.id_mask();
        let descs = self.descs.read(self.memory, from, count);
        let infos = self.infos.read(self.memory, from, count);
        for (what, slice) in [("descriptors", &descs), ("heads", &infos)] {
            if let Some(why) = slice.hole() {
                self.log.problem(format!("some records' {what} are missing: {why}"));
            }
        }
        let ids = (0..count).map(|offset| (from.wrapping_add(offset) & mask, offset as usize));
        let decoded = ids.map(|(id, index)| {
            let desc = descs.get(index).map(|bytes| self.desc(bytes));
            let info = infos.get(index).map(|bytes| self.info(bytes));
            (id, desc, info)
        });
        let decoded: Vec<(u64, Option<Desc>, Option<Info>)> = decoded.collect();
        let blocks = decoded
            .iter()
            .filter_map(|(id, desc, _)| desc.filter(|desc| desc.id == *id && desc.has_text()));
        self.text.prefetch(blocks);
        for (id, desc, info) in decoded {
            match desc {
                // A slot that the writer has not taken over yet, or (the oldest) has just given up.
                Some(desc) if desc.state == REUSABLE => {}
                Some(desc) if desc.id == id => {
                    let record = self.record(&desc, info);
                    self.log.push(record);
                }
                // Its page is missing, or it was overwritten.
                _ => homeless.push((id, info)),
            }
        }
    }

    fn record(&mut self, desc: &Desc, info: Option<Info>) -> Record {
        let finished = desc.state != RESERVED;
        let (text, state) = if desc.has_text() {
            match self.text.block(desc.begin, desc.next) {
                None => (Vec::new(), State::TextLost),
                Some(block) if !block.whole && block.text.is_empty() => (Vec::new(), State::Missing),
                Some(block) => {
                    let known = info
                        .map(|info| info.text_len as usize)
                        .filter(|&len| finished || len > 0);
                    let whole = block.whole || known.is_some_and(|len| len <= block.text.len());
                    let sure = info.is_some() && whole && block.owner == Some(desc.id);
                    (
                        cut(&block.text, known),
                        if sure { State::Whole } else { State::Suspect },
                    )
                }
            }
        } else if desc.begin & 2 == 0 {
            // Both positions odd: 1 says that there was no room for the text, 3 that the line is empty.
            (Vec::new(), State::TextLost)
        } else {
            (Vec::new(), if info.is_some() { State::Whole } else { State::Suspect })
        };
        let state = if finished { state } else { State::HalfWritten };
        if let Some(info) = info.filter(|_| state == State::Whole) {
            self.seq_of_id = Some(info.seq.wrapping_sub(desc.id));
        }
        Record {
            seq: match info {
                Some(info) => info.seq,
                None => desc.id.wrapping_add(self.seq_of_id.unwrap_or(0)),
            },
            // A half-written record may not have its time yet.
            nanoseconds: info.map(|info| info.nanoseconds).filter(|&time| time != 0 || finished),
            level: info.map(|info| info.flags >> 5),
            facility: info.map(|info| info.facility),
            caller: info.map(|info| Caller::from_id(info.caller)),
            continues: info.is_some_and(|info| info.flags & FLAG_CONT != 0),
            text,
            state,
        }
    }

    /// Finds the text of records without a descriptor by the ids that their blocks start with.
    fn find_blocks(&mut self, homeless: Vec<(u64, Option<Info>)>) {
        let wanted: HashMap<u64, Option<Info>> = homeless.into_iter().collect();
        let mut left: HashSet<u64> = wanted.keys().copied().collect();
        for (id, begin, next) in self.text.search(|id| left.remove(&id)) {
            // Nothing tells whether its writer had finished it.
            let desc = Desc {
                id,
                state: FINALIZED,
                begin,
                next,
            };
            let mut record = self.record(&desc, wanted.get(&id).copied().flatten());
            if record.state == State::Whole {
                record.state = State::Suspect;
            }
            self.log.push(record);
        }
        self.log.sort();
        let (total, found) = (wanted.len(), wanted.len() - left.len());
        self.log.problem(format!(
            "{total} records have no usable descriptor: the text of {found} was found by its id"
        ));
    }

    fn desc(&self, bytes: &[u8]) -> Desc {
        let abi = self.memory.abi();
        let word = |at: usize| bytes.get(at..at + self.layout.word).map_or(0, |bytes| abi.uint(bytes));
        let state = word(self.layout.state);
        Desc {
            id: state & self.layout.id_mask(),
            state: state >> self.layout.id_bits(),
            begin: position(word(self.layout.begin), self.layout.word),
            next: position(word(self.layout.next), self.layout.word),
        }
    }

    fn info(&self, bytes: &[u8]) -> Info {
        let abi = self.memory.abi();
        let uint = |at: usize, size: usize| bytes.get(at..at + size).map_or(0, |bytes| abi.uint(bytes));
        let text_len = self.layout.text_len;
        Info {
            seq: uint(self.layout.seq, 8),
            nanoseconds: uint(self.layout.time, 8),
            text_len: uint(text_len, 2),
            // Not in VMCOREINFO: they follow text_len in every version.
            facility: uint(text_len + 2, 1) as u8,
            flags: uint(text_len + 3, 1) as u8,
            caller: uint(self.layout.caller, 4) as u32,
        }
    }
}

impl Desc {
    fn has_text(&self) -> bool {
        self.begin & 1 == 0 && self.next & 1 == 0
    }
}

/// The text at the head of a block: of the length that is `known`, or up to the first NUL.
fn cut(block: &[u8], known: Option<usize>) -> Vec<u8> {
    let end = known
        .or_else(|| block.iter().position(|&byte| byte == 0))
        .unwrap_or(block.len());
    block.get(..end.min(block.len())).unwrap_or_default().to_vec()
}

impl Array {
    /// The elements for `count` ids from `id` on; `count` is at most the array's own.
    fn read(&self, memory: &KernelMemory, id: u64, count: u64) -> Slice {
        let index = id % self.count;
        let first_count = count.min(self.count - index);
        let part = |index: u64, count: u64| {
            let at = self.at.0.wrapping_add(index * self.element);
            Partial::read(memory, VirtAddr(at), (count * self.element) as usize)
        };
        Slice {
            element: self.element as usize,
            first: part(index, first_count),
            rest: part(0, count - first_count),
            first_count: first_count as usize,
        }
    }
}

impl Slice {
    fn get(&self, index: usize) -> Option<&[u8]> {
        let (part, index) = match index.checked_sub(self.first_count) {
            None => (&self.first, index),
            Some(index) => (&self.rest, index),
        };
        let start = index * self.element;
        part.get(start..start + self.element)
    }

    fn hole(&self) -> Option<String> {
        let hole = self.first.holes().first().or(self.rest.holes().first())?;
        Some(hole.why.to_string())
    }
}

#[cfg(test)]
mod tests;
