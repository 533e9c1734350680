//! A rule's mitigations as they stand on the crashed machine: what to do, whether it applies, and what is set there now.
//!
//! Knows settings and command lines; how advice is printed is `output`'s work.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::evaluate::{Context, Leaf, holds, leaves};
use super::schema::{Effect, Mitigation, Setting};
use crate::crash::{CrashReport, SettingValue};

/// One thing to do, beside what the machine had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Advice {
    /// How much it helps.
    pub effect: Effect,
    /// What to do, in a few words.
    pub what: String,
    /// Sysctls and what to set them to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctl: BTreeMap<String, SettingValue>,
    /// Files under /sys and what to write into them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysfs: BTreeMap<String, SettingValue>,
    /// Words for the kernel's command line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub boot: Vec<String>,
    /// Module options.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub module_option: BTreeMap<String, SettingValue>,
    /// A change in some configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Kernels with the fix, one a stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upgrade: Vec<Target>,
    /// A change of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<String>,
    /// What it costs, or what it does not do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// It helps only where this holds, in the rule's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Whether that holds here. Advice that does not apply is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applies: Option<Answer>,
    /// What the crashed machine had, by the names above.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub now: BTreeMap<String, SettingValue>,
}

/// A kernel to go to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The stream.
    pub stream: String,
    /// The first release that will do.
    pub to: String,
}

/// The mitigations that apply or may apply, in the rule's order.
pub fn advice(mitigations: &[Mitigation], context: &Context<'_>) -> Vec<Advice> {
    mitigations
        .iter()
        .filter_map(|mitigation| {
            let applies = mitigation.when.as_ref().map(|when| holds(when, context));
            (applies != Some(Answer::No)).then(|| one(mitigation, applies, context))
        })
        .collect()
}

fn one(mitigation: &Mitigation, applies: Option<Answer>, context: &Context<'_>) -> Advice {
    let plain = |settings: &BTreeMap<String, Setting>| -> BTreeMap<String, SettingValue> {
        settings
            .iter()
            .map(|(name, setting)| (name.clone(), setting.0.clone()))
            .collect()
    };
    let boot: Vec<String> = mitigation.boot.iter().flatten().cloned().collect();
    let mut now = BTreeMap::new();
    let settings = &context.report.settings;
    for name in mitigation.sysctl.keys() {
        if let Some(value) = settings.get(name.as_str()) {
            now.insert(name.as_str().to_owned(), value.clone());
        }
    }
    for path in mitigation.sysfs.keys() {
        let value = settings
            .get(path)
            .or_else(|| setting_of_sysfs(path).and_then(|name| settings.get(name)));
        if let Some(value) = value {
            now.insert(path.clone(), value.clone());
        }
    }
    for word in boot
        .iter()
        .map(String::as_str)
        .chain(mitigation.module_option.keys().map(String::as_str))
    {
        let option = word.split('=').next().unwrap_or(word);
        if let Some(value) = on_cmdline(option, context.report) {
            now.insert(option.to_owned(), SettingValue::Text(value));
        }
    }
    Advice {
        effect: mitigation.effect,
        what: mitigation.what.clone(),
        sysctl: mitigation
            .sysctl
            .iter()
            .map(|(name, setting)| (name.as_str().to_owned(), setting.0.clone()))
            .collect(),
        sysfs: plain(&mitigation.sysfs),
        boot,
        module_option: plain(&mitigation.module_option),
        config: mitigation.config.clone(),
        upgrade: mitigation
            .upgrade
            .iter()
            .flatten()
            .map(|upgrade| Target {
                stream: upgrade.stream.as_str().to_owned(),
                to: upgrade.to.0.clone(),
            })
            .collect(),
        hardware: mitigation.hardware.clone(),
        note: mitigation.note.clone(),
        when: mitigation.when.as_ref().map(|when| {
            let words: Vec<String> = leaves(when).iter().map(Leaf::to_string).collect();
            words.join(" and ")
        }),
        applies,
        now,
    }
}

/// The report's name for what a file under /sys shows.
fn setting_of_sysfs(path: &str) -> Option<&'static str> {
    match path {
        "/sys/kernel/mm/transparent_hugepage/enabled" => Some("thp.enabled"),
        "/sys/kernel/mm/transparent_hugepage/defrag" => Some("thp.defrag"),
        _ => None,
    }
}

/// What the command line gave an option: its value, or `set` for a bare word. The last one counts.
fn on_cmdline(option: &str, report: &CrashReport) -> Option<String> {
    let words = report.system.cmdline.as_deref()?.split_whitespace();
    let mut found = None;
    for word in words {
        if word == option {
            found = Some("set".to_owned());
        } else if let Some(value) = word.strip_prefix(option).and_then(|rest| rest.strip_prefix('=')) {
            found = Some(value.to_owned());
        }
    }
    found
}
