//! Members of the objects in the real dumps of the shared test data folder, against what `crash` and drgn said of them.
//!
//! The folder is `$VMCORONER_SHARED`, else `../shared`; without it these tests say so and pass. `$VMCORONER_MORE_DUMPS`
//! may name further ones.

mod support;

use std::collections::BTreeSet;

use support::opened::{Opened, is_cut_off};
use vmcoroner::addr::VirtAddr;
use vmcoroner::crash::Probe;
use vmcoroner::extract::probe::MemoryProbe;
use vmcoroner::kernel::read::{ProbeError, Reader, Readings, Value};

struct Case(Opened);

impl Case {
    fn reader(&self) -> Reader<'_> {
        Reader::new(self.0.kernel.memory(), &self.0.symbols, &self.0.types)
    }

    fn current(&self) -> VirtAddr {
        self.0.truth["truth"]["panic_task"]["task"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// What the expression reads; `None` when the file ends before it.
    fn try_read(&self, expression: &str) -> Option<Readings> {
        let current = self.current();
        let names = |name: &str| (name == "current").then_some(current);
        match self.reader().read(&expression.parse().unwrap(), &names) {
            Ok(readings) => Some(readings),
            Err(ProbeError::Memory { source, .. }) if self.0.header.truncated && is_cut_off(&source) => None,
            Err(error) => panic!("{}: {expression}: {error}", self.0.name),
        }
    }

    fn one(&self, expression: &str) -> Option<Value> {
        Some(self.try_read(expression)?.values[0].value.clone())
    }
}

fn cases() -> Vec<Case> {
    Opened::all().into_iter().map(Case).collect()
}

#[test]
fn the_task_that_panicked_is_read_by_its_members() {
    for case in cases() {
        let truth = &case.0.truth["truth"]["panic_task"];
        if let Some(comm) = case.one("current.comm") {
            assert_eq!(
                comm,
                Value::Text(truth["comm"].as_str().unwrap().to_owned()),
                "{}",
                case.0.name
            );
        }
        if let Some(pid) = case.one("task_struct@current.pid") {
            assert_eq!(pid, Value::Signed(truth["pid"].as_i64().unwrap()), "{}", case.0.name);
        }
        // Through a pointer and back.
        if let Some(Value::Pointer { type_name, .. }) = case.one("current.group_leader.signal.curr_target") {
            assert_eq!(type_name.as_deref(), Some("task_struct"), "{}", case.0.name);
        }
        let init = case.one("task_struct@init_task.comm");
        assert_eq!(init, Some(Value::Text("swapper/0".to_owned())), "{}", case.0.name);
    }
}

#[test]
fn lists_are_walked_as_far_as_the_dump_has_them() {
    for case in cases() {
        let truth = &case.0.truth["truth"];
        let Some(modules) = case.try_read("module.list*@modules.name") else {
            continue;
        };
        let texts = |readings: &Readings| -> BTreeSet<String> {
            let texts = readings.values.iter().filter_map(|reading| match &reading.value {
                Value::Text(text) => Some(text.clone()),
                _ => None,
            });
            texts.collect()
        };
        let expected: BTreeSet<String> = truth["modules"]
            .as_array()
            .unwrap()
            .iter()
            .map(|module| module["name"].as_str().unwrap().to_owned())
            .collect();
        if case.0.header.truncated {
            assert!(
                modules.broken.is_some() || texts(&modules) == expected,
                "{}",
                case.0.name
            );
        } else {
            assert_eq!((texts(&modules), modules.broken), (expected, None), "{}", case.0.name);
        }
        let Some(tasks) = case.try_read("task_struct.tasks*@(task_struct@init_task.tasks).comm") else {
            continue;
        };
        let named = texts(&tasks);
        let known = truth["task_list"].as_array().unwrap().iter();
        let known: BTreeSet<String> = known.map(|task| task["comm"].as_str().unwrap().to_owned()).collect();
        if tasks.broken.is_none() && !case.0.header.truncated {
            assert!(named.len() > 20, "{}: {named:?}", case.0.name);
            let strangers: Vec<&String> = named.difference(&known).collect();
            assert!(
                known.len() < named.len() || strangers.is_empty(),
                "{}: {strangers:?}",
                case.0.name
            );
        }
    }
}

#[test]
fn slab_caches_know_their_objects() {
    for case in cases() {
        let reader = case.reader();
        let is = |at: VirtAddr, name: &str| reader.points_to(at, name);
        let cut = |answer: Result<bool, ProbeError>| match answer {
            Ok(answer) => Some(answer),
            Err(ProbeError::Memory { .. } | ProbeError::BrokenList { .. } | ProbeError::NoLayout(_))
                if case.0.header.truncated =>
            {
                None
            }
            // Pages that a makedumpfile older than the kernel left out.
            Err(ProbeError::Memory { .. } | ProbeError::BrokenList { .. })
                if case.0.truth["truth"]["drgn"]["tasks_error"].is_string() =>
            {
                None
            }
            Err(error) => panic!("{}: {error}", case.0.name),
        };
        let name = &case.0.name;
        let init_task = case.0.symbols.by_name("init_task").unwrap();
        assert_ne!(cut(is(init_task, "task_struct")), Some(true), "{name}");
        let current = case.current();
        assert_ne!(cut(is(current, "mm_struct")), Some(true), "{name}");
        // The first CPU's idle task is no slab object.
        if current != init_task {
            assert_ne!(cut(is(current, "task_struct")), Some(false), "{name}");
        }
    }
}

#[test]
fn a_rules_question_is_answered_from_memory() {
    for case in cases().iter().filter(|case| case.0.truth["made"]["kind"] == "anonvma") {
        let registers = &case.0.truth["truth"]["exception"]["regs"];
        let register = |name: &str| -> VirtAddr { registers[name].as_str().unwrap().parse().unwrap() };
        let probe = MemoryProbe(case.reader());
        // The page's mapping is the anon_vma with bit 0 set; one of both registers has it, by compiler. Its root is
        // NULL, so that the lock is taken 8 bytes behind NULL.
        let with_bit = ["RBX", "RBP", "R12"]
            .map(register)
            .into_iter()
            .find(|value| value.0 & 1 == 1);
        let anon_vma = VirtAddr(with_bit.unwrap().0 - 1);
        assert_eq!(probe.member(anon_vma, "anon_vma", "root"), Ok(0), "{}", case.0.name);
        let no_answer = probe.member(anon_vma, "anon_vma", "no_such").unwrap_err();
        assert!(no_answer.to_string().contains("anon_vma.no_such"), "{no_answer}");
    }
}
