//! A rule file's YAML as a tree in which every key and value knows its place.
//!
//! Syntax, repeated keys and everything that a rule file may not hold at all (aliases, tags, several documents, great
//! depth) is refused here, so that later passes see plain, bounded data. It knows YAML and nothing of rules.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

use super::diagnostic::{Diagnostic, Place};
use super::keys::Tree;

/// Deeper than any rule; bounds the recursion of everything that walks a tree.
const MAX_DEPTH: usize = 48;

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it is: a scalar's own text, a collection's first item.
    pub place: Place,
    /// What it is.
    pub data: Data,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Data {
    /// A scalar: its text, and whether it was written without quotes.
    Scalar {
        /// The text.
        text: String,
        /// Written without quotes or block marks: it may be a number or nothing at all.
        plain: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the order of the file.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key is.
    pub key_place: Place,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The value of a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// A key of a mapping, with its place.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.data {
            Data::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// Whether there is nothing: `key:` without a value, `~`, `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.data, Data::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The place of the node that a path leads to (`match.any[1].registers.r12`), or of the last step that exists; a
    /// key's place where the path ends at a key.
    pub fn locate(&self, path: &str) -> Place {
        let mut node = self;
        let mut place = self.place;
        for step in steps(path) {
            let found = match (step, &node.data) {
                (Step::Key(key), Data::Map(entries)) => entries
                    .iter()
                    // A key may itself hold dots (vm.min_free_kbytes): the rest of the path decides below.
                    .find(|entry| entry.key == key)
                    .map(|entry| (entry.key_place, &entry.value)),
                (Step::Index(index), Data::List(items)) => items.get(index).map(|item| (item.place, item)),
                // Where one may be written for a list of one, item 0 is the value itself.
                (Step::Index(0), _) => Some((place, node)),
                _ => None,
            };
            let Some((next_place, next)) = found else {
                break;
            };
            place = next_place;
            node = next;
        }
        place
    }
}

impl Tree for Node {
    fn key(&self, key: &str) -> Option<&Self> {
        self.get(key)
    }

    fn list(&self) -> Option<&[Self]> {
        match &self.data {
            Data::List(items) => Some(items),
            Data::Scalar { .. } | Data::Map(_) => None,
        }
    }

    fn word(&self) -> Option<Cow<'_, str>> {
        match &self.data {
            Data::Scalar { text, .. } => Some(Cow::Borrowed(text)),
            Data::List(_) | Data::Map(_) => None,
        }
    }

    fn entries(&self) -> usize {
        match &self.data {
            Data::Map(entries) => entries.len(),
            Data::Scalar { .. } | Data::List(_) => 0,
        }
    }
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// Splits `match.any[1].sysctl.(vm.swappiness)`; a key that holds dots stands in parentheses.
fn steps(path: &str) -> impl Iterator<Item = Step<'_>> {
    let mut rest = path;
    std::iter::from_fn(move || {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if rest.is_empty() {
            return None;
        }
        if let Some((index, after)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            rest = after;
            return Some(Step::Index(index.parse().ok()?));
        }
        if let Some((key, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            rest = after;
            return Some(Step::Key(key));
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        rest = after;
        Some(Step::Key(key))
    })
}

/// Reads a file's text. Every finding of this pass is in the second value; without a tree it holds at least one error.
pub fn parse(file: &str, text: &str) -> (Option<Node>, Vec<Diagnostic>) {
    let mut builder = Builder::new(file, text);
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => {
                if !builder.event(event, span) {
                    return (None, builder.findings);
                }
            }
            Err(error) => {
                let place = builder.place(Span::empty(*error.marker()));
                let finding = Diagnostic::error(
                    "yaml-syntax",
                    file,
                    Some(place),
                    format!("this is not YAML: {}", error.info()),
                );
                builder.findings.push(finding);
                return (None, builder.findings);
            }
        }
    }
    if builder.root.is_none() {
        builder.findings.push(Diagnostic::error(
            "empty-file",
            file,
            None,
            "there is no rule in this file",
        ));
    }
    (builder.root, builder.findings)
}

