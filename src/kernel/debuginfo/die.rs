//! Entries of `.debug_info` as plain values, unit by unit.
//!
//! Knows the attributes that describe types; what they add up to is [`super::types`]'s business.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use gimli::{
    Abbreviations, AttributeValue, DebugAbbrev, DebugInfo, DwTag, EndianSlice, EntriesRaw, RunTimeEndian, UnitHeader,
    UnitOffset,
};

use super::MAX_WHOLE;
use super::elf::DebugFile;
use super::section::Section;
use super::units::{self, Unit};

type Slice<'a> = EndianSlice<'a, RunTimeEndian>;

/// Units kept: what one question leads through is seldom more than two.
const KEPT: usize = 8;
/// A unit is a source file's: the largest of a kernel has some megabytes.
const MAX_UNIT: u64 = 1 << 28;
/// Members of one structure, enumerators of one enumeration.
const MAX_CHILDREN: usize = 1 << 16;
/// `DW_AT_str_offsets_base` where it is not said: behind the section's header.
const STRING_OFFSETS_BASE: u64 = 8;

/// An entry, as far as it speaks of types. Offsets are those in `.debug_info`.
#[derive(Clone, Debug)]
pub(super) struct Die {
    pub(super) offset: u64,
    pub(super) tag: DwTag,
    pub(super) name: Option<Vec<u8>>,
    /// The entry of its type.
    pub(super) type_at: Option<u64>,
    pub(super) byte_size: Option<u64>,
    pub(super) bit_size: Option<u64>,
    /// From the highest bit of the storage unit (up to DWARF 3, and where a compiler sticks to it).
    pub(super) bit_offset: Option<u64>,
    /// From the start of the structure (from DWARF 4 on).
    pub(super) data_bit_offset: Option<u64>,
    /// A member's offset in bytes.
    pub(super) location: Option<u64>,
    pub(super) encoding: Option<gimli::DwAte>,
    pub(super) count: Option<u64>,
    pub(super) upper_bound: Option<u64>,
    pub(super) value: Option<i64>,
    pub(super) is_declaration: bool,
    /// Where the next entry of the same parent is, when that is said.
    sibling: Option<u64>,
    has_children: bool,
}

/// `.debug_info` with what is needed to read it.
#[derive(Debug)]
pub(super) struct Dies {
    info: Arc<Section>,
    endian: RunTimeEndian,
    units: Vec<Unit>,
    abbreviations: Vec<u8>,
    strings: Vec<u8>,
    line_strings: Vec<u8>,
    string_offsets: Vec<u8>,
    kept: Mutex<VecDeque<Arc<Loaded>>>,
}

/// A unit in memory.
#[derive(Debug)]
pub(super) struct Loaded {
    unit: Unit,
    bytes: Vec<u8>,
    abbreviations: Abbreviations,
    string_base: u64,
}

impl Dies {
    /// `None` without DWARF.
    pub(super) fn open(file: &DebugFile) -> Option<Dies> {
        let info = file.section(".debug_info")?;
        let whole = |name: &str| {
            let section = file.section(name)?;
            section.bytes(0, section.len().min(MAX_WHOLE))
        };
        Some(Dies {
            units: units::units(&info, file.endian()),
            info,
            endian: file.endian(),
            abbreviations: whole(".debug_abbrev")?,
            strings: whole(".debug_str").unwrap_or_default(),
            line_strings: whole(".debug_line_str").unwrap_or_default(),
            string_offsets: whole(".debug_str_offsets").unwrap_or_default(),
            kept: Mutex::default(),
        })
    }

    /// All units, in the file's order.
    pub(super) fn units(&self) -> &[Unit] {
        &self.units
    }

    /// Whether `name` can be that of anything in the file. Short names stand among the entries themselves.
    pub(super) fn may_name(&self, name: &str) -> bool {
        /// Compilers put a string into `.debug_str` when the reference is no longer than the string.
        const SHORT: usize = 8;
        if name.len() < SHORT {
            return true;
        }
        let pattern = format!("(?-u){}\\x00", regex::escape(name));
        regex::bytes::Regex::new(&pattern).map_or(true, |pattern| pattern.is_match(&self.strings))
    }

