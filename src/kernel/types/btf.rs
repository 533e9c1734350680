//! BTF, the kernel's own type information, out of the dump's memory (Documentation/bpf/btf.rst).
//!
//! vmlinux's has some 100,000 types in 4 MB. The types that matter most come first (the build meets `task_struct` in
//! its first files), so types are indexed only as far as a question needs: most questions touch some dozen pages.
//! A question about a name that does not exist reads them all.
//!
//! Since 7.0 the types with names follow those without and ascend by name (the kernel's own search relies on it, as
//! kernel/bpf/btf.c finds by `named_start_id`): there the names are halved, and only where each type starts has to be
//! known of all.
//!
//! A module's BTF is "split": its type numbers and string offsets go on where vmlinux's end.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::path::{Step, steps};
use super::{Kind, Member, Placed, Source, Types};
use crate::addr::VirtAddr;
use crate::dump::ByteOrder;
use crate::kernel::Condensed;
use crate::kernel::access::{Abi, KernelMemory};
use crate::kernel::paged::PagedBytes;

const MAGIC: u64 = 0xeb9f;
/// `struct btf_header` up to `str_len`: later fields may follow.
const HEADER: usize = 24;
/// Larger than any kernel's BTF (an allyesconfig's has some 20 MB).
const MAX_SECTION: u64 = 64 << 20;
/// Typedefs, qualifiers and nested members deeper than this are loops.
const MAX_DEPTH: u32 = 32;
/// Members looked at for one question: anonymous members nested in each other could multiply without end.
const MAX_STEPS: u32 = 200_000;

/// Kinds of types (`BTF_KIND_*`, include/uapi/linux/btf.h).
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const PTR: u32 = 2;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const FWD: u32 = 7;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const FLOAT: u32 = 16;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// One module of types: vmlinux's, or a module's on top of it.
#[derive(Debug)]
pub struct Btf {
    abi: Abi,
    base: Option<Arc<Btf>>,
    start: VirtAddr,
    types: Section,
    strings: Section,
    /// The number of the first type here: 1, or how many the base has.
    first: u32,
    /// The offset of the first string here: 0, or the length of the base's.
    first_string: u64,
    index: Mutex<Index>,
    /// How many nameless types precede the named ones, where those ascend.
    nameless: OnceLock<Option<u32>>,
}

/// A string section under construction.
struct Strings {
    bytes: Vec<u8>,
    places: HashMap<Vec<u8>, u32>,
}

impl Strings {
    fn new() -> Strings {
        // The first string is always the empty one.
        Strings {
            bytes: vec![0],
            places: HashMap::from([(Vec::new(), 0)]),
        }
    }

    fn add(&mut self, text: Vec<u8>) -> u32 {
        let at = self.bytes.len() as u32;
        *self.places.entry(text).or_insert_with_key(|text| {
            self.bytes.extend_from_slice(text);
            self.bytes.push(0);
            at
        })
    }
}

/// The types, or the strings.
#[derive(Debug)]
struct Section {
    bytes: PagedBytes,
    /// A record of what was read is not kept byte by byte, but made from the types that were told.
    is_condensed: bool,
}

impl Section {
    fn len(&self) -> u64 {
        self.bytes.len()
    }

    /// All of it, for those who keep no byte-by-byte record of it.
    fn whole(&self) -> Option<Vec<u8>> {
        self.is_condensed.then(|| self.bytes.whole()).flatten()
    }

    fn copy(&self, offset: u64, buf: &mut [u8]) -> Option<()> {
        if self.is_condensed {
            self.bytes.peek(offset, buf)
        } else {
            self.bytes.copy(offset, buf)
        }
    }
}

/// The types found so far.
#[derive(Debug, Default)]
struct Index {
    /// Where each type starts in the type section.
    offsets: Vec<u32>,
    /// Where the next one starts.
    next: u64,
    /// Nothing more can be read.
    done: bool,
    /// How many of the types have their names in `names`.
    named: usize,
    /// Definitions by the hash of their names, ascending.
    names: HashMap<u64, Vec<u32>>,
    /// The types that answers came from.
    told: BTreeSet<Id>,
}

/// `struct btf_type`.
#[derive(Clone, Copy, Debug)]
struct Type {
    /// Where what follows the fixed part lies in the type section.
    data: u64,
    name: u64,
    kind: u32,
    len: u32,
    flag: bool,
    /// The size in bytes, or the number of the type referred to.
    size_or_type: u32,
}

impl Type {
    const SIZE: u64 = 12;

