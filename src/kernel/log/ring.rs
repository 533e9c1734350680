//! The log since 5.10: the lockless ring (kernel/printk/printk_ringbuffer.[ch]).
//!
//! Three circular arrays: descriptors (state and place of the text), infos (number, time, level, length), and the text
//! itself in blocks that start with their record's id. Ids and text positions ("lpos") only ever grow; modulo the
//! array's size they give the place.

use std::collections::{HashMap, HashSet};

use super::collect::{Collector, MAX_RECORDS};
use super::{Caller, Form, KernelLog, LogError, Record, Source, State};
use crate::addr::VirtAddr;
use crate::kernel::access::{Abi, KernelMemory};
use crate::kernel::partial::Partial;

/// `LOG_CONT` of a record's flags.
const FLAG_CONT: u8 = 8;

/// How many records, and how much of their text, are read at once.
const CHUNK: u64 = 2048;
const CHUNK_TEXT: u64 = 4 << 20;

/// No record is longer, in bytes (`PRINTK_MESSAGE_MAX` and its block's head).
const MAX_BLOCK: u64 = 2048 + 8;

/// The most text that is searched for blocks whose descriptors are missing.
const MAX_SEARCH: u64 = 64 << 20;

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

/// Where the members are, in bytes.
struct Layout {
    word: usize,
    ring_size: usize,
    count_bits: usize,
    descs: usize,
    infos: usize,
    head_id: usize,
    tail_id: usize,
    text_ring: usize,
    size_bits: usize,
    data: usize,
    head_lpos: usize,
    tail_lpos: usize,
    desc_size: u64,
    state: usize,
    begin: usize,
    next: usize,
    info_size: u64,
    seq: usize,
    time: usize,
    text_len: usize,
    caller: usize,
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

/// The text ring.
struct Text<'a> {
    memory: &'a KernelMemory,
    at: VirtAddr,
    size: u64,
    head: u64,
    tail: u64,
    word: u64,
    /// What [`Text::prefetch`] read.
    fetched: Option<Stretch>,
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

impl Layout {
    /// From VMCOREINFO; what it lacks as in 5.10–6.18 on 64 bits.
    fn new(source: &Source<'_>) -> Layout {
        let word = source.memory.abi().word_size() as usize;
        let small = |value: u64| usize::try_from(value).ok().filter(|&value| value < 4096);
        let offset = |member: &str, fallback: usize| source.info.offset(member).and_then(small).unwrap_or(fallback);
        let size = |name: &str, fallback: u64| {
            source
                .info
                .size(name)
                .filter(|size| (8..4096).contains(size))
                .unwrap_or(fallback)
        };
        let desc_ring = offset("printk_ringbuffer.desc_ring", 0);
        let text_ring = offset("printk_ringbuffer.text_data_ring", 48);
        let counter = offset("atomic_long_t.counter", 0);
        let block = offset("prb_desc.text_blk_lpos", 8);
        Layout {
            word,
            ring_size: size("printk_ringbuffer", 88) as usize,
            count_bits: desc_ring + offset("prb_desc_ring.count_bits", 0),
            descs: desc_ring + offset("prb_desc_ring.descs", 8),
            infos: desc_ring + offset("prb_desc_ring.infos", 16),
            head_id: desc_ring + offset("prb_desc_ring.head_id", 24) + counter,
            tail_id: desc_ring + offset("prb_desc_ring.tail_id", 32) + counter,
            text_ring,
            size_bits: offset("prb_data_ring.size_bits", 0),
            data: offset("prb_data_ring.data", 8),
            head_lpos: offset("prb_data_ring.head_lpos", 16) + counter,
            tail_lpos: offset("prb_data_ring.tail_lpos", 24) + counter,
            desc_size: size("prb_desc", 24),
            state: offset("prb_desc.state_var", 0) + counter,
            begin: block + offset("prb_data_blk_lpos.begin", 0),
            next: block + offset("prb_data_blk_lpos.next", 8),
            info_size: size("printk_info", 88),
            seq: offset("printk_info.seq", 0),
            time: offset("printk_info.ts_nsec", 8),
            text_len: offset("printk_info.text_len", 16),
            caller: offset("printk_info.caller_id", 20),
        }
    }

    /// The bits of a state word that hold the id; the two above hold the state.
    fn id_bits(&self) -> u32 {
        self.word as u32 * 8 - 2
    }

