//! Stacks of the dumped kernel (x86_64): who panicked where, unwound from memory alone.
//!
//! - [`orc`], [`frame_pointer`], [`scan`]: three ways to find a caller, best first.
//! - [`unwind`]: the walk over frames, exceptions and stack switches.
//! - [`registers`], [`calls`]: saved registers; return addresses told from chance words.
//!
//! It must not know the log, nor what a stack means: names of machinery, blame and rules belong to `crash`.

pub mod calls;
pub mod frame_pointer;
pub mod orc;
pub mod registers;
pub mod scan;
pub mod unwind;

#[cfg(test)]
mod tests;
