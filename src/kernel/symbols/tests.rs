//! kallsyms of every era, written by [`super::encoder`] and read back.

use proptest::prelude::*;

use super::encoder::{Era, Symbol, encode};
use super::locate::Known;
use super::*;
use crate::addr::VirtAddr;
use crate::kernel::access::KernelMemory;
use crate::kernel::access::test_memory::TestMemory;

const IMAGE: u64 = 0xffff_ffff_8100_0000;

/// A kernel's worth of symbols around those that a test is about.
fn symbols(era: Era, count: u64) -> Vec<Symbol> {
    let symbol = |kind, name: String, address| Symbol { kind, name, address };
    let mut all = Vec::new();
    if era.says_small() {
        all.push(symbol('A', "fixed_percpu_data".into(), 0));
        all.push(symbol('A', "__per_cpu_start".into(), 0));
        all.push(symbol('A', "current_task".into(), 0x1fb80));
    }
    all.push(symbol('T', "startup_64".into(), IMAGE));
    all.push(symbol('T', "_stext".into(), IMAGE));
    for number in 0..count {
        let name = format!("do_thing_{}_{number:x}", number * 7919 % 1000);
        all.push(symbol('t', name, IMAGE + 64 + number * 48 - number % 3 * 8));
    }
    all.push(symbol('d', "x".repeat(300), IMAGE + 128 + count * 48));
    all.push(symbol('B', "_end".into(), IMAGE + 4096 + count * 48));
    all
}

fn known() -> Known {
    Known {
        image: VirtAddr(IMAGE),
        stext: Some(VirtAddr(IMAGE)),
    }
}

fn check(kallsyms: &Kallsyms, symbols: &[Symbol]) {
    assert_eq!(kallsyms.count() as usize, symbols.len());
    for (number, symbol) in symbols.iter().enumerate() {
        let number = number as u32;
        assert_eq!(kallsyms.address(number), Some(VirtAddr(symbol.address)));
        assert_eq!(kallsyms.name(number), Some((symbol.kind, symbol.name.clone())));
    }
    for symbol in symbols.iter().step_by(17) {
        let found: Vec<u64> = kallsyms
            .named(&symbol.name)
            .into_iter()
            .filter_map(|number| kallsyms.address(number))
            .map(|address| address.0)
            .collect();
        let namesakes = symbols.iter().filter(|other| other.name == symbol.name);
        assert_eq!(found, namesakes.map(|s| s.address).collect::<Vec<u64>>());
    }
    assert!(kallsyms.named("no_such_symbol").is_empty());
    let (number, next) = kallsyms.covering(VirtAddr(IMAGE + 9)).unwrap();
    assert_eq!(kallsyms.name(number).unwrap().1, "startup_64");
    assert_eq!(next, VirtAddr(IMAGE + 64));
    assert_eq!(kallsyms.covering(VirtAddr(u64::MAX)), None);
}

#[test]
fn every_era_is_read_by_vmcoreinfo() {
    for era in Era::ALL {
        let symbols = symbols(era, 700);
        let image = encode(&symbols, era, IMAGE, 8192);
        let labels = image.labels.clone();
        let memory = image.memory(IMAGE).reader();
        let found = locate::by_vmcoreinfo(&memory, known(), &|name| labels.get(name).copied().map(VirtAddr));
        check(&found.unwrap_or_else(|| panic!("{era:?}")), &symbols);
    }
}

#[test]
fn every_era_is_found_blind() {
    for era in Era::ALL {
        let count = if era == Era::AbsolutePerCpuSeqs { 9000 } else { 700 };
        let symbols = symbols(era, count);
        let memory = encode(&symbols, era, IMAGE, 100_001).memory(IMAGE).reader();
        for stext in [Some(VirtAddr(IMAGE)), None] {
            let known = Known { stext, ..known() };
            let found = find::find(&memory, known, None).unwrap_or_else(|| panic!("{era:?}"));
            check(&found, &symbols);
        }
    }
}

#[test]
fn a_wrong_stext_is_not_believed() {
    let era = Era::AbsolutePerCpu;
    let memory = encode(&symbols(era, 700), era, IMAGE, 100_001).memory(IMAGE).reader();
    let stext = Some(VirtAddr(IMAGE + 16));
    assert!(find::find(&memory, Known { stext, ..known() }, None).is_none());
}

