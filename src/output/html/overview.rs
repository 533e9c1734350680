//! What stands first: counts, charts, the known bugs, the groups of unknown crashes, what could not be read.

use super::chart;
use super::markup::{Markup, count, counted};
use super::row;
use super::tally::{Counter, Group, Tally, UNNAMED, ranked};
use crate::scan::Status;

/// How many bugs, and how many groups, are told of at length.
const CARDS: usize = 50;

/// How many more of each are told of in a line.
const SMALLER: usize = 1_000;

/// How many kernels of a group are named.
const KERNELS: usize = 4;

/// Writes all of it. `has_crashes`: whether sections of crashes come after it.
pub fn overview(html: &mut Markup, title: &str, tally: &Tally, has_crashes: bool) {
    html.open("header", &[]);
    html.element("h1", &[], title);
    html.element("p", &[("class", "faint")], &about(tally));
    navigation(html, tally, has_crashes);
    html.close("header");
    html.open("section", &[("id", "overview")]);
    html.element("h2", &[], "Overview");
    tiles(html, tally);
    if tally.crashes() > 0 {
        html.open("section", &[("class", "card")]);
        html.element("h3", &[], "Crashes by month");
        chart::months(html, tally);
        html.close("section");
        html.open("div", &[("class", "grid")]);
        chart::bars(html, "By kernel", &tally.kernels);
        chart::bars(html, "By host", &tally.hosts);
        chart::bars(html, "By hardware", &tally.hardware);
        chart::bars(html, "By kind", &tally.kinds);
        html.close("div");
    }
    html.close("section");
    bugs(html, tally);
    groups(html, tally);
    unread(html, tally);
    empty(html, tally);
}

fn about(tally: &Tally) -> String {
    let mut parts = vec![counted(tally.rows(), "input", "inputs")];
    if tally.crashes() > 0 {
        let hosts = tally.hosts.names().filter(|name| *name != UNNAMED).count() as u64 + tally.hosts.others;
        if hosts > 0 {
            parts.push(counted(hosts, "host", "hosts"));
        }
    }
    parts.extend(tally.tools.iter().cloned());
    parts.join(" · ")
}

fn navigation(html: &mut Markup, tally: &Tally, has_crashes: bool) {
    let parts: [(&str, &str, bool); 6] = [
        ("#overview", "Overview", true),
        ("#bugs", "Known bugs", !tally.bugs.is_empty()),
        ("#groups", "Unknown", !tally.groups.is_empty()),
        (
            "#failed",
            "Not readable",
            !tally.failed.is_empty() || tally.broken.1 > 0,
        ),
        ("#empty", "No crash", !tally.empty.is_empty()),
        ("#crashes", "Crashes", has_crashes),
    ];
    html.open("nav", &[("aria-label", "parts")]);
    for (address, name, _) in parts.iter().filter(|(.., there)| *there) {
        html.inline("a", &[("href", address)], name);
        html.text(" ");
    }
    html.close("nav");
}

fn tiles(html: &mut Markup, tally: &Tally) {
    html.open("ul", &[("class", "tiles")]);
    for status in Status::ALL {
        let number = tally.of(status);
        let share = match tally.rows() {
            0 => String::new(),
            rows => format!("{:.1} %", number as f64 * 100.0 / rows as f64),
        };
        html.open("li", &[("class", row::class(status))]);
        html.inline("strong", &[], &count(number));
        html.inline("span", &[], row::word(status));
        html.inline("small", &[], &share);
        html.close("li");
    }
    html.close("ul");
}

fn bugs(html: &mut Markup, tally: &Tally) {
    if tally.bugs.is_empty() {
        return;
    }
    html.open("section", &[("id", "bugs")]);
    html.element("h2", &[], "Known bugs");
    let ranked = ranked(&tally.bugs);
    for (rule, group) in ranked.iter().take(CARDS) {
        html.open("article", &[("class", "card known")]);
        title(html, group);
        let exact = match group.exact {
            0 => "likely".to_owned(),
            exact if exact == group.count => "exact".to_owned(),
            exact => format!("{} exact, {} likely", count(exact), count(group.count - exact)),
        };
        html.open("p", &[("class", "faint")]);
        html.inline("code", &[], rule);
        html.text(&format!(" · {exact}"));
        html.close("p");
        spread(html, group);
        html.append(&group.about);
        sections(html, group);
        html.close("article");
    }
    smaller(html, &ranked, "bug", "bugs");
    html.close("section");
}

fn groups(html: &mut Markup, tally: &Tally) {
    if tally.groups.is_empty() {
        return;
    }
    html.open("section", &[("id", "groups")]);
    html.element("h2", &[], "Unknown crashes");
    html.element(
        "p",
        &[("class", "faint")],
        "No rule names these. The largest group is what to write a rule for next.",
    );
    let ranked = ranked(&tally.groups);
    for (id, group) in ranked.iter().take(CARDS) {
        html.open("article", &[("class", "card unknown")]);
        title(html, group);
        html.open("p", &[("class", "faint")]);
        html.inline("code", &[], id);
        html.close("p");
        spread(html, group);
        html.append(&group.about);
        sections(html, group);
        html.close("article");
    }
    smaller(html, &ranked, "group", "groups");
    if tally.ungrouped > 0 {
        let text = format!(
            "{} of further signatures.",
            counted(tally.ungrouped, "crash is", "crashes are")
        );
        html.element("p", &[("class", "faint")], &text);
    }
    html.close("section");
}

