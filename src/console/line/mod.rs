//! One line of kernel text → what the kernel said, and what others put before it.
//!
//! Consoles, syslog, journald, dmesg, netconsole and pstore each add their own prefix. This module takes them off; it
//! must not know what any message means.

use std::borrow::Cow;

/// Who printed a line, where the kernel says so (CONFIG_PRINTK_CALLER): `[ T123]` or `[ C1]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A task, by its thread id.
    Task(u64),
    /// A CPU in interrupt context.
    Cpu(u64),
}

/// A line's prefix, and where the message starts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Prefix<'a> {
    /// Seconds since boot.
    pub seconds: Option<f64>,
    /// Who printed it.
    pub caller: Option<Caller>,
    /// The host's name, from a syslog or journald prefix.
    pub host: Option<&'a str>,
    /// The RFC 3339 time stamp of a syslog or journald prefix, as it stands.
    pub stamp: Option<&'a str>,
    /// Whether anything at all marked the line as the kernel's.
    pub marked: bool,
    /// The message.
    pub body: &'a str,
}

/// Takes the prefix off a line. Expects a line that went through [`clean`].
pub fn split(line: &str) -> Prefix<'_> {
    let mut prefix = Prefix {
        body: line,
        ..Prefix::default()
    };
    let mut rest = unquoted(line);
    prefix.body = rest;
    if let Some((host, stamp, after)) = log_daemon(rest) {
        prefix.host = host;
        prefix.stamp = stamp;
        prefix.marked = true;
        rest = after;
    }
    if let Some(after) = dropped_notice(rest) {
        rest = after;
    }
    if let Some(after) = level(rest) {
        prefix.marked = true;
        rest = after;
    }
    if let Some((seconds, after)) = time(rest) {
        prefix.marked = true;
        prefix.seconds = seconds;
        rest = after;
        // journald's short-monotonic form has the host and `kernel:` behind the time.
        if let Some((host, after)) = daemon_after_time(rest) {
            prefix.host = Some(host);
            rest = after;
            if let Some((seconds, after)) = time(rest) {
                prefix.seconds = seconds.or(prefix.seconds);
                rest = after;
            }
        }
    }
    if let Some((caller, after)) = caller(rest) {
        prefix.caller = Some(caller);
        rest = after;
    }
    // One blank belongs to the prefix; more is the kernel's own indentation.
    prefix.body = rest.trim_end();
    prefix
}

/// The line without ANSI escapes, control characters and what a carriage return left before it. Borrowed where there
/// is nothing to take off, which is nearly always.
pub fn clean(line: &str) -> Cow<'_, str> {
    let line = line.trim_end_matches(['\r', '\n']);
    // Without an early end the compiler looks at many bytes at once.
    let odd = line
        .bytes()
        .fold(false, |odd, byte| odd | (byte < 0x20 && byte != b'\t'));
    if !odd {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => skip_escape(&mut chars),
            // What stood before a lone carriage return was drawn over on the screen, but in a capture it is mostly
            // another line that lost its line feed: keep the blank.
            '\r' => out.push(' '),
            '\t' => out.push('\t'),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    Cow::Owned(out.trim_end().to_owned())
}

/// Eats an ANSI escape sequence of which the escape character is gone: `[31m`, `]0;title BEL`, or one character.
fn skip_escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.next() {
        Some('[') => {
            for c in chars.by_ref() {
                if ('@'..='~').contains(&c) {
                    break;
                }
            }
        }
        Some(']') => {
            for c in chars.by_ref() {
                if c == '\u{7}' {
                    break;
                }
            }
        }
        _ => {}
    }
}

/// The line without the marks of a quotation, as mails and commit messages put them: `| `, `> `, `> > `, `[1] `.
fn unquoted(line: &str) -> &str {
    let mut rest = line;
    while let Some(after) = rest.strip_prefix("| ").or_else(|| rest.strip_prefix("> ")) {
        rest = after;
    }
    match rest {
        "|" | ">" => "",
        rest => without_footnote(rest).unwrap_or(rest),
    }
}

