//! Holds a rule file's tree against the JSON Schema of the format: every unknown key, wrong type, missing key and
//! misspelt word of a file at once, each at its place.
//!
//! serde stops at the first error, so this pass finds them all; the types stay the one home of what is allowed. It
//! knows the subset of JSON Schema that the types make, and nothing of what a rule means.

use std::sync::LazyLock;

use serde_json::{Map, Value as Json};

use super::diagnostic::{Diagnostic, Place};
use super::overlay::Overlay;
use super::schema::{self, Fault, Hex, Pattern, Word};
use super::suggest::nearest;
use super::tree::{Data, Node};

static RULE: LazyLock<Json> = LazyLock::new(schema::json_schema);
static OVERLAY: LazyLock<Json> = LazyLock::new(|| schemars::schema_for!(Overlay).to_value());

/// Every way in which the tree is not what a rule file may be.
pub fn check(file: &str, tree: &Node) -> Vec<Diagnostic> {
    against(&RULE, "rule", file, tree)
}

/// Every way in which the tree is not what an overlay may be.
pub fn check_overlay(file: &str, tree: &Node) -> Vec<Diagnostic> {
    against(&OVERLAY, "overlay", file, tree)
}

fn against(root: &Json, name: &'static str, file: &str, tree: &Node) -> Vec<Diagnostic> {
    let mut checker = Checker {
        root,
        name,
        file,
        findings: Vec::new(),
    };
    checker.node(tree, root, name, tree.place);
    checker.findings
}

struct Checker<'a> {
    root: &'a Json,
    /// What the whole file is called.
    name: &'static str,
    file: &'a str,
    findings: Vec<Diagnostic>,
}

impl<'a> Checker<'a> {
    /// `name` is the key that the node stands under, `place` that key's place.
    fn node(&mut self, node: &Node, schema: &'a Json, name: &str, place: Place) {
        let root = self.root;
        let schema = resolve(root, schema);
        if node.is_null() {
            self.error(
                "missing-value",
                place,
                format!("`{name}` has no value"),
                "give it one, or remove the key",
            );
            return;
        }
        let alternatives = alternatives(root, schema);
        let fitting: Vec<&Json> = alternatives
            .iter()
            .copied()
            .filter(|choice| accepts(choice, node))
            .collect();
        match fitting.as_slice() {
            [] => self.wrong_type(node, &alternatives, name, place),
            [only] => self.chosen(node, only, name, place),
            several => {
                // Only scalars have several: the first that the text fits, or else the last, whose error is the richest.
                let before = self.findings.len();
                for choice in several {
                    self.findings.truncate(before);
                    self.chosen(node, choice, name, place);
                    if self.findings.len() == before {
                        break;
                    }
                }
            }
        }
    }

    fn chosen(&mut self, node: &Node, schema: &'a Json, name: &str, place: Place) {
        match &node.data {
            Data::Map(_) => self.mapping(node, schema, name, place),
            Data::List(items) => {
                if items.is_empty() && schema.get("minItems").is_some() {
                    self.error(
                        "empty-list",
                        node.place,
                        format!("`{name}` is an empty list"),
                        "give it an item, or remove the key",
                    );
                }
                if let Some(item_schema) = schema.get("items") {
                    for item in items {
                        self.node(item, item_schema, name, item.place);
                    }
                }
            }
            Data::Scalar { text, .. } => self.scalar(node, text, schema, name),
        }
    }

