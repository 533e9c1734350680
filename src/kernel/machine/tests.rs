//! Machines written by hand: variables with their symbols, and the layouts that the code should find for itself.

use proptest::prelude::*;

use super::*;
use crate::kernel::symbols::Hints;
use crate::kernel::symbols::encoder::{Era, Symbol, encode};
use crate::kernel::types::{KernelTypes, Kind, Member, Source};

const IMAGE: u64 = 0xffff_ffff_8100_0000;
const DATA: u64 = IMAGE + 0x10_0000;
const HEAP: u64 = 0xffff_8880_0000_0000;

/// Variables one behind another, each with a symbol.
#[derive(Default)]
struct Kernel {
    data: Vec<u8>,
    symbols: Vec<Symbol>,
    heap: Vec<u8>,
}

impl Kernel {
    /// A variable of the given bytes, and where it lies.
    fn variable(&mut self, name: &str, bytes: &[u8]) -> u64 {
        let address = DATA + self.data.len() as u64;
        self.symbols.push(Symbol {
            kind: 'D',
            name: name.to_owned(),
            address,
        });
        self.data.extend(bytes);
        self.data.resize(self.data.len().next_multiple_of(8), 0);
        address
    }

    fn words(&mut self, name: &str, words: &[u64]) -> u64 {
        self.variable(name, &bytes(words))
    }

    fn int(&mut self, name: &str, value: i32) -> u64 {
        self.variable(name, &value.to_le_bytes())
    }

    /// Bytes that no symbol covers, and where they lie.
    fn heap(&mut self, bytes: &[u8]) -> u64 {
        let address = HEAP + self.heap.len() as u64;
        self.heap.extend(bytes);
        self.heap.resize(self.heap.len().next_multiple_of(8), 0);
        address
    }

    fn pointers_to(&mut self, names: &[&str]) -> Vec<u64> {
        names
            .iter()
            .map(|name| self.heap(format!("{name}\0").as_bytes()))
            .collect()
    }

