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
    let day_of_month = |word: &str| {
        word.split_at_checked(3)
            .is_some_and(|(month, day)| is_month(month) && !day.is_empty() && day.bytes().all(|b| b.is_ascii_digit()))
    };
    if day_of_month(first) {
        return second.is_some_and(|clock| is_clock(clock, 5));
    }
    looks_like_rfc3339(inner) || second.is_none() && is_clock(first, 8)
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

pub(super) fn is_month(word: &str) -> bool {
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
