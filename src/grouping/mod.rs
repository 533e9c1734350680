//! How alike crashes are, and groups of them.
//!
//! It sees reports only through [`Profile`]s, and must not know where they came from. A group is first all crashes of
//! one signature id; then groups join whose stacks are alike by [`similarity`].

mod similarity;

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

use serde::Serialize;

use crate::crash::{CrashReport, PanicKind, signature};

use similarity::at_most;
pub use similarity::{ALIKE, Step, align, similarity};

/// How many names of a stack count.
const DEPTH: usize = 20;

/// What is compared of a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The signature's id.
    pub id: String,
    /// The signature's title.
    pub title: String,
    /// The class of failure.
    pub kind: PanicKind,
    /// The normalised names from the blamed function outwards, without plumbing and entry code.
    pub stack: Vec<String>,
}

impl Profile {
    /// The profile of a report's crash; `None` when it holds none.
    pub fn of(report: &CrashReport) -> Option<Self> {
        let signature = signature::of(report)?;
        Some(Profile {
            id: signature.id,
            title: signature.title,
            kind: report.panic.as_ref()?.kind,
            stack: signature::stack(report, DEPTH),
        })
    }

    /// How alike two crashes are, 0 to 1.
    pub fn likeness(&self, other: &Profile) -> f64 {
        similarity(&self.stack, &other.stack) * kinds(self.kind, other.kind)
    }
}

/// How alike two classes of failure are: one bug may show as any of a family, seldom as anything else.
fn kinds(one: PanicKind, other: PanicKind) -> f64 {
    if one == other {
        1.0
    } else if family(one).is_some() && family(one) == family(other) {
        0.9
    } else {
        0.5
    }
}

/// The families: an access to memory that is not the caller's, and something that does not come to its end.
fn family(kind: PanicKind) -> Option<u8> {
    match kind {
        PanicKind::NullPointerDereference
        | PanicKind::BadPageFault
        | PanicKind::GeneralProtection
        | PanicKind::UseAfterFree
        | PanicKind::OutOfBounds
        | PanicKind::ListCorruption
        | PanicKind::NxExecute
        | PanicKind::Refcount => Some(0),
        PanicKind::SoftLockup
        | PanicKind::HardLockup
        | PanicKind::RcuStall
        | PanicKind::HungTask
        | PanicKind::WorkqueueLockup
        | PanicKind::Deadlock => Some(1),
        _ => None,
    }
}

/// A crash's place in a group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Member {
    /// Its number among the crashes given.
    pub crash: usize,
    /// How alike it is to the group's first; 1 for one of the same signature.
    pub similarity: f64,
}

/// Crashes that are probably of one bug.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// The members, in the order given; the first stands for the group.
    pub members: Vec<Member>,
}

/// Puts crashes into groups: the largest first, among equals the one whose first member came first. Crashes whose
/// likeness to a group's first is at least `alike` join it.
///
/// Time and memory grow linearly with the number of crashes: a signature is looked at once, and held against at most a
/// fixed number of others, those that share one of its innermost names; most of these by one look at the names that
/// both have.
pub fn group(crashes: &[Profile], alike: f64) -> Vec<Group> {
    let mut by_id: HashMap<&str, usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    let mut known = Known::default();
    for (number, crash) in crashes.iter().enumerate() {
        let mut stack = None;
        let group = match by_id.get(crash.id.as_str()) {
            Some(group) => *group,
            None => {
                let stack = stack.insert(Stack::of(crash));
                let near = known.nearest(stack, alike);
                let group = near.unwrap_or(groups.len());
                by_id.insert(&crash.id, group);
                if near.is_none() {
                    groups.push(Group { members: Vec::new() });
                    known.add(stack.clone());
                }
                group
            }
        };
        if let (Some(of), Some(first)) = (groups.get_mut(group), known.firsts.get(group)) {
            let leader = of.members.first().and_then(|first| crashes.get(first.crash));
            let similarity = match leader {
                Some(leader) if leader.id != crash.id => first.likeness(stack.get_or_insert_with(|| Stack::of(crash))),
                _ => 1.0,
            };
            of.members.push(Member {
                crash: number,
                similarity,
            });
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.members.len()));
    groups
}

/// How many of a stack's innermost names a near one must share one of.
const KEYS: usize = 3;

/// With how many groups of each name a new signature is compared.
const CANDIDATES: usize = 64;

/// A crash's stack with a number for each name: equal names are found equal at once.
#[derive(Clone)]
struct Stack {
    kind: PanicKind,
    names: Vec<u64>,
    /// A bit for each name, which others may share.
    bits: u128,
}

