//! Stacks of the dumped kernel (x86_64): who panicked where, unwound from memory alone.
//!
//! - [`orc`], [`frame_pointer`], [`scan`]: three ways to find a caller, best first.
//! - [`unwind`]: the walk over frames, exceptions and stack switches.
//! - [`registers`], [`calls`]: saved registers; return addresses told from chance words.
//! - [`notes`], [`tasks`]: which CPU had which registers and ran which task.
//! - [`stacks`]: the facade: who panicked, and where each stack is to be walked from.
//!
//! It must not know the log, nor what a stack means: names of machinery, blame and rules belong to `crash`.

pub mod calls;
mod cpu_stacks;
pub mod frame_pointer;
pub mod notes;
pub mod orc;
pub mod registers;
pub mod scan;
pub mod stacks;
pub mod tables;
pub mod tasks;
pub mod unwind;

pub use self::stacks::{BlockedTasks, CpuStack, Hint, PanicStack, Stacks, TaskStack};

#[cfg(test)]
mod tests;
