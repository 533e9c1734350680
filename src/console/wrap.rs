//! A text that a terminal broke at its right edge → the lines as they were.
//!
//! It must not know what lines mean, only which of them a kernel's prefix begins.

use std::borrow::Cow;

use super::line;
use super::scan;

/// So much of a text's end is looked at to see whether it is broken: crashes stand there.
const WINDOW: usize = 256 << 10;
/// Terminals' widths.
const WIDTHS: std::ops::RangeInclusive<usize> = 60..=240;
/// So many lines must go on on the next one; but one will do at the width that nearly all terminals have.
const LEAST: usize = 3;
const USUAL: usize = 80;

/// The text with its broken lines joined. As it is, where no width is found at which it would have been broken.
pub fn joined(text: &str) -> Cow<'_, str> {
    let Some(width) = width(text) else {
        return Cow::Borrowed(text);
    };
    let mut out = String::with_capacity(text.len());
    let mut full = false;
    for (number, raw) in text.split('\n').enumerate() {
        if number > 0 && (!full || is_beginning(raw)) {
            out.push('\n');
        }
        let raw = raw.trim_end_matches('\r');
        full = raw.chars().count() == width;
        out.push_str(raw);
    }
    Cow::Owned(out)
}

/// The width of the terminal that broke a text: no line is longer, lines as long go on on the next one nearly always,
/// and others hardly ever do.
fn width(text: &str) -> Option<usize> {
    let mut start = text.len().saturating_sub(WINDOW);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let window = text.get(start..)?;
    let lines: Vec<&str> = scan::lines(window).collect();
    // A character has a byte at least: few lines need to be counted.
    let longer = |width: usize, line: &&str| match line.len() > width {
        true => width.max(line.chars().count()),
        false => width,
    };
    let width = lines.iter().fold(0, longer);
    if !WIDTHS.contains(&width) {
        return None;
    }
    let pairs = || lines.iter().copied().zip(lines.iter().copied().skip(1));
    let is_full = |line: &str| line.len() >= width && line.chars().count() == width;
    let goes_on = |next: &str| !next.is_empty() && !is_beginning(next);
    // Only the lines of that length are looked at closely, which are few: nearly all texts end here.
    let full = pairs().filter(|(line, _)| is_full(line)).count();
    let broken = pairs().filter(|(line, next)| is_full(line) && goes_on(next)).count();
    // A line with three registers of x86-64 is as long as most terminals are wide, and whole.
    let enough = width == USUAL && broken > 0 || broken >= LEAST && broken * 10 >= full * 9;
    if !enough {
        return None;
    }
    let others = pairs().filter(|(line, _)| !is_full(line));
    let odd = others.clone().filter(|(_, next)| goes_on(next)).count();
    (odd * 5 <= others.count()).then_some(width)
}

/// Whether a line begins as a kernel's do: with a time, a level or what carried it.
fn is_beginning(raw: &str) -> bool {
    line::split(&line::clean(raw)).marked
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "[   12.000001] Code: 48 89 df e8 00 00 00 00 48 8b 43 08 48 85 c0 74 05 48 8b 40 10 c3 <0f> 0b";

    fn broken(lines: &[&str], width: usize) -> String {
        let mut out = String::new();
        for line in lines {
            for piece in line.as_bytes().chunks(width) {
                out.push_str(&String::from_utf8_lossy(piece));
                out.push('\n');
            }
        }
        out
    }

    #[test]
    fn lines_broken_at_the_edge_are_joined() {
        let lines = [LONG, "[   12.000002] short", LONG, LONG, "[   12.000003] end"];
        for width in [60, 80] {
            assert_eq!(joined(&broken(&lines, width)), lines.join("\n") + "\n", "{width}");
        }
    }

    #[test]
    fn other_texts_stay_as_they_are() {
        let whole = [LONG, "[   12.000002] short", LONG, LONG, "[   12.000003] end"].join("\n");
        let bare = whole.replace("[   12.00000", "");
        for text in [whole.as_str(), &bare, "", "\n\n", "one line"] {
            assert!(matches!(joined(text), Cow::Borrowed(_)), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_lost(text in "(\\[    1.000000\\] |)[a-zé ]{55,65}\n(\\[    1.000000\\] [a-z]{60,70}\n|[a-z]{0,70}\r?\n){0,9}") {
            let kept = |text: &str| text.replace(['\n', '\r'], "");
            proptest::prop_assert_eq!(kept(&joined(&text)), kept(&text));
        }
    }
}
