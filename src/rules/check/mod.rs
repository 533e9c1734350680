//! What only the whole rule can tell: required company of keys, ranges that run backwards, conditions that say nothing.
//!
//! Works on a rule that serde has read; places come from the tree. It knows one rule at a time.

mod block;
mod conflict;
mod range;
mod sysctl;

use std::path::Path;

use super::diagnostic::Diagnostic;
use super::overlay::Overlay;
use super::reference;
use super::schema::{Mitigation, Rule, Scope, Setting, Status};
use super::tree::Node;
use crate::crash::SettingValue;

/// Everything that is wrong or odd about a rule.
pub fn rule(file: &str, tree: &Node, rule: &Rule) -> Vec<Diagnostic> {
    let mut checker = Checker {
        file,
        tree,
        findings: Vec::new(),
    };
    checker.head(rule);
    checker.block(&rule.matches, "match");
    if let Some(confirm) = &rule.confirm {
        checker.block(confirm, "confirm");
    }
    for (index, affected) in rule.affected.iter().enumerate() {
        checker.affected(affected, &format!("affected[{index}]"));
    }
    for (index, item) in rule.references.iter().enumerate() {
        if let Err(fault) = reference::link(item) {
            let path = format!("references[{index}]");
            checker.error(fault.code, &path, fault.message, fault.help.unwrap_or_default());
        }
    }
    for (index, mitigation) in rule.mitigations.iter().enumerate() {
        checker.mitigation(mitigation, &format!("mitigations[{index}]"));
    }
    checker.findings
}

/// Everything that is wrong or odd about an overlay by itself.
pub fn overlay(file: &str, tree: &Node, overlay: &Overlay) -> Vec<Diagnostic> {
    let mut checker = Checker {
        file,
        tree,
        findings: Vec::new(),
    };
    for (id, change) in &overlay.rules.0 {
        let path = format!("rules.{id}");
        if change.reason.trim().is_empty() {
            let help = "say why, for who reads a verdict later";
            checker.error(
                "missing-reason",
                &format!("{path}.reason"),
                "a change without a reason",
                help,
            );
        }
        if change.is_empty() {
            let help = "say disable, title or status, or remove it";
            checker.error("unused-overlay", &path, "this changes nothing of the rule", help);
        }
    }
    checker.findings
}

