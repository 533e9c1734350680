//! Parts of a condition that exclude each other, or make each other say nothing.

use std::collections::BTreeSet;

use super::{Checker, join};
use crate::rules::evaluate::{Leaf, leaves};
use crate::rules::literal;
use crate::rules::schema::{Block, Glob, OneOrMany, Pattern};

impl Checker<'_> {
    /// What is wrong between the keys of one block, and between it and the blocks inside it.
    pub(super) fn conflicts(&mut self, block: &Block, path: &str) {
        if let Some(taint) = &block.taint {
            let has: BTreeSet<&str> = taint.0.has.iter().flatten().map(|letter| letter.as_str()).collect();
            let mut not = taint.0.not.iter().flatten();
            if let Some(both) = not.find(|letter| has.contains(letter.as_str())) {
                self.excluded(&join(path, "taint.not"), both.as_str());
            }
        }
        if let Some(modules) = &block.modules {
            self.there_and_not(&modules.0.loaded, &modules.0.absent, &join(path, "modules.absent"));
        }
        if let Some(words) = &block.cmdline {
            self.there_and_not(&words.0.has, &words.0.not, &join(path, "cmdline.not"));
        }
        if let Some(frames) = &block.frames {
            let frames = &frames.0;
            let none: BTreeSet<&str> = frames
                .none
                .iter()
                .flatten()
                .map(|token| token.symbol.as_str())
                .collect();
            let mut items = frames.ordered.iter().chain(&frames.adjacent).flatten();
            let excluded = items.find(|item| item.0.iter().all(|token| none.contains(token.symbol.as_str())));
            if let Some(token) = excluded.and_then(|item| item.0.first()) {
                self.excluded(&join(path, "frames.none"), token.symbol.as_str());
            }
        }
        self.inner(block, path);
    }

    fn there_and_not(&mut self, there: &Option<OneOrMany<Glob>>, not: &Option<OneOrMany<Glob>>, path: &str) {
        let there: BTreeSet<&str> = there.iter().flatten().map(Glob::as_str).collect();
        if let Some(both) = not.iter().flatten().find(|glob| there.contains(glob.as_str())) {
            self.excluded(path, both.as_str());
        }
    }

    fn excluded(&mut self, path: &str, what: &str) {
        let message = format!("`{what}` must be there and must not be there");
        self.error("never-true", path, message, "remove one of the two");
    }

    /// `any` and `none` against what the block around them asks already.
    fn inner(&mut self, block: &Block, path: &str) {
        let asked: BTreeSet<String> = leaves(block)
            .iter()
            .filter(|leaf| !matches!(leaf, Leaf::Any(_) | Leaf::None(_)))
            .map(ToString::to_string)
            .collect();
        let is_asked = |inner: &Block| {
            let inner = leaves(inner);
            !inner.is_empty() && inner.iter().all(|leaf| asked.contains(&leaf.to_string()))
        };
        for (index, inner) in block.none.iter().enumerate() {
            if is_asked(inner) {
                let path = join(path, &format!("none[{index}]"));
                let help = "remove it here or there";
                self.error("never-true", &path, "this is asked for outside of `none`", help);
            }
        }
        for (index, inner) in block.any.iter().enumerate() {
            let path = join(path, &format!("any[{index}]"));
            if is_asked(inner) {
                let help = "remove it here or there";
                self.error(
                    "always-true",
                    &path,
                    "this is asked for outside of `any`, so `any` asks nothing",
                    help,
                );
            }
            if let (Some(outer), Some(kinds)) = (&block.kind, &inner.kind)
                && !kinds.iter().any(|kind| outer.0.contains(kind))
            {
                let help = "take a kind that `kind` outside of `any` allows";
                self.error(
                    "never-true",
                    &join(&path, "kind"),
                    "this alternative can never hold",
                    help,
                );
            }
        }
    }

    /// A pattern that fits anything, or that has nothing to look for first.
    pub(super) fn patterns(&mut self, patterns: &OneOrMany<Pattern>, path: &str) {
        for (index, pattern) in patterns.iter().enumerate() {
            let text = pattern.as_str();
            let path = format!("{path}[{index}]");
            if literal::fits_anything(text) {
                let message = format!("/{text}/ fits any text");
                self.error("always-true", &path, message, "say what must be there");
            } else if literal::required(text.trim_start_matches("(?i)")).is_none() {
                let message = format!("/{text}/ has no part that must stand as it is written");
                let help = format!(
                    "give it {} characters of plain text that a match always holds",
                    literal::LEAST
                );
                self.warning("regex-without-literal", &path, message, help);
            }
        }
    }
}
