//! A rule as the knowledge base holds it: what must be known of every rule at once, and the rest when it is asked for.
//!
//! Most of a knowledge base has nothing to say of a given crash, so a shipped rule is read when it is first needed. It
//! must not know what a crash is.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use super::diagnostic::{Diagnostic, Place};
use super::evaluate::Wording;
use super::keys::Keys;
use super::read;
use super::schema::{Rule, Status};
use super::store::Store;
use super::tree::{self, Node};

/// The shipped rules, by id.
pub(super) static SHIPPED: Store<'static> = Store {
    texts: include_str!(concat!(env!("OUT_DIR"), "/rules.texts")),
    heads: include_str!(concat!(env!("OUT_DIR"), "/rules.heads")),
    numbers: include_bytes!(concat!(env!("OUT_DIR"), "/rules.numbers")),
};

/// What ties a rule to others.
#[derive(Debug)]
pub(super) struct Head {
    pub id: Cow<'static, str>,
    pub status: Status,
    pub was: Vec<Cow<'static, str>>,
    pub specializes: Vec<Cow<'static, str>>,
    pub replaced_by: Option<Cow<'static, str>>,
}

/// A rule and where it came from.
#[derive(Debug)]
pub struct LoadedRule {
    /// The file it was read from.
    pub file: Cow<'static, str>,
    /// What overlays changed of it, and why, in the order of their being applied.
    pub changes: Vec<String>,
    pub(super) head: Head,
    pub(super) digest: u64,
    origin: Origin,
    // Boxed, as of most rules neither is ever there. The text's tree is not kept: it is larger than both, and the memory of
    // a scan would go on growing for as long as new rules are asked.
    rule: OnceLock<Box<Rule>>,
    wordings: OnceLock<Box<[Vec<Wording>; 2]>>,
}

#[derive(Debug)]
enum Origin {
    /// Its number among the shipped ones.
    Shipped(usize),
    /// The text that was read, and what the rule can be found by.
    Read(Arc<str>, Keys),
}

/// What a rule can be found by.
#[derive(Clone, Copy, Debug)]
pub(super) enum Indexed<'r> {
    /// The build script put it down under the rule's number.
    Shipped(usize),
    /// These.
    Keys(&'r Keys),
}

impl LoadedRule {
    pub(super) fn shipped(number: usize) -> Self {
        let head = SHIPPED.head(number);
        let words = |words: Vec<&'static str>| words.into_iter().map(Cow::Borrowed).collect();
        LoadedRule {
            file: Cow::Borrowed(head.file),
            changes: Vec::new(),
            head: Head {
                id: Cow::Borrowed(head.id),
                status: Status::from_word(head.status).unwrap_or(Status::Draft),
                was: words(head.was),
                specializes: words(head.specializes),
                replaced_by: (!head.replaced_by.is_empty()).then_some(Cow::Borrowed(head.replaced_by)),
            },
            digest: head.digest,
            origin: Origin::Shipped(number),
            rule: OnceLock::new(),
            wordings: OnceLock::new(),
        }
    }

    pub(super) fn new(rule: Rule, keys: Keys, file: &str, text: Arc<str>) -> Self {
        let word = |id: &super::schema::Slug| Cow::Owned(id.to_string());
        LoadedRule {
            file: Cow::Owned(file.to_owned()),
            changes: Vec::new(),
            head: Head {
                id: word(&rule.id),
                status: rule.status,
                was: rule.was.iter().map(word).collect(),
                specializes: rule.specializes.iter().map(word).collect(),
                replaced_by: rule.replaced_by.as_ref().map(word),
            },
            digest: digest_of(text.as_bytes()),
            origin: Origin::Read(text, keys),
            rule: OnceLock::from(Box::new(rule)),
            wordings: OnceLock::new(),
        }
    }

    /// The rule's id.
    pub fn id(&self) -> &str {
        &self.head.id
    }

    /// How far the rule has come, overlays taken into account.
    pub fn status(&self) -> Status {
        self.head.status
    }

    /// The rule itself.
    pub fn rule(&self) -> &Rule {
        self.rule.get_or_init(|| {
            let read = match self.origin {
                Origin::Shipped(number) => read::shipped(SHIPPED.json(number), SHIPPED.text(number)),
                Origin::Read(..) => None,
            };
            // The tests read every shipped rule strictly: one that cannot be read is never built.
            Box::new(read.unwrap_or_else(|| Rule::unusable(self.id())))
        })
    }

    /// How the predicates of `match` and of `confirm` are worded; `make` says it once, for all crashes.
    pub(super) fn wordings(&self, make: impl FnOnce(&Rule) -> [Vec<Wording>; 2]) -> &[Vec<Wording>; 2] {
        self.wordings.get_or_init(|| Box::new(make(self.rule())))
    }

    /// Lets an overlay change the rule.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Rule)) {
        self.rule();
        if let Some(rule) = self.rule.get_mut() {
            change(rule);
            self.head.status = rule.status;
        }
    }

    /// Whether it is one of the rules inside the program.
    pub fn is_shipped(&self) -> bool {
        matches!(self.origin, Origin::Shipped(_))
    }

    pub(super) fn indexed(&self) -> Indexed<'_> {
        match &self.origin {
            Origin::Shipped(number) => Indexed::Shipped(*number),
            Origin::Read(_, keys) => Indexed::Keys(keys),
        }
    }

    /// The rule file's text.
    pub fn text(&self) -> &str {
        match &self.origin {
            Origin::Shipped(number) => SHIPPED.text(*number),
            Origin::Read(text, _) => text,
        }
    }

    /// The rule file's text, to show findings in.
    pub fn shared_text(&self) -> Arc<str> {
        match &self.origin {
            Origin::Shipped(number) => Arc::from(SHIPPED.text(*number)),
            Origin::Read(text, _) => Arc::clone(text),
        }
    }

    /// A warning at a path of the rule.
    pub fn warning(&self, code: &'static str, path: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::warning(code, &self.file, self.place(path), message)
    }

    /// The line of a path (`match.registers.rdi`) in the rule file, counted from 1. The file is read for it: one who asks
    /// for many lines wants [`LoadedRule::tree`].
    pub fn line(&self, path: &str) -> Option<usize> {
        self.place(path).map(|place| place.line)
    }

    pub(super) fn place(&self, path: &str) -> Option<Place> {
        self.tree().map(|tree| tree.locate(path))
    }

    /// The rule file's text, read once more to tell where in it something stands.
    pub(super) fn tree(&self) -> Option<Node> {
        tree::parse(&self.file, self.text()).0
    }
}

/// FNV-1a, 64 bits; the build script makes the same of the shipped texts.
pub(super) fn digest_of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
