//! The one plain record that everything meets at: what is known of a crash, and what names it.
//!
//! Owned serde data, no lifetimes, no file handles. It must not know how a fact was obtained (dump, text, JSON) beyond
//! what the record itself says of it, nor anything of rules.

mod kind;
pub mod machinery;
pub mod pointer;
pub mod poison;
mod probe;
mod report;
pub mod signature;
pub mod stream;
pub mod symbol_name;
pub mod time;

pub use kind::{Detector, KindSource, PanicKind};
pub use probe::{NoAnswer, Probe};
pub use report::{
    Access, CpuStack, CrashReport, DebugInfo, EarlierEvent, Fault, FaultRole, Frame, Log, Memory, Missing, Module,
    Panic, Registers, SCHEMA, SettingValue, Signature, Source, SourceKind, Stack, StackSource, StreamBasis, Subject,
    System, Task, TaskStack, Tool, Vmlinux,
};
pub use symbol_name::normalise_symbol;
