//! Answers a rule's predicates over a report, three-valued, and says what was found.
//!
//! A block is walked leaf by leaf ([`leaf`]), cheapest first; each group of predicates has a file of its own. It knows
//! one rule's conditions and one report, nothing of tiers or of other rules.

mod frames;
mod leaf;
mod log;
mod machine;
mod value;
mod wording;

use std::cell::OnceCell;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use leaf::Leaf;

use super::affected::Kernel;
use super::answer::Answer;
use super::index::{Candidate, Hits, Index};
use super::schema::{Block, Fit, Symbol};
use crate::crash::{CrashReport, Frame, PanicKind, Probe};

/// A report as predicates look at it.
pub struct Context<'a> {
    /// The report.
    pub report: &'a CrashReport,
    /// A way to ask for memory.
    pub probe: Option<&'a dyn Probe>,
    /// The stack without panic and entry code.
    frames: Vec<&'a Frame>,
    /// The line that names the failure, and the line that stopped the machine, where there is one of its own.
    panic_lines: (Option<&'a str>, Option<String>),
    /// The log's lines as one text, made when a rule first asks about them.
    log_text: OnceCell<String>,
    /// The kernel as versions are compared with it, made when a rule first asks about it.
    kernel: OnceCell<Option<Kernel<'a>>>,
    /// What the index found in the log's text.
    log_hits: Option<Hits<'a>>,
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("frames", &self.frames.len())
            .finish_non_exhaustive()
    }
}

/// One predicate's answer, and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The predicate as the rule words it: `fault: down_read_trylock`.
    pub predicate: String,
    /// Its answer.
    pub answer: Answer,
    /// What the report holds there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// The rule file's line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Whether the rule needs it or is confirmed by it.
    pub part: Part,
    /// Where the answer is unknown: what would supply it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<String>,
}

/// A predicate's words, the same for every crash.
#[derive(Clone, Debug, Default)]
pub struct Wording {
    predicate: String,
    line: Option<usize>,
}

/// The part of a rule that a predicate belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// All of these must hold.
    Match,
    /// These lift "likely" to "exact".
    Confirm,
}

impl Part {
    /// The key of the part in a rule file.
    pub fn key(self) -> &'static str {
        match self {
            Part::Match => "match",
            Part::Confirm => "confirm",
        }
    }
}

impl<'a> Context<'a> {
    /// Looks at a report.
    pub fn new(report: &'a CrashReport, probe: Option<&'a dyn Probe>) -> Self {
        let frames = report.frames.iter().filter(|frame| !frame.machinery).collect();
        let panic = report.panic.as_ref();
        let fatal = panic.and_then(|panic| panic.fatal.as_ref());
        Context {
            report,
            probe,
            frames,
            panic_lines: (
                panic.and_then(|panic| panic.message.as_deref()),
                fatal.map(|fatal| format!("Kernel panic - not syncing: {fatal}")),
            ),
            log_text: OnceCell::new(),
            kernel: OnceCell::new(),
            log_hits: None,
        }
    }

    /// The rules of an index that may say anything of the report, ascending. What was looked for in the log need not be
    /// looked for again.
    pub(super) fn candidates(&mut self, index: &'a Index) -> Vec<Candidate> {
        let (message, fatal) = &self.panic_lines;
        let panic = message.iter().copied().chain(fatal.as_deref());
        let (candidates, hits) = index.candidates(self.report, panic, self.log_text());
        self.log_hits = Some(hits);
        candidates
    }

