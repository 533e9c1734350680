//! Names the known bug behind a Linux kernel crash, from the vmcore or the text it left, without debuginfo.
//!
//! The modules are the layers; imports point one way only:
//!
//! ```text
//! input → dump → kernel ─┐
//!                console ┴→ extract → crash::CrashReport ─┬→ rules ─┬→ corpus → importer
//!                              └→ capsule                 │         └→ scan → catalog
//!                                                         └→ grouping  ↑ archive → watch
//! all of these → output → cli
//! ```
//!
//! - [`input`]: a path or standard input; what is it, and what is it wrapped in?
//! - [`dump`]: bytes of a dump file → physical memory, notes, header facts. Knows no kernel.
//! - [`kernel`]: physical memory → virtual memory → the kernel's own data. Knows no file format and no rules.
//! - [`console`]: kernel text of any age and source → facts. Knows no dump.
//! - [`crash`]: the one plain record, [`crash::CrashReport`], that everything meets at.
//! - [`extract`]: one input → one or more reports, from whichever of the above can read it.
//! - [`archive`]: which files of an archive are inputs, and which belong to another one. Reads no crash.
//! - [`capsule`]: a dump → the same dump, cut down to what its report was read from.
//! - [`grouping`]: how alike crashes are, and groups of them. Sees reports only.
//! - [`rules`]: the knowledge base and its three-valued verdicts over a report.
//! - [`corpus`]: crashes that prove the rules; reads them through `extract`.
//! - [`importer`]: fixes and the crashes that they quote → rules with their cases.
//! - [`scan`]: all crashes of an archive, labelled, in parallel and in order.
//! - [`mod@watch`]: dumps as they land in folders: which are whole, and which are answered.
//! - [`catalog`]: rows, reports and verdicts of every crash ever scanned, in one SQLite file.
//! - [`output`]: verdicts and reports for people and machines.
//! - `threads`: those that all of these share their work among.
//! - [`cli`]: the command line; holds no logic that a library user would miss.

#![forbid(unsafe_code)]

pub mod addr;
pub mod archive;
pub mod capsule;
pub mod catalog;
pub mod cli;
pub mod console;
pub mod corpus;
pub mod crash;
pub mod dump;
pub mod extract;
pub mod grouping;
pub mod importer;
pub mod input;
pub mod kernel;
pub mod output;
pub mod rules;
pub mod scan;
mod threads;
pub mod watch;
