//! Rules as cards to look through: by the functions, modules, streams, references and mitigations that they speak of.
//!
//! Knows rules, not crashes: which rule names a crash is [`identify`](mod@super::identify)'s work.

use std::collections::BTreeSet;

use serde::Serialize;

use super::loaded::LoadedRule;
use super::reference::{Link, link};
use super::schema::{Block, Effect, Mitigation, Scope, Status};
use crate::crash::{SettingValue, normalise_symbol};

/// What a rule says of itself, without what it asks of a crash.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Card {
    /// The rule's id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// How far it has come.
    pub status: Status,
    /// Whether it names one bug or a class of crash.
    pub scope: Scope,
    /// The rule file.
    pub file: String,
    /// When it was last changed in substance, or else written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// Ids that it had before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub was: Vec<String>,
    /// The kinds of crash that it asks for.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub kinds: BTreeSet<String>,
    /// The functions that it names, in `match` and `confirm`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub symbols: BTreeSet<String>,
    /// The modules that it names.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub modules: BTreeSet<String>,
    /// The streams of which it says whether they have the bug.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub streams: BTreeSet<String>,
    /// Where it is written up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<Link>,
    /// What to do about it, an item a mitigation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mitigations: Vec<String>,
}

impl Card {
    /// Sums a rule up.
    pub fn new(loaded: &LoadedRule) -> Self {
        let rule = &loaded.rule();
        let mut card = Card {
            id: rule.id.to_string(),
            title: rule.title.as_str().to_owned(),
            status: rule.status,
            scope: rule.scope,
            file: loaded.file.to_string(),
            date: rule
                .updated
                .as_ref()
                .or(rule.date.as_ref())
                .map(|date| date.as_str().to_owned()),
            was: rule.was.iter().map(ToString::to_string).collect(),
            kinds: BTreeSet::new(),
            symbols: BTreeSet::new(),
            modules: BTreeSet::new(),
            streams: rule
                .affected
                .iter()
                .map(|range| range.stream.as_str().to_owned())
                .collect(),
            references: rule.references.iter().filter_map(|item| link(item).ok()).collect(),
            mitigations: rule.mitigations.iter().map(in_words).collect(),
        };
        card.block(&rule.matches);
        if let Some(confirm) = &rule.confirm {
            card.block(confirm);
        }
        card
    }

    fn block(&mut self, block: &Block) {
        self.kinds.extend(block.kind.iter().flatten().map(ToString::to_string));
        if let Some(fault) = &block.fault {
            let tokens = fault.0.symbol.iter().flatten().map(|token| token.as_str());
            for token in tokens {
                self.place(token);
            }
            let modules = fault.0.module.iter().flatten();
            self.modules.extend(modules.map(|glob| glob.as_str().to_owned()));
        }
        if let Some(frames) = &block.frames {
            let frames = &frames.0;
            let items = frames.ordered.iter().chain(&frames.adjacent).flatten();
            let single = frames.any.iter().chain(&frames.none).flatten();
            for token in items.flat_map(|item| &item.0).chain(single) {
                self.place(token.symbol.as_str());
            }
        }
        if let Some(modules) = &block.modules {
            let names = modules.0.loaded.iter().chain(&modules.0.absent).flatten();
            self.modules.extend(names.map(|glob| glob.as_str().to_owned()));
            self.modules
                .extend(modules.0.version.iter().flatten().map(|(name, _)| name.clone()));
        }
        for inner in block.any.iter().chain(&block.none) {
            self.block(inner);
        }
    }

    /// Takes `mod:sym+0x9` apart.
    fn place(&mut self, token: &str) {
        let place = token.split('+').next().unwrap_or(token);
        let name = match place.split_once(':') {
            Some((module, name)) => {
                self.modules.insert(module.to_owned());
                name
            }
            None => place,
        };
        // `mod:*` speaks of the module alone.
        if name.bytes().any(|byte| byte != b'*') {
            self.symbols.insert(name.to_owned());
        }
    }
}

/// A mitigation in one line: effect, what to do, and the settings by name.
fn in_words(mitigation: &Mitigation) -> String {
    let effect = match mitigation.effect {
        Effect::Fixes => "fixes",
        Effect::Avoids => "avoids",
        Effect::Reduces => "reduces",
    };
    let mut ways: Vec<String> = Vec::new();
    for (name, value) in &mitigation.sysctl {
        ways.push(format!("{}={}", name.as_str(), value_in_words(&value.0)));
    }
    for (name, value) in mitigation.sysfs.iter().chain(&mitigation.module_option) {
        ways.push(format!("{name}={}", value_in_words(&value.0)));
    }
    ways.extend(mitigation.boot.iter().flatten().cloned());
    ways.extend(
        mitigation
            .upgrade
            .iter()
            .flatten()
            .map(|target| format!("{} {}", target.stream.as_str(), target.to.0)),
    );
    ways.extend(mitigation.config.iter().chain(&mitigation.hardware).cloned());
    if ways.is_empty() {
        format!("{effect}: {}", mitigation.what)
    } else {
        format!("{effect}: {} ({})", mitigation.what, ways.join("; "))
    }
}

