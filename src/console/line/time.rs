//! The times that stand before a message.

use super::floor_boundary;

/// `[   12.345678] `, the same with its head cut off, or `[Mon Jul 15 05:52:53 2019] `.
pub(super) fn time(line: &str) -> Option<(Option<f64>, &str)> {
    if let Some((seconds, rest)) = plain_time(line) {
        return Some((Some(seconds), rest.strip_prefix(' ').unwrap_or(rest)));
    }
    let (inner, rest) = match line.strip_prefix('[') {
        Some(inner) => {
            let close = floor_boundary(inner, 48).find(']')?;
            (inner.get(..close)?, inner.get(close + 1..)?)
        }
        // dmesg --time-format iso: a comma before the fraction, which nobody else writes.
        None if looks_like_rfc3339(line) && line.as_bytes().get(19) == Some(&b',') => {
            return Some((None, line.split_once(' ')?.1));
        }
        // A copied text may have lost the start of its first line.
        None if line.as_bytes().first()?.is_ascii_digit() => {
            let close = floor_boundary(line, 20).find(']')?;
            (line.get(..close)?, line.get(close + 1..)?)
        }
        None => return None,
    };
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let inner = inner.trim();
    // dmesg -d: the time since the line before, alone where the times themselves are left out.
    let delta = inner.strip_prefix('+');
    let delta = delta.or_else(|| Some(inner.strip_prefix('<')?.strip_suffix('>')?.trim_start()));
    if let Some((whole, fraction)) = delta.and_then(|delta| delta.split_once('.'))
        && (1..=6).contains(&whole.len())
        && fraction.len() == 6
        && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit())
    {
        return Some((None, rest));
    }
    if let Some((whole, fraction)) = inner.split_once('.')
        && !whole.is_empty()
        && whole.bytes().all(|byte| byte.is_ascii_digit())
    {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if digits == fraction.len() && (3..=9).contains(&digits) {
            return Some((inner.parse().ok(), rest));
        }
        // 5.10+ can print the caller inside of the same brackets on some vendor kernels: `[   12.345678@1]`.
        let (seconds, tail) = fraction.split_at_checked(digits)?;
        if digits == 6 && tail.starts_with(['@', ' ']) {
            return Some((format!("{whole}.{seconds}").parse().ok(), rest));
        }
        return None;
    }
    // dmesg -T, and a terminal's log.
    is_date(inner).then_some((None, rest))
}

/// `[   12.345678]` at the start of a line, as nearly every kernel prints it, and what follows the bracket.
pub fn plain_time(line: &str) -> Option<(f64, &str)> {
    let inner = line.strip_prefix('[')?.trim_start_matches(' ');
    let mut number: u64 = 0;
    let mut scale: Option<u64> = None;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            b'0'..=b'9' => {
                number = number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
                scale = match scale {
                    Some(scale) => Some(scale.checked_mul(10)?),
                    None => None,
                };
            }
            b'.' if at > 0 && scale.is_none() => scale = Some(1),
            // Both are exact below 2^53, so that the quotient is the number nearest to what is written.
            b']' => {
                let scale = scale.filter(|scale| *scale >= 1000 && number < 1 << 53)?;
                return Some((number as f64 / scale as f64, inner.get(at + 1..)?));
            }
            _ => return None,
        }
    }
    None
}

/// What else stands in brackets for a moment: `Mon Jul 15 05:52:53 2019`, `Jul15 05:52` of `dmesg -H`,
/// `2019-07-15 05:52:53`, `05:52:53.123`.
fn is_date(inner: &str) -> bool {
    let mut words = inner.split_ascii_whitespace();
    let (Some(first), second) = (words.next(), words.next()) else {
        return false;
    };
    if ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&first) {
        return second.is_some_and(is_month);
    }
    if is_date_elsewhere(inner) {
        return true;
    }
    let day_of_month = |word: &str| {
        word.split_at_checked(3)
            .is_some_and(|(month, day)| is_month(month) && !day.is_empty() && day.bytes().all(|b| b.is_ascii_digit()))
    };
    if day_of_month(first) {
        return second.is_some_and(|clock| is_clock(clock, 5));
    }
    looks_like_rfc3339(inner) || second.is_none() && is_clock(first, 8)
}

/// `Mo Dez  3 05:52:53 2019`, `一 9月  9 05:52:53 2019`, `lun. 23 nov. 2026 05:52:53`: a weekday, a day, a month and a year
/// in whatever language and order, and the time of the day.
fn is_date_elsewhere(inner: &str) -> bool {
    let words: Vec<&str> = inner.split_ascii_whitespace().take(6).collect();
    let number = |word: &str, digits: std::ops::RangeInclusive<usize>| {
        let word = word.trim_end_matches('.');
        digits.contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit())
    };
    let count = |is: &dyn Fn(&str) -> bool| words.iter().filter(|word| is(word)).count();
    words.len() == 5
        && count(&|word| is_clock(word, 8)) == 1
        && count(&|word| number(word, 4..=4)) == 1
        && count(&|word| number(word, 1..=2)) == 1
}

/// `Nov  3 05:52:53`, `févr. 03 05:52:53` and `11月 03 05:52:53` at the start of a line: a month in whatever language,
/// the day, the time.
pub(super) fn is_syslog_stamp(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace();
    let Some(first) = words.next() else { return false };
    if is_month(first) {
        return true;
    }
    let day = words.next().map(|day| day.trim_end_matches('.')).unwrap_or_default();
    let is_day = (1..=2).contains(&day.len()) && day.bytes().all(|byte| byte.is_ascii_digit());
    is_day && first.len() <= 24 && words.next().is_some_and(|clock| is_clock(clock, 8))
}

/// `05:52` (5 bytes at least), `05:52:53` (8) and `05:52:53.123`.
fn is_clock(word: &str, least: usize) -> bool {
    let (clock, fraction) = word.split_once('.').unwrap_or((word, ""));
    let sound = |(at, byte): (usize, u8)| {
        if at % 3 == 2 {
            byte == b':'
        } else {
            byte.is_ascii_digit()
        }
    };
    clock.len() >= least
        && matches!(clock.len(), 5 | 8)
        && clock.bytes().enumerate().all(sound)
        && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_month(word: &str) -> bool {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    MONTHS.contains(&word)
}

pub(super) fn looks_like_rfc3339(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() >= 19
        && bytes.get(..4).is_some_and(|year| year.iter().all(u8::is_ascii_digit))
        && bytes.get(4) == Some(&b'-')
        && matches!(bytes.get(10), Some(b'T' | b' '))
        && bytes.get(13) == Some(&b':')
}