    fn is_record(&self) -> bool {
        matches!(self.kind, kind::STRUCT | kind::UNION)
    }

    fn is_definition(&self) -> bool {
        matches!(
            self.kind,
            kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::TYPEDEF | kind::FLOAT | kind::ENUM64
        )
    }

    fn is_alias(&self) -> bool {
        matches!(
            self.kind,
            kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG
        )
    }

    /// Bytes of what follows the fixed part. `None`: a kind that is not known, so nothing behind it can be read.
    fn data_len(&self) -> Option<u64> {
        let len = u64::from(self.len);
        Some(match self.kind {
            kind::INT | kind::VAR | kind::DECL_TAG => 4,
            kind::ARRAY => 12,
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * len,
            kind::ENUM | kind::FUNC_PROTO => 8 * len,
            kind::PTR
            | kind::FWD
            | kind::TYPEDEF
            | kind::VOLATILE
            | kind::CONST
            | kind::RESTRICT
            | kind::FUNC
            | kind::FLOAT
            | kind::TYPE_TAG => 0,
            _ => return None,
        })
    }
}

/// `struct btf_member`.
struct RawMember {
    name: u64,
    kind: u32,
    bit_offset: u64,
    bit_width: u32,
}

/// A type number together with the BTF that it is to be looked up in.
type Id = u32;

impl Btf {
    /// The BTF that starts at `start`; `len` bounds it. `None` when there is none.
    pub fn open(memory: &KernelMemory, start: VirtAddr, len: u64) -> Option<Btf> {
        Btf::read(memory, start, len, None)
    }

    /// A module's BTF on top of vmlinux's.
    pub fn open_split(memory: &KernelMemory, start: VirtAddr, len: u64, base: Arc<Btf>) -> Option<Btf> {
        Btf::read(memory, start, len, Some(base))
    }

    fn read(memory: &KernelMemory, start: VirtAddr, len: u64, base: Option<Arc<Btf>>) -> Option<Btf> {
        let abi = memory.abi();
        let header = memory.bytes(start, HEADER).ok()?;
        let field = |at: usize, size: usize| Some(abi.uint(header.get(at..at + size)?));
        if field(0, 2)? != MAGIC {
            return None;
        }
        let body = field(4, 4)?;
        let section = |at: usize| -> Option<Section> {
            let (offset, size) = (field(at, 4)?, field(at + 4, 4)?);
            let offset = body + offset;
            if size > MAX_SECTION || offset + size > len {
                return None;
            }
            Some(Section {
                bytes: PagedBytes::new(memory.clone(), start.checked_add(offset)?, size)?,
                is_condensed: base.is_none(),
            })
        };
        let (types, strings) = (section(8)?, section(16)?);
        let first = match &base {
            Some(base) => base.count(),
            None => 1,
        };
        let first_string = base.as_ref().map_or(0, |base| base.first_string + base.strings.len());
        Some(Btf {
            abi,
            base,
            start,
            types,
            strings,
            first,
            first_string,
            index: Mutex::default(),
            nameless: OnceLock::new(),
        })
    }

    /// One more than the highest type number.
    pub fn count(&self) -> u32 {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        while self.index_next(&mut index).is_some() {}
        self.first.saturating_add(index.offsets.len() as u32)
    }

    /// Takes one more type into the index.
    fn index_next(&self, index: &mut Index) -> Option<Type> {
        if index.done {
            return None;
        }
        let found = self.type_at(index.next);
        self.index_type(index, found)
    }

    /// Takes the type that was found where the index ends into it.
    fn index_type(&self, index: &mut Index, found: Option<Type>) -> Option<Type> {
        let behind = found.and_then(|found| found.data.checked_add(found.data_len()?));
        let (Some(found), Some(behind)) = (found, behind) else {
            index.done = true;
            return None;
        };
        self.first.checked_add(index.offsets.len() as u32)?;
        index.offsets.push(index.next as u32);
        index.next = behind;
        Some(found)
    }

    /// Takes all types into the index. Read as a whole, the pages are unpacked on all cores.
    fn index_all(&self, index: &mut Index) {
        let whole = self.types.whole();
        while !index.done {
            let found = match &whole {
                Some(bytes) => raw_at(bytes, index.next).map(|raw| self.decode(index.next, raw)),
                None => self.type_at(index.next),
            };
            self.index_type(index, found);
        }
    }