struct Builder<'a> {
    file: &'a str,
    offsets: Offsets<'a>,
    stack: Vec<Open>,
    documents: usize,
    root: Option<Node>,
    findings: Vec<Diagnostic>,
}

/// A collection whose end has not come yet.
struct Open {
    place: Place,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map {
        entries: Vec<Entry>,
        key: Option<(String, Place)>,
        seen: HashMap<String, usize>,
    },
}

impl<'a> Builder<'a> {
    fn new(file: &'a str, text: &'a str) -> Self {
        Builder {
            file,
            offsets: Offsets::new(text),
            stack: Vec::new(),
            documents: 0,
            root: None,
            findings: Vec::new(),
        }
    }

    /// Takes one event; `false` when there is no sense in going on.
    fn event(&mut self, event: Event<'_>, span: Span) -> bool {
        let place = self.place(span);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return self.stop(
                        "several-documents",
                        place,
                        "a rule file holds one rule: a second YAML document starts here",
                        "put it into a file of its own",
                    );
                }
            }
            Event::Alias(_) => {
                return self.stop(
                    "yaml-alias",
                    place,
                    "a rule file may not use YAML aliases",
                    "write the value out",
                );
            }
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                return self.stop(
                    "yaml-tag",
                    place,
                    "a rule file may not use YAML tags",
                    "remove the `!` tag",
                );
            }
            Event::Scalar(text, style, _, None) => {
                let data = Data::Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                };
                return self.add(Node { place, data });
            }
            Event::SequenceStart(..) => return self.open(place, OpenKind::List(Vec::new())),
            Event::MappingStart(..) => {
                let kind = OpenKind::Map {
                    entries: Vec::new(),
                    key: None,
                    seen: HashMap::new(),
                };
                return self.open(place, kind);
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.stack.pop() else {
                    return false;
                };
                let data = match open.kind {
                    OpenKind::List(items) => Data::List(items),
                    OpenKind::Map { entries, .. } => Data::Map(entries),
                };
                return self.add(Node {
                    place: open.place,
                    data,
                });
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        true
    }

    fn open(&mut self, place: Place, kind: OpenKind) -> bool {
        if self.stack.len() >= MAX_DEPTH {
            return self.stop(
                "too-deep",
                place,
                "this is nested deeper than any rule needs",
                "flatten it",
            );
        }
        self.stack.push(Open { place, kind });
        true
    }

    fn add(&mut self, node: Node) -> bool {
        let Some(open) = self.stack.last_mut() else {
            self.root.get_or_insert(node);
            return true;
        };
        match &mut open.kind {
            OpenKind::List(items) => items.push(node),
            OpenKind::Map { entries, key, seen } => match key.take() {
                None => {
                    let Data::Scalar { text, .. } = node.data else {
                        let place = node.place;
                        return self.stop("yaml-key", place, "a key must be a word", "write `key: value`");
                    };
                    *key = Some((text, node.place));
                }
                Some((key, key_place)) => {
                    if let Some(&line) = seen.get(&key) {
                        let message = format!("`{key}` is written twice in the same mapping");
                        let finding = Diagnostic::error("duplicate-key", self.file, Some(key_place), message)
                            .with_help(format!("the first is on line {line}"));
                        self.findings.push(finding);
                        return true;
                    }
                    seen.insert(key.clone(), key_place.line);
                    entries.push(Entry {
                        key,
                        key_place,
                        value: node,
                    });
                }
            },
        }
        true
    }

    fn stop(&mut self, code: &'static str, place: Place, message: &str, help: &str) -> bool {
        let finding = Diagnostic::error(code, self.file, Some(place), message).with_help(help);
        self.findings.push(finding);
        false
    }

    fn place(&mut self, span: Span) -> Place {
        let start = self.offsets.byte(span.start);
        let end = self.offsets.byte(span.end).max(start);
        Place {
            start,
            end,
            line: span.start.line(),
            column: span.start.col() + 1,
        }
    }
}