fn value_in_words(value: &SettingValue) -> String {
    match value {
        SettingValue::Number(number) => number.to_string(),
        SettingValue::Numbers(numbers) => {
            let words: Vec<String> = numbers.iter().map(ToString::to_string).collect();
            words.join(" ")
        }
        SettingValue::Text(text) => text.clone(),
    }
}

/// What to look for: everything that is given must be found. Letter case is free, `*` stands for anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Words in the id or the title.
    pub words: Vec<String>,
    /// A function that the rule names.
    pub symbol: Option<String>,
    /// A module that it names.
    pub module: Option<String>,
    /// A stream of which it speaks.
    pub stream: Option<String>,
    /// A reference: its id (`2779851`, `CVE-2016-5195`, `commit`) or a part of its address.
    pub reference: Option<String>,
    /// A word of a mitigation: `vm.min_free_kbytes`.
    pub mitigation: Option<String>,
    /// A kind of crash.
    pub kind: Option<String>,
    /// A status: `stable`, `test`, …
    pub status: Option<Status>,
}

impl Query {
    /// Whether a rule is looked for.
    pub fn finds(&self, card: &Card) -> bool {
        let in_words = |words: &[String]| {
            words
                .iter()
                .all(|word| contains(&card.id, word) || contains(&card.title, word) || card.was.contains(word))
        };
        let symbol = |wanted: &String| {
            let wanted = normalise_symbol(wanted);
            card.symbols
                .iter()
                .any(|symbol| fits(symbol, wanted) || fits(wanted, symbol))
        };
        let module = |wanted: &String| {
            let wanted = wanted.replace('-', "_");
            card.modules.iter().any(|module| {
                let module = module.replace('-', "_");
                fits(&module, &wanted) || fits(&wanted, &module)
            })
        };
        let reference = |wanted: &String| {
            card.references.iter().any(|link| {
                link.kind.eq_ignore_ascii_case(wanted) || contains(&link.id, wanted) || contains(&link.url, wanted)
            })
        };
        in_words(&self.words)
            && self.symbol.iter().all(symbol)
            && self.module.iter().all(module)
            && self.stream.iter().all(|stream| card.streams.contains(stream))
            && self.reference.iter().all(reference)
            && self
                .mitigation
                .iter()
                .all(|wanted| card.mitigations.iter().any(|text| contains(text, wanted)))
            && self.kind.iter().all(|kind| card.kinds.contains(kind))
            && self.status.is_none_or(|status| status == card.status)
    }
}

fn contains(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

fn fits(pattern: &str, text: &str) -> bool {
    super::schema::glob(&pattern.to_ascii_lowercase(), &text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::KnowledgeBase;

    const RULE: &str = "\
id: some-rule
title: The pump leaks
status: test
match:
  kind: bug
  fault: dm-mod:pump_water+0x9
  any: [{frames: ['drain_*']}, {modules: zfs}]
affected: [{stream: el7, seen: 3.10.0-862.el7}]
references: [{redhat-kb: 2779851}]
mitigations: [{effect: reduces, what: pump less, sysctl: {vm.min_free_kbytes: raise}}]
";

    #[test]
    fn a_rule_is_found_by_what_it_speaks_of() {
        let loading = KnowledgeBase::from_texts([("some-rule.yaml", RULE)]);
        let card = Card::new(&loading.base.rules()[0]);
        let finds = |query: Query| query.finds(&card);
        let text = |text: &str| Some(text.to_owned());
        for (query, found) in [
            (Query::default(), true),
            (
                Query {
                    words: vec!["PUMP".into(), "some".into()],
                    ..Query::default()
                },
                true,
            ),
            (
                Query {
                    words: vec!["hose".into()],
                    ..Query::default()
                },
                false,
            ),
            (
                Query {
                    symbol: text("pump_water.isra.0"),
                    ..Query::default()
                },
                true,
            ),
            (
                Query {
                    symbol: text("pump_*"),
                    ..Query::default()
                },
                true,
            ),
            (
                Query {
                    symbol: text("drain_all"),
                    ..Query::default()
                },
                true,
            ),
            (
                Query {
                    symbol: text("pump"),
                    ..Query::default()
                },
                false,
            ),
            (
                Query {
                    module: text("dm_mod"),
                    ..Query::default()
                },
                true,
            ),
            (
                Query {
                    module: text("zfs"),
                    stream: text("el7"),
                    ..Query::default()
                },
                true,
            ),
            (
                Query {
                    stream: text("el8"),
                    ..Query::default()
                },
                false,
            ),
            (
                Query {
                    reference: text("2779851"),
                    ..Query::default()
                },
                true,
            ),
            (
                Query {
                    reference: text("cve"),
                    ..Query::default()
                },
                false,
            ),
            (
                Query {
                    mitigation: text("min_free"),
                    kind: text("bug"),
                    ..Query::default()
                },
                true,
            ),
            (
                Query {
                    status: Some(Status::Stable),
                    ..Query::default()
                },
                false,
            ),
        ] {
            assert_eq!(finds(query.clone()), found, "{query:?}");
        }
    }
}
