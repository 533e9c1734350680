//! A small vmlinux with debuginfo: two units, an inlined function, types of every sort.

use gimli::write::{Address, AttributeValue, Dwarf, EndianVec, LineProgram, LineString, Sections, Unit, UnitEntryId};
use gimli::{Encoding, Format, LineEncoding, LittleEndian};

/// Where its code starts.
pub const TEXT: u64 = 0xffff_ffff_8100_0000;
/// Where its banner lies.
pub const BANNER_AT: u64 = 0xffff_ffff_8200_0000;
/// What its banner says.
pub const BANNER: &str = "Linux version 3.10.0-1.el7.x86_64 (mock@builder) (gcc) #1 SMP\n";
/// Its build id.
pub const BUILD_ID: [u8; 20] = [0xab; 20];

/// How debug sections are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Zlib,
    Zstd,
    /// `.zdebug_…`
    OldZlib,
}

/// The file, in DWARF 4 or 5.
pub fn vmlinux(version: u16, packing: Packing) -> Vec<u8> {
    let mut sections = vec![
        Section::new(".text", 1, 6, TEXT, vec![0xc3; 0x40]),
        Section::new(".rodata", 1, 2, BANNER_AT, BANNER.bytes().chain([0]).collect()),
        Section::new(".notes", 7, 2, 0, note()),
    ];
    for (name, data) in debug_sections(version) {
        sections.push(match packing {
            Packing::Plain => Section::new(&name, 1, 0, 0, data),
            Packing::Zlib => Section::new(&name, 1, 0x800, 0, with_header(1, data.len(), zlib(&data))),
            Packing::Zstd => {
                let packed = ruzstd::encoding::compress_to_vec(&*data, ruzstd::encoding::CompressionLevel::Fastest);
                Section::new(&name, 1, 0x800, 0, with_header(2, data.len(), packed))
            }
            Packing::OldZlib => {
                let mut packed = b"ZLIB".to_vec();
                packed.extend((data.len() as u64).to_be_bytes());
                packed.extend(zlib(&data));
                Section::new(&name.replace(".debug", ".zdebug"), 1, 0, 0, packed)
            }
        });
    }
    let (symbols, names) = symbol_table();
    let strings = sections.len() as u32 + 2;
    sections.push(Section {
        link: strings,
        ..Section::new(".symtab", 2, 0, 0, symbols)
    });
    sections.push(Section::new(".strtab", 3, 0, 0, names));
    elf(sections)
}

struct Section {
    name: String,
    kind: u32,
    flags: u64,
    address: u64,
    data: Vec<u8>,
    link: u32,
}

impl Section {
    fn new(name: &str, kind: u32, flags: u64, address: u64, data: Vec<u8>) -> Section {
        Section {
            name: name.to_owned(),
            kind,
            flags,
            address,
            data,
            link: 0,
        }
    }
}