/// The line behind a footnote's mark that its author put before it: `[2] RIP: …`.
fn without_footnote(line: &str) -> Option<&str> {
    let (number, rest) = line.trim_start().strip_prefix('[')?.split_once("] ")?;
    let sound = (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    sound.then_some(rest)
}

/// `Jul 15 05:52:53 cz kernel: ` and its like: (host, RFC 3339 stamp, rest).
fn log_daemon(line: &str) -> Option<(Option<&str>, Option<&str>, &str)> {
    // Looked for only where such a prefix can end: a kernel message may quote the word later on.
    let first = *line.as_bytes().first()?;
    if !(first.is_ascii_alphanumeric() || first == b'<') {
        return None;
    }
    let window = floor_boundary(line, 120);
    let at = window.match_indices("kernel").map(|(at, _)| at).find(|at| {
        let behind = window.as_bytes().get(at + "kernel".len());
        matches!(behind, Some(b':' | b'['))
    })?;
    let (before, after) = (line.get(..at)?, line.get(at + "kernel".len()..)?);
    if !(before.is_empty() || before.ends_with([' ', '\t', '.', '/'])) {
        return None;
    }
    let rest = match after.strip_prefix(':') {
        Some(rest) => rest,
        None => after.strip_prefix('[')?.split_once("]:")?.1,
    };
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let before = level(before).unwrap_or(before);
    let mut words = before.split_ascii_whitespace();
    let first = words.next();
    let (stamp, host) = match first {
        None => (None, None),
        Some(word) if looks_like_rfc3339(word) => (Some(word), words.next()),
        // BSD syslog: month, day, time, host. journald may add the year or a weekday: the host is last.
        Some(word) if is_month(word) => {
            let host = words.last();
            (None, host.filter(|host| !host.contains(':') || host.contains('.')))
        }
        Some(_) => return (before.contains(':') || before.len() < 60).then_some((None, None, rest)),
    };
    Some((host.filter(|host| !host.ends_with(':') && *host != "-"), stamp, rest))
}

fn is_month(word: &str) -> bool {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    MONTHS.contains(&word)
}

fn looks_like_rfc3339(word: &str) -> bool {
    let bytes = word.as_bytes();
    bytes.len() >= 19
        && bytes.get(..4).is_some_and(|year| year.iter().all(u8::is_ascii_digit))
        && bytes.get(4) == Some(&b'-')
        && matches!(bytes.get(10), Some(b'T' | b' '))
        && bytes.get(13) == Some(&b':')
}

/// `** 2499 printk messages dropped ** ` before the message that came through.
fn dropped_notice(line: &str) -> Option<&str> {
    let (notice, rest) = line.strip_prefix("** ")?.split_once(" ** ")?;
    notice.ends_with("dropped").then_some(rest)
}

/// `<4>` of a raw kernel message, `kern  :alert : ` of `dmesg -x`.
fn level(line: &str) -> Option<&str> {
    if let Some(rest) = line.strip_prefix('<') {
        let (digits, rest) = rest.split_once('>')?;
        let sound = (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        return sound.then_some(rest);
    }
    if line.starts_with("kern") {
        let (facility, rest) = line.split_once(':')?;
        let (level, rest) = rest.split_once(':')?;
        let word = |text: &str| text.trim().bytes().all(|byte| byte.is_ascii_lowercase()) && text.len() <= 8;
        return (facility.trim_end() == "kern" && word(level)).then(|| rest.strip_prefix(' ').unwrap_or(rest));
    }
    None
}

/// `[   12.345678] `, the same with its head cut off, or `[Mon Jul 15 05:52:53 2019] `.
fn time(line: &str) -> Option<(Option<f64>, &str)> {
    if let Some((seconds, rest)) = plain_time(line) {
        return Some((Some(seconds), rest.strip_prefix(' ').unwrap_or(rest)));
    }
    let (inner, rest) = match line.strip_prefix('[') {
        Some(inner) => {
            let close = floor_boundary(inner, 48).find(']')?;
            (inner.get(..close)?, inner.get(close + 1..)?)
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
    // dmesg -d: the time since the line before.
    if let Some((whole, fraction)) = inner.strip_prefix('+').and_then(|delta| delta.split_once('.'))
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
    // dmesg -T.
    let mut words = inner.split_ascii_whitespace();
    let weekday = words.next()?;
    if ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&weekday) && words.next().is_some_and(is_month) {
        return Some((None, rest));
    }
    looks_like_rfc3339(inner).then_some((None, rest))
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

/// `cz kernel: ` behind a journald time.
fn daemon_after_time(line: &str) -> Option<(&str, &str)> {
    let (host, rest) = line.split_once(' ')?;
    let rest = rest.strip_prefix("kernel: ")?;
    (!host.is_empty() && host.len() <= 70).then_some((host, rest))
}

/// `[ T1234] ` or `[    C1] `.
fn caller(line: &str) -> Option<(Caller, &str)> {
    let inner = line.strip_prefix('[')?;
    let close = floor_boundary(inner, 14).find(']')?;
    let tag = inner.get(..close)?.trim();
    let rest = inner.get(close + 1..)?;
    let (kind, number) = tag.split_at_checked(1)?;
    let number = number.parse().ok()?;
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    match kind {
        "T" => Some((Caller::Task(number), rest)),
        "C" => Some((Caller::Cpu(number), rest)),
        _ => None,
    }
}

/// At most the first `limit` bytes of `text`, cut at a character.
pub fn floor_boundary(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_prefix_comes_off() {
        let body = "Oops: 0002 [#1] SMP";
        for line in [
            "Oops: 0002 [#1] SMP",
            "[   15.979002] Oops: 0002 [#1] SMP",
            "<1>[   15.979002] Oops: 0002 [#1] SMP",
            "<1>Oops: 0002 [#1] SMP",
            "[   15.979002][  T173] Oops: 0002 [#1] SMP",
            "[   15.979002] [    C1] Oops: 0002 [#1] SMP",
            "Jul 15 05:52:53 cz kernel: [   15.979002] Oops: 0002 [#1] SMP",
            "Jul 15 05:52:53 cz kernel: Oops: 0002 [#1] SMP",
            "2019-07-15T05:52:53.123456+02:00 cz kernel: [   15.979002] Oops: 0002 [#1] SMP",
            "[   15.979002] cz kernel: Oops: 0002 [#1] SMP",
            "[Mon Jul 15 05:52:53 2019] Oops: 0002 [#1] SMP",
            "kern  :alert : [   15.979002] Oops: 0002 [#1] SMP",
            "** 12 printk messages dropped ** [   15.979002] Oops: 0002 [#1] SMP",
            "| Oops: 0002 [#1] SMP",
            "> > [   15.979002] Oops: 0002 [#1] SMP",
            " [2] Oops: 0002 [#1] SMP",
            "[  +0.000006] Oops: 0002 [#1] SMP",
            "5.979002] Oops: 0002 [#1] SMP",
        ] {
            assert_eq!(split(line).body, body, "{line}");
        }
    }

    #[test]
    fn a_prefix_tells_time_host_and_caller() {
        let prefix = split("Jul 15 05:52:53 cz kernel: [20016472.284421][  T173] BUG: x");
        assert_eq!(prefix.host, Some("cz"));
        assert_eq!(prefix.seconds, Some(20016472.284421));
        assert_eq!(prefix.caller, Some(Caller::Task(173)));
        assert_eq!(
            split("2019-07-15T05:52:53Z cz kernel: x").stamp,
            Some("2019-07-15T05:52:53Z")
        );
    }

    #[test]
    fn the_kernels_own_brackets_stay() {
        for line in [
            "[<ffffffff810aca65>] foo+0x5/0x50",
            " [<ffffffff810aca65>] ? foo+0x5/0x50",
            "[ INFO: possible]",
        ] {
            assert_eq!(split(line).body, line);
        }
        assert_eq!(split("[    1.000000]  ? foo+0x5/0x50").body, " ? foo+0x5/0x50");
        assert_eq!(
            split("[    1.0] Linux kernel: the word").body,
            "[    1.0] Linux kernel: the word"
        );
    }

    #[test]
    fn escapes_and_carriage_returns_go() {
        assert_eq!(clean("\u{1b}[31mBUG: x\u{1b}[0m\r\n"), "BUG: x");
        assert_eq!(clean("plain"), "plain");
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read(line in "\\PC{0,200}") {
            let cleaned = clean(&line);
            let prefix = split(&cleaned);
            proptest::prop_assert!(cleaned.contains(prefix.body));
        }

        #[test]
        fn any_bracketed_line_is_read(line in "[<\\[ TCk0-9.\\]>:*a-zé-]{0,80}") {
            split(&clean(&line));
        }
    }
}
