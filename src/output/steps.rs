//! A rule's advice as steps: what to type on the running machine, and what lasts. Only words: how they are laid out is
//! for the terminal's page and the HTML report to decide.

use super::crash::setting;
use crate::crash::SettingValue;
use crate::rules::Answer;
use crate::rules::advice::Advice;
use crate::rules::schema::Effect;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// How much it helps: `fixes`, `avoids`, `reduces`; empty for a remark.
    pub effect: &'static str,
    /// What to do.
    pub what: String,
    /// Commands that do it, each with a remark (`now always`) that may be empty.
    pub commands: Vec<(String, String)>,
}

/// What can be done on the running machine, with the values that it had.
pub fn now(all: &[Advice]) -> Vec<Step> {
    all.iter()
        .filter(|advice| !advice.sysfs.is_empty() || !advice.sysctl.is_empty())
        .map(|advice| Step {
            effect: effect(advice),
            what: what(advice),
            commands: commands(advice),
        })
        .collect()
}

fn commands(advice: &Advice) -> Vec<(String, String)> {
    let now = |name: &str| advice.now.get(name).map(|value| format!("now {}", setting(value)));
    let remark = |parts: [Option<String>; 2]| parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let files = advice.sysfs.iter().map(|(path, value)| {
        let command = format!("echo {} > {path}", setting(value));
        (command, remark([None, now(path)]))
    });
    let sysctls = advice.sysctl.iter().map(|(name, value)| {
        let (command, hint) = match value {
            SettingValue::Text(way) if way == "raise" || way == "lower" => {
                (format!("sysctl {name}"), Some(format!("{way} it")))
            }
            SettingValue::Numbers(_) => (format!("sysctl -w {name}='{}'", setting(value)), None),
            _ => (format!("sysctl -w {name}={}", setting(value)), None),
        };
        (command, remark([hint, now(name)]))
    });
    files.chain(sysctls).collect()
}

/// What lasts over a reboot.
pub fn lasting(all: &[Advice]) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut step = |effect, what| {
        steps.push(Step {
            effect,
            what,
            commands: Vec::new(),
        });
    };
    for advice in all {
        let effect = effect(advice);
        for target in &advice.upgrade {
            step(effect, format!("upgrade to {} ({}) or newer", target.to, target.stream));
        }
        for word in &advice.boot {
            let option = word.split('=').next().unwrap_or(word);
            let now = advice.now.get(option);
            let now = now
                .map(|value| format!(" (now {})", setting(value)))
                .unwrap_or_default();
            step(effect, format!("boot with {word}{now}"));
        }
        for (name, value) in &advice.module_option {
            let option = name.replacen('.', " ", 1);
            step(
                effect,
                format!("options {option}={} in /etc/modprobe.d", setting(value)),
            );
        }
        for text in [&advice.config, &advice.hardware].into_iter().flatten() {
            step(effect, format!("{}: {text}", what(advice)));
        }
        let immediate = !advice.sysfs.is_empty() || !advice.sysctl.is_empty();
        let named = immediate || !advice.upgrade.is_empty() || !advice.boot.is_empty();
        if !named && advice.config.is_none() && advice.hardware.is_none() && advice.module_option.is_empty() {
            step(effect, what(advice));
        }
    }
    if all.iter().any(|advice| !advice.sysctl.is_empty()) {
        step("", "keep the sysctls in /etc/sysctl.d".to_owned());
    }
    steps
}

fn effect(advice: &Advice) -> &'static str {
    match advice.effect {
        Effect::Fixes => "fixes",
        Effect::Avoids => "avoids",
        Effect::Reduces => "reduces",
    }
}

/// The advice's words, with its note and with the condition that could not be checked.
fn what(advice: &Advice) -> String {
    let mut text = advice.what.clone();
    if let (Some(Answer::Unknown), Some(when)) = (advice.applies, &advice.when) {
        text.push_str(&format!(", if {when} (not known here)"));
    }
    if let Some(note) = &advice.note {
        text.push_str(&format!(" ({note})"));
    }
    text
}
