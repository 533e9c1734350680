//! An archive's crashes, labelled: every entry of [`crate::archive`] → its rows.
//!
//! - [`row`]: what is said of an input; the native stream.
//! - [`label`](mod@label): one entry → its rows, here in this process.
//! - [`guard`]: a panic costs the crash that it came with, and no other.
//! - [`backtest`]: what a draft of a rule would change.
//! - [`merge`](mod@merge): the parts of a sharded scan, together.
//! - [`worker`]: the same in processes of their own, and who looks after them.
//! - [`run`](mod@run): all entries, several at a time, answered in order.
//!
//! It must not know of terminals, nor where rows are kept.

pub mod asked;
pub mod backtest;
pub mod guard;
pub mod label;
pub mod merge;
pub mod row;
pub mod run;
pub mod tally;
pub mod worker;

pub use asked::{Asked, Recorder};
pub use guard::guarded;
pub use label::{Labelled, label, relabel};
pub use row::{Facts, Json, Row, Status};
pub use run::{Answer, Stock, Width, run};
pub use tally::Tally;
