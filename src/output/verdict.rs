//! The verdict for people: which bug it is, why, where it is written up, what to do, what was not known.

use super::crash::{crash, missing};
use super::page::{Page, Tone};
use super::steps;
use crate::crash::CrashReport;
use crate::rules::advice::Advice;
use crate::rules::schema::{Scope, Status};
use crate::rules::{Answer, Evidence, Identification, Match, Near, Part, Tier};

/// Writes one input's answer on a page: verdict first.
pub fn identified(page: &mut Page, report: &CrashReport, found: &Identification, input: &str) {
    let label = found.label();
    match (label, found.matches.first(), report.panic.is_some()) {
        (Some(bug), ..) => headline(page, bug),
        (None, _, false) => page.line(Tone::Strong, "NO CRASH IN THIS INPUT"),
        (None, Some(first), true) if first.scope == Scope::General => {
            page.line(Tone::Strong, "NO KNOWN BUG");
            headline(page, first);
        }
        (None, _, true) => page.line(Tone::Strong, "NO KNOWN BUG, AND NO RULE FOR THIS KIND OF CRASH"),
    }
    page.gap();
    crash(page, report);
    signature(page, report);
    let shown = label.or_else(|| found.matches.first().filter(|m| m.scope == Scope::General));
    if let Some(verdict) = shown {
        page.gap();
        explained(page, verdict);
    }
    others(page, found, shown);
    near(page, &found.near);
    if !report.missing.is_empty() {
        page.gap();
        missing(page, report);
    }
    if label.is_none() && report.panic.is_some() {
        page.gap();
        page.row(
            "next",
            Tone::Plain,
            "write it down for the next time, in a rule drafted from this crash:",
        );
        page.verbatim("", &format!("vmcoroner rules new --from {}", shell_word(input)));
    }
}

fn headline(page: &mut Page, verdict: &Match) {
    let (word, tone) = match (verdict.scope, verdict.tier) {
        (Scope::General, _) => ("KIND", Tone::Doubt),
        (Scope::Bug, Tier::Exact) => ("KNOWN BUG", Tone::Good),
        (Scope::Bug, _) => ("LIKELY BUG", Tone::Doubt),
    };
    page.heading(word, tone, &verdict.title);
    let reviewed = if verdict.status == Status::Test {
        ", not reviewed"
    } else {
        ""
    };
    page.row(
        "",
        Tone::Faint,
        &format!("{} ({}{reviewed})", verdict.rule, verdict.tier.word()),
    );
    if let Some(reason) = &verdict.reason {
        page.row(
            "",
            Tone::Plain,
            &format!("{} and not more: {reason}", verdict.tier.word()),
        );
    }
    if let Some(by) = &verdict.replaced_by {
        page.row("", Tone::Plain, &format!("this rule was replaced by {by}"));
    }
}

/// Why, what it is, where it is written up, what to do.
fn explained(page: &mut Page, verdict: &Match) {
    evidence(page, &verdict.evidence);
    if !verdict.folded.is_empty() {
        page.row(
            "",
            Tone::Faint,
            &format!("explains better than: {}", verdict.folded.join(", ")),
        );
    }
    if let Some(cause) = &verdict.root_cause {
        page.gap();
        page.prose("cause", cause);
    }
    if !verdict.references.is_empty() {
        page.gap();
        for (index, link) in verdict.references.iter().enumerate() {
            page.verbatim(if index == 0 { "written up" } else { "" }, &link.url);
        }
    }
    if !verdict.mitigations.is_empty() {
        page.gap();
        mitigations(page, &verdict.mitigations);
    }
}