fn zlib(data: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// `Elf64_Chdr` before the packed bytes.
fn with_header(format: u32, size: usize, packed: Vec<u8>) -> Vec<u8> {
    let mut all = format.to_le_bytes().to_vec();
    all.extend([0; 4]);
    all.extend((size as u64).to_le_bytes());
    all.extend(1_u64.to_le_bytes());
    all.extend(packed);
    all
}

fn note() -> Vec<u8> {
    let mut note = Vec::new();
    for word in [4, BUILD_ID.len() as u32, 3] {
        note.extend(word.to_le_bytes());
    }
    note.extend(b"GNU\0");
    note.extend(BUILD_ID);
    note
}

/// The symbols' entries and their names. Section 1 is the text, 2 the data.
fn symbol_table() -> (Vec<u8>, Vec<u8>) {
    let (mut entries, mut names) = (vec![0; 24], vec![0]);
    let list: [(&str, u8, u16, u64); 5] = [
        ("_text", 0x10, 1, TEXT),
        ("_stext", 0x10, 1, TEXT),
        ("down_read_trylock", 0x12, 1, TEXT),
        ("linux_banner", 0x11, 2, BANNER_AT),
        ("local_data", 0x01, 2, BANNER_AT + 8),
    ];
    for (name, info, section, address) in list {
        entries.extend((names.len() as u32).to_le_bytes());
        entries.extend([info, 0]);
        entries.extend(section.to_le_bytes());
        entries.extend(address.to_le_bytes());
        entries.extend(0_u64.to_le_bytes());
        names.extend(name.bytes().chain([0]));
    }
    (entries, names)
}

fn elf(mut sections: Vec<Section>) -> Vec<u8> {
    sections.insert(0, Section::new("", 0, 0, 0, Vec::new()));
    sections.push(Section::new(".shstrtab", 3, 0, 0, Vec::new()));
    let mut names = Vec::new();
    let mut at = Vec::new();
    for section in &sections {
        at.push(names.len() as u32);
        names.extend(section.name.bytes().chain([0]));
    }
    sections.last_mut().unwrap().data = names;
    let mut file = vec![0; 64];
    let mut table = Vec::new();
    for (section, name) in sections.iter().zip(at) {
        table.extend(name.to_le_bytes());
        table.extend(section.kind.to_le_bytes());
        for word in [
            section.flags,
            section.address,
            file.len() as u64,
            section.data.len() as u64,
        ] {
            table.extend(word.to_le_bytes());
        }
        table.extend(section.link.to_le_bytes());
        table.extend([0; 4]);
        table.extend(1_u64.to_le_bytes());
        table.extend(if section.kind == 2 { 24_u64 } else { 0 }.to_le_bytes());
        file.extend(&section.data);
    }
    let table_at = file.len() as u64;
    file.extend(table);
    let mut header = b"\x7fELF\x02\x01\x01".to_vec();
    header.resize(16, 0);
    header.extend(2_u16.to_le_bytes());
    header.extend(62_u16.to_le_bytes());
    header.extend(1_u32.to_le_bytes());
    for word in [TEXT, 0, table_at] {
        header.extend(word.to_le_bytes());
    }
    header.extend([0; 4]);
    for half in [64_u16, 0, 0, 64, sections.len() as u16, sections.len() as u16 - 1] {
        header.extend(half.to_le_bytes());
    }
    file[..64].copy_from_slice(&header);
    file
}

fn debug_sections(version: u16) -> Vec<(String, Vec<u8>)> {
    let mut dwarf = Dwarf::new();
    let encoding = Encoding {
        format: Format::Dwarf32,
        version,
        address_size: 8,
    };
    code_unit(&mut dwarf, encoding);
    late_unit(&mut dwarf, encoding);
    let mut sections = Sections::new(EndianVec::new(LittleEndian));
    dwarf.write(&mut sections).unwrap();
    let mut found = Vec::new();
    let each = |id: gimli::SectionId, data: &EndianVec<LittleEndian>| -> Result<(), ()> {
        if !data.slice().is_empty() {
            found.push((id.name().to_owned(), data.slice().to_vec()));
        }
        Ok(())
    };
    let mut each = each;
    sections.for_each(&mut each).unwrap();
    found
}

/// Writes entries with little noise.
struct Writer<'a> {
    unit: &'a mut Unit,
    /// Whether bit fields are told in the old way.
    is_old: bool,
}