/// Byte offsets of the parser's character indices. A look-up costs its distance from the last one.
struct Offsets<'a> {
    text: &'a str,
    character: usize,
    byte: usize,
}

impl<'a> Offsets<'a> {
    fn new(text: &'a str) -> Self {
        Offsets {
            text,
            character: 0,
            byte: 0,
        }
    }

    fn byte(&mut self, marker: Marker) -> usize {
        let index = marker.index();
        let (before, after) = self.text.split_at_checked(self.byte).unwrap_or(("", self.text));
        match index.checked_sub(self.character) {
            Some(ahead) => {
                self.byte += after
                    .char_indices()
                    .nth(ahead)
                    .map_or(after.len(), |(offset, _)| offset);
            }
            None => {
                let back = self.character - index;
                self.byte = before.char_indices().nth_back(back - 1).map_or(0, |(offset, _)| offset);
            }
        }
        self.character = index;
        self.byte
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(text: &str) -> Vec<(&'static str, Option<usize>, Option<usize>)> {
        let (_, findings) = parse("t.yaml", text);
        findings.iter().map(|f| (f.code, f.line, f.column)).collect()
    }

    #[test]
    fn every_value_knows_its_place() {
        let text = "# é\nmatch:\n  any:\n    - kind: bug\n    - sysctl: {vm.swappiness: 3, b: 1}\nid: x\n";
        let (tree, findings) = parse("t.yaml", text);
        let tree = tree.unwrap();
        assert!(findings.is_empty());
        for (path, line, slice) in [
            ("match", 2, "match"),
            ("match.any[0].kind", 4, "kind"),
            ("match.any[1].sysctl.(vm.swappiness)", 5, "vm.swappiness"),
            ("match.any[1].sysctl.b", 5, "b"),
            ("match.any[1].sysctl.nowhere", 5, "sysctl"),
            ("id", 6, "id"),
        ] {
            let place = tree.locate(path);
            assert_eq!((place.line, &text[place.start..place.end]), (line, slice), "{path}");
        }
    }

    #[test]
    fn all_repeated_keys_are_named() {
        assert_eq!(
            codes("a: 1\nb: 2\na: 3\nc: {x: 1, x: 2}\n"),
            [
                ("duplicate-key", Some(3), Some(1)),
                ("duplicate-key", Some(4), Some(11))
            ]
        );
    }

    #[test]
    fn what_a_rule_file_may_not_hold_is_refused() {
        assert_eq!(codes("a: [1\nb: 2"), [("yaml-syntax", Some(2), Some(2))]);
        assert_eq!(codes("a: 1\n---\nb: 2\n")[0].0, "several-documents");
        assert_eq!(codes("a: &x 1\nb: *x\n"), [("yaml-alias", Some(2), Some(4))]);
        assert_eq!(codes("a: !!str 1\n")[0].0, "yaml-tag");
        assert_eq!(codes("? [a]\n: 1\n")[0].0, "yaml-key");
        assert_eq!(codes("")[0].0, "empty-file");
        assert_eq!(codes("# nothing\n")[0].0, "empty-file");
        assert_eq!(codes(&"[".repeat(60))[0].0, "too-deep");
        assert!(!codes(&"[".repeat(100_000)).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC{0,200}") {
            let _ = parse("t.yaml", &text);
        }

        #[test]
        fn yaml_like_text_is_survived(text in "([a-c]|: |- |\\[|\\]|\\{|\\}|\n|  |'|\"|\\||&|\\*|!|#|é){0,60}") {
            let (tree, findings) = parse("t.yaml", &text);
            proptest::prop_assert!(tree.is_some() || !findings.is_empty());
            for finding in findings {
                if let Some(span) = finding.span {
                    proptest::prop_assert!(text.get(span).is_some());
                }
            }
        }
    }
}