    /// The kernel that crashed; `None` where its release is not known.
    pub(super) fn kernel(&self) -> Option<&Kernel<'a>> {
        self.kernel.get_or_init(|| Kernel::new(&self.report.system)).as_ref()
    }

    /// Whether a line that a predicate over the log may look at holds a literal.
    fn log_holds(&self, literal: &str) -> bool {
        let known = self.log_hits.as_ref().and_then(|hits| hits.holds(literal));
        known.unwrap_or_else(|| self.log_text().contains(literal))
    }

    /// Every line that a predicate over the log may look at, as one text: most patterns fit none of them, which one
    /// search tells.
    fn log_text(&self) -> &str {
        self.log_text.get_or_init(|| {
            let Some(log) = &self.report.log else {
                return String::new();
            };
            let titles = log.earlier.iter().map(|event| event.title.as_str());
            let mut text = String::new();
            for line in log.tail.iter().map(String::as_str).chain(titles) {
                text.push_str(line);
                text.push('\n');
            }
            text
        })
    }

    /// The class of failure, when one could be told.
    pub fn kind(&self) -> Option<PanicKind> {
        let kind = self.report.panic.as_ref()?.kind;
        (kind != PanicKind::Unknown).then_some(kind)
    }

    /// The name of the function that faulted or was interrupted.
    pub fn fault_symbol(&self) -> Option<&'a str> {
        self.report.fault.as_ref()?.symbol.as_deref()
    }

    /// A register's value at the fault.
    fn register(&self, name: &str) -> Option<u64> {
        let fault = self.report.fault.as_ref()?;
        let value = fault.registers.get(name).copied();
        value
            .or_else(|| (name == "rip").then_some(fault.address).flatten())
            .map(|value| value.0)
    }

    /// Whether the stack's frames reach its end.
    fn stack_complete(&self) -> bool {
        self.report.stack.as_ref().is_some_and(|stack| stack.complete)
    }

    /// How the fault's symbol fits a token.
    fn fault_fits(&self, token: &Symbol) -> Answer {
        let Some(fault) = &self.report.fault else {
            // No place was stopped on a stack that is known to its end: there was no fault.
            return Answer::absent_from(self.stack_complete());
        };
        match &fault.symbol {
            None => Answer::Unknown,
            Some(symbol) => match token.fits(symbol, fault.module.as_deref(), fault.offset) {
                Fit::Yes => Answer::Yes,
                Fit::No => Answer::No,
                Fit::OffsetUnknown => Answer::Unknown,
            },
        }
    }

    /// What the report says of a fact that it lacks.
    fn why_missing(&self, fact: &str) -> Option<&'a str> {
        let about = |missing: &&crate::crash::Missing| {
            missing.fact == fact
                || missing
                    .fact
                    .strip_prefix(fact)
                    .is_some_and(|rest| rest.starts_with('.'))
                || fact
                    .strip_prefix(missing.fact.as_str())
                    .is_some_and(|rest| rest.starts_with('.'))
        };
        self.report
            .missing
            .iter()
            .find(about)
            .map(|missing| missing.why.as_str())
    }
}

/// Whether all of a block holds.
pub fn holds(block: &Block, context: &Context<'_>) -> Answer {
    look(block, context).answer
}

/// A block's predicates, cheapest first.
pub fn leaves(block: &Block) -> Vec<Leaf<'_>> {
    let mut leaves = Vec::new();
    leaf::visit(block, &mut |leaf| {
        leaves.push(leaf);
        true
    });
    leaves
}

/// How a block words its predicates, and where, in the order of [`leaves`]. `line` tells a path's line.
pub fn wordings(block: &Block, part: Part, line: &dyn Fn(&str) -> Option<usize>) -> Vec<Wording> {
    let leaves = leaves(block);
    let wording = |leaf: &Leaf<'_>| Wording {
        predicate: leaf.to_string(),
        line: line(&format!("{}.{}", part.key(), leaf.path())),
    };
    leaves.iter().map(wording).collect()
}

/// Every predicate of a block with its answer, in the order of the rule file. `wordings` are the block's own. `all_hold`:
/// each is known to be yes.
pub fn evidence(
    block: &Block,
    part: Part,
    context: &Context<'_>,
    wordings: &[Wording],
    all_hold: bool,
) -> Vec<Evidence> {
    let mut wordings = wordings.iter();
    let mut rows = Vec::with_capacity(wordings.len());
    leaf::visit(block, &mut |leaf| {
        let wording = wordings.next().cloned().unwrap_or_default();
        let answer = if all_hold { Answer::Yes } else { leaf.answer(context) };
        rows.push(Evidence {
            predicate: wording.predicate,
            answer,
            found: leaf.found(context),
            line: wording.line,
            part,
            needs: (answer == Answer::Unknown).then(|| leaf.needs(context)),
        });
        true
    });
    rows.sort_by_key(|row| row.line);
    rows
}

/// What a block comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether all of it holds.
    pub answer: Answer,
    /// How many predicates are yes. Of a block that does not hold this and what follows are not counted to the end.
    pub yes: usize,
    /// How many are unknown.
    pub unknown: usize,
    /// Whether a telling predicate (fault, frames, panic, log) is yes, inside `any` too.
    pub telling: bool,
}

/// Asks a block's predicates, each once, up to the first no; makes no text.
pub fn look(block: &Block, context: &Context<'_>) -> Look {
    let mut look = Look {
        answer: Answer::Yes,
        yes: 0,
        unknown: 0,
        telling: false,
    };
    leaf::visit(block, &mut |leaf| {
        let answer = leaf.answer(context);
        look.answer = look.answer.and(answer);
        match answer {
            Answer::No => return false,
            Answer::Unknown => look.unknown += 1,
            Answer::Yes => {
                look.yes += 1;
                look.telling = look.telling || tells(&leaf, context);
            }
        }
        true
    });
    look
}

/// Whether a predicate that is yes tells something.
fn tells(leaf: &Leaf<'_>, context: &Context<'_>) -> bool {
    match leaf {
        Leaf::Any(blocks) => blocks.iter().any(|inner| {
            let inner = look(inner, context);
            inner.answer.is_yes() && inner.telling
        }),
        other => other.is_telling(),
    }
}
