//! The knowledge base for people: lists of rules, one rule, why a rule matches or not, what the corpus says.

use super::page::{Page, Tone};
use crate::corpus::{Coverage, Problem, RuleTrial, Trial, Verdict};
use crate::rules::schema::{Scope, Status};
use crate::rules::search::Card;
use crate::rules::{Answer, Evidence, Explanation, Part, Tier};

fn scope_word(scope: Scope) -> &'static str {
    match scope {
        Scope::Bug => "bug",
        Scope::General => "general",
    }
}

/// Rules, a line each: id, status, scope, title.
pub fn list(page: &mut Page, cards: &[Card]) {
    let width = cards.iter().map(|card| card.id.len()).max().unwrap_or(0);
    for card in cards {
        let tone = match card.status {
            Status::Stable => Tone::Good,
            Status::Test => Tone::Doubt,
            Status::Draft | Status::Deprecated => Tone::Faint,
        };
        page.cells(&[
            (Tone::Strong, width, &card.id),
            (tone, 6, card.status.word()),
            (Tone::Faint, 7, scope_word(card.scope)),
            (Tone::Plain, 0, &card.title),
        ]);
    }
}

/// One rule: what it is about, then its file as it was written.
pub fn show(page: &mut Page, card: &Card, changes: &[String], text: &str) {
    page.heading("RULE", Tone::Strong, &card.title);
    let kind = format!("{} ({}, {})", card.id, card.status.word(), scope_word(card.scope));
    page.row("", Tone::Faint, &kind);
    page.row("file", Tone::Plain, &card.file);
    for change in changes {
        page.row("changed", Tone::Doubt, change);
    }
    let mut row = |label: &str, text: String| {
        if !text.is_empty() {
            page.row(label, Tone::Plain, &text);
        }
    };
    let joined = |words: &std::collections::BTreeSet<String>| words.iter().cloned().collect::<Vec<_>>().join(", ");
    row("date", card.date.clone().unwrap_or_default());
    row("was", card.was.join(", "));
    row("kinds", joined(&card.kinds));
    row("functions", joined(&card.symbols));
    row("modules", joined(&card.modules));
    row("streams", joined(&card.streams));
    for (index, link) in card.references.iter().enumerate() {
        page.verbatim(if index == 0 { "written up" } else { "" }, &link.url);
    }
    for (index, text) in card.mitigations.iter().enumerate() {
        page.row(if index == 0 { "what to do" } else { "" }, Tone::Plain, text);
    }
    page.gap();
    for line in text.lines() {
        page.raw(line);
    }
}

/// Why a rule matches a crash, or why not.
pub fn explanation(page: &mut Page, explained: &Explanation) {
    let (word, tone) = match (explained.tier, explained.answer) {
        (Some(Tier::Exact), _) => ("EXACT", Tone::Good),
        (Some(Tier::Likely), _) => ("LIKELY", Tone::Doubt),
        (Some(Tier::Related), _) => ("RELATED", Tone::Doubt),
        (None, Answer::Unknown) => ("UNKNOWN", Tone::Doubt),
        (None, _) => ("NO MATCH", Tone::Bad),
    };
    page.heading(word, tone, &explained.title);
    page.row(
        "",
        Tone::Faint,
        &format!("{} ({})", explained.rule, explained.status.word()),
    );
    page.row("", Tone::Faint, &explained.file);
    if explained.status == Status::Draft {
        page.row("", Tone::Doubt, "a draft is never used: make it `status: test`");
    }
    if let Some(reason) = &explained.reason {
        page.row("", Tone::Plain, &format!("not more because {reason}"));
    }
    for part in [Part::Match, Part::Confirm] {
        let mut label = part.key();
        for row in explained.evidence.iter().filter(|row| row.part == part) {
            predicate(page, label, row);
            label = "";
        }
    }
    if let Some(standing) = &explained.affected {
        let tone = answer_tone(standing.known);
        page.item("affected", standing.known.word(), tone, &standing.note);
    }
}

fn predicate(page: &mut Page, label: &str, row: &Evidence) {
    let mut text = row.predicate.clone();
    if let Some(found) = &row.found {
        text.push_str(&format!(" (found {found})"));
    }
    if let Some(needs) = &row.needs {
        text.push_str(&format!(" (needs {needs})"));
    }
    if let Some(line) = row.line {
        text.push_str(&format!(" [line {line}]"));
    }
    page.item(label, row.answer.word(), answer_tone(row.answer), &text);
}

fn answer_tone(answer: Answer) -> Tone {
    match answer {
        Answer::Yes => Tone::Good,
        Answer::No => Tone::Bad,
        Answer::Unknown => Tone::Doubt,
    }
}

