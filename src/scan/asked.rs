//! What rules asked a dump's memory, and what it answered: kept, so that rules can be asked again without the dump.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};

use crate::addr::VirtAddr;
use crate::crash::{NoAnswer, Probe};

/// One question and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Of what place in memory.
    pub at: VirtAddr,
    /// The type, or for `points_to` the name of a type or slab cache.
    pub of: String,
    /// The member; absent for `points_to`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The number (0 and 1 for no and yes), or why there is none.
    pub answer: Result<u64, String>,
}

impl Asked {
    fn is(&self, at: VirtAddr, of: &str, field: Option<&str>) -> bool {
        self.at == at && self.of == of && self.field.as_deref() == field
    }
}

/// Asks the dump, or those who asked it before, and keeps what was said.
pub struct Recorder<'a> {
    memory: Option<&'a dyn Probe>,
    said: RefCell<Vec<Asked>>,
}

impl<'a> Recorder<'a> {
    /// Asks `memory`.
    pub fn new(memory: Option<&'a dyn Probe>) -> Self {
        Recorder {
            memory,
            said: RefCell::new(Vec::new()),
        }
    }

    /// Asks nobody but the answers that are known.
    pub fn replay(said: Vec<Asked>) -> Self {
        Recorder {
            memory: None,
            said: RefCell::new(said),
        }
    }

    /// Everything that was asked.
    pub fn into_asked(self) -> Vec<Asked> {
        self.said.into_inner()
    }

    fn ask(
        &self,
        at: VirtAddr,
        of: &str,
        field: Option<&str>,
        ask: impl FnOnce(&dyn Probe) -> Result<u64, NoAnswer>,
    ) -> Result<u64, NoAnswer> {
        if let Some(known) = self.said.borrow().iter().find(|asked| asked.is(at, of, field)) {
            return known.answer.clone().map_err(|why| NoAnswer { why });
        }
        let Some(memory) = self.memory else {
            let why = "the dump is not open, and nobody asked it this when it was: scan it again".to_owned();
            return Err(NoAnswer { why });
        };
        let answer = ask(memory);
        self.said.borrow_mut().push(Asked {
            at,
            of: of.to_owned(),
            field: field.map(str::to_owned),
            answer: answer.clone().map_err(|no| no.why),
        });
        answer
    }
}

impl Probe for Recorder<'_> {
    fn member(&self, at: VirtAddr, type_name: &str, field: &str) -> Result<u64, NoAnswer> {
        self.ask(at, type_name, Some(field), |memory| memory.member(at, type_name, field))
    }

    fn points_to(&self, at: VirtAddr, name: &str) -> Result<bool, NoAnswer> {
        let ask = |memory: &dyn Probe| memory.points_to(at, name).map(u64::from);
        Ok(self.ask(at, name, None, ask)? != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Memory;

    impl Probe for Memory {
        fn member(&self, at: VirtAddr, _: &str, _: &str) -> Result<u64, NoAnswer> {
            if at.0 == 0 {
                return Err(NoAnswer {
                    why: "no memory".to_owned(),
                });
            }
            Ok(at.0 + 1)
        }

        fn points_to(&self, at: VirtAddr, _: &str) -> Result<bool, NoAnswer> {
            Ok(at.0 == 8)
        }
    }

    #[test]
    fn answers_are_the_same_without_the_dump() {
        let live = Recorder::new(Some(&Memory));
        let ask = |probe: &dyn Probe| {
            (
                probe.member(VirtAddr(8), "page", "flags"),
                probe.member(VirtAddr(0), "page", "flags"),
                probe.points_to(VirtAddr(8), "anon_vma"),
                probe.points_to(VirtAddr(9), "anon_vma"),
            )
        };
        let first = ask(&live);
        let asked = live.into_asked();
        let json = serde_json::to_string(&asked).unwrap();
        let replay = Recorder::replay(serde_json::from_str(&json).unwrap());
        assert_eq!(ask(&replay), first);
        assert!(
            replay
                .member(VirtAddr(8), "page", "mapping")
                .unwrap_err()
                .why
                .contains("scan it again")
        );
        assert_eq!(replay.into_asked(), asked);
    }
}
