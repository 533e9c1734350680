//! A rule file: what names the bug, which kernels have it, where it is written up and what to do about it.
//!
//! Plain data, from which the JSON Schema is made too: its doc comments are what an editor shows.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::form::OneOrMany;
use super::names::{StreamName, SysctlName};
use super::predicates::Block;
use super::text::{Date, Glob, Slug, Title};
use crate::crash::SettingValue;

/// One rule: one known bug, or one class of crash.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The version of this format: 1.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1))]
    pub schema: Option<u32>,
    /// Unique over all packs and never used again: lower-case words joined by `-`.
    pub id: Slug,
    /// One line: what breaks, and where.
    pub title: Title,
    /// How far the rule has come.
    pub status: Status,
    /// Whether it names one bug or a class of crash.
    #[serde(default)]
    pub scope: Scope,
    /// When it was written.
    #[serde(default)]
    pub date: Option<Date>,
    /// When it was last changed in substance.
    #[serde(default)]
    pub updated: Option<Date>,
    /// Who wrote it.
    #[serde(default)]
    pub authors: Vec<String>,
    /// Ids that it had before.
    #[serde(default)]
    pub was: Vec<Slug>,
    /// The rule that took its place; needed when it is deprecated.
    #[serde(default)]
    pub replaced_by: Option<Slug>,
    /// The more general rules that this one explains better.
    #[serde(default)]
    pub specializes: Vec<Slug>,
    /// The signature: all of it must hold.
    #[serde(rename = "match")]
    pub matches: Block,
    /// Evidence that lifts "likely" to "exact"; what belongs to one build stands here.
    #[serde(default)]
    pub confirm: Option<Block>,
    /// Which kernels have the bug.
    #[serde(default)]
    pub affected: Vec<Affected>,
    /// Where it is written up.
    #[serde(default)]
    pub references: Vec<Reference>,
    /// What goes wrong, in plain words.
    #[serde(default)]
    pub root_cause: Option<String>,
    /// What to do about it.
    #[serde(default)]
    pub mitigations: Vec<Mitigation>,
    /// For those who work on the rule.
    #[serde(default)]
    pub notes: Option<String>,
}

/// How far a rule has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Being written: never used.
    Draft,
    /// Used, and marked as not reviewed.
    Test,
    /// Reviewed.
    Stable,
    /// Replaced by another rule, to which it points.
    Deprecated,
}

impl Rule {
    /// A draft that nothing matches: what stands for a text that is no rule.
    pub(in crate::rules) fn unusable(id: &str) -> Self {
        Rule {
            schema: None,
            id: Slug::unchecked(id),
            title: Title::unchecked("This rule cannot be read"),
            status: Status::Draft,
            scope: Scope::General,
            date: None,
            updated: None,
            authors: Vec::new(),
            was: Vec::new(),
            replaced_by: None,
            specializes: Vec::new(),
            // None of everything.
            matches: Block {
                none: vec![Block::default()],
                ..Block::default()
            },
            confirm: None,
            affected: Vec::new(),
            references: Vec::new(),
            root_cause: None,
            mitigations: Vec::new(),
            notes: None,
        }
    }
}

impl Status {
    /// The status that a word stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [Status::Draft, Status::Test, Status::Stable, Status::Deprecated];
        all.into_iter().find(|status| status.word() == word)
    }

    /// The status as a rule file spells it.
    pub fn word(self) -> &'static str {
        match self {
            Status::Draft => "draft",
            Status::Test => "test",
            Status::Stable => "stable",
            Status::Deprecated => "deprecated",
        }
    }
}

/// What a rule claims to name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// One bug.
    #[default]
    Bug,
    /// A class of crash: what it means and what to look at.
    General,
}

/// Which kernels of one stream have the bug. A version may be `unknown`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Affected {
    /// The stream: `el7`, `debian`, `upstream`, …
    pub stream: StreamName,
    /// The first release that has the bug; one a branch. "0": every release up to the fix.
    #[serde(default)]
    pub introduced: Option<OneOrMany<Bound>>,
    /// The first release without it; one a branch.
    #[serde(default)]
    pub fixed: Option<OneOrMany<Bound>>,
    /// The last release known to have it, where no fixed one is known.
    #[serde(default)]
    pub last_affected: Option<OneOrMany<Bound>>,
    /// Releases on which it was seen: nothing is said about others.
    #[serde(default)]
    pub seen: Option<OneOrMany<Release>>,
    /// Releases that never had it.
    #[serde(default)]
    pub not_affected: Option<OneOrMany<Release>>,
    /// What should be known about these.
    #[serde(default)]
    pub note: Option<String>,
}

/// A version, or `unknown`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bound {
    /// There is one, and it is not known.
    Unknown,
    /// This one.
    At(Release),
}

/// A version or release as text. YAML reads a bare 5.10 as the number 5.1, so versions are kept as they are spelt.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Release(pub String);

impl<'de> Deserialize<'de> for Bound {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Release::deserialize(deserializer).map(|Release(text)| match text.as_str() {
            "unknown" => Bound::Unknown,
            _ => Bound::At(Release(text)),
        })
    }
}

/// Implements `JsonSchema` for texts that are versions.
macro_rules! version_schema {
    ($($name:ident),+) => {$(
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": ["string", "number"], "format": "version"})
            }
        }
    )+};
}
version_schema!(Bound, Release);