/// What holds in one paragraph, what does not and what could not be checked a row each.
fn evidence(page: &mut Page, rows: &[Evidence]) {
    let yes = |part| {
        let rows = rows.iter().filter(|row| row.part == part && row.answer == Answer::Yes);
        rows.map(with_found).collect::<Vec<_>>().join("; ")
    };
    let mut holds = yes(Part::Match);
    let confirmed = yes(Part::Confirm);
    if !confirmed.is_empty() {
        holds.push_str(&format!("; confirmed by {confirmed}"));
    }
    page.item("why", "yes", Tone::Good, &holds);
    for row in rows {
        match row.answer {
            Answer::Yes => {}
            Answer::No => page.item("", "no", Tone::Bad, &with_found(row)),
            Answer::Unknown => {
                let needs = row
                    .needs
                    .as_deref()
                    .map(|needs| format!(" (needs {needs})"))
                    .unwrap_or_default();
                page.item("", "unknown", Tone::Doubt, &format!("{}{needs}", row.predicate));
            }
        }
    }
}

/// A predicate with what was found. Where it lists alternatives, what was found says which of them held.
fn with_found(row: &Evidence) -> String {
    let Some(found) = row.found.as_deref() else {
        return row.predicate.clone();
    };
    if row.answer.is_yes() {
        if row.predicate.starts_with("any: ") {
            return found.to_owned();
        }
        if let Some((fact, wanted)) = row.predicate.split_once(": ")
            && wanted.contains(" | ")
        {
            return format!("{fact}: {found}");
        }
    }
    if row.predicate.ends_with(found) {
        row.predicate.clone()
    } else {
        format!("{} ({found})", row.predicate)
    }
}

/// What can be done on the running machine, with the value it had; then what lasts.
fn mitigations(page: &mut Page, all: &[Advice]) {
    for (label, steps) in [("do now", steps::now(all)), ("for good", steps::lasting(all))] {
        for (index, step) in steps.iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            let tone = if step.effect.is_empty() {
                Tone::Plain
            } else {
                Tone::Strong
            };
            page.item(label, step.effect, tone, &step.what);
            for (command, remark) in &step.commands {
                let remark = match remark.as_str() {
                    "" => String::new(),
                    remark => format!("   # {remark}"),
                };
                page.command(command, &remark);
            }
        }
    }
}

/// Every other match, a line each: related bugs with the reason why they are no more than that.
fn others(page: &mut Page, found: &Identification, shown: Option<&Match>) {
    let mut label = "also";
    let rest = found.matches.iter().filter(|m| shown.is_none_or(|s| s.rule != m.rule));
    for (index, other) in rest.enumerate() {
        if index == 0 {
            page.gap();
        }
        let reason = other.reason.as_deref().map(|r| format!(": {r}")).unwrap_or_default();
        page.item(
            label,
            other.tier.word(),
            Tone::Doubt,
            &format!("{}: {}{reason}", other.rule, other.title),
        );
        label = "";
    }
}

/// Rules that may fit, and what would tell: each kind of evidence once.
fn near(page: &mut Page, near: &[Near]) {
    for (index, close) in near.iter().enumerate() {
        if index == 0 {
            page.gap();
        }
        let mut needs: Vec<&str> = close.missing.iter().map(|m| m.needs.as_str()).collect();
        needs.sort_unstable();
        needs.dedup();
        let text = format!("{}: {}", close.rule, close.title);
        page.item(if index == 0 { "perhaps" } else { "" }, "near", Tone::Doubt, &text);
        page.item("", "", Tone::Plain, &format!("would tell: {}", needs.join("; ")));
    }
}

fn signature(page: &mut Page, report: &CrashReport) {
    if let Some(signature) = &report.signature {
        page.row(
            "signature",
            Tone::Plain,
            &format!("{} ({})", signature.title, signature.id),
        );
    }
}

/// `text` as one word of a shell.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | ':' | '=' | ',');
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::shell_word;

    #[test]
    fn a_path_stays_one_word() {
        assert_eq!(shell_word("/var/crash/vmcore"), "/var/crash/vmcore");
        assert_eq!(shell_word("it's here"), r"'it'\''s here'");
        assert_eq!(shell_word(""), "''");
    }
}
