//! Charts: crashes by month as columns, counts by name as bars. Inline SVG that stretches; its words are HTML, so that
//! they keep their size on a phone.

use super::markup::{Markup, count, counted};
use super::tally::{Counter, Month, Tally, month_name};

/// How many months are shown at most, and at least.
const MONTHS: (Month, Month) = (48, 12);

/// How many names a list of bars shows.
const BARS: usize = 10;

/// Width of a column, the gap with it, and the chart's height, in the drawing's own units.
const COLUMN: u64 = 10;
const GAP: u64 = 2;
const HEIGHT: u64 = 100;

/// Crashes by month.
pub fn months(html: &mut Markup, tally: &Tally) {
    let Some((first, last)) = window(tally) else {
        html.element("p", &[("class", "faint")], "No crash says when it happened.");
        return;
    };
    let months: Vec<(Month, (u64, u64))> = (first..=last)
        .map(|month| (month, tally.months.get(&month).copied().unwrap_or_default()))
        .collect();
    let total = |&(_, (known, unknown)): &(Month, (u64, u64))| known + unknown;
    let highest = months.iter().map(total).max().unwrap_or(0).max(1);
    html.open("figure", &[]);
    html.fixed("<p class=\"legend\"><span class=\"key known\"></span>known bugs <span class=\"key unknown\"></span>unknown</p>\n");
    html.element(
        "p",
        &[("class", "scale")],
        &counted(highest, "crash a month", "crashes a month"),
    );
    let box_of = format!("0 0 {} {HEIGHT}", months.len() as u64 * COLUMN);
    let label = format!("Crashes by month, {} to {}", month_name(first), month_name(last));
    html.open(
        "svg",
        &[
            ("class", "months"),
            ("viewBox", &box_of),
            ("preserveAspectRatio", "none"),
            ("role", "img"),
            ("aria-label", &label),
        ],
    );
    for (index, (month, (known, unknown))) in months.iter().enumerate() {
        if known + unknown == 0 {
            continue;
        }
        html.open("g", &[]);
        let title = format!(
            "{}: {}, {} of them known",
            month_name(*month),
            counted(known + unknown, "crash", "crashes"),
            count(*known)
        );
        html.inline("title", &[], &title);
        let x = index as u64 * COLUMN + GAP / 2;
        let tall = |number: u64| number as f64 * HEIGHT as f64 / highest as f64;
        let top = HEIGHT as f64 - tall(*known);
        rectangle(html, "known", x, top, tall(*known));
        rectangle(html, "unknown", x, top - tall(*unknown), tall(*unknown));
        html.close("g");
    }
    html.close("svg");
    html.open("p", &[("class", "axis")]);
    let middle = first + (last - first) / 2;
    for month in [first, middle, last] {
        html.inline("span", &[], &month_name(month));
    }
    html.close("p");
    caption(html, tally, (first, last));
    html.close("figure");
}

fn rectangle(html: &mut Markup, class: &'static str, x: u64, y: f64, height: f64) {
    if height <= 0.0 {
        return;
    }
    let (x, y, width, height) = (
        x.to_string(),
        format!("{y:.2}"),
        (COLUMN - GAP).to_string(),
        format!("{height:.2}"),
    );
    let attributes = [
        ("class", class),
        ("x", &x),
        ("y", &y),
        ("width", &width),
        ("height", &height),
    ];
    html.inline("rect", &attributes, "");
}