impl Writer<'_> {
    fn add(
        &mut self,
        parent: UnitEntryId,
        tag: gimli::DwTag,
        attributes: &[(gimli::DwAt, AttributeValue)],
    ) -> UnitEntryId {
        let id = self.unit.add(parent, tag);
        for (name, value) in attributes {
            self.unit.get_mut(id).set(*name, value.clone());
        }
        id
    }

    fn top(&mut self, tag: gimli::DwTag, attributes: &[(gimli::DwAt, AttributeValue)]) -> UnitEntryId {
        let root = self.unit.root();
        self.add(root, tag, attributes)
    }

    fn base(&mut self, name: &str, size: u64, encoding: gimli::DwAte) -> UnitEntryId {
        self.top(
            gimli::DW_TAG_base_type,
            &[
                (gimli::DW_AT_name, text(name)),
                (gimli::DW_AT_byte_size, AttributeValue::Udata(size)),
                (gimli::DW_AT_encoding, AttributeValue::Encoding(encoding)),
            ],
        )
    }

    fn record(&mut self, tag: gimli::DwTag, name: Option<&str>, size: u64) -> UnitEntryId {
        let id = self.top(tag, &[(gimli::DW_AT_byte_size, AttributeValue::Udata(size))]);
        if let Some(name) = name {
            self.unit.get_mut(id).set(gimli::DW_AT_name, text(name));
        }
        self.unit.get_mut(id).set_sibling(true);
        id
    }

    fn member(&mut self, record: UnitEntryId, name: Option<&str>, of: UnitEntryId, offset: u64) {
        let id = self.add(
            record,
            gimli::DW_TAG_member,
            &[
                (gimli::DW_AT_type, AttributeValue::UnitRef(of)),
                (gimli::DW_AT_data_member_location, AttributeValue::Udata(offset)),
            ],
        );
        if let Some(name) = name {
            self.unit.get_mut(id).set(gimli::DW_AT_name, text(name));
        }
    }

    /// A bit field in a 4-byte unit at byte `unit_at`, `shift` bits up.
    fn bits(&mut self, record: UnitEntryId, name: &str, of: UnitEntryId, unit_at: u64, shift: u64, width: u64) {
        let id = self.add(
            record,
            gimli::DW_TAG_member,
            &[
                (gimli::DW_AT_name, text(name)),
                (gimli::DW_AT_type, AttributeValue::UnitRef(of)),
                (gimli::DW_AT_bit_size, AttributeValue::Udata(width)),
            ],
        );
        let die = self.unit.get_mut(id);
        if self.is_old {
            die.set(gimli::DW_AT_byte_size, AttributeValue::Udata(4));
            die.set(gimli::DW_AT_bit_offset, AttributeValue::Udata(32 - shift - width));
            die.set(gimli::DW_AT_data_member_location, AttributeValue::Udata(unit_at));
        } else {
            die.set(gimli::DW_AT_data_bit_offset, AttributeValue::Udata(unit_at * 8 + shift));
        }
    }

    fn alias(&mut self, tag: gimli::DwTag, name: Option<&str>, of: UnitEntryId) -> UnitEntryId {
        let id = self.top(tag, &[(gimli::DW_AT_type, AttributeValue::UnitRef(of))]);
        if let Some(name) = name {
            self.unit.get_mut(id).set(gimli::DW_AT_name, text(name));
        }
        id
    }

    fn array(&mut self, of: UnitEntryId, counts: &[u64]) -> UnitEntryId {
        let id = self.alias(gimli::DW_TAG_array_type, None, of);
        for count in counts {
            self.add(
                id,
                gimli::DW_TAG_subrange_type,
                &[(gimli::DW_AT_upper_bound, AttributeValue::Udata(count - 1))],
            );
        }
        id
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::String(text.as_bytes().to_vec())
}

/// `init/main.c`, which has the code too, of `kernel/rwsem.c` with a function inlined from a header.
fn code_unit(dwarf: &mut Dwarf, encoding: Encoding) {
    let line = |text: &str| LineString::String(text.as_bytes().to_vec());
    let mut program = LineProgram::new(
        encoding,
        LineEncoding::default(),
        line("/build/linux/out"),
        None,
        line("../init/main.c"),
        None,
    );
    let source = program.add_directory(line("/build/linux/kernel"));
    let header = program.add_directory(line("../arch/x86/include/asm"));
    let source = program.add_file(line("rwsem.c"), source, None);
    let header = program.add_file(line("rwsem.h"), header, None);
    program.begin_sequence(Some(Address::Constant(TEXT)));
    for (offset, file, number) in [(0, source, 30), (8, header, 83), (16, source, 35)] {
        let row = program.row();
        row.address_offset = offset;
        row.file = file;
        row.line = number;
        program.generate_row();
    }
    program.end_sequence(0x40);
    let id = dwarf.units.add(Unit::new(encoding, program));
    let mut writer = Writer {
        unit: dwarf.units.get_mut(id),
        is_old: encoding.version < 5,
    };
    let root = writer.unit.root();
    for (name, value) in [
        (gimli::DW_AT_name, text("../init/main.c")),
        (gimli::DW_AT_comp_dir, text("/build/linux/out")),
        (gimli::DW_AT_low_pc, AttributeValue::Address(Address::Constant(TEXT))),
        (gimli::DW_AT_high_pc, AttributeValue::Udata(0x40)),
        (gimli::DW_AT_stmt_list, AttributeValue::LineProgramRef),
    ] {
        writer.unit.get_mut(root).set(name, value);
    }
    types(&mut writer);
    let inlined = writer.top(
        gimli::DW_TAG_subprogram,
        &[
            (gimli::DW_AT_name, text("__down_read_trylock")),
            (gimli::DW_AT_inline, AttributeValue::Udata(3)),
        ],
    );
    let function = writer.top(
        gimli::DW_TAG_subprogram,
        &[
            (gimli::DW_AT_name, text("down_read_trylock")),
            (gimli::DW_AT_low_pc, AttributeValue::Address(Address::Constant(TEXT))),
            (gimli::DW_AT_high_pc, AttributeValue::Udata(0x40)),
        ],
    );
    writer.add(
        function,
        gimli::DW_TAG_inlined_subroutine,
        &[
            (gimli::DW_AT_abstract_origin, AttributeValue::UnitRef(inlined)),
            (
                gimli::DW_AT_low_pc,
                AttributeValue::Address(Address::Constant(TEXT + 8)),
            ),
            (gimli::DW_AT_high_pc, AttributeValue::Udata(8)),
            (gimli::DW_AT_call_file, AttributeValue::FileIndex(Some(source))),
            (gimli::DW_AT_call_line, AttributeValue::Udata(34)),
        ],
    );
}