    /// Reads a unit, without keeping it.
    pub(super) fn load(&self, unit: Unit) -> Option<Loaded> {
        if unit.len > MAX_UNIT {
            return None;
        }
        let bytes = self.info.bytes(unit.offset, unit.len)?;
        let header = header(&bytes, self.endian)?;
        let table = DebugAbbrev::new(&self.abbreviations, self.endian);
        let abbreviations = header.abbreviations(&table).ok()?;
        let mut loaded = Loaded {
            unit,
            string_base: STRING_OFFSETS_BASE,
            abbreviations,
            bytes,
        };
        loaded.string_base = self.string_base(&loaded).unwrap_or(STRING_OFFSETS_BASE);
        Some(loaded)
    }

    fn string_base(&self, loaded: &Loaded) -> Option<u64> {
        let header = header(&loaded.bytes, self.endian)?;
        let mut entries = header.entries_raw(&loaded.abbreviations, None).ok()?;
        let abbreviation = entries.read_abbreviation().ok()??;
        for spec in abbreviation.attributes() {
            let attribute = entries.read_attribute(*spec).ok()?;
            if let AttributeValue::DebugStrOffsetsBase(base) = attribute.value() {
                return Some(base.0 as u64);
            }
        }
        None
    }

    /// The unit that has the entry at `offset`.
    fn holding(&self, offset: u64) -> Option<Arc<Loaded>> {
        let has = |unit: &Unit| (unit.offset..unit.offset + unit.len).contains(&offset);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.iter().position(|loaded| has(&loaded.unit)) {
            let loaded = kept.remove(found)?;
            kept.push_front(loaded.clone());
            return Some(loaded);
        }
        let behind = self.units.partition_point(|unit| unit.offset <= offset);
        let unit = self.units.get(behind.checked_sub(1)?).filter(|unit| has(unit))?;
        let loaded = Arc::new(self.load(*unit)?);
        kept.push_front(loaded.clone());
        kept.truncate(KEPT);
        Some(loaded)
    }

    /// The entry at `offset`.
    pub(super) fn die(&self, offset: u64) -> Option<Die> {
        let loaded = self.holding(offset)?;
        let header = header(&loaded.bytes, self.endian)?;
        let at = UnitOffset(usize::try_from(offset.checked_sub(loaded.unit.offset)?).ok()?);
        let mut entries = header.entries_raw(&loaded.abbreviations, Some(at)).ok()?;
        self.read(&loaded, &mut entries, header.encoding()).ok()?
    }

    /// What is directly below the entry at `offset`.
    pub(super) fn children(&self, offset: u64) -> Vec<Die> {
        let mut children = Vec::new();
        if let Some(loaded) = self.holding(offset) {
            // As far as it can be read.
            let _ = self.each_child(&loaded, offset, |die| {
                children.push(die);
                children.len() < MAX_CHILDREN
            });
        }
        children
    }

    /// Goes through the entries directly below the one at `offset` until `visit` says stop (false).
    fn each_child(&self, loaded: &Loaded, offset: u64, mut visit: impl FnMut(Die) -> bool) -> gimli::Result<()> {
        let Some(header) = header(&loaded.bytes, self.endian) else {
            return Ok(());
        };
        let at = |offset: u64| UnitOffset(offset.saturating_sub(loaded.unit.offset) as usize);
        let mut entries = header.entries_raw(&loaded.abbreviations, Some(at(offset)))?;
        if !self
            .read(loaded, &mut entries, header.encoding())?
            .is_some_and(|parent| parent.has_children)
        {
            return Ok(());
        }
        while !entries.is_empty() {
            let Some(child) = self.read(loaded, &mut entries, header.encoding())? else {
                return Ok(());
            };
            let below = child.has_children.then_some((child.sibling, child.offset));
            if !visit(child) {
                return Ok(());
            }
            match below {
                None => {}
                // A step back would never end.
                Some((Some(sibling), from)) if sibling > from => {
                    entries = header.entries_raw(&loaded.abbreviations, Some(at(sibling)))?;
                }
                Some(_) => skip_children(&mut entries)?,
            }
        }
        Ok(())
    }

