//! How alike crashes are, and groups of them, for people.

use super::page::{Page, Tone};
use crate::grouping::{Profile, Step};

/// Two crashes, named, with how alike they are.
pub struct Pair<'a> {
    /// The inputs' names.
    pub names: [&'a str; 2],
    /// What is compared of each.
    pub profiles: [&'a Profile; 2],
    /// How alike, 0 to 1.
    pub likeness: f64,
    /// Whether that counts as one bug.
    pub alike: bool,
}

/// Writes how alike two crashes are and where their stacks part, innermost first.
pub fn compare(page: &mut Page, pair: &Pair<'_>) {
    let [one, other] = pair.profiles;
    let (word, tone) = match (one.id == other.id, pair.alike) {
        (true, _) => ("same", Tone::Good),
        (false, true) => ("alike", Tone::Doubt),
        (false, false) => ("different", Tone::Bad),
    };
    page.heading(word, tone, &format!("similarity {:.2}", pair.likeness));
    for (label, name, profile) in [("first", pair.names[0], one), ("second", pair.names[1], other)] {
        page.row(
            label,
            Tone::Plain,
            &format!("{} · {} · {name}", profile.title, profile.id),
        );
    }
    for (number, step) in crate::grouping::align(&one.stack, &other.stack).iter().enumerate() {
        let label = if number == 0 { "stack" } else { "" };
        match step {
            Step::Both(name) => page.row(label, Tone::Plain, &format!("  {name}")),
            Step::First(name) => page.row(label, Tone::Doubt, &format!("- {name}")),
            Step::Second(name) => page.row(label, Tone::Doubt, &format!("+ {name}")),
        }
    }
    page.gap();
}

/// Writes one group: how many, what it is, and the members.
pub fn group(page: &mut Page, first: &Profile, members: &[(String, f64)]) {
    page.heading(&members.len().to_string(), Tone::Strong, &first.title);
    page.row("signature", Tone::Plain, &first.id);
    for (number, (name, similarity)) in members.iter().enumerate() {
        let label = if number == 0 { "crashes" } else { "" };
        if *similarity < 1.0 {
            page.row(label, Tone::Doubt, &format!("{name} (similarity {similarity:.2})"));
        } else {
            page.row(label, Tone::Plain, name);
        }
    }
    page.gap();
}
