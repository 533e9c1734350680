//! Stacks of the real dumps in the shared test data folder, held against what `crash` and drgn said of them.
//!
//! The folder is `$VMCORONER_SHARED`, else `../shared`; without it these tests say so and pass.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use serde_json::Value;
use vmcoroner::addr::VirtAddr;
use vmcoroner::dump::{Header, Vmcore};
use vmcoroner::input::{self, Content};
use vmcoroner::kernel::Kernel;
use vmcoroner::kernel::stack::unwind::{End, Walk};
use vmcoroner::kernel::stack::{Hint, Stacks};
use vmcoroner::kernel::symbols::{Hints, Symbols};
use vmcoroner::kernel::types::KernelTypes;

struct Machine {
    name: String,
    truth: Value,
    /// What `crash` printed.
    session: String,
    header: Header,
    kernel: Kernel,
    symbols: Symbols,
    types: KernelTypes,
}

impl Machine {
    /// Every dump, opened once.
    fn all() -> &'static [Machine] {
        static ALL: LazyLock<Vec<Machine>> = LazyLock::new(|| {
            let folder = support::shared_folder().map(|folder| folder.join("vmcores"));
            folder.map_or_else(Vec::new, |folder| in_folder(&folder))
        });
        &ALL
    }

    fn open(path: &Path) -> Option<Machine> {
        let name = path.file_name()?.to_string_lossy().into_owned();
        let (stem, _) = name.split_once(".vmcore")?;
        let stem = stem.trim_end_matches(".trunc");
        let beside = |end: &str| std::fs::read_to_string(path.with_file_name(format!("{stem}.{end}"))).ok();
        let truth: Value = serde_json::from_str(&beside("truth.json")?).ok()?;
        let Content::Dump(file) = input::open(path).ok()?.content else {
            return None;
        };
        let dump = Vmcore::open(vec![file]).ok()?;
        let header = dump.header().clone();
        let kernel = Kernel::open(Arc::new(dump), &header).ok()?;
        let hints = Hints {
            vmcoreinfo: &|name| kernel.vmcoreinfo().symbol(name),
            image: kernel.image_start(),
        };
        let mut symbols = Symbols::open(kernel.memory(), hints).ok()?;
        let types = KernelTypes::open(kernel.memory(), &symbols);
        symbols.find_modules(&types);
        Some(Machine {
            truth: truth["truth"].clone(),
            session: beside("crash.txt").unwrap_or_default(),
            name,
            header,
            kernel,
            symbols,
            types,
        })
    }

    fn stacks(&self) -> Stacks<'_> {
        Stacks::new(self.kernel.memory(), &self.symbols, &self.types, &self.header)
    }

    fn truncated(&self) -> bool {
        self.header.truncated
    }

    /// The stacks that `crash` printed for a command: return addresses by task, innermost first.
    fn printed(&self, command: &str) -> BTreeMap<VirtAddr, Vec<VirtAddr>> {
        let mut stacks = BTreeMap::new();
        let mut task = None;
        let mut wanted = false;
        for line in self.session.lines() {
            if let Some(typed) = line.strip_prefix("crash> ") {
                wanted = typed == command;
            }
            let word = |behind: &str| line.split_once(behind)?.1.split_whitespace().next()?.parse().ok();
            if !wanted {
            } else if line.starts_with("PID:") {
                task = word("TASK: ");
                stacks.extend(task.map(|task| (task, Vec::new())));
            } else if line.trim_start().starts_with('#')
                && let Some(stack) = task.and_then(|task| stacks.get_mut(&task))
            {
                stack.extend(word(" at "));
            }
        }
        stacks
    }
}

fn in_folder(folder: &Path) -> Vec<Machine> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    paths.iter().filter_map(|path| Machine::open(path)).collect()
}

/// How many of `wanted` stand in `found` in this order.
fn in_order<T: PartialEq>(wanted: &[T], found: &[T]) -> usize {
    let mut rest = found.iter();
    wanted
        .iter()
        .filter(|one| {
            let here = rest.clone();
            let hit = rest.any(|other| other == *one);
            if !hit {
                rest = here;
            }
            hit
        })
        .count()
}

fn addresses(walk: &Walk) -> Vec<VirtAddr> {
    walk.frames.iter().map(|frame| frame.address).collect()
}

