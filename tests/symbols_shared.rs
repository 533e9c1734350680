//! Symbols, modules and types of the real dumps in the shared test data folder, against what `crash` said of them.
//!
//! The folder is `$VMCORONER_SHARED`, else `../shared`; without it these tests say so and pass.

mod support;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use serde_json::Value;
use vmcoroner::addr::VirtAddr;
use vmcoroner::dump::Vmcore;
use vmcoroner::input::{self, Content};
use vmcoroner::kernel::access::{Abi, KernelMemory};
use vmcoroner::kernel::paging::x86_64::{Levels, PageTables};
use vmcoroner::kernel::paging::{AddressSpace, LinearMaps, Translation};
use vmcoroner::kernel::symbols::{Hints, Symbols};
use vmcoroner::kernel::types::{KernelTypes, Source, Types};
use vmcoroner::kernel::vmcoreinfo::Vmcoreinfo;

struct Machine {
    name: String,
    truth: Value,
    truncated: bool,
    info: Vmcoreinfo,
    memory: KernelMemory,
}

impl Machine {
    fn open(path: &Path, truth: Value) -> Option<Machine> {
        let Content::Dump(file) = input::open(path).ok()?.content else {
            return None;
        };
        let dump = Vmcore::open(vec![file]).ok()?;
        let truncated = dump.header().truncated;
        let info = Vmcoreinfo::parse(dump.header().vmcoreinfo.as_deref()?);
        let maps = LinearMaps {
            phys_base: Some(info.number("phys_base")? as u64),
            image_size: 1 << 30,
            direct_map: None,
        };
        let tables = PageTables {
            root: maps.image(info.symbol("swapper_pg_dir")?)?,
            levels: match info.number("pgtable_l5_enabled") {
                Some(1) => Levels::Five,
                _ => Levels::Four,
            },
            sme_mask: 0,
        };
        let space = AddressSpace::new(Arc::new(dump), Translation::X86_64(tables), maps);
        Some(Machine {
            name: path.file_name()?.to_string_lossy().into_owned(),
            truth,
            truncated,
            info,
            memory: KernelMemory::new(Arc::new(space), Abi::LE64),
        })
    }

    /// Every dump of the folder, opened once: some must be unwrapped first.
    fn all() -> &'static [Machine] {
        static ALL: LazyLock<Vec<Machine>> = LazyLock::new(Machine::open_all);
        &ALL
    }

    fn open_all() -> Vec<Machine> {
        let Some(folder) = support::shared_folder() else {
            return Vec::new();
        };
        let mut machines = Vec::new();
        for entry in std::fs::read_dir(folder.join("vmcores")).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let Some((stem, _)) = name.split_once(".vmcore") else {
                continue;
            };
            let truth = path.with_file_name(format!("{}.truth.json", stem.trim_end_matches(".trunc")));
            let Ok(truth) = std::fs::read(truth) else { continue };
            let truth: Value = serde_json::from_slice(&truth).unwrap();
            machines.extend(Machine::open(&path, truth["truth"].clone()));
        }
        machines
    }

    /// `blind`: as if VMCOREINFO told nothing of kallsyms.
    fn symbols(&self, blind: bool) -> Symbols {
        let symbol = |name: &str| {
            self.info
                .symbol(name)
                .filter(|_| !(blind && name.starts_with("kallsyms_")))
        };
        let hints = Hints {
            vmcoreinfo: &symbol,
            image: None,
        };
        Symbols::open(&self.memory, hints).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn types(&self, symbols: &Symbols) -> KernelTypes {
        let types = KernelTypes::open(&self.memory, symbols);
        assert_eq!(types.source(), Some(Source::Btf), "{}", self.name);
        types
    }

    fn assert_frames(&self, symbols: &Symbols) {
        for frame in self.truth["frames"].as_array().unwrap() {
            let module = frame["module"].as_str();
            if self.truncated && module.is_some() {
                continue;
            }
            let address: VirtAddr = frame["addr"].as_str().unwrap().parse().unwrap();
            let found = symbols
                .by_address(address)
                .unwrap_or_else(|| panic!("{} {address}", self.name));
            let place = (Some(&*found.name), Some(found.offset), found.module.as_deref());
            let truth = (frame["symbol"].as_str(), frame["offset"].as_u64(), module);
            assert_eq!(place, truth, "{} {address}", self.name);
            assert!(found.size > found.offset);
            assert!(symbols.is_text(address), "{} {address}", self.name);
        }
    }

    fn assert_modules(&self, symbols: &Symbols) {
        if self.truncated {
            assert!(!symbols.modules().complete);
            return;
        }
        assert!(
            symbols.modules().complete,
            "{}: {:?}",
            self.name,
            symbols.modules().remark
        );
        let modules = symbols.modules().list.iter();
        let mut found: Vec<_> = modules
            .map(|module| (module.name.to_string(), module.base, module.size))
            .collect();
        let truth = self.truth["modules"].as_array().unwrap().iter();
        let mut truth: Vec<_> = truth
            .map(|module| {
                let base: VirtAddr = module["base"].as_str().unwrap().parse().unwrap();
                let name = module["name"].as_str().unwrap().to_owned();
                (name, base, module["size"].as_u64().unwrap())
            })
            .collect();
        found.sort();
        truth.sort();
        assert_eq!(found, truth, "{}", self.name);
    }
}

