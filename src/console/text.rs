//! A text as numbered lines, cut into boots, with the lines that may matter found in one fast pass.
//!
//! It must not know what a line means beyond "a boot begins here".

use std::borrow::Cow;
use std::ops::Range;

use aho_corasick::Input;
use memchr::memchr_iter;

use super::headline::PREFILTER;
use super::line::{self, Prefix};

/// Bytes as text; what is no UTF-8 is read around. Nearly all is, which is told much faster than it is mended.
pub fn of_bytes(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// A text and where its lines begin.
#[derive(Debug)]
pub struct Text<'a> {
    text: &'a str,
    /// Byte offsets of the lines' starts, and the text's end.
    starts: Vec<usize>,
    /// Numbers of the lines that may matter, ascending.
    marked: Vec<usize>,
}

impl<'a> Text<'a> {
    /// Cuts a text into lines.
    pub fn new(text: &'a str) -> Self {
        let mut starts = Vec::with_capacity(text.len() / 64 + 2);
        starts.push(0);
        starts.extend(memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1));
        if starts.last().is_some_and(|last| *last < text.len()) {
            starts.push(text.len());
        }
        let mut marked = Vec::new();
        let mut number = 0;
        let mut at = 0;
        // One hit a line is enough: the search goes on at the next line.
        let words = PREFILTER.over(text.len());
        while let Some(hit) = words.find(Input::new(text).range(at..)) {
            while starts.get(number + 1).is_some_and(|next| *next <= hit.start()) {
                number += 1;
            }
            marked.push(number);
            match starts.get(number + 1) {
                Some(next) if *next < text.len() => at = *next,
                _ => break,
            }
        }
        Text { text, starts, marked }
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// A line as it stands, without its line feed.
    pub fn raw(&self, number: usize) -> &'a str {
        let (Some(start), Some(end)) = (self.starts.get(number), self.starts.get(number + 1)) else {
            return "";
        };
        self.text.get(*start..*end).unwrap_or_default().trim_end_matches('\n')
    }

    /// The first line at or behind `number`, and before `end`, that may matter.
    pub fn next_marked(&self, number: usize, end: usize) -> Option<usize> {
        let at = self.marked.partition_point(|marked| *marked < number);
        self.marked.get(at).copied().filter(|marked| *marked < end)
    }

    /// Whether a line may matter.
    pub fn is_marked(&self, number: usize) -> bool {
        self.marked.binary_search(&number).is_ok()
    }

    /// The line ranges of the boots in the text, in order; at least one.
    pub fn boots(&self) -> Vec<Boot> {
        let mut boots = Vec::new();
        let mut boot = Boot::starting_at(0);
        let mut highest: f64 = 0.0;
        let mut next = self.marked.iter().copied().peekable();
        for number in 0..self.len() {
            let raw = self.raw(number);
            let marked = next.next_if_eq(&number).is_some();
            let seconds = quick_seconds(raw).or_else(|| {
                // Behind a syslog prefix: slower, so only where something else may matter too.
                if marked {
                    line::split(&line::clean(raw)).seconds
                } else {
                    None
                }
            });
            let banner = marked && begins_boot(raw);
            // A moment back is a late line of another CPU.
            let back = seconds.is_some_and(|seconds| seconds + 2.0 < highest);
            let fresh = number.saturating_sub(boot.lines.start) < 40 && highest < 1.0;
            if (back || (banner && !fresh)) && number > boot.lines.start {
                boot.lines.end = number;
                boots.push(std::mem::replace(&mut boot, Boot::starting_at(number)));
                highest = 0.0;
            }
            if let Some(seconds) = seconds {
                boot.first_seconds = boot.first_seconds.or(Some(seconds));
                boot.last_seconds = Some(seconds);
                highest = highest.max(seconds);
            }
        }
        boot.lines.end = self.len();
        boots.push(boot);
        boots
    }
}