#[test]
fn the_panic_tasks_frames_agree_with_crash() {
    let (mut right, mut all) = (0, 0);
    for machine in Machine::all() {
        let stacks = machine.stacks();
        let panic = stacks.panic(Hint::default());
        let stack = panic.stack.unwrap_or_else(|| panic!("{}: no panic CPU", machine.name));
        let walk = stack.walk.unwrap_or_else(|| panic!("{}: no stack", machine.name));
        let wanted: Vec<_> = machine.truth["frames"]
            .as_array()
            .unwrap()
            .iter()
            // A truncated dump lacks the modules' memory, and so their names.
            .filter(|frame| !(machine.truncated() && frame["module"].is_string()))
            .map(|frame| (frame["symbol"].as_str().map(str::to_owned), frame["offset"].as_u64()))
            .collect();
        let found: Vec<_> = walk
            .frames
            .iter()
            .filter_map(|frame| stacks.place(frame))
            .map(|place| (Some(place.name), Some(place.offset)))
            .collect();
        let agreed = in_order(&wanted, &found);
        if agreed < wanted.len() {
            eprintln!("{}: {agreed} of {}: {found:?}", machine.name, wanted.len());
        }
        right += agreed;
        all += wanted.len();
        assert_eq!(
            walk.complete(),
            !machine.truncated(),
            "{}: {:?}",
            machine.name,
            walk.end
        );
        let task = stack.task.and_then(|task| Some((task.address, task.pid?, task.comm?)));
        let truth = &machine.truth["panic_task"];
        if !machine.truncated() {
            let (address, pid, comm) = task.unwrap_or_else(|| panic!("{}: no task", machine.name));
            assert_eq!(Some(address), truth["task"].as_str().map(|task| task.parse().unwrap()));
            assert_eq!(Some(i64::from(pid)), truth["pid"].as_i64(), "{}", machine.name);
            assert_eq!(Some(&*comm), truth["comm"].as_str(), "{}", machine.name);
            assert_eq!(panic.remarks, [] as [String; 0], "{}", machine.name);
        }
        assert_eq!(Some(u64::from(stack.cpu)), truth["cpu"].as_u64(), "{}", machine.name);
    }
    eprintln!("{right} of {all} frames agree");
    assert!(right * 100 >= all * 98, "{right} of {all}");
}

#[test]
fn the_faulting_registers_are_those_of_the_fault() {
    for machine in Machine::all() {
        let panic = machine.stacks().panic(Hint::default());
        let walk = panic.stack.and_then(|stack| stack.walk).unwrap();
        let saved = walk.interrupted().and_then(|frame| frame.saved.clone());
        let found: BTreeMap<_, _> = saved.iter().flat_map(|saved| saved.iter()).collect();
        let Some(wanted) = machine.truth["exception"]["regs"].as_object() else {
            assert_eq!(found.len(), 0, "{}: {found:x?}", machine.name);
            continue;
        };
        for (name, value) in wanted {
            let value: VirtAddr = value.as_str().unwrap().parse().unwrap();
            let name = name.to_lowercase();
            assert_eq!(found.get(&*name), Some(&value), "{}: {name}", machine.name);
        }
    }
}

#[test]
fn user_registers_are_kept_apart() {
    for machine in Machine::all() {
        let panic = machine.stacks().panic(Hint::default());
        let walk = panic.stack.and_then(|stack| stack.walk).unwrap();
        let blocks = machine.truth["register_blocks"].as_array().unwrap();
        let user = blocks.iter().find(|block| block["regs"]["CS"] == "0033");
        let rip = |block: &Value| block["regs"]["RIP"].as_str().unwrap().parse().unwrap();
        match (&walk.end, user) {
            (End::User(saved), Some(block)) => assert_eq!(VirtAddr(saved.rip()), rip(block), "{}", machine.name),
            (End::Bottom | End::Broken(_), None) => {}
            (End::Broken(_), _) if machine.truncated() => {}
            (end, user) => panic!("{}: {end:?}, but {user:?}", machine.name),
        }
    }
}

#[test]
fn every_cpus_stack_agrees_with_crash() {
    let (mut right, mut all) = (0, 0);
    for machine in Machine::all().iter().filter(|machine| !machine.truncated()) {
        let printed = machine.printed("bt -a");
        let cpus = machine.stacks().all_cpus();
        assert_eq!(
            Some(cpus.len() as u64),
            machine.truth["cpus"].as_u64(),
            "{}",
            machine.name
        );
        for cpu in cpus {
            let task = cpu
                .task
                .unwrap_or_else(|| panic!("{}: no task on CPU {}", machine.name, cpu.cpu));
            let wanted = &printed[&task.address];
            let walk = cpu
                .walk
                .unwrap_or_else(|| panic!("{}: no stack of CPU {}", machine.name, cpu.cpu));
            let agreed = in_order(wanted, &addresses(&walk));
            if agreed < wanted.len() {
                eprintln!(
                    "{} CPU {}: {agreed} of {}: {:?}",
                    machine.name,
                    cpu.cpu,
                    wanted.len(),
                    addresses(&walk)
                );
            }
            right += agreed;
            all += wanted.len();
            assert!(walk.complete(), "{} CPU {}: {:?}", machine.name, cpu.cpu, walk.end);
        }
    }
    eprintln!("{right} of {all} frames of all CPUs agree");
    assert!(right * 100 >= all * 98, "{right} of {all}");
}

#[test]
fn the_blocked_tasks_are_those_that_crash_lists() {
    for machine in Machine::all().iter().filter(|machine| !machine.truncated()) {
        let printed = machine.printed("foreach UN bt");
        let stacks = machine.stacks();
        let blocked = stacks.blocked_tasks(usize::MAX);
        assert_eq!((blocked.broken, blocked.more), (None, 0), "{}", machine.name);
        let panicked = stacks.panic(Hint::default()).stack.and_then(|stack| stack.task);
        // crash counts a task that panicked on its way to sleep.
        let wanted = printed
            .iter()
            .filter(|(task, _)| panicked.as_ref().is_none_or(|panicked| panicked.address != **task));
        let wanted: Vec<_> = wanted.collect();
        assert_eq!(blocked.tasks.len(), wanted.len(), "{}", machine.name);
        for (task, frames) in wanted {
            let found = blocked.tasks.iter().find(|found| found.task.address == *task).unwrap();
            assert_eq!(addresses(&found.walk), *frames, "{} {task}", machine.name);
            assert!(found.walk.complete());
        }
    }
}
