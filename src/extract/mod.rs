//! One input → its crash reports: asks whoever can read it, and merges what memory and log say.
//!
//! The only place that knows both `kernel` and `console`. It must not know of rules.

pub mod fault;
pub mod probe;
