//! A way to ask the dumped memory for more than the record holds: what `deref` and `points_to` in rules need.
//!
//! It lies here because those who ask (rules) and those who can answer (the kernel's readers) must not know each other.

use crate::addr::VirtAddr;

/// A way to ask the dump's memory. Without one, what needs memory is unknown.
pub trait Probe {
    /// Reads the member `field` (a path: `lru.next`) of the object of type `type_name` at `at`, as an unsigned number;
    /// a bit field shifted down, pointers on the path followed.
    fn member(&self, at: VirtAddr, type_name: &str, field: &str) -> Result<u64, NoAnswer>;

    /// Whether `at` points to an object of the named type or slab cache.
    fn points_to(&self, at: VirtAddr, name: &str) -> Result<bool, NoAnswer>;
}

/// Why memory did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NoAnswer {
    /// In plain words: "no type information for this kernel".
    pub why: String,
}
