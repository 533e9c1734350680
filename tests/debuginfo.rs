//! Debuginfo of a small vmlinux that is made here: lines, inlined functions, types, packed sections, damage.

mod support;

use std::sync::Arc;

use proptest::prelude::*;
use support::debug_elf::{BANNER, BANNER_AT, Packing, TEXT, vmlinux};
use vmcoroner::kernel::debuginfo::{DebugFile, DebugFileError, DwarfTypes, Place, SourceLines};
use vmcoroner::kernel::types::{Bits, Kind, Types};

const PACKINGS: [Packing; 4] = [Packing::Plain, Packing::Zlib, Packing::Zstd, Packing::OldZlib];

fn open(bytes: Vec<u8>) -> Arc<DebugFile> {
    Arc::new(DebugFile::open(Arc::new(bytes)).unwrap())
}

/// In both versions of DWARF and every packing.
fn files() -> impl Iterator<Item = Arc<DebugFile>> {
    [4, 5]
        .into_iter()
        .flat_map(|version| PACKINGS.map(|packing| open(vmlinux(version, packing))))
}

#[test]
fn the_file_says_what_kernel_it_is_of() {
    for file in files() {
        assert_eq!(file.build_id(), Some("ab".repeat(20)));
        assert_eq!(file.banner().as_deref(), Some(BANNER));
        assert_eq!(file.symbol("linux_banner").map(|at| at.0), Some(BANNER_AT));
        let kinds: Vec<(String, char)> = file.symbols().into_iter().map(|s| (s.name, s.kind)).collect();
        assert!(kinds.contains(&("down_read_trylock".to_owned(), 'T')));
        assert!(kinds.contains(&("local_data".to_owned(), 'r')));
    }
}

#[test]
fn lines_and_inlined_functions_are_told_from_the_source_tree_on() {
    let place = |function: &str, source: &str| Place {
        function: Some(function.to_owned()),
        source: Some(source.to_owned()),
    };
    for file in files() {
        let mut lines = SourceLines::open(&file).unwrap();
        assert_eq!(
            lines.places(TEXT + 4),
            [place("down_read_trylock", "kernel/rwsem.c:30")]
        );
        assert_eq!(
            lines.places(TEXT + 9),
            [
                place("__down_read_trylock", "arch/x86/include/asm/rwsem.h:83"),
                place("down_read_trylock", "kernel/rwsem.c:34"),
            ]
        );
        assert_eq!(
            lines.places(TEXT + 0x30),
            [place("down_read_trylock", "kernel/rwsem.c:35")]
        );
        assert_eq!(lines.places(TEXT + 0x40), []);
        assert_eq!(lines.places(TEXT - 1), []);
    }
}

#[test]
fn types_answer_as_btf_does() {
    for file in files() {
        let types = DwarfTypes::open(&file).unwrap();
        let offset = |path: &str| types.offset_of("page", path);
        assert_eq!(types.size_of("page"), Some(80));
        assert_eq!(types.size_of("page_t"), Some(80));
        assert_eq!(types.size_of("struct list_head"), Some(16));
        assert_eq!(types.size_of("union list_head"), None);
        assert_eq!(offset("mapping"), Some(8));
        assert_eq!(offset("lru.prev"), Some(24));
        assert_eq!(offset("grid[1][2]"), Some(52 + 5 * 4));
        assert_eq!(offset("grid[2]"), None);
        assert_eq!(offset("nothing"), None);
        assert_eq!(types.offset_of("page_t", "flags"), Some(0));
        let mapping = types.member("page", "mapping").unwrap();
        let to = Some("address_space".to_owned());
        assert_eq!((mapping.size, mapping.kind), (8, Kind::Pointer { to }));
        let name = types.member("page", "name").unwrap();
        let element = Box::new(Kind::Signed);
        assert_eq!(
            name.kind,
            Kind::Array {
                count: 16,
                size: 1,
                element
            }
        );
        assert_eq!(types.member("page", "grid").unwrap().size, 24);
        assert_eq!(types.enum_value("ZONE_NONE"), Some(-1));
        assert_eq!(types.enum_value("ZONE_NORMAL"), Some(2));
        assert_eq!(types.enum_value("ZONE_LOST"), None);
        assert_eq!(types.offset_of("address_space", "nrpages"), Some(16));
        assert_eq!(types.size_of("no_such_structure"), None);
    }
}

#[test]
fn bit_fields_are_found_in_the_old_and_the_new_way() {
    for file in files() {
        let types = DwarfTypes::open(&file).unwrap();
        let field = |name: &str| {
            let member = types.member("page", name).unwrap();
            (member.offset, member.size, member.bits)
        };
        let bits = |shift, width| Some(Bits { shift, width });
        assert_eq!(field("inuse"), (32, 2, bits(0, 16)));
        assert_eq!(field("objects"), (34, 2, bits(0, 15)));
        assert_eq!(field("frozen"), (35, 1, bits(7, 1)));
    }
}

#[test]
fn what_is_no_vmlinux_is_refused() {
    let error = DebugFile::open(Arc::new(b"MZ\x90 a bzImage".to_vec())).unwrap_err();
    assert!(matches!(error, DebugFileError::NotElf(_)), "{error}");
    let mut object = vmlinux(5, Packing::Plain);
    object[16] = 1;
    let error = DebugFile::open(Arc::new(object)).unwrap_err();
    assert!(matches!(error, DebugFileError::Object), "{error}");
}

fn ask_everything(file: &Arc<DebugFile>) {
    let _ = (file.build_id(), file.banner(), file.symbols());
    if let Some(mut lines) = SourceLines::open(file) {
        let _ = (lines.places(TEXT + 9), lines.places(0));
    }
    if let Some(types) = DwarfTypes::open(file) {
        for path in ["mapping", "lru.prev", "grid[1][2]", "frozen", "nothing"] {
            let _ = types.member("page", path);
        }
        let _ = (types.enum_value("ZONE_NONE"), types.size_of("no_such_structure"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_does_no_harm(
        version in 4_u16..=5,
        packing in 0_usize..4,
        hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        cut in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut bytes = vmlinux(version, PACKINGS[packing]);
        for (at, value) in hits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(file) = DebugFile::open(Arc::new(bytes)) {
            ask_everything(&Arc::new(file));
        }
    }
}
