//! Literals, and the rules that each leads to, searched for all at once.
//!
//! It must not know what a literal means, nor where the text comes from.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use aho_corasick::{AhoCorasick, AhoCorasickKind};

/// Literals and the rules that each leads to, searched for all at once.
#[derive(Debug, Default)]
pub(super) struct Texts {
    literals: Vec<Cow<'static, str>>,
    rules: Vec<Vec<u32>>,
    /// Where each literal of a pack's rule stands.
    places: HashMap<String, usize>,
    /// Where the literals of shipped rules begin, which are in order; behind those of packs.
    shipped_from: usize,
    /// Built when there is much to search. `None` inside: too large, so that every rule must be asked.
    automaton: OnceLock<Option<AhoCorasick>>,
    /// As `automaton`, built when there is very much: it reads several times faster and takes as many times longer to make.
    table: OnceLock<Option<AhoCorasick>>,
    /// Bytes searched so far, times literals.
    searched: AtomicUsize,
}

/// The literals that a search found.
#[derive(Debug)]
pub struct Hits<'i> {
    texts: &'i Texts,
    /// By the literal's place; empty where the search could not tell.
    seen: Vec<bool>,
}

impl Hits<'_> {
    /// Whether what was searched holds a literal; `None` for one that was not looked for.
    pub fn holds(&self, literal: &str) -> Option<bool> {
        self.seen.get(self.texts.place(literal)?).copied()
    }
}

impl Texts {
    /// Adds a literal of a pack's rule.
    pub(super) fn add(&mut self, literal: &str, rule: u32) {
        let place = *self.places.entry(literal.to_owned()).or_insert_with(|| {
            self.literals.push(Cow::Owned(literal.to_owned()));
            self.rules.push(Vec::new());
            self.literals.len() - 1
        });
        if let Some(rules) = self.rules.get_mut(place) {
            rules.push(rule);
        }
    }

    /// Where a literal stands.
    fn place(&self, literal: &str) -> Option<usize> {
        let shipped = self.literals.get(self.shipped_from..).unwrap_or_default();
        match shipped.binary_search_by(|known| known.as_ref().cmp(literal)) {
            Ok(at) => Some(self.shipped_from + at),
            Err(_) => self.places.get(literal).copied(),
        }
    }

    /// What is added from here on are literals of shipped rules.
    pub(super) fn begin_shipped(&mut self) {
        self.shipped_from = self.literals.len();
    }

    /// Adds a literal of shipped rules, in order. Each comes once; should a pack's rule have it, too, it is found twice.
    pub(super) fn add_shipped(&mut self, literal: &'static str, rules: impl Iterator<Item = u32>) {
        self.literals.push(Cow::Borrowed(literal));
        self.rules.push(rules.collect());
    }

    /// Calls `found` with the rules of every literal that one of the texts holds; says which literals these are.
    pub(super) fn search<'t>(&self, texts: impl Iterator<Item = &'t str>, found: &mut dyn FnMut(&[u32])) -> Hits<'_> {
        let mut seen = vec![false; self.literals.len()];
        if self.literals.is_empty() {
            return Hits { texts: self, seen };
        }
        let texts: Vec<&str> = texts.collect();
        let bytes: usize = texts.iter().map(|text| text.len()).sum();
        match self.automaton(bytes.saturating_mul(self.literals.len())) {
            Way::EachByItself => {
                for (literal, seen) in self.literals.iter().zip(&mut seen) {
                    *seen = texts.iter().any(|text| text.contains(&**literal));
                }
            }
            Way::All(Some(automaton)) => {
                for text in texts {
                    for hit in automaton.find_overlapping_iter(text) {
                        if let Some(seen) = seen.get_mut(hit.pattern().as_usize()) {
                            *seen = true;
                        }
                    }
                }
            }
            Way::All(None) => {
                self.rules.iter().for_each(|rules| found(rules));
                seen.clear();
            }
        }
        let hit = self.rules.iter().zip(&seen).filter(|(_, seen)| **seen);
        hit.for_each(|(rules, _)| found(rules));
        Hits { texts: self, seen }
    }

    /// How to search, given that it takes so much work: bytes times literals.
    fn automaton(&self, work: usize) -> Way<'_> {
        /// From here on an automaton is worth being built: it takes as long as searching so much.
        const WORTH_IT: usize = 256 << 10;
        /// From here on it is a full table, which takes longer to build than most reports take to search.
        const WORTH_A_TABLE: usize = 1 << 30;
        let searched = self.searched.fetch_add(work, Ordering::Relaxed).saturating_add(work);
        let build = |kind| {
            let literals = self.literals.iter().map(|literal| literal.as_bytes());
            AhoCorasick::builder().kind(Some(kind)).build(literals).ok()
        };
        if searched < WORTH_IT {
            Way::EachByItself
        } else if searched < WORTH_A_TABLE {
            Way::All(
                (self.automaton)
                    .get_or_init(|| build(AhoCorasickKind::ContiguousNFA))
                    .as_ref(),
            )
        } else {
            let table = self.table.get_or_init(|| build(AhoCorasickKind::DFA)).as_ref();
            Way::All(table.or_else(|| self.automaton.get()?.as_ref()))
        }
    }
}

/// A way to search for literals.
enum Way<'t> {
    EachByItself,
    All(Option<&'t AhoCorasick>),
}