    /// Takes one more type's name into the index.
    fn name_next(&self, index: &mut Index) -> Option<()> {
        let known = index.offsets.get(index.named).copied();
        let found = match known {
            Some(offset) => self.type_at(u64::from(offset))?,
            None => self.index_next(index)?,
        };
        let id = self.first.checked_add(index.named as u32)?;
        index.named += 1;
        if found.is_definition()
            && let Some(name) = self.string(found.name).filter(|name| !name.is_empty())
        {
            index.names.entry(hash(&name)).or_default().push(id);
        }
        Some(())
    }

    fn type_at(&self, offset: u64) -> Option<Type> {
        let mut raw = [0; Type::SIZE as usize];
        self.types.copy(offset, &mut raw)?;
        Some(self.decode(offset, &raw))
    }

    fn decode(&self, offset: u64, raw: &[u8; Type::SIZE as usize]) -> Type {
        let [name, info, size_or_type] = words(self.abi, raw);
        Type {
            data: offset + Type::SIZE,
            name: u64::from(name),
            kind: info >> 24 & 0x1f,
            len: info & 0xffff,
            flag: info >> 31 != 0,
            size_or_type,
        }
    }

    /// The type with number `id`, and the BTF that has it (and its data), for an answer.
    fn get(&self, id: Id) -> Option<(&Btf, Type)> {
        let (btf, found) = self.look(id)?;
        btf.tell(id);
        Some((btf, found))
    }

    /// The type with number `id`, to see whether it is the right one.
    fn look(&self, id: Id) -> Option<(&Btf, Type)> {
        let Some(own) = id.checked_sub(self.first) else {
            return self.base.as_ref()?.look(id);
        };
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        while index.offsets.len() as u32 <= own {
            self.index_next(&mut index)?;
        }
        let offset = u64::from(*index.offsets.get(own as usize)?);
        drop(index);
        Some((self, self.type_at(offset)?))
    }

    /// Notes that an answer came from type `id`.
    fn tell(&self, id: Id) {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        index.told.insert(id);
    }

    /// The string at `offset`, in here or in the base.
    fn string(&self, offset: u64) -> Option<Vec<u8>> {
        /// Names of C have no limit, but no kernel has longer ones.
        const MAX: usize = 512;
        const STEP: usize = 32;
        let Some(mut at) = offset.checked_sub(self.first_string) else {
            return self.base.as_ref()?.string(offset);
        };
        let mut text = Vec::new();
        while text.len() < MAX {
            let mut buf = [0; STEP];
            let rest = self.strings.len().checked_sub(at).filter(|rest| *rest > 0)?;
            let part = buf.get_mut(..STEP.min(usize::try_from(rest).unwrap_or(STEP)))?;
            self.strings.copy(at, part)?;
            if let Some(nul) = part.iter().position(|byte| *byte == 0) {
                text.extend(part.iter().take(nul));
                return Some(text);
            }
            text.extend_from_slice(part);
            at += part.len() as u64;
        }
        None
    }

    /// This BTF with every type that no answer came from made an empty declaration, and without their names: numbers
    /// stay, all else shrinks. Those declarations share a name, or what is left of sorted types would be taken for
    /// sorted. `None` for a module's.
    pub fn condensed(&self) -> Option<Condensed> {
        if self.base.is_some() {
            return None;
        }
        let (offsets, told) = {
            let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
            (index.offsets.clone(), index.told.clone())
        };
        let mut strings = Strings::new();
        let empty = [strings.add(b"-".to_vec()), kind::FWD << 24, 0];
        let mut types = Vec::new();
        for (id, offset) in (self.first..).zip(offsets) {
            let kept = told.contains(&id).then(|| self.record(u64::from(offset), &mut strings));
            match kept.flatten() {
                Some(record) => types.extend(record),
                None => types.extend(empty.into_iter().flat_map(|word| self.word(word))),
            }
        }
        let (types_len, strings_len) = (types.len() as u32, strings.bytes.len() as u32);
        let mut bytes = self.half(MAGIC as u16).to_vec();
        bytes.extend([1, 0]); // version, flags
        for word in [HEADER as u32, 0, types_len, types_len, strings_len] {
            bytes.extend(self.word(word));
        }
        bytes.extend(types);
        bytes.extend(strings.bytes);
        Some(Condensed {
            what: "BTF",
            at: self.start,
            bytes,
        })
    }