#[test]
fn frames_and_modules_are_as_crash_has_them() {
    for machine in Machine::all() {
        for blind in [false, true] {
            let mut symbols = machine.symbols(blind);
            let types = machine.types(&symbols);
            symbols.find_modules(&types);
            machine.assert_frames(&symbols);
            machine.assert_modules(&symbols);
        }
    }
}

#[test]
fn modules_are_found_without_types() {
    for machine in Machine::all() {
        let mut symbols = machine.symbols(false);
        // From 6.4 on a module's memory is in several pieces: that layout takes types.
        if machine.types(&symbols).member("module", "mem").is_some() {
            continue;
        }
        symbols.find_modules(&KernelTypes::default());
        machine.assert_frames(&symbols);
        machine.assert_modules(&symbols);
    }
}

#[test]
fn types_lead_to_the_panicking_task() {
    for machine in Machine::all() {
        let symbols = machine.symbols(false);
        let types = machine.types(&symbols);
        let banner = symbols.by_name("linux_banner").unwrap();
        assert!(
            machine
                .memory
                .c_string(banner, 64)
                .unwrap()
                .starts_with(b"Linux version ")
        );
        let task = &machine.truth["panic_task"];
        let cpu = task["cpu"].as_u64().unwrap() as u32;
        let Some(current) = symbols.current_task(cpu) else {
            assert!(machine.truncated, "{}", machine.name);
            continue;
        };
        assert_eq!(
            Some(current.to_string()),
            task["task"].as_str().map(|task| format!("0x{task}"))
        );
        let comm = types.member("task_struct", "comm").unwrap();
        let found = machine
            .memory
            .c_string(current.checked_add(comm.offset).unwrap(), comm.size as usize);
        match found {
            Ok(found) => assert_eq!(Some(&*String::from_utf8_lossy(&found)), task["comm"].as_str()),
            Err(error) => assert!(machine.truncated, "{}: {error}", machine.name),
        }
        assert_eq!(symbols.per_cpu("runqueues", 1 << 20), None);
    }
}

#[test]
fn a_module_has_types_of_its_own() {
    for machine in Machine::all() {
        let mut symbols = machine.symbols(false);
        let types = machine.types(&symbols);
        symbols.find_modules(&types);
        let has_them = symbols.by_name("btf_modules").is_some() && !machine.truncated;
        let of_module = types.of_module(&machine.memory, &symbols, "loop");
        assert_eq!(of_module.is_some(), has_them, "{}", machine.name);
        if let Some(of_module) = of_module {
            assert!(of_module.member("loop_device", "lo_queue").is_some());
            assert_eq!(
                of_module.offset_of("task_struct", "comm"),
                types.offset_of("task_struct", "comm")
            );
            assert_eq!(types.size_of("loop_device"), None);
        }
    }
}
