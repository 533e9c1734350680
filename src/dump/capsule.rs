//! The private note of a capsule: what a cut-down dump says of the dump that it was made from.
//!
//! A capsule is an ordinary kdump-compressed file with one note more, of the name `VMCORONER`, type 1; its description
//! is [`CapsuleFacts`] as JSON. Other programs pass over it. Here it serves three ends: errors that the first dump gave
//! are given again in the same words, the symbol tables need not be searched for, and people can see what is inside.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::MemoryError;
use crate::addr::{PhysAddr, VirtAddr};

/// The note's name and type.
pub const NOTE_NAME: &str = "VMCORONER";
/// See [`NOTE_NAME`].
pub const NOTE_TYPE: u32 = 1;

/// What a capsule says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapsuleFacts {
    /// The form of this text: 1.
    pub capsule: u32,
    /// The version of the program that made it.
    pub made_by: String,
    /// The dump that it was made from.
    pub of: Original,
    /// Whether the kernel's log is in it.
    pub log_kept: bool,
    /// Pages by what they hold.
    pub pages: BTreeMap<String, u64>,
    /// Bytes of those pages that are kept; all others are zero.
    pub bytes_kept: u64,
    /// Where the kernel's tables lie, by the names that VMCOREINFO would have for them.
    pub symbols: BTreeMap<String, VirtAddr>,
    /// Pages that could not be read of the first dump, with the reason.
    pub lost: Vec<LostPage>,
}

/// A dump that a capsule was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    /// Its format.
    pub format: String,
    /// Bytes of its files.
    pub size: u64,
    /// Whether pages were filtered out.
    pub partial: Option<bool>,
    /// Whether it was cut short.
    pub truncated: bool,
    /// Its errors name the byte that was asked for (ELF), not the page.
    pub errors_name_bytes: bool,
}

/// A page that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostPage {
    /// Its first byte's address.
    pub page: u64,
    /// The address that the error named.
    pub at: u64,
    /// Why.
    pub why: Loss,
}

/// [`MemoryError`] without the address, where there is a place for the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// [`MemoryError::Truncated`].
    Truncated {
        /// Where in the first dump's file it would be, in bytes.
        offset: u64,
    },
    /// [`MemoryError::Damaged`].
    Damaged {
        /// Where in the first dump's file it is, in bytes.
        offset: u64,
        /// What the decoder said.
        why: String,
    },
    /// [`MemoryError::Io`].
    Io {
        /// Where in the first dump's file, in bytes.
        offset: u64,
        /// What the system said.
        why: String,
    },
}

impl LostPage {
    /// The page that `error` is about; `page_size` is a power of two. `None` for a page that the dump has no place for:
    /// bitmaps tell that.
    pub fn of(error: &MemoryError, asked: PhysAddr, page_size: u64) -> Option<LostPage> {
        let (at, why) = match error.clone() {
            MemoryError::NotPresent(_) | MemoryError::Excluded(_) => return None,
            MemoryError::Truncated { at, offset } => (at, Loss::Truncated { offset }),
            MemoryError::Damaged { at, offset, why } => (at, Loss::Damaged { offset, why }),
            MemoryError::Io { offset, why } => (asked, Loss::Io { offset, why }),
        };
        Some(LostPage {
            page: at.0 & !page_size.wrapping_sub(1),
            at: at.0,
            why,
        })
    }

    /// The error again, for a read at `asked` when errors name bytes.
    fn error(&self, asked: Option<PhysAddr>) -> MemoryError {
        let at = asked.unwrap_or(PhysAddr(self.at));
        let moved = at.0.wrapping_sub(self.at);
        match self.why.clone() {
            Loss::Truncated { offset } => MemoryError::Truncated {
                at,
                offset: offset.wrapping_add(moved),
            },
            Loss::Damaged { offset, why } => MemoryError::Damaged { at, offset, why },
            Loss::Io { offset, why } => MemoryError::Io { offset, why },
        }
    }
}

impl CapsuleFacts {
    /// Reads the note's description; `None` when it is not of this form.
    pub(super) fn parse(text: &[u8]) -> Option<CapsuleFacts> {
        let mut facts: CapsuleFacts = serde_json::from_slice(text).ok()?;
        facts.lost.sort_by_key(|lost| lost.page);
        (facts.capsule == 1).then_some(facts)
    }

    /// The error that the first dump gave for a read from `from` on, in place of the capsule's `own`.
    pub(super) fn error(&self, from: PhysAddr, page_size: u64, own: MemoryError) -> MemoryError {
        let (MemoryError::NotPresent(at) | MemoryError::Excluded(at)) = own else {
            return own;
        };
        let page = at.0 & !page_size.wrapping_sub(1);
        // The first byte of that page that was asked for.
        let asked = PhysAddr(page.max(from.0));
        let named = self.of.errors_name_bytes.then_some(asked);
        let found = self.lost.binary_search_by_key(&page, |lost| lost.page).ok();
        match (found.and_then(|found| self.lost.get(found)), own) {
            (Some(lost), _) => lost.error(named),
            (None, MemoryError::NotPresent(at)) => MemoryError::NotPresent(named.unwrap_or(at)),
            (None, MemoryError::Excluded(at)) => MemoryError::Excluded(named.unwrap_or(at)),
            (None, own) => own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_back_in_the_same_words() {
        let truncated = MemoryError::Truncated {
            at: PhysAddr(0x5000),
            offset: 77,
        };
        let mut facts = CapsuleFacts {
            capsule: 1,
            lost: LostPage::of(&truncated, PhysAddr(0x5010), 4096).into_iter().collect(),
            ..CapsuleFacts::default()
        };
        let text = serde_json::to_vec(&facts).unwrap();
        assert_eq!(CapsuleFacts::parse(&text), Some(facts.clone()));
        let own = MemoryError::Excluded(PhysAddr(0x5000));
        assert_eq!(facts.error(PhysAddr(0x5018), 4096, own.clone()), truncated);
        facts.of.errors_name_bytes = true;
        assert_eq!(
            facts.error(PhysAddr(0x5018), 4096, own.clone()),
            MemoryError::Truncated {
                at: PhysAddr(0x5018),
                offset: 77 + 0x18
            }
        );
        assert_eq!(
            facts.error(PhysAddr(0x4ff0), 4096, MemoryError::Excluded(PhysAddr(0x6000))),
            MemoryError::Excluded(PhysAddr(0x6000))
        );
        assert_eq!(CapsuleFacts::parse(b"{\"capsule\":2}"), None);
    }
}
