//! The knowledge base: YAML rules → predicates → three-valued verdicts with their evidence.
//!
//! It sees a [`crate::crash::CrashReport`] and a `Probe` (a way to ask for memory), never a file format or a terminal.

pub mod affected;
mod answer;
pub mod reference;
pub mod schema;
mod suggest;
pub mod version;

pub use answer::Answer;
