//! One line of kernel text → what the kernel said, and what others put before it.
//!
//! Consoles, syslog, journald, dmesg, netconsole and pstore each add their own prefix. This module takes them off:
//! `daemon` those of who carried the line, `time` the times, `caller` who printed it. It must not know what any message
//! means.

mod caller;
mod daemon;
mod time;

use std::borrow::Cow;

use caller::{caller, vendor_caller};
use daemon::{daemon_after_time, log_daemon, record};
use time::{is_syslog_stamp, looks_like_rfc3339, time};

pub use time::plain_time;

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
    // Nearly every line: nothing stands before the kernel's own time.
    if let Some((seconds, rest)) = plain_time(line) {
        behind_time(&mut prefix, Some(seconds), rest.strip_prefix(' ').unwrap_or(rest));
        return prefix;
    }
    let mut rest = unquoted(line);
    prefix.body = rest.trim_end();
    if let Some(record) = record(rest) {
        return record;
    }
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
    match time(rest) {
        Some((seconds, after)) => behind_time(&mut prefix, seconds, after),
        None => behind_times(&mut prefix, rest),
    }
    prefix
}

/// Whether what stands before the kernel's own time is but the stamp and the sender of who carried the line.
pub fn is_carriers(before: &str) -> bool {
    let before = level(before).unwrap_or(before);
    let mut words = before.split_ascii_whitespace();
    let dated = words.next().is_some_and(looks_like_rfc3339) || is_syslog_stamp(before);
    dated && words.count() <= 4
}