    fn id_mask(&self) -> u64 {
        (1 << self.id_bits()) - 1
    }
}

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

/// A text position in 64 bits: they start just below 0, so that those of 32 bits need their sign.
fn position(word: u64, size: usize) -> u64 {
    if size == 4 {
        i64::from(word as u32 as i32) as u64
    } else {
        word
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

impl Text<'_> {
    /// Reads the text of all `blocks` at once, if they lie as close together as records of one time do.
    fn prefetch(&mut self, blocks: impl Iterator<Item = Desc>) {
        let mut range: Option<(u64, u64)> = None;
        for block in blocks {
            let (begin, next) = (block.begin, block.next);
            let (low, high) = range.get_or_insert((begin, next));
            // Positions wrap around at the word's end, so "before" is a matter of sign.
            if (begin.wrapping_sub(*low) as i64) < 0 {
                *low = begin;
            }
            if (next.wrapping_sub(*high) as i64) > 0 {
                *high = next;
            }
        }
        let length = |(low, high): (u64, u64)| (low, high.wrapping_sub(low));
        let near = range
            .map(length)
            .filter(|&(_, length)| length <= self.size.min(CHUNK_TEXT));
        self.fetched = near.map(|(low, length)| self.read(low, length));
    }

    /// `length` bytes from position `at` on, around the ring's end if need be. At most the ring's size.
    fn read(&self, at: u64, length: u64) -> Stretch {
        let index = at % self.size;
        let first = length.min(self.size - index);
        let part = |index: u64, length: u64| {
            let at = self.at.0.wrapping_add(index);
            Partial::read(self.memory, VirtAddr(at), length as usize)
        };
        Stretch {
            start: at,
            first: part(index, first),
            rest: part(0, length - first),
        }
    }

    /// The block between these positions. `None`: there cannot be one, or it was overwritten.
    fn block(&self, begin: u64, next: u64) -> Option<Block> {
        let round = |position: u64| position & !(self.size - 1);
        // A block that would not fit before the ring's end lies at its start.
        let start = if round(begin) == round(next.wrapping_sub(1)) {
            begin
        } else {
            round(next)
        };
        let length = next.wrapping_sub(start);
        let before = |a: u64, b: u64| (a.wrapping_sub(b) as i64) < 0;
        let left = start == begin || round(begin).wrapping_add(self.size) == start;
        if !left || length < self.word || length > self.size || before(start, self.tail) || before(self.head, next) {
            return None;
        }
        let fetched;
        let stretch = match &self.fetched {
            Some(stretch) if stretch.holds(start, length) => stretch,
            _ => {
                fetched = self.read(start, length);
                &fetched
            }
        };
        let text = stretch.bytes(start.wrapping_add(self.word), length - self.word);
        Some(Block {
            owner: stretch.word(start, self.memory.abi(), self.word),
            whole: text.len() as u64 == length - self.word,
            text: text.to_vec(),
        })
    }

    /// Finds blocks by the id that they start with: where they start, and where they end at the latest.
    fn search(&self, mut is_wanted: impl FnMut(u64) -> bool) -> Vec<(u64, u64, u64)> {
        const PIECE: u64 = 1 << 20;
        let length = self.head.wrapping_sub(self.tail).min(self.size).min(MAX_SEARCH);
        let mut found: Vec<(u64, u64, u64)> = Vec::new();
        let mut done = 0;
        while done < length {
            let from = self.tail.wrapping_add(done);
            // A piece ends with the ring, so that no block reaches over it.
            let piece = PIECE.min(length - done).min(self.size - from % self.size);
            let stretch = self.read(from, piece);
            for offset in (0..piece).step_by(self.word as usize) {
                let at = from.wrapping_add(offset);
                let Some(id) = stretch.word(at, self.memory.abi(), self.word) else {
                    continue;
                };
                if is_wanted(id) {
                    if let Some((_, begin, end)) = found.last_mut() {
                        *end = (*end).min(at).max(*begin);
                    }
                    let round_end = self.size - at % self.size;
                    found.push((
                        id,
                        at,
                        at.wrapping_add(MAX_BLOCK.min(round_end).min(length - done - offset)),
                    ));
                }
            }
            done += piece;
        }
        found
    }
}

/// A block of text as it was found.
struct Block {
    /// The id in front of it; `None` when its page is missing.
    owner: Option<u64>,
    text: Vec<u8>,
    /// Whether the text could be read to its end.
    whole: bool,
}

/// A piece of the text ring, around the ring's end if need be.
struct Stretch {
    start: u64,
    first: Partial,
    rest: Partial,
}

impl Stretch {
    fn holds(&self, at: u64, length: u64) -> bool {
        let total = (self.first.bytes().len() + self.rest.bytes().len()) as u64;
        let skip = at.wrapping_sub(self.start);
        skip <= total && length <= total - skip
    }

    /// The bytes from `at` on, at most `length` and not beyond the ring's end or the first hole.
    fn bytes(&self, at: u64, length: u64) -> &[u8] {
        let skip = at.wrapping_sub(self.start) as usize;
        match skip.checked_sub(self.first.bytes().len()) {
            None => self.first.prefix(skip, length as usize),
            Some(skip) => self.rest.prefix(skip, length as usize),
        }
    }

    fn word(&self, at: u64, abi: Abi, size: u64) -> Option<u64> {
        let bytes = self.bytes(at, size);
        (bytes.len() as u64 == size).then(|| abi.uint(bytes))
    }
}

#[cfg(test)]
mod tests;