/// What the corpus says: a line a rule, then what went wrong, then the sums.
pub fn trial(page: &mut Page, trial: &Trial, digest: &str) {
    let width = trial.rules.iter().map(|rule| rule.rule.len()).max().unwrap_or(0);
    page.cells(&[
        (Tone::Faint, width, "rule"),
        (Tone::Faint, 8, "verdict"),
        (Tone::Faint, 7, "match"),
        (Tone::Faint, 7, "nomatch"),
        (Tone::Faint, 0, "as"),
    ]);
    for rule in &trial.rules {
        trial_row(page, rule, width);
    }
    let problems = trial
        .rules
        .iter()
        .flat_map(|rule| rule.problems.iter().map(move |problem| (rule, problem)));
    for (index, (rule, problem)) in problems.enumerate() {
        if index == 0 {
            page.gap();
        }
        gone_wrong(page, rule, problem);
    }
    for (index, (file, why)) in trial.unusable.iter().enumerate() {
        if index == 0 {
            page.gap();
        }
        page.line(Tone::Plain, &format!("unusable  {}: {why}", file.display()));
    }
    page.gap();
    let (word, tone) = if trial.is_clean() {
        ("clean", Tone::Good)
    } else {
        ("FAILED", Tone::Bad)
    };
    page.heading(
        word,
        tone,
        &format!(
            "{} rules over {} cases: {} proven, {} missing, {} noisy, {} untested; {} unusable (rules {digest})",
            trial.rules.len(),
            trial.cases,
            trial.count(Verdict::Proven),
            trial.count(Verdict::Missing),
            trial.count(Verdict::Noisy),
            trial.count(Verdict::Untested),
            trial.unusable.len(),
        ),
    );
}

/// What the rules cover, and where they are thin.
pub fn coverage(page: &mut Page, coverage: &Coverage, digest: &str) {
    let head = format!(
        "{} rules, {} of them for one bug each ({} of those stop a machine), over {} cases (rules {digest})",
        coverage.rules, coverage.bugs, coverage.fatal, coverage.cases
    );
    page.heading("COVERAGE", Tone::Strong, &head);
    let owned = |figures: &std::collections::BTreeMap<&'static str, usize>| {
        let words = figures.iter().map(|(word, count)| ((*word).to_owned(), *count));
        words.collect::<Vec<_>>()
    };
    let cloned = |figures: &std::collections::BTreeMap<String, usize>| {
        let words = figures.iter().map(|(word, count)| (word.clone(), *count));
        words.collect::<Vec<_>>()
    };
    for (label, figures) in [
        ("area", cloned(&coverage.by_area)),
        ("stream", cloned(&coverage.by_stream)),
        ("status", owned(&coverage.by_status)),
        ("kind", owned(&coverage.by_kind)),
        ("fact", cloned(&coverage.by_fact)),
    ] {
        page.gap();
        for (index, (word, count)) in figures.iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            page.cells(&[
                (Tone::Strong, 10, label),
                (Tone::Plain, 5, &format!("{count:>5}")),
                (Tone::Plain, 0, word),
            ]);
        }
    }
    for (label, names) in [
        ("cases without a rule", &coverage.cases_without_rule),
        ("rules without a case", &coverage.rules_without_case),
        (
            "bug rules that no other crash comes near to",
            &coverage.rules_without_near_negative,
        ),
    ] {
        page.gap();
        page.line(Tone::Strong, &format!("{} {label}", names.len()));
        for name in names {
            page.row("", Tone::Faint, name);
        }
    }
}

fn trial_row(page: &mut Page, rule: &RuleTrial, width: usize) {
    let count = |count: crate::corpus::Count| match count.of {
        0 => "-".to_owned(),
        of => format!("{}/{of}", count.right),
    };
    let tiers: Vec<String> = rule
        .tiers
        .iter()
        .map(|(tier, count)| format!("{count} {}", tier.word()))
        .collect();
    page.cells(&[
        (Tone::Plain, width, &rule.rule),
        (verdict_tone(rule.verdict), 8, verdict_word(rule.verdict)),
        (Tone::Plain, 7, &count(rule.matches)),
        (Tone::Plain, 7, &count(rule.nomatches)),
        (Tone::Faint, 0, &tiers.join(", ")),
    ]);
}

fn gone_wrong(page: &mut Page, rule: &RuleTrial, problem: &Problem) {
    let word = verdict_word(problem.word);
    page.line(
        verdict_tone(problem.word),
        &format!("{word}  {} on {}", rule.rule, problem.case),
    );
    page.row("", Tone::Plain, &problem.why);
}

fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Proven => "proven",
        Verdict::Untested => "untested",
        Verdict::Noisy => "noisy",
        Verdict::Missing => "missing",
    }
}

fn verdict_tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Proven => Tone::Good,
        Verdict::Untested => Tone::Faint,
        Verdict::Noisy => Tone::Doubt,
        Verdict::Missing => Tone::Bad,
    }
}