/// What the columns leave out, and their figures.
fn caption(html: &mut Markup, tally: &Tally, (first, last): (Month, Month)) {
    let shown = tally.months.range(first..=last);
    let outside: u64 = tally
        .months
        .values()
        .map(|(known, unknown)| known + unknown)
        .sum::<u64>()
        - shown.clone().map(|(_, (known, unknown))| known + unknown).sum::<u64>();
    let mut remarks = Vec::new();
    if outside > 0 {
        remarks.push(format!(
            "{} in other months",
            counted(outside, "crash is", "crashes are")
        ));
    }
    if tally.undated > 0 {
        remarks.push(format!(
            "{} without a time",
            counted(tally.undated, "crash is", "crashes are")
        ));
    }
    if !remarks.is_empty() {
        html.element("figcaption", &[], &format!("Not shown: {}.", remarks.join(", ")));
    }
    html.fixed("<details class=\"figures\"><summary>figures</summary>\n<table><thead><tr><th>month</th><th class=\"n\">known</th><th class=\"n\">unknown</th></tr></thead><tbody>\n");
    for (month, (known, unknown)) in shown {
        html.open("tr", &[]);
        html.inline("td", &[], &month_name(*month));
        html.inline("td", &[("class", "n")], &count(*known));
        html.inline("td", &[("class", "n")], &count(*unknown));
        html.close("tr");
    }
    html.fixed("</tbody></table></details>\n");
}

/// Which months are shown: those that hold most crashes, the latest of equals. One broken clock must not stretch the
/// chart over a century.
fn window(tally: &Tally) -> Option<(Month, Month)> {
    let (&first, &last) = (tally.months.keys().next()?, tally.months.keys().next_back()?);
    let (most, least) = MONTHS;
    let last = if last - first < most {
        last
    } else {
        let within = |end: Month| -> u64 {
            let months = tally.months.range(end.saturating_sub(most - 1)..=end);
            months.map(|(_, (known, unknown))| known + unknown).sum()
        };
        tally.months.keys().copied().max_by_key(|&end| (within(end), end))?
    };
    let first = first.max(last.saturating_sub(most - 1));
    let first = tally
        .months
        .range(first..=last)
        .next()
        .map_or(first, |(&month, _)| month);
    Some((first.min(last.saturating_sub(least - 1)), last))
}

/// Counts by name, the most frequent first.
pub fn bars(html: &mut Markup, title: &'static str, counter: &Counter) {
    let ranked = counter.ranked();
    let highest = ranked.first().map_or(1, |(_, count)| *count).max(1);
    html.open("section", &[("class", "card")]);
    html.element("h3", &[], title);
    html.open("ol", &[("class", "bars")]);
    for (name, number) in ranked.iter().take(BARS) {
        html.open("li", &[]);
        html.inline("span", &[("class", "name")], name);
        html.inline("span", &[("class", "n")], &count(*number));
        let width = format!("{:.2}", *number as f64 * 100.0 / highest as f64);
        html.fixed("<svg class=\"bar\" viewBox=\"0 0 100 1\" preserveAspectRatio=\"none\" aria-hidden=\"true\">");
        html.inline("rect", &[("class", "fill"), ("width", &width), ("height", "1")], "");
        html.fixed("</svg>");
        html.close("li");
    }
    html.close("ol");
    let rest: u64 = ranked.iter().skip(BARS).map(|(_, count)| count).sum::<u64>() + counter.others;
    if rest > 0 {
        let names = counted(ranked.len().saturating_sub(BARS) as u64, "other", "others");
        let text = format!("and {names} with {}", counted(rest, "crash", "crashes"));
        html.element("p", &[("class", "faint")], &text);
    }
    html.close("section");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::html::tally::month;

    fn tally(months: &[(&str, u64)]) -> Tally {
        let mut tally = Tally::default();
        for (name, count) in months {
            tally.months.insert(month(name).unwrap(), (*count, 0));
        }
        tally
    }

    #[test]
    fn a_broken_clock_does_not_stretch_the_chart() {
        let tally = tally(&[("1970-01", 1), ("2026-01", 3), ("2026-05", 4), ("2106-02", 2)]);
        let (first, last) = window(&tally).unwrap();
        assert_eq!(
            (month_name(first), month_name(last)),
            ("2025-06".to_owned(), "2026-05".to_owned())
        );
        let mut html = Markup::new();
        months(&mut html, &tally);
        assert!(html.as_str().contains("Not shown: 3 crashes are in other months."));
    }

    #[test]
    fn a_single_month_is_no_wall() {
        assert_eq!(
            window(&tally(&[("2026-11", 1)])).map(|(first, last)| last - first),
            Some(11)
        );
        assert_eq!(window(&Tally::default()), None);
    }
}
