//! The crash texts in the messages of fix commits.

use std::path::Path;

use serde::Deserialize;
use vmcoroner::crash::PanicKind::{self, *};
use vmcoroner::crash::machinery::is_machinery;

use super::cases;
use super::field::frames_of;
use super::figures::{Figure, Table};

#[derive(Deserialize)]
struct Entry {
    id: String,
    symptoms: Symptoms,
    oops_file: Option<String>,
}

#[derive(Deserialize)]
struct Symptoms {
    kind: String,
    panic: Option<String>,
    rip_symbol: Option<String>,
    rip_offset: Option<String>,
    rip_from: Option<String>,
    #[serde(default)]
    frames: Vec<String>,
}

pub fn score(table: &mut Table, folder: &Path, file: &str) {
    let text = std::fs::read_to_string(folder.join(file)).unwrap();
    let entries: Vec<Entry> = serde_yaml::from_str(&text).unwrap();
    for entry in &entries {
        let Some(file) = &entry.oops_file else { continue };
        let report = cases::read(&folder.join(file));
        let symptoms = &entry.symptoms;
        let panic = report.panic.as_ref();
        if let Some(expected) = kinds(&symptoms.kind) {
            let hit = panic.is_some_and(|panic| expected.contains(&panic.kind));
            table.count(Figure::UpstreamKind, &entry.id, hit, || {
                (
                    panic.map_or("none", |panic| panic.kind.word()).to_owned(),
                    format!("{} {:?}", symptoms.kind, symptoms.panic),
                )
            });
        }
        if let (Some(symbol), Some(offset)) = (&symptoms.rip_symbol, &symptoms.rip_offset) {
            let of_header = symptoms.rip_from.as_deref() == Some("header");
            let fault = report.fault.as_ref();
            let at_fault = fault.is_some_and(|fault| {
                fault.symbol.as_ref() == Some(symbol) && fault.offset == u64::from_str_radix(&offset[2..], 16).ok()
            });
            let in_header = of_header
                && panic
                    .and_then(|panic| panic.function.as_deref())
                    .is_some_and(|function| function == symbol);
            table.count(Figure::UpstreamRip, &entry.id, at_fault || in_header, || {
                (
                    format!(
                        "{:?} {:?}",
                        fault.map(|fault| (&fault.symbol, fault.offset)),
                        panic.map(|panic| &panic.function)
                    ),
                    format!("{:?} {symbol}+{offset}", symptoms.rip_from),
                )
            });
        }
        if !symptoms.frames.is_empty() {
            let sure = |inlined: bool| -> Vec<&str> {
                frames_of(&report)
                    .iter()
                    .filter(|frame| frame.reliable && !frame.machinery && (inlined || !frame.inlined))
                    .filter_map(|frame| frame.symbol.as_deref())
                    .collect()
            };
            // The collection has inlined frames where they tell something, and little of the entry code.
            let named = symptoms.frames.iter().map(String::as_str);
            let expected: Vec<&str> = named.filter(|name| !is_machinery(name)).collect();
            let found = sure(true);
            let holds = |found: &[&str]| found.windows(expected.len().max(1)).any(|window| window == expected);
            let hit = expected.is_empty() || holds(&found) || holds(&sure(false));
            table.count(Figure::UpstreamFrames, &entry.id, hit, || {
                parting(&sure(false), &expected)
            });
        }
    }
}

/// Where two lists of frames part, from the first expected one on: ours and theirs.
fn parting(found: &[&str], expected: &[&str]) -> (String, String) {
    let start = found.iter().position(|name| Some(name) == expected.first());
    let Some(start) = start else {
        return (format!("begins with {:?}", found.first()), format!("{expected:?}"));
    };
    let own = found.get(start..).unwrap_or_default();
    let same = own
        .iter()
        .zip(expected)
        .take_while(|(ours, theirs)| ours == theirs)
        .count();
    let say = |list: &[&str]| list.get(same).map_or("end".to_owned(), |name| (*name).to_owned());
    (format!("{same}: {}", say(own)), say(expected))
}

/// The kinds that fit a word of the collection.
fn kinds(word: &str) -> Option<&'static [PanicKind]> {
    Some(match word {
        "null_deref" | "kasan_null" => &[NullPointerDereference],
        "null_call" => &[NullPointerDereference, BadPageFault, NxExecute],
        "kasan_uaf" => &[UseAfterFree],
        "kasan_oob" => &[OutOfBounds],
        "bug_on" => &[Bug],
        "warning" => &[Warning],
        "paging_request" => &[BadPageFault, NxExecute],
        "gpf" => &[GeneralProtection],
        "list_corruption" => &[ListCorruption],
        "hung_task" => &[HungTask],
        "divide_error" => &[DivideError],
        "softlockup" => &[SoftLockup],
        "hardlockup" => &[HardLockup],
        "rcu_stall" => &[RcuStall],
        "kmsan" => &[UninitialisedValue, UseAfterFree],
        "kcsan" => &[DataRace],
        "refcount" => &[Refcount],
        "machine_check" => &[MachineCheck],
        "invalid_opcode" => &[InvalidOpcode],
        "atomic_sleep" => &[SchedulingWhileAtomic, LockMisuse],
        "stack_corruption" => &[StackOverflow],
        _ => return None,
    })
}
