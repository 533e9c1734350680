//! One file of a pack → one rule or one overlay, and everything that is wrong with it.
//!
//! Three passes: the tree (syntax, repeated keys), the shape (keys, types, words), then serde and what only the whole
//! rule can tell ([`check`](super::check)). It knows no folders and no other rules.

use std::borrow::Cow;

use super::check;
use super::diagnostic::{Diagnostic, Severity};
use super::keys::Keys;
use super::overlay::Overlay;
use super::schema::Rule;
use super::shape;
use super::tree::{self, Data, Node};

/// A file larger than this is no rule.
pub const MAX_SIZE: usize = 1 << 20;

/// Reads a shipped rule, which is known to be in order: a test has [`read`] it. `json` is what the build script made of
/// `text`, where numbers that are meant as words (`comm: 7`) are not told from others: then the text must do.
pub fn shipped(json: &str, text: &str) -> Option<Rule> {
    let read = serde_json::from_str(json).ok();
    read.or_else(|| serde_yaml::from_str(text).ok())
}

/// What a file of a pack holds.
#[derive(Debug)]
pub enum Held {
    /// A rule, and what it can be found by.
    Rule(Box<Rule>, Keys),
    /// Changes to rules of others, and the tree that knows their places.
    Overlay(Overlay, Node),
}

/// Reads a file of a pack. It holds something exactly when no finding is an error.
pub fn read(file: &str, text: &str) -> (Option<Held>, Vec<Diagnostic>) {
    if text.len() > MAX_SIZE {
        let message = format!("{} bytes are too many for a rule (at most {MAX_SIZE})", text.len());
        return (None, vec![Diagnostic::error("too-large", file, None, message)]);
    }
    let (tree, findings) = tree::parse(file, text);
    match tree {
        None => (None, findings),
        Some(tree) if tree.entry("overlay").is_some() => overlay(file, text, tree, findings),
        Some(tree) => rule(file, text, &tree, findings),
    }
}

fn overlay(file: &str, text: &str, tree: Node, mut findings: Vec<Diagnostic>) -> (Option<Held>, Vec<Diagnostic>) {
    findings.extend(shape::check_overlay(file, &tree));
    if !findings.is_empty() {
        return (None, findings);
    }
    match serde_yaml::from_str::<Overlay>(text) {
        Ok(overlay) => {
            findings.extend(check::overlay(file, &tree, &overlay));
            let usable = findings.iter().all(|finding| finding.severity == Severity::Warning);
            (usable.then_some(Held::Overlay(overlay, tree)), findings)
        }
        Err(error) => {
            findings.push(from_serde(file, &tree, &error));
            (None, findings)
        }
    }
}

fn rule(file: &str, text: &str, tree: &Node, mut findings: Vec<Diagnostic>) -> (Option<Held>, Vec<Diagnostic>) {
    findings.extend(shape::check(file, tree));
    if !findings.is_empty() {
        return (None, findings);
    }
    let rule: Rule = match serde_yaml::from_str(&with_quoted_versions(text, tree)) {
        Ok(rule) => rule,
        Err(error) => {
            findings.push(from_serde(file, tree, &error));
            return (None, findings);
        }
    };
    findings.extend(check::rule(file, tree, &rule));
    let usable = findings.iter().all(|finding| finding.severity == Severity::Warning);
    (usable.then(|| Held::Rule(Box::new(rule), Keys::of(tree))), findings)
}

/// YAML reads a bare `5.10` as the number 5.1: puts such versions in quotes before serde sees them.
fn with_quoted_versions<'a>(text: &'a str, tree: &Node) -> Cow<'a, str> {
    let Some(Node {
        data: Data::List(entries),
        ..
    }) = tree.get("affected")
    else {
        return Cow::Borrowed(text);
    };
    let mut spans = Vec::new();
    for entry in entries {
        for key in ["introduced", "fixed", "last_affected", "seen", "not_affected"] {
            if let Some(Node {
                place,
                data: Data::Scalar { text, plain: true },
            }) = entry.get(key)
                && text.parse::<f64>().is_ok()
            {
                spans.push(place.start..place.end);
            }
        }
    }
    if spans.is_empty() {
        return Cow::Borrowed(text);
    }
    spans.sort_by_key(|span| span.start);
    let mut quoted = String::with_capacity(text.len() + 2 * spans.len());
    let mut done = 0;
    for span in spans {
        quoted.push_str(text.get(done..span.start).unwrap_or_default());
        quoted.push('"');
        quoted.push_str(text.get(span.clone()).unwrap_or_default().trim_end());
        quoted.push('"');
        done = span.end;
    }
    quoted.push_str(text.get(done..).unwrap_or_default());
    Cow::Owned(quoted)
}

/// What serde found although the shape was right.
fn from_serde(file: &str, tree: &Node, error: &serde_yaml::Error) -> Diagnostic {
    // The message begins with the path and ends with the position, both of which are said elsewhere.
    let text = error.to_string();
    let (path, message) = match text.split_once(": ") {
        Some((path, rest)) if !path.contains(' ') => (path, rest),
        _ => ("", text.as_str()),
    };
    let message = message.split(" at line ").next().unwrap_or(message);
    Diagnostic::error("bad-value", file, Some(tree.locate(path)), message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::KnowledgeBase;

    #[test]
    fn shipped_rules_say_as_json_what_their_files_say() {
        let base = KnowledgeBase::builtin();
        assert!(base.rules().len() > 100);
        for loaded in base.rules() {
            let (held, findings) = read(&loaded.file, loaded.text());
            let Some(Held::Rule(rule, _)) = held else {
                panic!("{findings:#?}");
            };
            assert_eq!(format!("{:?}", loaded.rule()), format!("{rule:?}"));
        }
    }
}