fn title(html: &mut Markup, group: &Group) {
    html.open("h3", &[]);
    html.inline("span", &[("class", "count")], &count(group.count));
    html.text(" ");
    html.text(&group.title);
    html.close("h3");
}

/// Where and when it was seen.
fn spread(html: &mut Markup, group: &Group) {
    html.open("dl", &[]);
    html.fact("hosts", &hosts(&group.hosts));
    let ranked = group.kernels.ranked();
    let mut kernels: Vec<String> = ranked
        .iter()
        .take(KERNELS)
        .map(|(name, _)| (*name).to_owned())
        .collect();
    if ranked.len() > KERNELS {
        kernels.push(counted((ranked.len() - KERNELS) as u64, "other", "others"));
    }
    html.fact("kernels", &kernels.join(", "));
    if let Some((first, last)) = &group.times {
        let seen = if first == last {
            first.clone()
        } else {
            format!("{first} to {last}")
        };
        html.fact("seen", &seen);
    }
    html.close("dl");
}

fn hosts(hosts: &Counter) -> String {
    let ranked = hosts.ranked();
    let unnamed = ranked
        .iter()
        .find(|(name, _)| *name == UNNAMED)
        .map(|(_, count)| *count);
    let named: Vec<_> = ranked.iter().filter(|(name, _)| *name != UNNAMED).collect();
    let mut text = match named.as_slice() {
        [] => return UNNAMED.to_owned(),
        [(name, _)] => (*name).to_owned(),
        [(name, most), ..] if *most > 1 => {
            format!("{}, most often {name} ({})", count(named.len() as u64), count(*most))
        }
        all => count(all.len() as u64),
    };
    if let Some(unnamed) = unnamed {
        text += &format!("; {UNNAMED} of {}", counted(unnamed, "crash", "crashes"));
    }
    text
}

fn sections(html: &mut Markup, group: &Group) {
    if group.sections.is_empty() {
        return;
    }
    html.open("p", &[("class", "links")]);
    html.text("crashes ");
    for id in &group.sections {
        html.inline("a", &[("href", &format!("#c{id}"))], &count(*id));
        html.text(" ");
    }
    let rest = group.count.saturating_sub(group.sections.len() as u64);
    if rest > 0 {
        html.text(&format!("and {} more", count(rest)));
    }
    html.close("p");
}

/// What is too small for a card, in one line each.
fn smaller(html: &mut Markup, groups: &[(&str, &Group)], one: &str, many: &str) {
    let small = groups.get(CARDS..).unwrap_or_default();
    if small.is_empty() {
        return;
    }
    html.open("details", &[("class", "smaller")]);
    let text = counted(
        small.len() as u64,
        &format!("smaller {one}"),
        &format!("smaller {many}"),
    );
    html.element("summary", &[], &text);
    html.open("ol", &[]);
    for (id, group) in small.iter().take(SMALLER) {
        html.open("li", &[]);
        html.inline("span", &[("class", "count")], &count(group.count));
        html.text(" ");
        match group.sections.first() {
            Some(id) => html.inline("a", &[("href", &format!("#c{id}"))], &group.title),
            None => html.text(&group.title),
        }
        html.text(" ");
        html.inline("code", &[], id);
        html.close("li");
    }
    html.close("ol");
    rest(html, small.len() as u64, SMALLER.min(small.len()));
    html.close("details");
}

fn unread(html: &mut Markup, tally: &Tally) {
    let (lines, broken) = &tally.broken;
    if tally.failed.is_empty() && *broken == 0 {
        return;
    }
    html.open("section", &[("id", "failed")]);
    html.element("h2", &[], "Not readable");
    html.open("dl", &[("class", "list")]);
    for (input, why) in &tally.failed {
        html.inline("dt", &[], input);
        // An error begins with the input that it is about, which stands beside it already.
        let why = why
            .strip_prefix(input.as_str())
            .and_then(|why| why.strip_prefix(": ").or(why.strip_prefix(' ')))
            .unwrap_or(why);
        html.element("dd", &[], why);
    }
    html.close("dl");
    rest(html, tally.of(Status::Failed), tally.failed.len());
    if *broken > 0 {
        let text = format!(
            "{} of the stream could not be read as rows:",
            counted(*broken, "line", "lines")
        );
        html.element("p", &[], &text);
        html.open("ul", &[]);
        lines.iter().for_each(|line| html.element("li", &[], line));
        html.close("ul");
        rest(html, *broken, lines.len());
    }
    html.close("section");
}

fn empty(html: &mut Markup, tally: &Tally) {
    if tally.empty.is_empty() {
        return;
    }
    html.open("section", &[("id", "empty")]);
    html.element("h2", &[], "No crash");
    html.open("details", &[]);
    let number = tally.of(Status::NoCrash);
    let text = counted(
        number,
        "input was read and holds no crash",
        "inputs were read and hold no crash",
    );
    html.element("summary", &[], &text);
    html.open("ul", &[]);
    tally.empty.iter().for_each(|input| html.element("li", &[], input));
    html.close("ul");
    rest(html, number, tally.empty.len());
    html.close("details");
    html.close("section");
}

fn rest(html: &mut Markup, all: u64, listed: usize) {
    let rest = all.saturating_sub(listed as u64);
    if rest > 0 {
        html.element(
            "p",
            &[("class", "faint")],
            &format!("{} more are not listed.", count(rest)),
        );
    }
}