/// One boot's part of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Boot {
    /// Its lines.
    pub lines: Range<usize>,
    /// The time of its first line that has one, in seconds since boot.
    pub first_seconds: Option<f64>,
    /// The time of its last line that has one.
    pub last_seconds: Option<f64>,
}

impl Boot {
    fn starting_at(number: usize) -> Self {
        Boot {
            lines: number..number,
            first_seconds: None,
            last_seconds: None,
        }
    }
}

/// Whether a line can only be a boot's first: the kernel's banner, or journald's mark.
fn begins_boot(raw: &str) -> bool {
    if raw.starts_with("-- Reboot --") || raw.starts_with("-- Boot ") {
        return true;
    }
    raw.contains("Linux version ") && {
        let cleaned = line::clean(raw);
        line::split(&cleaned).body.starts_with("Linux version ")
    }
}

/// The time of a line that begins with `[   12.345678]`, without allocating or looking further.
fn quick_seconds(raw: &str) -> Option<f64> {
    let raw = match raw.strip_prefix('<') {
        Some(rest) => rest.split_at_checked(2)?.1.trim_start_matches('>'),
        None => raw,
    };
    line::plain_time(raw).map(|(seconds, _)| seconds)
}

/// A cleaned line, taken apart, together with the text it may have been copied to.
pub fn with_line<T>(raw: &str, read: impl FnOnce(Prefix<'_>) -> T) -> T {
    let cleaned = line::clean(raw);
    read(line::split(&cleaned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_with_and_without_a_last_line_feed() {
        assert_eq!(Text::new("").len(), 0);
        assert_eq!(Text::new("a").len(), 1);
        assert_eq!(Text::new("a\n").len(), 1);
        assert_eq!(Text::new("a\n\nb").len(), 3);
        assert_eq!(Text::new("a\n\nb").raw(2), "b");
        assert_eq!(Text::new("a\n").raw(7), "");
    }

    #[test]
    fn time_going_back_and_the_banner_begin_a_boot() {
        let text = Text::new(
            "[   10.000000] a\n[   10.100000] BUG: x\n[    0.000000] Linux version 6.1.0 (x) #1 SMP\n[    1.000000] b\n",
        );
        let boots: Vec<_> = text.boots().into_iter().map(|boot| boot.lines).collect();
        assert_eq!(boots, [0..2, 2..4]);
        // Early lines of one boot stand before its banner.
        let text = Text::new("[    0.000000] cgroup\n[    0.000000] Linux version 3.10.0 (x) #1 SMP\n[    9.0000] b");
        assert_eq!(text.boots().len(), 1);
        // A late line of another CPU is no new boot.
        assert_eq!(Text::new("[   10.000000] a\n[    9.999000] b\n").boots().len(), 1);
        let text = Text::new("Linux version 6.1.0 (x) #1 SMP\nrun\nBUG: x\nLinux version 6.1.0 (x) #1 SMP\nrun\n");
        assert!(!text.boots().is_empty());
    }

    #[test]
    fn quick_time_agrees_with_the_full_reader() {
        for (raw, seconds) in [
            ("[   12.345678] x", Some(12.345678)),
            ("<4>[    0.000001] x", Some(0.000001)),
            ("[x] y", None),
            ("", None),
        ] {
            assert_eq!(quick_seconds(raw), seconds, "{raw}");
        }
    }

    proptest::proptest! {
        #[test]
        fn boots_cover_the_text(text in "(\\[ {0,3}[0-9]{1,4}\\.[0-9]{6}\\] |)(Linux version 6.1 |BUG: |\\PC{0,10})\n{0,2}(.|\n){0,200}") {
            let text = Text::new(&text);
            let boots = text.boots();
            let mut next = 0;
            for boot in &boots {
                proptest::prop_assert_eq!(boot.lines.start, next);
                next = boot.lines.end;
            }
            proptest::prop_assert_eq!(next, text.len());
        }
    }
}