/// Where inside of a message another one begins: `…[  740.966534] `.
pub fn embedded_time(body: &str) -> Option<usize> {
    let mut from = 1;
    while let Some(found) = body.get(from..).and_then(|rest| rest.find('[')) {
        let at = from + found;
        let inner = body.get(at + 1..)?;
        let digits = inner.trim_start_matches(' ');
        let whole = digits.bytes().take_while(u8::is_ascii_digit).count();
        let tail = digits.get(whole..)?;
        if whole > 0
            && let Some(fraction) = tail.strip_prefix('.')
            && fraction.bytes().take_while(u8::is_ascii_digit).count() == 6
            && fraction
                .get(6..)
                .is_some_and(|rest| rest.starts_with("] ") || rest.starts_with("][") || rest == "]")
        {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// What may stand behind a time: another one, where a terminal's log has put its own before the kernel's, and the host.
fn behind_time<'a>(prefix: &mut Prefix<'a>, seconds: Option<f64>, mut rest: &'a str) {
    prefix.marked = true;
    prefix.seconds = seconds;
    if seconds.is_none()
        && let Some((seconds, after)) = time(level(rest).unwrap_or(rest))
    {
        prefix.seconds = seconds;
        rest = after;
    }
    // journald's short-monotonic form has the host and `kernel:` behind the time.
    if let Some((host, after)) = daemon_after_time(rest) {
        prefix.host = Some(host);
        rest = after;
        if let Some((seconds, after)) = time(rest) {
            prefix.seconds = seconds.or(prefix.seconds);
            rest = after;
        }
    }
    if let Some((caller, after)) = vendor_caller(rest) {
        prefix.caller = Some(caller);
        rest = after;
    }
    behind_times(prefix, rest);
}

fn behind_times<'a>(prefix: &mut Prefix<'a>, mut rest: &'a str) {
    if let Some((caller, after)) = caller(rest) {
        prefix.caller = Some(caller);
        rest = after;
    }
    // One blank belongs to the prefix; more is the kernel's own indentation.
    prefix.body = rest.trim_end();
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

/// The line without the marks of a quotation, as mails and commit messages put them: `| `, `> `, `> > `, `>> `, `[1] `.
fn unquoted(line: &str) -> &str {
    let mut rest = line;
    loop {
        // The kernel itself begins no line so.
        let after = match rest.strip_prefix('>') {
            Some(after) => after.strip_prefix(' ').unwrap_or(after),
            None => match rest.strip_prefix("| ") {
                Some(after) => after,
                None => break,
            },
        };
        rest = after;
    }
    match rest {
        "|" => "",
        rest => without_footnote(rest).unwrap_or(rest),
    }
}

/// The line behind a footnote's mark that its author put before it: `[2] RIP: …`.
fn without_footnote(line: &str) -> Option<&str> {
    let (number, rest) = line.trim_start().strip_prefix('[')?.split_once("] ")?;
    let sound = (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    sound.then_some(rest)
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

/// At most the first `limit` bytes of `text`, cut at a character.
fn floor_boundary(text: &str, limit: usize) -> &str {
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
            ">> > [   15.979002] Oops: 0002 [#1] SMP",
            ">>Oops: 0002 [#1] SMP",
            "ноя  3 05:52:53 cz kernel: [   15.979002] Oops: 0002 [#1] SMP",
            "févr. 03 05:52:53 cz kernel: Oops: 0002 [#1] SMP",
            "11月 03 05:52:53 cz kernel: Oops: 0002 [#1] SMP",
            "[Mo Dez  3 05:52:53 2019] Oops: 0002 [#1] SMP",
            "[一 9月  9 05:52:53 2019] Oops: 0002 [#1] SMP",
            "[lun. 23 nov. 2026 05:52:53] Oops: 0002 [#1] SMP",
            " [2] Oops: 0002 [#1] SMP",
            "[  +0.000006] Oops: 0002 [#1] SMP",
            "5.979002] Oops: 0002 [#1] SMP",
            "<12>1 2019-07-15T05:52:53.123456+02:00 cz kernel - - - [   15.979002] Oops: 0002 [#1] SMP",
            "<1>1 2019-07-15T05:52:53Z cz kernel 0 - [timeQuality tzKnown=\"1\"] Oops: 0002 [#1] SMP",
            "1,2345,15979002,-;Oops: 0002 [#1] SMP",
            "1,2345,15979002,-,caller=T173;Oops: 0002 [#1] SMP",
            "6.1.0-13-amd64,1,2345,15979002,-,ncfrag=0/31;Oops: 0002 [#1] SMP",
            "2019-07-15T05:52:53,123456+02:00 Oops: 0002 [#1] SMP",
            "[Jul15 05:52] Oops: 0002 [#1] SMP",
            "[Mon Jul 15 05:52:53 2019 <    0.000006>] Oops: 0002 [#1] SMP",
            "[<    0.000006>] Oops: 0002 [#1] SMP",
            "[2019-07-15 05:52:53] [   15.979002] Oops: 0002 [#1] SMP",
            "[05:52:53] <1>[   15.979002] Oops: 0002 [#1] SMP",
            "[05:52:53.123] Oops: 0002 [#1] SMP",
            "[   15.979002] c7   1827 Oops: 0002 [#1] SMP",
            "[   15.979002]  [7:    kworker/7:1: 1827] Oops: 0002 [#1] SMP",
            "[   15.979002] (7)[1827:kworker/7:1]Oops: 0002 [#1] SMP",
        ] {
            assert_eq!(split(line).body, body, "{line}");
        }
    }

    #[test]
    fn a_prefix_tells_time_host_and_caller() {
        let prefix = split("Jul 15 05:52:53 cz kernel: [20016472.284421][  T173] BUG: x");
        assert_eq!(prefix.host, Some("cz"));
        assert_eq!(split("ноя  3 05:52:53 cz kernel: BUG: x").host, Some("cz"));
        assert_eq!(prefix.seconds, Some(20016472.284421));
        assert_eq!(prefix.caller, Some(Caller::Task(173)));
        let record = split("1,2345,15979002,-,caller=C3;BUG: x");
        assert_eq!((record.seconds, record.caller), (Some(15.979002), Some(Caller::Cpu(3))));
        let phone = split("[   38.402878] c7   1827 BUG: x");
        assert_eq!(
            (phone.seconds, phone.caller),
            (Some(38.402878), Some(Caller::Task(1827)))
        );
        assert_eq!(split("[   38.402878] c7      0 BUG: x").caller, Some(Caller::Cpu(7)));
        let dated = split("<1>1 2019-07-15T05:52:53Z cz kernel - - - BUG: x");
        assert_eq!((dated.host, dated.stamp), (Some("cz"), Some("2019-07-15T05:52:53Z")));
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
            "c0 12 words",
            "1,2,3",
            "(7)[1827:kworker/7:1]",
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