    fn mapping(&mut self, node: &Node, schema: &'a Json, name: &str, place: Place) {
        let Data::Map(entries) = &node.data else { return };
        let properties = schema.get("properties").and_then(Json::as_object);
        let others = schema.get("additionalProperties").filter(|others| others.is_object());
        let key_format = schema.pointer("/propertyNames/format").and_then(Json::as_str);
        for entry in entries {
            if let Some(property) = properties.and_then(|properties| properties.get(&entry.key)) {
                self.node(&entry.value, property, &entry.key, entry.key_place);
            } else if let Some(others) = others {
                if let Some(Err(fault)) = key_format.map(|format| schema::check_format(format, &entry.key)) {
                    self.fault(fault, entry.key_place);
                }
                self.node(&entry.value, others, &entry.key, entry.key_place);
            } else {
                self.unknown_key(&entry.key, entry.key_place, properties, name);
            }
        }
        if entries.is_empty() && schema.get("minProperties").is_some() {
            self.error(
                "empty-mapping",
                node.place,
                format!("`{name}` says nothing"),
                "give it a key, or remove it",
            );
        }
        let required = schema.get("required").and_then(Json::as_array).into_iter().flatten();
        for key in required.filter_map(Json::as_str) {
            if node.entry(key).is_none() {
                let what = if name == self.name {
                    format!("the {name}")
                } else {
                    format!("`{name}`")
                };
                let help = properties
                    .and_then(|properties| properties.get(key))
                    .and_then(|property| property.get("description"))
                    .and_then(Json::as_str)
                    .unwrap_or("add it");
                self.error("missing-key", place, format!("{what} has no `{key}`"), help);
            }
        }
    }

    fn unknown_key(&mut self, key: &str, place: Place, properties: Option<&Map<String, Json>>, name: &str) {
        let message = format!(
            "`{key}` is not a key of {}",
            if name == self.name {
                format!("{} {name}", if name == "overlay" { "an" } else { "a" })
            } else {
                format!("`{name}`")
            }
        );
        let elsewhere = [
            ("Block", "match"),
            ("Mitigation", "mitigations"),
            ("Affected", "affected"),
        ]
        .into_iter()
        .filter(|(_, place)| *place != name)
        .find(|(definition, _)| {
            self.root
                .pointer(&format!("/$defs/{definition}/properties"))
                .is_some_and(|keys| keys.get(key).is_some())
        });
        let keys = || properties.into_iter().flatten().map(|(key, _)| key.as_str());
        let near = nearest(key, keys());
        let help = match (elsewhere, near) {
            (Some((_, home)), _) => format!("it belongs under `{home}`"),
            (None, Some(near)) => format!("did you mean `{near}`?"),
            (None, None) => {
                let keys: Vec<&str> = keys().collect();
                format!("the keys are {}", keys.join(", "))
            }
        };
        self.error("unknown-key", place, message, help);
    }

    fn scalar(&mut self, node: &Node, text: &str, schema: &Json, name: &str) {
        if let Some(words) = words(schema) {
            if !words.contains(&text) {
                let help = match nearest(text, words.iter().copied()).or_else(|| holding(text, &words)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the words are {}", words.join(", ")),
                };
                self.error(
                    "unknown-word",
                    node.place,
                    format!("`{text}` is no word for `{name}`"),
                    help,
                );
            }
            return;
        }
        match schema.get("format").and_then(Json::as_str) {
            Some(Hex::FORMAT) => self.hex(node, text),
            Some(Pattern::FORMAT) => {
                if let Err(fault) = Pattern::read(text).and_then(|_| Pattern::validate(text)) {
                    self.fault(fault, node.place);
                }
            }
            Some(format) => {
                if let Err(fault) = schema::check_format(format, text) {
                    self.fault(fault, node.place);
                }
            }
            None => {}
        }
        let number: Option<f64> = text.parse().ok();
        let bound = |key| schema.get(key).and_then(Json::as_f64);
        if let Some(number) = number
            && (bound("minimum").is_some_and(|min| number < min) || bound("maximum").is_some_and(|max| number > max))
        {
            let range = match (bound("minimum"), bound("maximum")) {
                (Some(min), Some(max)) if min == max => format!("it must be {min}"),
                (Some(min), Some(max)) => format!("it must be {min} to {max}"),
                (Some(min), None) => format!("it must be at least {min}"),
                (None, max) => format!("it must be at most {}", max.unwrap_or_default()),
            };
            self.error("out-of-range", node.place, format!("`{name}` cannot be {text}"), range);
        }
    }

    /// crash prints decimal and an oops hex, so a number whose base does not show is an error.
    fn hex(&mut self, node: &Node, text: &str) {
        let digits = text.trim_start_matches('-');
        if !digits.starts_with("0x") && digits.len() > 1 {
            let fault = schema::ShortValue::read(digits).err();
            let help = fault.and_then(|fault| fault.help).unwrap_or_default();
            self.error(
                "decimal-value",
                node.place,
                format!("`{text}`: is this decimal or hex?"),
                help,
            );
        }
    }