impl Stack {
    fn of(crash: &Profile) -> Self {
        let names: Vec<u64> = crash.stack.iter().map(|name| number(name)).collect();
        Stack {
            kind: crash.kind,
            bits: names.iter().fold(0, |bits, name| bits | bit(*name)),
            names,
        }
    }

    fn likeness(&self, other: &Stack) -> f64 {
        similarity(&self.names, &other.names) * kinds(self.kind, other.kind)
    }

    /// What the likeness cannot exceed.
    fn likeness_at_most(&self, other: &Stack) -> f64 {
        let length = self.names.len().min(other.names.len());
        at_most(&self.names, length, |name| other.bits & bit(*name) != 0) * kinds(self.kind, other.kind)
    }
}

/// A name's number: its hash, for a table of all names would cost more than all else. Among a million names two have
/// one number with a chance of one in 30 million, and are then taken for one name.
fn number(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

fn bit(number: u64) -> u128 {
    1 << (number % 128)
}

/// The groups that a new signature may join.
#[derive(Default)]
struct Known {
    /// The first of each, which the others are compared with.
    firsts: Vec<Stack>,
    /// Which of them have a name among their innermost; the earliest, which are the likeliest to be large.
    by_name: HashMap<u64, Vec<usize>>,
}

impl Known {
    fn add(&mut self, stack: Stack) {
        for name in stack.names.iter().take(KEYS) {
            let list = self.by_name.entry(*name).or_default();
            if list.len() < CANDIDATES {
                list.push(self.firsts.len());
            }
        }
        self.firsts.push(stack);
    }

    /// The group whose first is most alike, if one is alike enough.
    fn nearest(&self, stack: &Stack, alike: f64) -> Option<usize> {
        let mut best: Option<(usize, f64)> = None;
        for name in stack.names.iter().take(KEYS) {
            for &group in self.by_name.get(name).into_iter().flatten() {
                let Some(first) = self.firsts.get(group) else { continue };
                let least = best.map_or(alike, |(_, known)| known);
                if stack.likeness_at_most(first) < least {
                    continue;
                }
                let likeness = first.likeness(stack);
                if likeness >= alike && best.is_none_or(|(_, known)| likeness > known) {
                    best = Some((group, likeness));
                }
            }
        }
        best.map(|(group, _)| group)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(id: &str, kind: PanicKind, stack: &[&str]) -> Profile {
        Profile {
            id: id.to_owned(),
            title: id.to_owned(),
            kind,
            stack: stack.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn one_signature_is_one_group_and_near_stacks_join_it() {
        let deep = ["unmap_one", "unmap_anon", "unmap", "migrate", "compact", "reclaim"];
        let crashes = [
            crash("a", PanicKind::NullPointerDereference, &deep),
            crash("b", PanicKind::Bug, &["other", "thing", "entirely"]),
            crash("a", PanicKind::NullPointerDereference, &["unmap_one", "elsewhere"]),
            // One more frame inside, and another kind of bad access.
            crash(
                "c",
                PanicKind::GeneralProtection,
                &[
                    "lock_root",
                    "unmap_one",
                    "unmap_anon",
                    "unmap",
                    "migrate",
                    "compact",
                    "reclaim",
                ],
            ),
        ];
        let groups = group(&crashes, ALIKE);
        let members: Vec<Vec<usize>> = groups
            .iter()
            .map(|group| group.members.iter().map(|member| member.crash).collect())
            .collect();
        assert_eq!(members, [vec![0, 2, 3], vec![1]]);
        let near = &groups[0].members[2];
        assert!(near.similarity >= ALIKE && near.similarity < 1.0, "{near:?}");
    }

    #[test]
    fn the_cost_is_bounded_however_many_signatures_share_a_name() {
        let crashes: Vec<Profile> = (0..5_000)
            .map(|number| {
                let own = format!("own_{number}");
                let mut crash = crash(&own, PanicKind::Bug, &["shared"]);
                crash.stack.push(own);
                crash
            })
            .collect();
        let start = std::time::Instant::now();
        assert_eq!(group(&crashes, 0.99).len(), crashes.len());
        assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
    }

    #[test]
    fn crashes_without_a_stack_keep_to_their_id() {
        let crashes = [
            crash("a", PanicKind::Sysrq, &[]),
            crash("b", PanicKind::ExplicitPanic, &[]),
            crash("a", PanicKind::Sysrq, &[]),
        ];
        assert_eq!(group(&crashes, ALIKE).len(), 2);
    }
}
