//! Texts whose latest lines come first: exports of log stores, and the parts in which firmware keeps a log's end.

use super::super::{line, scan};

/// So many times tell which way a text runs.
const SAMPLE: usize = 64;
/// Fewer lines than this are not worth turning round.
const LEAST: usize = 4;

/// A text with its oldest line first; `None` where it has it so already, or where that cannot be told.
pub fn oldest_first(text: &str) -> Option<String> {
    parts_in_order(text).or_else(|| turned_round(text))
}

/// `Oops#1 Part2`: the records of fs/pstore, of which the first holds the log's end. Each dump's parts are put in order.
fn parts_in_order(text: &str) -> Option<String> {
    scan::find(text, " Part")?;
    let mut head = String::new();
    let mut parts: Vec<((&str, u64), String)> = Vec::new();
    for raw in text.split_inclusive('\n') {
        if let Some(label) = part_label(raw.trim()) {
            parts.push((label, String::new()));
        }
        let part = parts.last_mut().map_or(&mut head, |(_, part)| part);
        part.push_str(raw);
        if !part.ends_with('\n') {
            part.push('\n');
        }
    }
    let wrong = parts
        .windows(2)
        .any(|pair| matches!(pair, [((one, first), _), ((other, second), _)] if one == other && first < second));
    if !wrong {
        return None;
    }
    let mut out = head;
    for dump in parts.chunk_by_mut(|((one, _), _), ((other, _), _)| one == other) {
        dump.sort_by_key(|((_, number), _)| std::cmp::Reverse(*number));
        out.extend(dump.iter().map(|(_, part)| part.as_str()));
    }
    Some(out)
}

/// `Panic#2 Part1` → what all parts of one dump begin with, and the part's number.
fn part_label(line: &str) -> Option<(&str, u64)> {
    let (dump, number) = line.split_once(" Part")?;
    let (reason, count) = dump.split_once('#')?;
    let sound = !reason.is_empty()
        && reason.len() <= 16
        && reason.bytes().all(|byte| byte.is_ascii_alphabetic())
        && !count.is_empty()
        && count.bytes().all(|byte| byte.is_ascii_digit());
    Some((dump, number.parse().ok()?)).filter(|_| sound)
}

/// A text of which nearly every line has a time, and each a later one than the next.
fn turned_round(text: &str) -> Option<String> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    // The first times tell nearly always that a text runs as it should.
    let (mut down, mut up, mut timed, mut all) = (0, 0, 0, 0);
    let mut before: Option<Moment> = None;
    for line in lines.by_ref().take(4 * SAMPLE) {
        all += 1;
        let Some(moment) = moment(line) else { continue };
        timed += 1;
        match before.map(|before| moment.0.total_cmp(&before.0)) {
            Some(std::cmp::Ordering::Less) => down += 1,
            Some(std::cmp::Ordering::Greater) => up += 1,
            _ => {}
        }
        if up > 2 && up > down || timed >= SAMPLE {
            break;
        }
        before = Some(moment);
    }
    if down < LEAST || up * 8 > down || timed * 10 < all * 8 {
        return None;
    }
    let mut out = String::with_capacity(text.len() + 1);
    for line in text.lines().rev() {
        out.push_str(line);
        out.push('\n');
    }
    Some(out)
}

/// When a line was printed or received, to be compared with others of the same text.
#[derive(Clone, Copy)]
struct Moment(f64);

/// The kernel's time, else that of the day at the start of the line.
fn moment(raw: &str) -> Option<Moment> {
    let cleaned = line::clean(raw);
    let prefix = line::split(&cleaned);
    if let Some(seconds) = prefix.seconds {
        return Some(Moment(seconds));
    }
    let inner = line::embedded_time(&cleaned).and_then(|at| line::plain_time(cleaned.get(at..)?));
    if let Some((seconds, _)) = inner {
        return Some(Moment(seconds));
    }
    let head = cleaned.as_bytes();
    let head = head.get(..head.len().min(48))?;
    let clock = head.windows(8).find(|clock| is_clock(clock))?;
    let number = |at: usize| f64::from(clock.get(at).map_or(0, |digit| digit - b'0'));
    Some(Moment(
        ((number(0) * 10.0 + number(1)) * 60.0 + number(3) * 10.0 + number(4)) * 60.0 + number(6) * 10.0 + number(7),
    ))
}

/// `17:51:03`.
fn is_clock(text: &[u8]) -> bool {
    text.iter().enumerate().all(|(at, byte)| match at {
        2 | 5 => *byte == b':',
        _ => byte.is_ascii_digit(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_part_comes_last() {
        let text = "Oops#1 Part1\n<4>[    3.0] c\nOops#1 Part2\n<4>[    2.0] b\nOops#1 Part3\n<4>[    1.0] a\nPanic#2 Part1\nd";
        let wanted = "Oops#1 Part3\n<4>[    1.0] a\nOops#1 Part2\n<4>[    2.0] b\nOops#1 Part1\n<4>[    3.0] c\nPanic#2 Part1\nd\n";
        assert_eq!(parts_in_order(text).unwrap(), wanted);
        assert_eq!(parts_in_order(wanted), None);
        assert_eq!(parts_in_order("lab: Part1\nlab#1 Part\n"), None);
    }

    #[test]
    fn a_text_that_runs_backwards_is_turned_round() {
        let lines: Vec<String> = (1..9).map(|at| format!("[   12.00000{at}] lab {at}\n")).collect();
        let forwards = lines.concat();
        let backwards: String = lines.iter().rev().map(String::as_str).collect();
        assert_eq!(oldest_first(&backwards).unwrap(), forwards);
        assert_eq!(oldest_first(&forwards), None);
        // Two boots run forwards, each.
        assert_eq!(oldest_first(&format!("{forwards}{forwards}")), None);
        let stored: Vec<String> = (1..9)
            .map(|at| format!("2026-11-23 17:51:0{at} | lab {at}\n"))
            .collect();
        let stored_backwards: String = stored.iter().rev().map(String::as_str).collect();
        assert_eq!(oldest_first(&stored_backwards).unwrap(), stored.concat());
        assert_eq!(oldest_first("lab\nlab\n"), None);
    }
}