struct Checker<'a> {
    file: &'a str,
    tree: &'a Node,
    findings: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn error(&mut self, code: &'static str, path: &str, message: impl Into<String>, help: impl Into<String>) {
        let place = self.tree.locate(path);
        self.findings
            .push(Diagnostic::error(code, self.file, Some(place), message).with_help(help));
    }

    fn warning(&mut self, code: &'static str, path: &str, message: impl Into<String>, help: impl Into<String>) {
        let place = self.tree.locate(path);
        self.findings
            .push(Diagnostic::warning(code, self.file, Some(place), message).with_help(help));
    }

    fn head(&mut self, rule: &Rule) {
        let stem = Path::new(self.file).file_stem().and_then(|stem| stem.to_str());
        if stem.is_some_and(|stem| stem != rule.id.as_str()) {
            let message = format!("the file is not named after its rule `{}`", rule.id);
            self.warning("file-name", "id", message, format!("rename it to {}.yaml", rule.id));
        }
        match rule.status {
            Status::Stable => {
                if rule.scope == Scope::Bug && rule.references.is_empty() {
                    let help = "say where the bug is written up, or make it `status: test`";
                    self.error(
                        "missing-reference",
                        "status",
                        "a stable rule for a bug has no reference",
                        help,
                    );
                }
                if rule.root_cause.is_none() {
                    let help = "say what goes wrong, or make it `status: test`";
                    self.error("missing-root-cause", "status", "a stable rule has no root_cause", help);
                }
            }
            Status::Deprecated if rule.replaced_by.is_none() => {
                let help = "add `replaced_by:` with the id of the rule that took its place";
                self.error(
                    "missing-replacement",
                    "status",
                    "a deprecated rule names no replacement",
                    help,
                );
            }
            Status::Draft | Status::Test | Status::Deprecated => {}
        }
        if rule.replaced_by.is_some() && rule.status != Status::Deprecated {
            let help = "make it `status: deprecated`, or remove the key";
            self.warning(
                "not-deprecated",
                "replaced_by",
                "only a deprecated rule is replaced",
                help,
            );
        }
        if rule.replaced_by.as_ref() == Some(&rule.id) {
            self.error(
                "refers-to-itself",
                "replaced_by",
                "a rule cannot replace itself",
                "name another rule",
            );
        }
        if let Some(index) = rule.specializes.iter().position(|general| *general == rule.id) {
            let path = format!("specializes[{index}]");
            self.error(
                "refers-to-itself",
                &path,
                "a rule cannot be a special case of itself",
                "name a more general rule",
            );
        }
        if let Some(index) = rule.was.iter().position(|old| *old == rule.id) {
            self.error(
                "stale-was",
                &format!("was[{index}]"),
                "this is the rule's present id",
                "remove it",
            );
        }
        if rule.scope == Scope::General && !rule.affected.is_empty() {
            let help = "remove it, or make the rule `scope: bug`";
            self.error(
                "general-with-affected",
                "affected",
                "a general rule names no bug, so no kernels have it",
                help,
            );
        }
    }

    fn sysctl_name(&mut self, name: &str, path: &str) {
        if !sysctl::exists(name) {
            let help = match sysctl::suggestion(name) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "compare with `sysctl -a`".to_owned(),
            };
            self.warning(
                "unknown-sysctl",
                path,
                format!("no kernel is known to have `{name}`"),
                help,
            );
        }
    }

    fn mitigation(&mut self, mitigation: &Mitigation, path: &str) {
        for (name, setting) in &mitigation.sysctl {
            self.sysctl_name(name.as_str(), &join(path, &format!("sysctl.({})", name.as_str())));
            if let Some(help) = bad_sysctl(name.as_str(), setting) {
                let path = join(path, &format!("sysctl.({})", name.as_str()));
                self.error(
                    "bad-sysctl-value",
                    &path,
                    format!("this is no value for {}", name.as_str()),
                    help,
                );
            }
        }
        for file in mitigation.sysfs.keys() {
            if !file.starts_with("/sys/") {
                let path = join(path, &format!("sysfs.({file})"));
                self.error(
                    "bad-sysfs-path",
                    &path,
                    format!("{file:?} is no file under /sys"),
                    "write the whole path",
                );
            }
        }
        for word in mitigation.boot.iter().flatten() {
            if word.is_empty() || word.contains(char::is_whitespace) {
                let help = "write one word an item: [a=1, b]";
                self.error(
                    "bad-boot-option",
                    &join(path, "boot"),
                    format!("{word:?} is not one word"),
                    help,
                );
            }
        }
        if let Some(when) = &mitigation.when {
            self.block(when, &join(path, "when"));
        }
    }
}

fn join(path: &str, key: &str) -> String {
    format!("{path}.{key}")
}

/// Why a value cannot be set, or `None` when it can: a number, numbers, `raise` or `lower`; text only for the few
/// sysctls that hold text.
fn bad_sysctl(name: &str, setting: &Setting) -> Option<&'static str> {
    const TEXTS: &[&str] = &[
        "kernel.core_pattern",
        "kernel.hostname",
        "kernel.domainname",
        "kernel.modprobe",
        "kernel.hotplug",
        "kernel.poweroff_cmd",
        "kernel.watchdog_cpumask",
        "net.core.default_qdisc",
        "net.ipv4.tcp_congestion_control",
    ];
    match &setting.0 {
        SettingValue::Number(_) | SettingValue::Numbers(_) => None,
        SettingValue::Text(text) => {
            let numbers = !text.trim().is_empty() && text.split_whitespace().all(|word| word.parse::<i64>().is_ok());
            let fine = numbers || matches!(text.as_str(), "raise" | "lower") || TEXTS.contains(&name);
            (!fine).then_some("write a number, several as [256, 128, 32], or `raise` or `lower`")
        }
    }
}