    /// The type at `offset` with all that belongs to it, its names moved to `strings`.
    fn record(&self, offset: u64, strings: &mut Strings) -> Option<Vec<u8>> {
        let found = self.type_at(offset)?;
        let len = Type::SIZE + found.data_len()?;
        let mut raw = vec![0; usize::try_from(len).ok()?];
        self.types.copy(offset, &mut raw)?;
        let mut rename = |raw: &mut [u8], at: usize| {
            let place = raw.get_mut(at..at + 4)?;
            let name = self.string(self.abi.uint(place)).unwrap_or_default();
            place.copy_from_slice(&self.word(strings.add(name)));
            Some(())
        };
        rename(&mut raw, 0)?;
        // What follows are members, enumerators or parameters, each of which begins with a name.
        let size = match found.kind {
            kind::STRUCT | kind::UNION | kind::ENUM64 => 12,
            kind::ENUM | kind::FUNC_PROTO => 8,
            _ => return Some(raw),
        };
        for at in (Type::SIZE as usize..raw.len()).step_by(size) {
            rename(&mut raw, at)?;
        }
        Some(raw)
    }

    fn word(&self, value: u32) -> [u8; 4] {
        match self.abi.order {
            ByteOrder::Little => value.to_le_bytes(),
            ByteOrder::Big => value.to_be_bytes(),
        }
    }

    fn half(&self, value: u16) -> [u8; 2] {
        match self.abi.order {
            ByteOrder::Little => value.to_le_bytes(),
            ByteOrder::Big => value.to_be_bytes(),
        }
    }

    fn name(&self, found: &Type) -> Option<String> {
        let name = self.string(found.name)?;
        (!name.is_empty()).then(|| String::from_utf8_lossy(&name).into_owned())
    }

    /// The first definition called `name` (`struct`, `union` or `enum` before it narrow the search).
    fn find(&self, name: &str) -> Option<(Id, Type)> {
        let (wanted, name) = match name.split_once(' ') {
            Some((keyword, name)) => (Some(keyword), name.trim_start()),
            None => (None, name),
        };
        let fits = |found: &Type| match wanted {
            None => true,
            Some("struct") => found.kind == kind::STRUCT,
            Some("union") => found.kind == kind::UNION,
            Some("enum") => matches!(found.kind, kind::ENUM | kind::ENUM64),
            Some(_) => false,
        };
        if let Some(nameless) = self.nameless() {
            let base = || self.base.as_ref()?.find(name);
            return self.find_ascending(nameless, name.as_bytes(), fits).or_else(base);
        }
        let hash = hash(name.as_bytes());
        let mut checked = 0;
        loop {
            let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = loop {
                let fresh = index
                    .names
                    .get(&hash)
                    .and_then(|ids| ids.get(checked..))
                    .unwrap_or_default();
                if !fresh.is_empty() {
                    break fresh.to_vec();
                }
                let Some(()) = self.name_next(&mut index) else {
                    break Vec::new();
                };
            };
            drop(index);
            if fresh.is_empty() {
                return self.base.as_ref()?.find(name);
            }
            checked += fresh.len();
            for id in fresh {
                let Some((btf, found)) = self.look(id) else { continue };
                if fits(&found) && btf.string(found.name).as_deref() == Some(name.as_bytes()) {
                    btf.tell(id);
                    return Some((id, found));
                }
            }
        }
    }

    /// How many nameless types precede the named ones, if they stand like that: the build meets `long unsigned int` or
    /// the like in its first types, which a sorted BTF has behind some ten thousand others.
    fn nameless(&self) -> Option<u32> {
        const SAMPLE: usize = 256;
        *self.nameless.get_or_init(|| {
            let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
            for number in 0..SAMPLE {
                let found = match index.offsets.get(number).copied() {
                    Some(offset) => self.type_at(u64::from(offset))?,
                    None => self.index_next(&mut index)?,
                };
                if found.name != 0 {
                    return None;
                }
            }
            self.index_all(&mut index);
            let is_nameless = |offset: &u32| self.type_at(u64::from(*offset)).is_some_and(|found| found.name == 0);
            Some(index.offsets.partition_point(is_nameless) as u32)
        })
    }

