//! A text that a terminal broke at its right edge, or a mailer at a blank before it → the lines as they were.
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

/// Mailers' widths, with the marks of a few quotations before them.
const MAILS: std::ops::RangeInclusive<usize> = 60..=90;

/// The text with its broken lines joined. As it is, where no width is found at which it would have been broken.
pub fn joined(text: &str) -> Cow<'_, str> {
    let lines: Vec<&str> = scan::lines(window(text)).collect();
    // A character has a byte at least: few lines need to be counted.
    let longer = |width: usize, line: &&str| match line.len() > width {
        true => width.max(line.chars().count()),
        false => width,
    };
    let width = lines.iter().fold(0, longer);
    if is_broken(&lines, width) {
        return Cow::Owned(unbroken(text, width));
    }
    // Many a log has no line longer than a mailer's: its end tells whether all of it must be looked at.
    let end = window(text);
    let may_be_filled = MAILS.contains(&width) && (end.len() == text.len() || refilled(end, width).is_some());
    match may_be_filled.then(|| refilled(text, width)) {
        Some(Some(text)) => Cow::Owned(text),
        _ => Cow::Borrowed(text),
    }
}

fn unbroken(text: &str, width: usize) -> String {
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
    out
}

/// The lines that a mailer filled, joined again: none is longer than `width`, and a line that goes on had no room for
/// the next one's first word. `None` where there are no such lines. Only lines with a time are told from their rests.
fn refilled(text: &str, width: usize) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let (mut joined, mut strangers) = (0, 0);
    // Whether the last line, or the one that it goes on, had a time; and how long it is.
    let (mut timed, mut length) = (false, 0);
    for (number, raw) in text.split('\n').enumerate() {
        let raw = raw.trim_end_matches('\r');
        let cleaned = line::clean(raw);
        let line = line::split(&cleaned);
        let rest = line.body.trim();
        let first = rest.split(' ').next().unwrap_or_default();
        let full = length + 1 + first.chars().count() > width;
        let own = raw.chars().count();
        if timed && full && !line.marked && !rest.is_empty() {
            out.push(' ');
            out.push_str(rest);
            joined += 1;
        } else {
            strangers += usize::from(timed && !line.marked && !rest.is_empty());
            if number > 0 {
                out.push('\n');
            }
            out.push_str(raw);
            timed = line.seconds.is_some();
        }
        length = own;
    }
    // What a program prints between comes behind lines of any length.
    (joined > strangers).then_some(out)
}

/// So much of a text's end as shows how it was broken.
fn window(text: &str) -> &str {
    let mut start = text.len().saturating_sub(WINDOW);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..).unwrap_or_default()
}

/// Whether a terminal of that width broke a text: no line is longer, lines as long go on on the next one nearly always,
/// and others hardly ever do.
fn is_broken(lines: &[&str], width: usize) -> bool {
    if !WIDTHS.contains(&width) {
        return false;
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
        return false;
    }
    let others = pairs().filter(|(line, _)| !is_full(line));
    let odd = others.clone().filter(|(_, next)| goes_on(next)).count();
    odd * 5 <= others.count()
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
    fn lines_that_a_mailer_filled_are_joined() {
        let mail = "> [  241.462487] Unable to handle kernel NULL pointer dereference at\n> virtual address 00000122\n\
            > [  241.473362] [00000122] *pgd=00000000\n\
            > [  241.502405] CPU: 0 PID: 157 Comm: kworker/u3:1 Not tainted\n> 6.1.153-lab #1\n> [  241.5] short\nprose\n";
        let joined = joined(mail);
        assert!(joined.contains("at virtual address 00000122\n"), "{joined}");
        assert!(joined.contains("Not tainted 6.1.153-lab #1\n"), "{joined}");
        assert!(joined.ends_with("short\nprose\n"), "{joined}");
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
        fn nothing_is_lost(text in "(\\[    1\\.000000\\] |)[a-zé ]{55,65}\n(\\[    1\\.000000\\] [a-z]{60,70}\n|[a-z]{0,70}\r?\n){0,9}") {
            let kept = |text: &str| text.replace(['\n', '\r', ' '], "");
            proptest::prop_assert_eq!(kept(&joined(&text)), kept(&text));
        }
    }
}
