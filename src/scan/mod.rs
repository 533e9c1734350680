//! An archive's crashes, labelled: every entry of [`crate::archive`] → its rows.
//!
//! - [`row`]: what is said of an input; the native stream.
//! - [`label`](mod@label): one entry → its rows, here in this process.
//! - [`run`](mod@run): all entries, several at a time, answered in order.
//!
//! It must not know of terminals, nor where rows are kept.

pub mod asked;
pub mod label;
pub mod row;
pub mod run;
pub mod tally;

pub use asked::{Asked, Recorder};
pub use label::{Labelled, label, relabel};
pub use row::{Facts, Row, Status};
pub use run::{Answer, Stock, Width, run};
pub use tally::Tally;