#[test]
fn what_a_cut_dump_lacks_spoils_only_itself() {
    let era = Era::Absolute;
    let symbols = symbols(era, 3000);
    let image = encode(&symbols, era, IMAGE, 0);
    let labels = image.labels.clone();
    let names = (labels["kallsyms_names"] - IMAGE) as usize;
    let bytes = image.bytes;
    // The second page of names is gone.
    let hole = names.next_multiple_of(4096)..names.next_multiple_of(4096) + 4096;
    let memory = TestMemory {
        parts: vec![
            (IMAGE, bytes[..hole.start].to_vec()),
            (IMAGE + hole.end as u64, bytes[hole.end..].to_vec()),
        ],
    };
    let symbol = |name: &str| labels.get(name).copied().map(VirtAddr);
    let found = locate::by_vmcoreinfo(&memory.reader(), known(), &symbol).unwrap();
    let held = (0..found.count())
        .filter(|number| found.name(*number).is_some())
        .count();
    assert!(held > 1000 && held < symbols.len(), "{held} of {}", symbols.len());
    let by_name = symbols
        .iter()
        .filter(|symbol| !found.named(&symbol.name).is_empty())
        .count();
    assert_eq!(by_name, held);
}

fn hostile(bytes: Vec<u8>, labels: &[(&'static str, u64)]) -> (KernelMemory, Option<Kallsyms>) {
    let memory = TestMemory::one(IMAGE, bytes).reader();
    let symbol = |name: &str| {
        labels
            .iter()
            .find(|(label, _)| *label == name)
            .map(|(_, at)| VirtAddr(*at))
    };
    let known = Known { stext: None, ..known() };
    let found = locate::by_vmcoreinfo(&memory, known, &symbol);
    (memory, found)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn names_survive_encoding(
        names in proptest::collection::vec("[a-zA-Z0-9_.]{1,40}", 300..700),
        era in proptest::sample::select(Era::ALL.to_vec()),
        steps in proptest::collection::vec(0_u64..300, 700),
    ) {
        let mut address = IMAGE;
        let symbols: Vec<Symbol> = names.into_iter().zip(steps).map(|(name, step)| {
            address += step;
            Symbol { kind: 't', name, address }
        }).collect();
        let image = encode(&symbols, era, IMAGE, 4096);
        let labels = image.labels.clone();
        let memory = image.memory(IMAGE).reader();
        let known = Known { stext: None, ..known() };
        let found = locate::by_vmcoreinfo(&memory, known, &|name| labels.get(name).copied().map(VirtAddr)).unwrap();
        for (number, symbol) in symbols.iter().enumerate() {
            prop_assert_eq!(found.name(number as u32), Some(('t', symbol.name.clone())));
            prop_assert_eq!(found.address(number as u32), Some(VirtAddr(symbol.address)));
            prop_assert!(found.named(&symbol.name).contains(&(number as u32)));
        }
    }

    #[test]
    fn damage_neither_panics_nor_hangs(
        era in proptest::sample::select(Era::ALL.to_vec()),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        at in any::<u64>(),
    ) {
        let image = encode(&symbols(era, 600), era, IMAGE, 4096);
        let labels: Vec<(&'static str, u64)> = image.labels.clone().into_iter().collect();
        let mut bytes = image.bytes;
        for (index, byte) in damage {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let (memory, found) = hostile(bytes, &labels);
        let blind = find::find(&memory, Known { stext: None, ..known() }, None);
        for found in found.into_iter().chain(blind) {
            found.covering(VirtAddr(at));
            found.covering(VirtAddr(IMAGE + at % 40_000));
            found.named("_stext");
        }
    }

    #[test]
    fn arbitrary_bytes_neither_panic_nor_hang(
        bytes in proptest::collection::vec(any::<u8>(), 0..20_000),
        places in proptest::collection::vec(0_u64..20_000, 6),
    ) {
        let names = [
            "kallsyms_names", "kallsyms_token_table", "kallsyms_token_index", "kallsyms_num_syms", "kallsyms_offsets",
            "kallsyms_relative_base",
        ];
        let labels: Vec<(&'static str, u64)> =
            names.into_iter().zip(places).map(|(name, at)| (name, IMAGE + at)).collect();
        let (memory, found) = hostile(bytes, &labels);
        if let Some(found) = found {
            found.covering(VirtAddr(IMAGE));
            found.named("_stext");
        }
        find::find(&memory, known(), None);
    }
}