    /// Goes through what a unit defines at its top: tag, name and offset of types and of enumerators. Built for speed:
    /// a kernel has some millions of these.
    pub(super) fn each_definition(
        &self,
        loaded: &Loaded,
        mut visit: impl FnMut(DwTag, &[u8], u64),
    ) -> gimli::Result<()> {
        let Some(header) = header(&loaded.bytes, self.endian) else {
            return Ok(());
        };
        let mut entries = header.entries_raw(&loaded.abbreviations, None)?;
        match entries.read_abbreviation()? {
            Some(root) if root.has_children() => entries.skip_attributes(root.attributes())?,
            _ => return Ok(()),
        }
        while !entries.is_empty() {
            let offset = loaded.unit.offset + entries.next_offset().0 as u64;
            let Some(abbreviation) = entries.read_abbreviation()? else {
                return Ok(());
            };
            let tag = abbreviation.tag();
            let is_type = matches!(
                tag,
                gimli::DW_TAG_structure_type
                    | gimli::DW_TAG_union_type
                    | gimli::DW_TAG_enumeration_type
                    | gimli::DW_TAG_typedef
                    | gimli::DW_TAG_base_type
            );
            if !is_type && !abbreviation.has_children() {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            let (mut name, mut sibling, mut is_declaration) = (None, None, false);
            for spec in abbreviation.attributes() {
                let attribute = entries.read_attribute_inline(*spec)?;
                match spec.name() {
                    gimli::DW_AT_name => name = self.string(loaded, attribute.value()),
                    gimli::DW_AT_sibling => sibling = reference(loaded, attribute.value()),
                    gimli::DW_AT_declaration => is_declaration = true,
                    _ => {}
                }
            }
            if let Some(name) = name
                && is_type
                && !is_declaration
            {
                visit(tag, name, offset);
            }
            if !abbreviation.has_children() {
                continue;
            }
            match sibling {
                _ if tag == gimli::DW_TAG_enumeration_type => self.each_enumerator(loaded, &mut entries, &mut visit)?,
                // A step back would never end.
                Some(sibling) if sibling > offset => {
                    let at = UnitOffset(sibling.saturating_sub(loaded.unit.offset) as usize);
                    entries = header.entries_raw(&loaded.abbreviations, Some(at))?;
                }
                _ => skip_children(&mut entries)?,
            }
        }
        Ok(())
    }

    fn each_enumerator(
        &self,
        loaded: &Loaded,
        entries: &mut EntriesRaw<'_, Slice<'_>>,
        visit: &mut impl FnMut(DwTag, &[u8], u64),
    ) -> gimli::Result<()> {
        while !entries.is_empty() {
            let offset = loaded.unit.offset + entries.next_offset().0 as u64;
            let Some(abbreviation) = entries.read_abbreviation()? else {
                return Ok(());
            };
            for spec in abbreviation.attributes() {
                let attribute = entries.read_attribute_inline(*spec)?;
                if spec.name() == gimli::DW_AT_name
                    && let Some(name) = self.string(loaded, attribute.value())
                {
                    visit(abbreviation.tag(), name, offset);
                }
            }
            if abbreviation.has_children() {
                skip_children(entries)?;
            }
        }
        Ok(())
    }

    /// The next entry; `None` at the end of a list of children.
    fn read(
        &self,
        loaded: &Loaded,
        entries: &mut EntriesRaw<'_, Slice<'_>>,
        encoding: gimli::Encoding,
    ) -> gimli::Result<Option<Die>> {
        let offset = loaded.unit.offset + entries.next_offset().0 as u64;
        let Some(abbreviation) = entries.read_abbreviation()? else {
            return Ok(None);
        };
        let mut die = Die {
            offset,
            tag: abbreviation.tag(),
            name: None,
            type_at: None,
            byte_size: None,
            bit_size: None,
            bit_offset: None,
            data_bit_offset: None,
            location: None,
            encoding: None,
            count: None,
            upper_bound: None,
            value: None,
            is_declaration: false,
            sibling: None,
            has_children: abbreviation.has_children(),
        };
        for spec in abbreviation.attributes() {
            let attribute = entries.read_attribute_inline(*spec)?;
            let number = || attribute.udata_value();
            match spec.name() {
                gimli::DW_AT_name => die.name = self.string(loaded, attribute.value()).map(<[u8]>::to_vec),
                gimli::DW_AT_type => die.type_at = reference(loaded, attribute.value()),
                gimli::DW_AT_byte_size => die.byte_size = number(),
                gimli::DW_AT_bit_size => die.bit_size = number(),
                gimli::DW_AT_bit_offset => die.bit_offset = number(),
                gimli::DW_AT_data_bit_offset => die.data_bit_offset = number(),
                gimli::DW_AT_data_member_location => die.location = location(&attribute, encoding),
                gimli::DW_AT_encoding => {
                    if let AttributeValue::Encoding(encoding) = attribute.value() {
                        die.encoding = Some(encoding);
                    }
                }
                gimli::DW_AT_count => die.count = number(),
                gimli::DW_AT_upper_bound => die.upper_bound = number(),
                gimli::DW_AT_const_value => die.value = constant(&attribute),
                gimli::DW_AT_declaration => die.is_declaration = true,
                gimli::DW_AT_sibling => die.sibling = reference(loaded, attribute.value()),
                _ => {}
            }
        }
        Ok(Some(die))
    }

    fn string<'a>(&'a self, loaded: &Loaded, value: AttributeValue<Slice<'a>>) -> Option<&'a [u8]> {
        match value {
            AttributeValue::String(text) => Some(text.slice()),
            AttributeValue::DebugStrRef(at) => text(&self.strings, at.0),
            AttributeValue::DebugLineStrRef(at) => text(&self.line_strings, at.0),
            AttributeValue::DebugStrOffsetsIndex(index) => {
                // 64-bit DWARF is not met in kernels.
                let at = loaded.string_base.checked_add((index.0 as u64).checked_mul(4)?)?;
                let at = usize::try_from(at).ok()?;
                let raw = self.string_offsets.get(at..at.checked_add(4)?)?;
                let offset = gimli::Reader::read_u32(&mut EndianSlice::new(raw, self.endian)).ok()?;
                text(&self.strings, offset as usize)
            }
            _ => None,
        }
    }
}

fn header(bytes: &[u8], endian: RunTimeEndian) -> Option<UnitHeader<Slice<'_>>> {
    DebugInfo::new(bytes, endian).units().next().ok()?
}

