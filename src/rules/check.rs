//! What only the whole rule can tell: required company of keys, ranges that run backwards, conditions that say nothing.
//!
//! Works on a rule that serde has read; places come from the tree. It knows one rule at a time.

use std::cmp::Ordering;
use std::path::Path;

use super::affected::{branch, scheme_of};
use super::diagnostic::Diagnostic;
use super::reference;
use super::schema::{
    Affected, Block, Bound, Condition, CountRange, Deref, Mitigation, NumberRange, OneOrMany, Release, Rule, Scope,
    Setting, SettingTest, SpanRange, Status, Value,
};
use super::tree::Node;
use super::version;
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
                "refers-to-itself",
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

    fn block(&mut self, block: &Block, path: &str) {
        if is_empty(block) {
            let help = "give it a predicate such as `kind:` or `fault:`";
            self.error(
                "always-true",
                path,
                "nothing is asked here, so every crash would match",
                help,
            );
        }
        if let Some(fault) = &block.fault {
            let long = &fault.0;
            if long.symbol.is_none()
                && long.module.is_none()
                && long.address.is_none()
                && long.access.is_none()
                && long.role.is_none()
            {
                self.error(
                    "always-true",
                    &join(path, "fault"),
                    "`fault` asks nothing",
                    "say which symbol, address or access",
                );
            }
            if let Some(address) = &long.address {
                self.condition(address, &join(path, "fault.address"));
            }
        }
        if let Some(frames) = &block.frames {
            let long = &frames.0;
            if long.ordered.is_none() && long.adjacent.is_none() && long.any.is_none() && long.none.is_none() {
                let help = "say which: ordered, adjacent, any or none";
                self.error("always-true", &join(path, "frames"), "`frames` names no function", help);
            }
        }
        for (register, condition) in block.registers.iter().flat_map(|registers| &registers.0) {
            let path = join(path, &format!("registers.{}", register.as_str()));
            self.condition(condition, &path);
            if let Condition::All(value) = condition
                && value
                    .same_as
                    .as_ref()
                    .is_some_and(|operand| operand.to_string() == register.as_str())
            {
                self.error(
                    "always-true",
                    &path,
                    "a register is always the same as itself",
                    "name another register",
                );
            }
        }
        for (index, deref) in block.deref.iter().flatten().enumerate() {
            self.deref(deref, &join(path, &format!("deref[{index}]")));
        }
        if let Some(modules) = &block.modules {
            let long = &modules.0;
            if long.loaded.is_none() && long.absent.is_none() && long.version.is_none() {
                self.error(
                    "always-true",
                    &join(path, "modules"),
                    "`modules` names none",
                    "say which: loaded, absent or version",
                );
            }
            for (module, range) in long.version.iter().flatten() {
                let path = join(path, &format!("modules.version.({module})"));
                let order = range
                    .min
                    .as_ref()
                    .zip(range.max.as_ref())
                    .map(|(min, max)| version::rpmvercmp(min, max));
                self.bounds(
                    order,
                    range.eq.is_some() || range.min.is_some() || range.max.is_some(),
                    &path,
                );
            }
        }
        if let Some(taint) = &block.taint
            && taint.0.has.is_none()
            && taint.0.not.is_none()
        {
            self.error(
                "always-true",
                &join(path, "taint"),
                "`taint` names no letter",
                "say which: has or not",
            );
        }
        if let Some(hardware) = &block.hardware
            && hardware.0.model.is_none()
            && hardware.0.bios.is_none()
        {
            self.error(
                "always-true",
                &join(path, "hardware"),
                "`hardware` asks nothing",
                "say which: model or bios",
            );
        }
        if let Some(uptime) = &block.uptime {
            self.span_range(uptime, &join(path, "uptime"));
        }
        if let Some(memory) = &block.memory {
            let ranges = [
                ("free_percent", memory.free_percent),
                ("cached_percent", memory.cached_percent),
                ("slab_percent", memory.slab_percent),
                ("swap_used_percent", memory.swap_used_percent),
                ("committed_percent", memory.committed_percent),
            ];
            if ranges.iter().all(|(_, range)| range.is_none()) {
                self.error(
                    "always-true",
                    &join(path, "memory"),
                    "`memory` asks nothing",
                    "give it free_percent or another",
                );
            }
            for (key, range) in ranges {
                if let Some(range) = range {
                    self.number_range(range, &join(path, &format!("memory.{key}")));
                }
            }
        }
        for (name, test) in block.sysctl.iter().flat_map(|sysctls| &sysctls.0) {
            if let SettingTest::Between(range) = test {
                self.number_range(*range, &join(path, &format!("sysctl.({})", name.as_str())));
            }
        }
        if let Some(CountRange { min, max }) = block.log.as_ref().and_then(|log| log.0.count) {
            let order = min.zip(max).map(|(min, max)| min.cmp(&max));
            self.bounds(order, min.is_some() || max.is_some(), &join(path, "log.count"));
        }
        for (key, blocks) in [("any", &block.any), ("none", &block.none)] {
            for (index, inner) in blocks.iter().enumerate() {
                self.block(inner, &join(path, &format!("{key}[{index}]")));
            }
        }
        if let [_] = block.any.as_slice() {
            let help = "give it another alternative, or move its keys out of `any`";
            self.warning(
                "single-alternative",
                &join(path, "any"),
                "`any` has one alternative only",
                help,
            );
        }
    }

    fn deref(&mut self, deref: &Deref, path: &str) {
        if deref.type_name.starts_with("struct ") {
            let help = format!("write `{}`", deref.type_name.trim_start_matches("struct "));
            self.error(
                "bad-type-name",
                &join(path, "type"),
                "a type is named without `struct`",
                help,
            );
        }
        self.value(&deref.value(), path);
    }

    fn condition(&mut self, condition: &Condition, path: &str) {
        if let Condition::All(value) = condition {
            self.value(value, path);
        }
    }

    fn value(&mut self, value: &Value, path: &str) {
        let compared = value.eq.is_some() || value.min.is_some() || value.max.is_some();
        let asked = compared
            || value.same_as.is_some()
            || value.class.is_some()
            || value.poison.is_some()
            || value.points_to.is_some();
        if !asked {
            self.error(
                "always-true",
                path,
                "nothing is asked of this value",
                "say eq, min, max, same_as, class, poison or points_to",
            );
        }
        if value.mask.is_some() && !compared {
            self.error(
                "unused-key",
                &join(path, "mask"),
                "`mask` does nothing without eq, min or max",
                "add one of them",
            );
        }
        if value.plus.is_some() && value.same_as.is_none() {
            self.error(
                "unused-key",
                &join(path, "plus"),
                "`plus` does nothing without `same_as`",
                "add `same_as`",
            );
        }
        let order = value.min.zip(value.max).map(|(min, max)| min.0.cmp(&max.0));
        self.bounds(order, true, path);
        if let (Some(mask), Some(eq)) = (value.mask, &value.eq)
            && let Some(bad) = eq.iter().find(|number| number.0 & !mask.0 != 0)
        {
            let message = format!("{bad} has bits outside the mask {mask}");
            self.error(
                "never-true",
                &join(path, "eq"),
                message,
                "a masked value can never be this",
            );
        }
    }

    fn span_range(&mut self, range: &SpanRange, path: &str) {
        let order = range
            .min
            .as_ref()
            .zip(range.max.as_ref())
            .and_then(|(min, max)| min.seconds().partial_cmp(&max.seconds()));
        self.bounds(order, range.min.is_some() || range.max.is_some(), path);
    }

    fn number_range(&mut self, range: NumberRange, path: &str) {
        let order = range.min.zip(range.max).and_then(|(min, max)| min.partial_cmp(&max));
        self.bounds(order, range.min.is_some() || range.max.is_some(), path);
    }

    /// `order`: how min compares with max, when both are given. `bounded`: whether anything is said at all.
    fn bounds(&mut self, order: Option<Ordering>, bounded: bool, path: &str) {
        if !bounded {
            self.error("always-true", path, "this range has no bound", "give it min or max");
        }
        if order == Some(Ordering::Greater) {
            self.error(
                "backwards-range",
                path,
                "min is greater than max, so nothing fits",
                "swap them",
            );
        }
    }

    fn affected(&mut self, affected: &Affected, path: &str) {
        let said = [&affected.introduced, &affected.fixed, &affected.last_affected]
            .iter()
            .any(|bound| bound.is_some())
            || affected.seen.is_some()
            || affected.not_affected.is_some();
        if !said {
            let help = "add seen, introduced, fixed, last_affected or not_affected; a version may be `unknown`";
            self.error("empty-range", path, "nothing is said about this stream", help);
        }
        let releases = |list: &Option<OneOrMany<Release>>| -> Vec<String> {
            list.iter().flatten().map(|release| release.0.clone()).collect()
        };
        let introduced = known(&affected.introduced);
        let fixed = known(&affected.fixed);
        let last = known(&affected.last_affected);
        for (key, versions) in [
            ("introduced", &introduced),
            ("fixed", &fixed),
            ("last_affected", &last),
            ("seen", &releases(&affected.seen)),
            ("not_affected", &releases(&affected.not_affected)),
        ] {
            for version in versions {
                let fine = version.starts_with(|c: char| c.is_ascii_digit())
                    && version.bytes().all(|b| b.is_ascii_graphic())
                    && (!version.contains('*') || matches!(key, "seen" | "not_affected"));
                if !fine {
                    let message = format!("{version:?} is not a version");
                    self.error(
                        "bad-version",
                        &join(path, key),
                        message,
                        "write it as the stream does, or `unknown`",
                    );
                }
            }
        }
        if !fixed.is_empty() && !last.is_empty() {
            let help = "keep `fixed`: it says more";
            self.error(
                "conflicting-keys",
                &join(path, "last_affected"),
                "`fixed` and `last_affected` exclude each other",
                help,
            );
        }
        let scheme = scheme_of(affected.stream.as_str());
        let backwards = |start: &str, end: &str, allowed: Ordering| {
            let order = version::compare(scheme, start, end);
            order != Ordering::Less && order != allowed
        };
        // One fix a branch may lie before the introduction on another branch.
        let same_branch = |start: &str, end: &str| {
            (introduced.len() == 1 && fixed.len().max(last.len()) == 1)
                || branch(affected.stream.as_str(), start) == branch(affected.stream.as_str(), end)
        };
        for start in &introduced {
            for (key, ends, allowed) in [
                ("fixed", &fixed, Ordering::Less),
                ("last_affected", &last, Ordering::Equal),
            ] {
                for end in ends {
                    if same_branch(start, end) && backwards(start, end, allowed) {
                        let message = format!(
                            "introduced in {start}, {} {end}: no release lies between",
                            key.replace('_', " ")
                        );
                        self.error(
                            "backwards-range",
                            &join(path, key),
                            message,
                            "swap them, or correct one",
                        );
                    }
                }
            }
        }
        for seen in releases(&affected.seen) {
            if let [end] = fixed.as_slice()
                && !seen.contains('*')
                && version::compare(scheme, &seen, end) != Ordering::Less
            {
                let message = format!("seen on {seen}, which is not before the fix in {end}");
                self.warning(
                    "seen-after-fix",
                    &join(path, "seen"),
                    message,
                    "one of the two is wrong",
                );
            }
        }
    }

    fn mitigation(&mut self, mitigation: &Mitigation, path: &str) {
        for (name, setting) in &mitigation.sysctl {
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

/// The known versions of a bound.
fn known(bounds: &Option<OneOrMany<Bound>>) -> Vec<String> {
    bounds
        .iter()
        .flatten()
        .filter_map(|bound| match bound {
            Bound::At(release) => Some(release.0.clone()),
            Bound::Unknown => None,
        })
        .collect()
}

fn join(path: &str, key: &str) -> String {
    format!("{path}.{key}")
}

fn is_empty(block: &Block) -> bool {
    let Block {
        kind,
        panic,
        fault,
        frames,
        registers,
        deref,
        taint,
        modules,
        comm,
        arch,
        hardware,
        uptime,
        memory,
        cmdline,
        sysctl,
        log,
        release,
        any,
        none,
    } = block;
    kind.is_none()
        && panic.is_none()
        && fault.is_none()
        && frames.is_none()
        && registers.is_none()
        && deref.is_none()
        && taint.is_none()
        && modules.is_none()
        && comm.is_none()
        && arch.is_none()
        && hardware.is_none()
        && uptime.is_none()
        && memory.is_none()
        && cmdline.is_none()
        && sysctl.is_none()
        && log.is_none()
        && release.is_none()
        && any.is_empty()
        && none.is_empty()
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