    /// The first definition called `name` among types that ascend by name from the one behind `nameless` on.
    fn find_ascending(&self, nameless: u32, name: &[u8], fits: impl Fn(&Type) -> bool) -> Option<(Id, Type)> {
        /// A structure, a function, a variable, … may share a name.
        const MAX_NAMESAKES: u32 = 64;
        let at = |number: u32| {
            let id = self.first.checked_add(number)?;
            let (_, found) = self.look(id)?;
            Some((id, found, self.string(found.name)?))
        };
        let count = self.index.lock().unwrap_or_else(PoisonError::into_inner).offsets.len() as u32;
        let (mut low, mut high) = (nameless, count);
        while low < high {
            let middle = low + (high - low) / 2;
            if at(middle)?.2.as_slice() < name {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (low..count.min(low.saturating_add(MAX_NAMESAKES)))
            .map_while(at)
            .take_while(|(_, _, found)| found == name)
            .find(|(_, found, _)| found.is_definition() && fits(found))
            .map(|(id, found, _)| {
                self.tell(id);
                (id, found)
            })
    }

    /// The type behind typedefs and qualifiers.
    fn resolve(&self, mut id: Id) -> Option<(&Btf, Type)> {
        for _ in 0..MAX_DEPTH {
            let (btf, found) = self.get(id)?;
            if !found.is_alias() {
                return Some((btf, found));
            }
            id = found.size_or_type;
        }
        None
    }

    fn size(&self, id: Id, depth: u32) -> Option<u64> {
        let (btf, found) = self.resolve(id)?;
        match found.kind {
            kind::INT | kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 | kind::FLOAT | kind::DATASEC => {
                Some(u64::from(found.size_or_type))
            }
            kind::PTR => Some(self.abi.word_size()),
            kind::ARRAY if depth < MAX_DEPTH => {
                let (element, count) = btf.array(&found)?;
                self.size(element, depth + 1)?.checked_mul(u64::from(count))
            }
            _ => None,
        }
    }

    /// An array's element type and how many elements it has.
    fn array(&self, found: &Type) -> Option<(Id, u32)> {
        let mut raw = [0; 12];
        self.types.copy(found.data, &mut raw)?;
        let [element, _, count] = words(self.abi, &raw);
        Some((element, count))
    }

    fn raw_member(&self, found: &Type, number: u32) -> Option<RawMember> {
        let mut raw = [0; 12];
        self.types.copy(found.data + 12 * u64::from(number), &mut raw)?;
        let [name, kind, offset] = words(self.abi, &raw);
        // With the flag, the upper 8 bits hold the width of a bit field.
        let (bit_offset, bit_width) = if found.flag {
            (offset & 0xff_ffff, offset >> 24)
        } else {
            (offset, 0)
        };
        Some(RawMember {
            name: u64::from(name),
            kind,
            bit_offset: u64::from(bit_offset),
            bit_width,
        })
    }

    /// The member `name` of record `id`: its type, bit offset and bit width (0: no bit field).
    fn find_member(&self, id: Id, name: &str, depth: u32, steps: &mut u32) -> Option<(Id, u64, u32)> {
        let (btf, record) = self.resolve(id)?;
        if !record.is_record() || depth > MAX_DEPTH {
            return None;
        }
        for number in 0..record.len {
            *steps = steps.checked_sub(1)?;
            let member = btf.raw_member(&record, number)?;
            if member.name == 0 {
                if let Some((kind, offset, width)) = self.find_member(member.kind, name, depth + 1, steps) {
                    return Some((kind, offset.checked_add(member.bit_offset)?, width));
                }
            } else if btf.string(member.name)? == name.as_bytes() {
                return Some((member.kind, member.bit_offset, member.bit_width));
            }
        }
        None
    }

    fn kind(&self, id: Id, depth: u32) -> Kind {
        let Some((btf, found)) = self.resolve(id) else {
            return Kind::Other;
        };
        match found.kind {
            kind::INT => match btf.int(&found) {
                Some(int) if int.signed => Kind::Signed,
                _ => Kind::Unsigned,
            },
            kind::ENUM | kind::ENUM64 => Kind::Enum,
            kind::PTR => Kind::Pointer {
                to: self.pointee(found.size_or_type),
            },
            kind::STRUCT | kind::UNION => Kind::Struct { name: btf.name(&found) },
            kind::ARRAY if depth < MAX_DEPTH => match btf.array(&found) {
                Some((element, count)) => Kind::Array {
                    count: u64::from(count),
                    size: self.size(element, 0).unwrap_or(0),
                    element: Box::new(self.kind(element, depth + 1)),
                },
                None => Kind::Other,
            },
            _ => Kind::Other,
        }
    }

    /// The name of what a pointer points to: through qualifiers, but not through typedefs that have one.
    fn pointee(&self, mut id: Id) -> Option<String> {
        for _ in 0..MAX_DEPTH {
            let (btf, found) = self.get(id)?;
            if found.kind == kind::TYPEDEF || !found.is_alias() {
                return btf.name(&found);
            }
            id = found.size_or_type;
        }
        None
    }

    fn int(&self, found: &Type) -> Option<Int> {
        let mut raw = [0; 4];
        self.types.copy(found.data, &mut raw)?;
        let word = self.abi.uint(&raw) as u32;
        Some(Int {
            signed: word >> 24 & 1 != 0,
            offset: word >> 16 & 0xff,
            bits: word & 0xff,
        })
    }

    /// The member where a path ends, by steps from record `id`.
    fn walk(&self, mut id: Id, path: &[Step<'_>]) -> Option<Member> {
        let mut budget = MAX_STEPS;
        let mut bit_offset = 0_u64;
        let mut bit_width = 0;
        for step in path {
            let (kind, offset, width) = self.find_member(id, step.name, 0, &mut budget)?;
            bit_offset = bit_offset.checked_add(offset)?;
            bit_width = width;
            id = kind;
            for index in &step.indices {
                let (btf, found) = self.resolve(id)?;
                if found.kind != kind::ARRAY {
                    return None;
                }
                let (element, count) = btf.array(&found)?;
                if count != 0 && *index >= u64::from(count) {
                    return None;
                }
                let bytes = self.size(element, 0)?.checked_mul(*index)?;
                bit_offset = bit_offset.checked_add(bytes.checked_mul(8)?)?;
                id = element;
            }
        }
        let size = self.size(id, 0).unwrap_or(0);
        let kind = self.kind(id, 0);
        // Before 5.0 a bit field had an integer type of its own, with a width and an offset of its own.
        if bit_width == 0
            && let Some((btf, found)) = self.resolve(id)
            && found.kind == kind::INT
            && let Some(int) = btf.int(&found)
            && (u64::from(int.bits) != size * 8 || !bit_offset.is_multiple_of(8))
        {
            bit_width = int.bits;
            bit_offset = bit_offset.checked_add(u64::from(int.offset))?;
        }
        let placed = Placed {
            bit_offset,
            bit_width,
            size,
        };
        Some(placed.member(kind, self.abi.order))
    }

    /// The value of enumerator `name` if `found` has it.
    fn enumerator(&self, found: &Type, name: &str) -> Option<i64> {
        let wide = match found.kind {
            kind::ENUM => false,
            kind::ENUM64 => true,
            _ => return None,
        };
        let size = if wide { 12 } else { 8 };
        (0..u64::from(found.len)).find_map(|number| {
            let mut raw = [0; 12];
            self.types
                .copy(found.data + size * number, raw.get_mut(..size as usize)?)?;
            let [name_at, low, high] = words(self.abi, &raw);
            if self.string(u64::from(name_at))? != name.as_bytes() {
                return None;
            }
            // The flag that tells signed enumerations from unsigned ones came with 6.0 only; negative error values
            // are far commoner than values past 2^31.
            Some(if wide {
                (u64::from(high) << 32 | u64::from(low)) as i64
            } else {
                i64::from(low as i32)
            })
        })
    }
}

/// An integer type's encoding word.
struct Int {
    signed: bool,
    offset: u32,
    bits: u32,
}

impl Types for Btf {
    fn source(&self) -> Option<Source> {
        Some(Source::Btf)
    }

    fn member(&self, structure: &str, path: &str) -> Option<Member> {
        let path = steps(path)?;
        let (id, _) = self.find(structure)?;
        self.walk(id, &path)
    }

    fn size_of(&self, name: &str) -> Option<u64> {
        let (id, _) = self.find(name)?;
        self.size(id, 0)
    }

    fn enum_value(&self, enumerator: &str) -> Option<i64> {
        let own = (self.first..).map_while(|id| Some((id, self.look(id)?)));
        let found = own.into_iter().find_map(|(id, (btf, found))| {
            let value = btf.enumerator(&found, enumerator)?;
            btf.tell(id);
            Some(value)
        });
        found.or_else(|| self.base.as_ref()?.enum_value(enumerator))
    }
}

/// Three 32-bit words, the shape of most of BTF.
fn words(abi: Abi, raw: &[u8; 12]) -> [u32; 3] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = *raw;
    [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(|word| abi.uint(&word) as u32)
}

/// The fixed part of the type at `offset` of `bytes`.
fn raw_at(bytes: &[u8], offset: u64) -> Option<&[u8; Type::SIZE as usize]> {
    bytes.get(usize::try_from(offset).ok()?..)?.first_chunk()
}

fn hash(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}
