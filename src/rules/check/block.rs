//! Conditions that say nothing, can never hold, or have ranges that run backwards.

use std::cmp::Ordering;

use super::{Checker, join};
use crate::rules::schema::{Block, Condition, CountRange, Deref, NumberRange, SettingTest, SpanRange, Value};
use crate::rules::version;

impl Checker<'_> {
    pub(super) fn block(&mut self, block: &Block, path: &str) {
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
            self.sysctl_name(name.as_str(), &join(path, &format!("sysctl.({})", name.as_str())));
            if let SettingTest::Between(range) = test {
                self.number_range(*range, &join(path, &format!("sysctl.({})", name.as_str())));
            }
        }
        if let Some(CountRange { min, max }) = block.log.as_ref().and_then(|log| log.0.count) {
            let order = min.zip(max).map(|(min, max)| min.cmp(&max));
            self.bounds(order, min.is_some() || max.is_some(), &join(path, "log.count"));
        }
        if let Some(patterns) = &block.panic {
            self.patterns(patterns, &join(path, "panic"));
        }
        if let Some(log) = &block.log {
            self.patterns(&log.0.regex, &join(path, "log.regex"));
        }
        self.conflicts(block, path);
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
