//! The knowledge base: YAML rules → compiled predicates → three-valued verdicts with their evidence.
//!
//! It sees a [`crate::crash::CrashReport`] and a `Probe` (a way to ask for memory), never a file format or a terminal.
