//! A rule as the knowledge base holds it: what must be known of every rule at once, and the rest when it is asked for.
//!
//! Most of a knowledge base has nothing to say of a given crash, so a shipped rule is read when it is first needed. It
//! must not know what a crash is.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use super::diagnostic::{Diagnostic, Place};
use super::keys::{Key, Keys};
use super::read;
use super::schema::{Rule, Status};
use super::tree::{self, Node};

/// What the build script wrote down of a shipped rule.
#[derive(Debug)]
pub(super) struct Shipped {
    pub file: &'static str,
    pub text: &'static str,
    /// The same as JSON, which is read several times faster.
    pub json: &'static str,
    pub id: &'static str,
    pub status: &'static str,
    pub was: &'static [&'static str],
    pub specializes: &'static [&'static str],
    pub replaced_by: &'static str,
    pub digest: u64,
    pub open: bool,
    pub kinds: &'static [Cow<'static, str>],
    pub keys: &'static [Key],
}

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
    pub(super) keys: Keys,
    pub(super) digest: u64,
    shipped: bool,
    text: Text,
    rule: OnceLock<Rule>,
    tree: OnceLock<Option<Node>>,
}

#[derive(Debug)]
enum Text {
    Shipped(&'static Shipped),
    Read(Arc<str>),
}

impl LoadedRule {
    pub(super) fn shipped(rule: &'static Shipped) -> Self {
        let words = |words: &'static [&'static str]| words.iter().map(|word| Cow::Borrowed(*word)).collect();
        LoadedRule {
            file: Cow::Borrowed(rule.file),
            changes: Vec::new(),
            head: Head {
                id: Cow::Borrowed(rule.id),
                status: Status::from_word(rule.status).unwrap_or(Status::Draft),
                was: words(rule.was),
                specializes: words(rule.specializes),
                replaced_by: (!rule.replaced_by.is_empty()).then_some(Cow::Borrowed(rule.replaced_by)),
            },
            keys: Keys {
                keys: Cow::Borrowed(rule.keys),
                open: rule.open,
                kinds: Cow::Borrowed(rule.kinds),
            },
            digest: rule.digest,
            shipped: true,
            text: Text::Shipped(rule),
            rule: OnceLock::new(),
            tree: OnceLock::new(),
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
            keys,
            digest: digest_of(text.as_bytes()),
            shipped: false,
            text: Text::Read(text),
            rule: OnceLock::from(rule),
            tree: OnceLock::new(),
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
            let read = match self.text {
                Text::Shipped(shipped) => read::shipped(shipped.json, shipped.text),
                Text::Read(_) => None,
            };
            // The tests read every shipped rule strictly: one that cannot be read is never built.
            read.unwrap_or_else(|| Rule::unusable(self.id()))
        })
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
        self.shipped
    }

    /// The rule file's text.
    pub fn text(&self) -> &str {
        match &self.text {
            Text::Shipped(shipped) => shipped.text,
            Text::Read(text) => text,
        }
    }

    /// The rule file's text, to show findings in.
    pub fn shared_text(&self) -> Arc<str> {
        match &self.text {
            Text::Shipped(shipped) => Arc::from(shipped.text),
            Text::Read(text) => Arc::clone(text),
        }
    }

    /// A warning at a path of the rule.
    pub fn warning(&self, code: &'static str, path: &str, message: impl Into<String>) -> Diagnostic {
        Diagnostic::warning(code, &self.file, self.place(path), message)
    }

    /// The line of a path (`match.registers.rdi`) in the rule file, counted from 1.
    pub fn line(&self, path: &str) -> Option<usize> {
        self.place(path).map(|place| place.line)
    }

    pub(super) fn place(&self, path: &str) -> Option<Place> {
        // Read once more, and only for rules that somebody asks about: most of a knowledge base never matches.
        let tree = self.tree.get_or_init(|| tree::parse(&self.file, self.text()).0);
        tree.as_ref().map(|tree| tree.locate(path))
    }
}

/// FNV-1a, 64 bits; the build script makes the same of the shipped texts.
pub(super) fn digest_of(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
