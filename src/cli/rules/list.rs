//! `vmcoroner rules list` and `rules show`.

use crate::cli::Outcome;
use crate::cli::args::{Format, RuleSet, RulesList, StatusWord};
use crate::cli::knowledge::load;
use crate::cli::sink::Sink;
use crate::output::page::Page;
use crate::output::rules as output;
use crate::rules::schema::Status;
use crate::rules::search::{Card, Query};

use super::no_such_rule;

impl From<StatusWord> for Status {
    fn from(word: StatusWord) -> Self {
        match word {
            StatusWord::Draft => Status::Draft,
            StatusWord::Test => Status::Test,
            StatusWord::Stable => Status::Stable,
            StatusWord::Deprecated => Status::Deprecated,
        }
    }
}

/// Lists the rules that a query finds.
pub fn list(arguments: &RulesList, sink: &mut Sink) -> Outcome {
    let Some(base) = load(&arguments.rules, sink) else {
        return Outcome::Failed;
    };
    let query = Query {
        words: arguments.words.clone(),
        symbol: arguments.symbol.clone(),
        module: arguments.module.clone(),
        stream: arguments.stream.clone(),
        reference: arguments.reference.clone(),
        mitigation: arguments.mitigation.clone(),
        kind: arguments.kind.clone(),
        status: arguments.status.map(Status::from),
    };
    let cards: Vec<Card> = base
        .rules()
        .iter()
        .map(Card::new)
        .filter(|card| query.finds(card))
        .collect();
    match arguments.format {
        Format::Human => {
            let mut page = Page::new();
            output::list(&mut page, &cards);
            sink.write(&page.finish());
        }
        Format::Json => sink.write(&format!("{:#}\n", serde_json::json!(cards))),
        Format::Jsonl => {
            for card in &cards {
                sink.write(&format!("{}\n", serde_json::json!(card)));
            }
        }
    }
    if cards.is_empty() {
        Outcome::NotFound
    } else {
        Outcome::Found
    }
}

/// Shows one rule.
pub fn show(id: &str, format: Format, rules: &RuleSet, sink: &mut Sink) -> Outcome {
    let Some(base) = load(rules, sink) else {
        return Outcome::Failed;
    };
    let Some(loaded) = base.find(id) else {
        return no_such_rule(&base, id, sink);
    };
    let card = Card::new(loaded);
    match format {
        Format::Human => {
            let mut page = Page::new();
            output::show(&mut page, &card, &loaded.changes, loaded.text());
            sink.write(&page.finish());
        }
        Format::Json | Format::Jsonl => {
            let mut value = serde_json::json!(card);
            if let Some(object) = value.as_object_mut() {
                object.insert("text".to_owned(), loaded.text().into());
                object.insert("changes".to_owned(), loaded.changes.clone().into());
            }
            let text = if format == Format::Json {
                format!("{value:#}\n")
            } else {
                format!("{value}\n")
            };
            sink.write(&text);
        }
    }
    Outcome::Found
}
