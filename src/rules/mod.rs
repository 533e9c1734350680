//! The knowledge base: YAML rules → predicates → three-valued verdicts with their evidence.
//!
//! It sees a [`crate::crash::CrashReport`] and a [`Probe`] (a way to ask for memory), never a file format or a terminal.
//!
//! - [`schema`]: the rule format as types.
//! - [`diagnostic`], `tree`, `shape`, `check`, `read`: a rule file's text → a rule, or everything that is wrong with it;
//!   [`codes`]: a page for each finding.
//! - [`selection`]: which packs; [`load`]: files and folders of rules and [`overlay`]s → [`pack`]: the knowledge base.
//! - [`evaluate`]: one rule's predicates over one report.
//! - [`affected`], `release`, [`version`]: does this kernel have the bug?
//! - [`identify`](mod@identify): tiers, evidence, folding, near misses; `index` spares asking every rule.
//! - [`explain`](mod@explain): why a rule matches or does not; [`search`]: which rules speak of something.
//! - [`advice`], [`reference`]: what to do, and where it is written up; [`stats`]: what asking costs.

pub mod advice;
pub mod affected;
mod answer;
mod check;
pub mod codes;
pub mod diagnostic;
pub mod draft;
pub mod evaluate;
pub mod explain;
pub mod identify;
mod index;
mod keys;
mod literal;
pub mod load;
mod loaded;
pub mod overlay;
pub mod pack;
mod read;
pub mod reference;
mod release;
pub mod schema;
pub mod search;
pub mod selection;
mod shape;
pub mod stats;
mod store;
#[cfg(test)]
mod store_writer;
mod suggest;
mod ties;
mod tree;
pub mod version;

pub use crate::crash::{NoAnswer, Probe};
// `keys` is a module of the build script, too, where this one lies beside it.
use crate::crash::symbol_name;
pub use answer::Answer;
pub use evaluate::{Evidence, Part};
pub use explain::{Explanation, explain, missing_by_one};
pub use identify::{Identification, Match, Near, Tier, identify, identify_counted, identify_naively};
pub use load::{Loading, Summary};
pub use loaded::LoadedRule;
pub use pack::KnowledgeBase;