    fn wrong_type(&mut self, node: &Node, alternatives: &[&Json], name: &str, place: Place) {
        let mut expected = Vec::new();
        for choice in alternatives {
            for kind in types(choice) {
                let words = match kind {
                    "object" => "a mapping",
                    "array" => "a list",
                    "integer" => "a whole number",
                    "number" => "a number",
                    "boolean" => "true or false",
                    _ => "a word",
                };
                if !expected.contains(&words) {
                    expected.push(words);
                }
            }
        }
        let found = match &node.data {
            Data::Map(_) => "a mapping".to_owned(),
            Data::List(_) => "a list".to_owned(),
            Data::Scalar { text, .. } => format!("`{text}`"),
        };
        let place = if matches!(node.data, Data::Scalar { .. }) {
            node.place
        } else {
            place
        };
        self.error(
            "wrong-type",
            place,
            format!("`{name}` is {found}"),
            format!("expected {}", expected.join(" or ")),
        );
    }

    fn fault(&mut self, fault: Fault, place: Place) {
        let mut finding = Diagnostic::error(fault.code, self.file, Some(place), fault.message);
        finding.help = fault.help;
        self.findings.push(finding);
    }

    fn error(&mut self, code: &'static str, place: Place, message: String, help: impl Into<String>) {
        self.findings
            .push(Diagnostic::error(code, self.file, Some(place), message).with_help(help));
    }
}

/// Follows references to definitions; a chain is at most as long as the definitions are many.
fn resolve<'a>(root: &'a Json, schema: &'a Json) -> &'a Json {
    let mut schema = schema;
    for _ in 0..64 {
        let target = schema
            .get("$ref")
            .and_then(Json::as_str)
            .and_then(|target| target.strip_prefix('#'))
            .and_then(|pointer| root.pointer(pointer));
        match target {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

/// The choices of an `anyOf`, nested ones included; a schema without one is its own only choice.
fn alternatives<'a>(root: &'a Json, schema: &'a Json) -> Vec<&'a Json> {
    match schema.get("anyOf").and_then(Json::as_array) {
        Some(choices) => choices
            .iter()
            .flat_map(|choice| alternatives(root, resolve(root, choice)))
            .collect(),
        None => vec![schema],
    }
}

/// The words of an enumeration, in either way of writing it.
fn words(schema: &Json) -> Option<Vec<&str>> {
    if let Some(words) = schema.get("enum").and_then(Json::as_array) {
        return Some(words.iter().filter_map(Json::as_str).collect());
    }
    let choices = schema.get("oneOf").and_then(Json::as_array)?;
    choices
        .iter()
        .map(|choice| choice.get("const").and_then(Json::as_str))
        .collect()
}

/// A word that holds every part of a shortened one: null-deref is null-pointer-dereference.
fn holding<'a>(text: &str, words: &[&'a str]) -> Option<&'a str> {
    let parts: Vec<&str> = text.split(['-', '_', ' ']).filter(|part| part.len() > 2).collect();
    if parts.is_empty() {
        return None;
    }
    words
        .iter()
        .copied()
        .find(|word| parts.iter().all(|part| word.contains(part)))
}

fn types(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::String(name)) => vec![name],
        Some(Json::Array(names)) => names.iter().filter_map(Json::as_str).collect(),
        _ => vec!["string"],
    }
}

fn accepts(schema: &Json, node: &Node) -> bool {
    types(schema).iter().any(|kind| match (&node.data, *kind) {
        (Data::Map(_), "object") | (Data::List(_), "array") | (Data::Scalar { .. }, "string") => true,
        (Data::Scalar { text, plain: true }, "integer") => is_integer(text),
        (Data::Scalar { text, plain: true }, "number") => is_integer(text) || text.parse::<f64>().is_ok(),
        (Data::Scalar { text, plain: true }, "boolean") => matches!(text.as_str(), "true" | "false"),
        _ => false,
    })
}

fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).is_ok(),
        None => !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && digits.len() < 20,
    }
}