    fn ask<T>(mut self, types: &dyn Types, question: impl FnOnce(Machine<'_>) -> T) -> T {
        self.symbols.insert(
            0,
            Symbol {
                kind: 'T',
                name: "_stext".to_owned(),
                address: IMAGE,
            },
        );
        self.variable("_end", &[]);
        // Memory does not end with the last variable.
        for part in [&mut self.data, &mut self.heap] {
            part.resize(part.len().next_multiple_of(4096), 0);
        }
        let encoded = encode(&self.symbols, Era::Absolute, IMAGE, 64);
        let labels = encoded.labels.clone();
        let mut memory = encoded.memory(IMAGE);
        memory.parts.push((DATA, self.data));
        memory.parts.push((HEAP, self.heap));
        let memory = memory.reader();
        let hint = |name: &str| match name {
            "_stext" => Some(VirtAddr(IMAGE)),
            name => labels.get(name).copied().map(VirtAddr),
        };
        let hints = Hints {
            vmcoreinfo: &hint,
            image: None,
        };
        let symbols = Symbols::open(&memory, hints).unwrap();
        question(Machine::new(&memory, &symbols, types, &[0, 1], 4096))
    }
}

fn bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Types that know nothing.
fn untyped() -> KernelTypes {
    KernelTypes::default()
}

/// Types that know what they are given: structure, member, offset, size.
struct Told(&'static [(&'static str, &'static str, u64, u64)]);

impl Types for Told {
    fn source(&self) -> Option<Source> {
        Some(Source::Btf)
    }

    fn member(&self, structure: &str, path: &str) -> Option<Member> {
        let (.., offset, size) = self.0.iter().find(|(s, p, ..)| (*s, *p) == (structure, path))?;
        Some(Member {
            offset: *offset,
            size: *size,
            bits: None,
            kind: Kind::Unsigned,
        })
    }

    fn size_of(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(s, ..)| *s == name).map(|(.., size)| *size)
    }

    fn enum_value(&self, _: &str) -> Option<i64> {
        None
    }
}

fn setting(kernel: Kernel, types: &dyn Types, name: &str) -> Fact<Value> {
    kernel.ask(types, |machine| {
        let mut settings = machine.settings().into_iter();
        settings.find(|setting| setting.name == name).unwrap().value
    })
}

#[test]
fn plain_variables_need_no_types() {
    let mut kernel = Kernel::default();
    kernel.int("nr_threads", 60);
    kernel.int("nr_cpu_ids", 4);
    kernel.words("__cpu_present_mask", &[0b11]);
    kernel.words("avenrun", &[307, 61, 0]);
    let line = kernel.heap(b"console=ttyS0 crashkernel=160M\0");
    kernel.words("saved_command_line", &[line]);
    kernel.words("tainted_mask", &[0x3000]);
    let system = kernel.ask(&untyped(), |machine| machine.system());
    assert_eq!(system.tasks, Ok(62));
    assert_eq!(system.load_average, Ok([0.15, 0.03, 0.0]));
    assert_eq!(system.command_line.as_deref(), Ok("console=ttyS0 crashkernel=160M"));
    assert_eq!(system.taint.unwrap().letters, ['O']);
    assert_eq!(system.clock, Err(Unknown::NoSymbol("tk_core".to_owned())));
    assert_eq!(system.memory_bytes, Err(Unknown::NoSymbol("node_data".to_owned())));
}

#[test]
fn damage_is_not_passed_on() {
    let mut kernel = Kernel::default();
    kernel.int("nr_threads", -7);
    kernel.words("saved_command_line", &[0]);
    kernel.words("vmstat_text", &[HEAP + 0x100_0000]);
    kernel.words("vm_stat", &[1]);
    let (system, memory) = kernel.ask(&untyped(), |machine| (machine.system(), machine.memory_use()));
    assert_eq!(system.tasks, Err(Unknown::Implausible("nr_threads".to_owned())));
    assert!(matches!(system.command_line, Err(Unknown::Implausible(_))));
    assert!(matches!(memory.free, Err(Unknown::Unreadable { .. })), "{memory:?}");
}

#[test]
fn taint_letters_come_from_the_kernels_own_table() {
    for stride in [3, 16] {
        let mut kernel = Kernel::default();
        kernel.words("tainted_mask", &[0b1_0010]);
        let letters = [b"PG", b"F ", b"S ", b"R ", b"@ "];
        let table: Vec<u8> = letters
            .iter()
            .flat_map(|pair| {
                let mut entry = pair.to_vec();
                entry.resize(stride, 0);
                entry
            })
            .collect();
        kernel.variable("taint_flags", &table);
        let taint = kernel.ask(&untyped(), |machine| machine.taint()).unwrap();
        assert_eq!(taint.letters, ['F', '@']);
        assert_eq!(taint.text.as_deref(), Some("GF  @"));
    }
}

#[test]
fn modules_show_only_the_taints_that_are_theirs() {
    let mut kernel = Kernel::default();
    kernel.variable("taint_flags", b"PG\x01F \x01S \0R \0@ \x01");
    let shown = kernel.ask(&untyped(), |machine| machine.module_taints(&[0b1_0111, 0, u64::MAX]));
    assert_eq!(shown, ["PF@", "", "PF@"]);
    let shown = Kernel::default().ask(&untyped(), |machine| {
        machine.module_taints(&[1 << 12 | 1 << 13 | 1 << 9])
    });
    assert_eq!(shown, ["OE"]);
}

#[test]
fn an_untainted_kernel_has_no_text() {
    let mut kernel = Kernel::default();
    kernel.words("tainted_mask", &[0]);
    let taint = kernel.ask(&untyped(), |machine| machine.taint()).unwrap();
    assert_eq!((taint.letters.len(), taint.text), (0, None));
}

#[test]
fn counters_are_found_by_their_names() {
    // Since 4.8 zones and nodes count apart; NUMA's counters stand between them.
    let mut kernel = Kernel::default();
    let names = kernel.pointers_to(&[
        "nr_free_pages",
        "nr_zone_inactive_anon",
        "numa_hit",
        "nr_inactive_anon",
        "nr_slab_reclaimable",
        "nr_slab_unreclaimable",
        "nr_file_pages",
    ]);
    kernel.words("vmstat_text", &names);
    kernel.words("vm_zone_stat", &[5000, 1]);
    kernel.words("vm_node_stat", &[7, 300, 40, 900]);
    let memory = kernel.ask(&untyped(), |machine| machine.memory_use());
    assert_eq!((memory.free, memory.slab), (Ok(5000), Ok(340)));
    // Before, all count together.
    let mut kernel = Kernel::default();
    let names = kernel.pointers_to(&["nr_free_pages", "nr_slab_reclaimable", "nr_slab_unreclaimable"]);
    kernel.words("vmstat_text", &names);
    kernel.words("vm_stat", &[5000, 300, (-2_i64) as u64]);
    let memory = kernel.ask(&untyped(), |machine| machine.memory_use());
    assert_eq!((memory.free, memory.slab), (Ok(5000), Ok(300)));
}

/// Writes what el7 keeps of block devices: two of them, each with its inode behind it in one object.
fn block_devices(kernel: &mut Kernel, link: u64, pages: [u64; 2]) {
    const OBJECT: u64 = 0x300;
    const INODE: u64 = 0xe8;
    let operations = kernel.words("def_blk_aops", &[1]);
    let start = HEAP + kernel.heap.len() as u64;
    let head = DATA + kernel.data.len() as u64;
    kernel.words("all_bdevs", &[start + link, start + OBJECT + link]);
    let mut objects = vec![0; 2 * OBJECT as usize];
    let mut put = |at: u64, value: u64| {
        objects[(at - start) as usize..][..8].copy_from_slice(&value.to_le_bytes());
    };
    for (number, pages) in (0..).zip(pages) {
        let object = start + number * OBJECT;
        let (inode, mapping) = (object + INODE, object + INODE + 0x80);
        put(object + 8, inode);
        put(object + link, if number == 1 { head } else { object + OBJECT + link });
        put(inode + 48, mapping);
        put(mapping, inode);
        put(mapping + 96, pages);
        put(mapping + 120, operations);
    }
    kernel.heap(&objects);
}

#[test]
fn buffers_are_counted_without_types_where_the_content_proves_the_layout() {
    for link in [160, 168, 176] {
        let mut kernel = Kernel::default();
        block_devices(&mut kernel, link, [12, 7]);
        assert_eq!(kernel.ask(&untyped(), |machine| machine.buffers()), Ok(19));
    }
    // Another kernel's structures are not guessed at.
    let mut kernel = Kernel::default();
    block_devices(&mut kernel, 168, [12, 7]);
    let mapping = 0xe8 + 0x80;
    kernel.heap[mapping + 120..mapping + 128].fill(0);
    let buffers = kernel.ask(&untyped(), |machine| machine.buffers());
    assert!(matches!(buffers, Err(Unknown::NoLayout(_))), "{buffers:?}");
}

#[test]
fn the_swap_cache_is_summed_over_its_spaces() {
    let mut kernel = Kernel::default();
    let operations = kernel.words("swap_aops", &[1]);
    let space = |pages| {
        let mut words = vec![0; 21];
        (words[12], words[15]) = (pages, operations);
        words
    };
    kernel.words("swapper_spaces", &[space(40), space(2)].concat());
    let unknown = || Err(Unknown::NoSymbol("nr_swapcached".to_owned()));
    let pages = kernel.ask(&untyped(), |machine| machine.swap_cache(unknown(), Ok(100)));
    assert_eq!(pages, Ok(42));
    let kernel = Kernel::default();
    assert_eq!(
        kernel.ask(&untyped(), |machine| machine.swap_cache(unknown(), Ok(0))),
        Ok(0)
    );
}

#[test]
fn committed_memory_is_summed_over_the_cpus() {
    // A counter of -40 in all, of which the CPUs hold +100 and -8.
    let fill = |listed: bool| {
        let mut kernel = Kernel::default();
        let parts = kernel.heap(&[100_i32.to_le_bytes(), [0; 4], (-8_i32).to_le_bytes(), [0; 4]].concat());
        let list = DATA + kernel.data.len() as u64 + 16;
        kernel.words(
            "vm_committed_as",
            &[0, (-40_i64) as u64, list, if listed { list } else { 1 }, parts],
        );
        kernel.words("__per_cpu_offset", &[0, 8]);
        kernel
    };
    let memory = fill(true).ask(&untyped(), |machine| machine.memory_use());
    assert_eq!((memory.committed, memory.committed_roughly), (Ok(52), Ok(0)));
    let memory = fill(false).ask(&untyped(), |machine| machine.memory_use());
    assert!(matches!(memory.committed, Err(Unknown::NoLayout(_))), "{memory:?}");
}

#[test]
fn the_commit_limit_leaves_huge_pages_out() {
    let fill = |kilobytes| {
        let mut kernel = Kernel::default();
        kernel.words("totalram_pages", &[100_000]);
        kernel.words("total_swap_pages", &[1000]);
        kernel.words("nr_swap_pages", &[900]);
        kernel.int("sysctl_overcommit_ratio", 50);
        kernel.words("sysctl_overcommit_kbytes", &[kilobytes]);
        kernel.int("hugetlb_max_hstate", 1);
        kernel.words("hstates", &[0, 9, u64::MAX << 21, 0, 100, 0, 0, 0]);
        kernel.ask(&untyped(), |machine| machine.memory_use())
    };
    let memory = fill(0);
    assert_eq!(memory.huge, Ok(51_200));
    assert_eq!(memory.commit_limit, Ok((100_000 - 51_200) / 2 + 1000));
    assert_eq!((memory.swap_total, memory.swap_free), (Ok(1000), Ok(900)));
    assert_eq!(fill(4000).commit_limit, Ok(1000 + 1000));
}

#[test]
fn settings_have_the_newest_name_and_its_form() {
    let mut kernel = Kernel::default();
    kernel.words("sysctl_hung_task_timeout_secs", &[120]);
    kernel.int("zone_reclaim_mode", 1);
    kernel.int("panic_timeout", -1);
    kernel.words("panic_print", &[u64::MAX]);
    let settings = kernel.ask(&untyped(), |machine| machine.settings());
    let value = |name| {
        settings
            .iter()
            .find(|setting| setting.name == name)
            .unwrap()
            .value
            .clone()
    };
    assert_eq!(value("kernel.hung_task_timeout_secs"), Ok(Value::Number(120)));
    assert_eq!(value("vm.zone_reclaim_mode"), Ok(Value::Number(1)));
    assert_eq!(value("kernel.panic"), Ok(Value::Number(-1)));
    assert_eq!(value("kernel.panic_print"), Ok(Value::Number(i64::MAX)));
    assert_eq!(
        value("kernel.watchdog"),
        Err(Unknown::NoSymbol("watchdog_user_enabled".to_owned()))
    );
    assert!(settings.is_sorted_by_key(|setting| setting.name));
}

#[test]
fn zones_limit_the_reserve_ratios() {
    for (names, node_stat, expected) in [
        // el7: none for the last zone.
        (
            &["DMA", "DMA32", "Normal", "Movable"][..],
            false,
            &[256_i64, 256, 32][..],
        ),
        (
            &["DMA", "DMA32", "Normal", "Movable", "Device"],
            true,
            &[256, 256, 32, 0, 0],
        ),
    ] {
        let mut kernel = Kernel::default();
        let ratios: Vec<u8> = [256, 256, 32, 0, 0, 9].into_iter().flat_map(i32::to_le_bytes).collect();
        kernel.variable("sysctl_lowmem_reserve_ratio", &ratios);
        let mut names = kernel.pointers_to(names);
        names.push(0x1234);
        kernel.words("zone_names", &names);
        if node_stat {
            kernel.words("vm_node_stat", &[0]);
        }
        let ratios = setting(kernel, &untyped(), "vm.lowmem_reserve_ratio");
        assert_eq!(ratios, Ok(Value::Numbers(expected.to_vec())));
    }
}

#[test]
fn huge_page_flags_are_read_by_what_proves_their_numbers() {
    let thp = |flags: u64, old: bool, name| {
        let mut kernel = Kernel::default();
        kernel.words("transparent_hugepage_flags", &[flags]);
        if !old {
            kernel.words("_totalram_pages", &[1]);
        }
        setting(kernel, &untyped(), name)
    };
    let word = |word| Ok(Value::Word(word));
    // el7's default: 0x35.
    assert_eq!(thp(0x35, true, "thp.enabled"), word("always"));
    assert_eq!(thp(0x35, true, "thp.defrag"), word("always"));
    assert_eq!(thp(0x3a, true, "thp.enabled"), word("madvise"));
    assert_eq!(thp(0x3a, true, "thp.defrag"), word("madvise"));
    assert_eq!(thp(0x34, true, "thp.enabled"), word("never"));
    // Debian 12's and Fedora's: madvise, and the zero page's bit above all.
    assert_eq!(thp(0x1c4, false, "thp.enabled"), word("madvise"));
    assert_eq!(thp(0x1c4, false, "thp.defrag"), word("madvise"));
    assert_eq!(thp(0x1a2, false, "thp.enabled"), word("always"));
    assert_eq!(thp(0x1a2, false, "thp.defrag"), word("defer+madvise"));
    // Too little memory for huge pages at all.
    assert_eq!(thp(0, false, "thp.enabled"), word("never"));
    // Two eras could mean this.
    assert!(matches!(thp(0xe1, false, "thp.enabled"), Err(Unknown::NoLayout(_))));
}

#[test]
fn memory_is_summed_over_the_nodes() {
    const PGDAT: Told = Told(&[("pglist_data", "node_present_pages", 16, 8)]);
    let mut kernel = Kernel::default();
    let nodes = [1000, 24].map(|pages| kernel.heap(&bytes(&[0, 0, pages])));
    kernel.words("node_data", &[nodes[0], nodes[1], 0, 0]);
    let system = kernel.ask(&PGDAT, |machine| machine.system());
    assert_eq!(system.memory_bytes, Ok(1024 * 4096));
}

#[test]
fn a_list_of_block_devices_without_end_is_given_up() {
    const BLOCK_DEVICE: Told = Told(&[
        ("block_device", "bd_list", 0, 16),
        ("block_device", "bd_inode", 16, 8),
        ("inode", "i_mapping", 0, 8),
        ("address_space", "nrpages", 0, 8),
    ]);
    let mut kernel = Kernel::default();
    let at = HEAP;
    kernel.heap(&bytes(&[at, at, at + 24, at + 32, 1]));
    kernel.words("all_bdevs", &[at, at]);
    let buffers = kernel.ask(&BLOCK_DEVICE, |machine| machine.buffers());
    assert!(matches!(buffers, Err(Unknown::Implausible(_))), "{buffers:?}");
}

#[test]
fn nothing_at_all_is_answered_with_nothing() {
    let kernel = Kernel::default();
    kernel.ask(&untyped(), |machine| {
        let system = machine.system();
        assert!(system.tasks.is_err() && system.taint.is_err() && system.clock.is_err());
        let memory = machine.memory_use();
        assert!(memory.total.is_err() && memory.cached.is_err() && memory.commit_limit.is_err());
        // Without `hstates` the kernel has no huge pages: this is known.
        assert_eq!(memory.huge, Ok(0));
        assert!(machine.settings().iter().all(|setting| setting.value.is_err()));
    });
}

/// Every variable that is looked for, outside of settings.
const NAMES: &[&str] = &[
    "nr_threads",
    "avenrun",
    "saved_command_line",
    "tainted_mask",
    "taint_flags",
    "tk_core",
    "node_data",
    "vmstat_text",
    "vm_zone_stat",
    "vm_node_stat",
    "_totalram_pages",
    "total_swap_pages",
    "nr_swap_pages",
    "vm_committed_as",
    "__per_cpu_offset",
    "sysctl_overcommit_ratio",
    "sysctl_overcommit_kbytes",
    "hstates",
    "hugetlb_max_hstate",
    "default_hstate_idx",
    "all_bdevs",
    "def_blk_aops",
    "swapper_spaces",
    "nr_swapper_spaces",
    "swap_aops",
    "zone_names",
    "sysctl_lowmem_reserve_ratio",
    "transparent_hugepage_flags",
    "__cpu_present_mask",
    "nr_cpu_ids",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_memory_is_survived(
        // Words that are small, lead to each other, or are anything.
        words in prop::collection::vec(
            prop_oneof![0u64..64, (0u64..0x800).prop_map(|at| DATA + at), (0u64..0x400).prop_map(|at| HEAP + at), any::<u64>()],
            NAMES.len() * 8,
        ),
        heap in prop::collection::vec(prop_oneof![Just(0), any::<u8>()], 0x400),
        typed: bool,
    ) {
        const TYPES: Told = Told(&[
            ("pglist_data", "node_present_pages", 16, 8),
            ("percpu_counter", "count", 8, 8),
            ("percpu_counter", "counters", 32, 8),
            ("address_space", "nrpages", 8, 8),
            ("block_device", "bd_list", 8, 16),
            ("block_device", "bd_inode", 0, 8),
            ("inode", "i_mapping", 8, 8),
        ]);
        let mut kernel = Kernel::default();
        for (name, words) in NAMES.iter().zip(words.chunks(8)) {
            kernel.words(name, words);
        }
        kernel.heap(&heap);
        let types: &dyn Types = if typed { &TYPES } else { &untyped() };
        kernel.ask(types, |machine| {
            let _ = (machine.system(), machine.memory_use(), machine.settings());
        });
    }
}
