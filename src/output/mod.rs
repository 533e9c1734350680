//! Verdicts and reports for people and machines: the terminal, JSON, JSON Lines, HTML.
//!
//! It must not decide anything: it prints what `extract` and `rules` found.

pub mod contents;
pub mod costs;
pub mod crash;
pub mod facts;
pub mod figures;
pub mod html;
pub mod json;
pub mod likeness;
pub mod page;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod rows;
pub mod rules;
pub mod sarif;
pub mod steps;
pub mod verdict;
