//! Physical memory → virtual memory → the dumped kernel's own data: log, symbols, types, stacks, figures.
//!
//! It must not know of file formats (it sees [`crate::dump::PhysicalMemory`] and [`crate::dump::Header`]) nor of rules.