/// One place where the bug is written up: exactly one of the typed keys.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reference {
    /// A Red Hat knowledge base article: 2779851.
    #[serde(default)]
    pub redhat_kb: Option<Number>,
    /// A bug in Red Hat Bugzilla: 1305620.
    #[serde(default)]
    pub redhat_bugzilla: Option<Number>,
    /// A Red Hat advisory: RHSA-2019:1873.
    #[serde(default)]
    pub redhat_errata: Option<String>,
    /// CVE-2016-5195.
    #[serde(default)]
    pub cve: Option<String>,
    /// A mainline commit: 12 to 40 hex digits.
    #[serde(default)]
    pub commit: Option<Number>,
    /// A mailing-list message: its message id, or an address in an archive.
    #[serde(default)]
    pub lkml: Option<String>,
    /// A bug in Launchpad: 1970672.
    #[serde(default)]
    pub launchpad: Option<Number>,
    /// A SUSE support document: 000019735 or 7018178.
    #[serde(default)]
    pub suse_tid: Option<Number>,
    /// A bug in SUSE's Bugzilla: 1191238.
    #[serde(default)]
    pub suse_bugzilla: Option<Number>,
    /// A bug in Debian's tracker: 989778.
    #[serde(default)]
    pub debian_bug: Option<Number>,
    /// An issue, pull request or commit: owner/name#123, owner/name@abcdef123456.
    #[serde(default)]
    pub github: Option<String>,
    /// A Lustre ticket: LU-12345.
    #[serde(default)]
    pub lustre_jira: Option<String>,
    /// Any other page.
    #[serde(default)]
    pub url: Option<String>,
    /// What is to be found there, or how far to trust it.
    #[serde(default)]
    pub note: Option<String>,
    /// When somebody last looked.
    #[serde(default)]
    pub checked: Option<Date>,
}

/// A number or a text that looks like one; kept as it is spelt.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Number(pub String);

impl JsonSchema for Number {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Number".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": ["integer", "string"]})
    }
}

/// How much a mitigation helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// The bug is gone.
    Fixes,
    /// The bug is still there and cannot be reached.
    Avoids,
    /// The bug is met less often.
    Reduces,
}

/// One thing to do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mitigation {
    /// How much it helps.
    pub effect: Effect,
    /// What to do, in a few words.
    pub what: String,
    /// Sysctls and what to set them to: a value, `raise` or `lower`.
    #[serde(default)]
    pub sysctl: BTreeMap<SysctlName, Setting>,
    /// Files under /sys and what to write into them.
    #[serde(default)]
    pub sysfs: BTreeMap<String, Setting>,
    /// Words for the kernel's command line.
    #[serde(default)]
    pub boot: Option<OneOrMany<String>>,
    /// Module options: `module.option` and the value.
    #[serde(default)]
    pub module_option: BTreeMap<String, Setting>,
    /// A change in some configuration file or in the kernel's own configuration.
    #[serde(default)]
    pub config: Option<String>,
    /// A newer kernel.
    #[serde(default)]
    pub upgrade: Option<OneOrMany<Upgrade>>,
    /// A change of the machine.
    #[serde(default)]
    pub hardware: Option<String>,
    /// What it costs, or what it does not do.
    #[serde(default)]
    pub note: Option<String>,
    /// It helps only where this holds.
    #[serde(default)]
    pub when: Option<Block>,
}

/// A kernel that has the fix.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upgrade {
    /// The stream.
    pub stream: StreamName,
    /// The first release that will do.
    pub to: Release,
}

/// A value to set: a number, several numbers, or a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting(pub SettingValue);

impl<'de> Deserialize<'de> for Setting {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SettingVisitor;
        impl<'de> serde::de::Visitor<'de> for SettingVisitor {
            type Value = Setting;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number, a list of numbers or a text")
            }

            fn visit_bool<E>(self, flag: bool) -> Result<Setting, E> {
                Ok(Setting(SettingValue::Text(flag.to_string())))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Setting, E> {
                Ok(Setting(SettingValue::Number(number)))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Setting, E> {
                i64::try_from(number)
                    .map(|number| Setting(SettingValue::Number(number)))
                    .map_err(|_| E::custom("a number of at most 63 bits"))
            }

            fn visit_str<E>(self, text: &str) -> Result<Setting, E> {
                Ok(Setting(SettingValue::Text(text.to_owned())))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Setting, A::Error> {
                let mut numbers = Vec::new();
                while let Some(number) = items.next_element()? {
                    numbers.push(number);
                }
                Ok(Setting(SettingValue::Numbers(numbers)))
            }
        }
        deserializer.deserialize_any(SettingVisitor)
    }
}

impl JsonSchema for Setting {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Setting".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"anyOf": [
            {"type": ["integer", "string", "boolean"]},
            {"type": "array", "items": {"type": "integer"}, "minItems": 1},
        ]})
    }
}

impl Affected {
    /// Whether a release of `seen` or `not_affected` is written with a wildcard.
    pub fn glob_of(release: &Release) -> Option<Glob> {
        release
            .0
            .contains('*')
            .then(|| super::text::Word::read(&release.0).ok())
            .flatten()
    }
}
