//! Overlays: a team's changes to rules that it does not own, by id and with a reason, without editing their files.
//!
//! An overlay disables a rule, gives it another title or another status; nothing else, so that a verdict always rests
//! on the rule as its author wrote it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::schema::{Slug, Status, Title, Word as _};

/// An overlay file. The key `overlay` tells it from a rule.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Overlay {
    /// The version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    pub overlay: u32,
    /// The changes, by the rule's id.
    pub rules: Changes,
}

/// Changes by rule.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Changes(pub BTreeMap<Slug, Change>);

impl JsonSchema for Changes {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Changes".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let value = generator.subschema_for::<Change>();
        schemars::json_schema!({
            "type": "object",
            "propertyNames": {"format": Slug::FORMAT},
            "additionalProperties": value,
            "minProperties": 1,
        })
    }
}

/// What is changed of one rule, and why.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Why: who reads a verdict later must be able to judge it.
    pub reason: String,
    /// Takes the rule out of use.
    #[serde(default)]
    pub disable: bool,
    /// Another title.
    #[serde(default)]
    pub title: Option<Title>,
    /// Another status: `stable` for a rule that the team has reviewed itself, `draft` to take it out of use for now.
    #[serde(default)]
    pub status: Option<Status>,
}

impl Change {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        !self.disable && self.title.is_none() && self.status.is_none()
    }
}