/// Steps over all that is below the entry that was just read.
fn skip_children(entries: &mut EntriesRaw<'_, Slice<'_>>) -> gimli::Result<()> {
    let outside = entries.next_depth() - 1;
    while entries.next_depth() > outside && !entries.is_empty() {
        if let Some(abbreviation) = entries.read_abbreviation()? {
            entries.skip_attributes(abbreviation.attributes())?;
        }
    }
    Ok(())
}

fn reference(loaded: &Loaded, value: AttributeValue<Slice<'_>>) -> Option<u64> {
    match value {
        AttributeValue::UnitRef(offset) => loaded.unit.offset.checked_add(offset.0 as u64),
        AttributeValue::DebugInfoRef(offset) => Some(offset.0 as u64),
        _ => None,
    }
}

/// A number, or (up to DWARF 3) an expression that adds one to the structure's address.
fn location(attribute: &gimli::Attribute<Slice<'_>>, encoding: gimli::Encoding) -> Option<u64> {
    if let Some(number) = attribute.udata_value() {
        return Some(number);
    }
    let mut operations = attribute.exprloc_value()?.operations(encoding);
    match operations.next().ok()?? {
        gimli::Operation::PlusConstant { value } => Some(value),
        _ => None,
    }
}

/// An enumerator's value. In the forms with a fixed size the sign is not told: as in BTF, negative error values are
/// far commoner than such past 2^31.
fn constant(attribute: &gimli::Attribute<Slice<'_>>) -> Option<i64> {
    match attribute.value() {
        AttributeValue::Data1(value) => Some(i64::from(value)),
        AttributeValue::Data2(value) => Some(i64::from(value)),
        AttributeValue::Data4(value) => Some(i64::from(value as i32)),
        AttributeValue::Data8(value) => Some(value as i64),
        AttributeValue::Sdata(value) => Some(value),
        AttributeValue::Udata(value) => i64::try_from(value).ok(),
        _ => None,
    }
}

fn text(section: &[u8], at: usize) -> Option<&[u8]> {
    section.get(at..)?.split(|byte| *byte == 0).next()
}