fn types(writer: &mut Writer<'_>) {
    let int = writer.base("int", 4, gimli::DW_ATE_signed);
    let word = writer.base("long unsigned int", 8, gimli::DW_ATE_unsigned);
    let byte = writer.base("char", 1, gimli::DW_ATE_signed_char);
    let list = writer.record(gimli::DW_TAG_structure_type, Some("list_head"), 16);
    let link = writer.alias(gimli::DW_TAG_pointer_type, None, list);
    writer.member(list, Some("next"), link, 0);
    writer.member(list, Some("prev"), link, 8);
    // Defined in the other unit only.
    let declared = writer.top(
        gimli::DW_TAG_structure_type,
        &[
            (gimli::DW_AT_name, text("address_space")),
            (gimli::DW_AT_declaration, AttributeValue::Flag(true)),
        ],
    );
    let of_const = writer.alias(gimli::DW_TAG_const_type, None, declared);
    let mapping = writer.alias(gimli::DW_TAG_pointer_type, None, of_const);
    let either = writer.record(gimli::DW_TAG_union_type, None, 8);
    writer.member(either, Some("mapping"), mapping, 0);
    writer.member(either, Some("s_mem"), word, 0);
    let name = writer.array(byte, &[16]);
    let grid = writer.array(int, &[2, 3]);
    let page = writer.record(gimli::DW_TAG_structure_type, Some("page"), 80);
    writer.member(page, Some("flags"), word, 0);
    writer.member(page, None, either, 8);
    writer.member(page, Some("lru"), list, 16);
    writer.bits(page, "inuse", int, 32, 0, 16);
    writer.bits(page, "objects", int, 32, 16, 15);
    writer.bits(page, "frozen", int, 32, 31, 1);
    writer.member(page, Some("name"), name, 36);
    writer.member(page, Some("grid"), grid, 52);
    writer.alias(gimli::DW_TAG_typedef, Some("page_t"), page);
    let zones = writer.top(
        gimli::DW_TAG_enumeration_type,
        &[
            (gimli::DW_AT_name, text("zone_type")),
            (gimli::DW_AT_byte_size, AttributeValue::Udata(4)),
        ],
    );
    for (name, value) in [("ZONE_DMA", 0), ("ZONE_NORMAL", 2), ("ZONE_NONE", -1)] {
        writer.add(
            zones,
            gimli::DW_TAG_enumerator,
            &[
                (gimli::DW_AT_name, text(name)),
                (gimli::DW_AT_const_value, AttributeValue::Sdata(value)),
            ],
        );
    }
}

/// A unit without code.
fn late_unit(dwarf: &mut Dwarf, encoding: Encoding) {
    let id = dwarf.units.add(Unit::new(encoding, LineProgram::none()));
    let mut writer = Writer {
        unit: dwarf.units.get_mut(id),
        is_old: encoding.version < 5,
    };
    let word = writer.base("long unsigned int", 8, gimli::DW_ATE_unsigned);
    let space = writer.record(gimli::DW_TAG_structure_type, Some("address_space"), 24);
    writer.member(space, Some("nrpages"), word, 16);
}
