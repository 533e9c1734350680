//! What carried a line to where it was read: syslog, journald, netconsole, `/dev/kmsg`.

use memchr::memmem;

use super::time::{is_syslog_stamp, looks_like_rfc3339};
use super::{Caller, Prefix, floor_boundary, level};

/// A line as a record of `/dev/kmsg` or netconsole's extended form, `LEVEL,SEQUENCE,MICROSECONDS,FLAGS[,caller=T1];`,
/// which the kernel's release may precede (Documentation/networking/netconsole.rst).
pub(super) fn record(line: &str) -> Option<Prefix<'_>> {
    if !line.as_bytes().first()?.is_ascii_digit() {
        return None;
    }
    let (head, _) = floor_boundary(line, 160).split_once(';')?;
    let body = line.get(head.len() + 1..)?;
    let mut fields = head.split(',').peekable();
    let number = |field: &str| -> Option<u64> { field.parse().ok() };
    if fields.peek().is_some_and(|first| first.contains('.')) {
        fields.next();
    }
    number(fields.next()?)?;
    number(fields.next()?)?;
    let microseconds = number(fields.next()?)?;
    let flags = fields.next()?;
    if !(flags == "-" || flags == "c" || flags == "+") {
        return None;
    }
    let caller = fields.find_map(|field| {
        let (kind, number) = field.strip_prefix("caller=")?.split_at_checked(1)?;
        match (kind, number.parse().ok()?) {
            ("T", number) => Some(Caller::Task(number)),
            ("C", number) => Some(Caller::Cpu(number)),
            _ => None,
        }
    });
    Some(Prefix {
        seconds: Some(microseconds as f64 / 1e6),
        caller,
        marked: true,
        body: body.trim_end(),
        ..Prefix::default()
    })
}

/// `<4>1 2019-07-15T05:52:53.123Z cz kernel - - - ` (RFC 5424): (host, stamp, rest).
fn rfc5424(line: &str) -> Option<(Option<&str>, Option<&str>, &str)> {
    let rest = level(line).unwrap_or(line).strip_prefix("1 ")?;
    let (stamp, rest) = rest.split_once(' ')?;
    let (host, rest) = rest.split_once(' ')?;
    let rest = rest.strip_prefix("kernel ")?;
    let (_process, rest) = rest.split_once(' ')?;
    let (_message, rest) = rest.split_once(' ')?;
    let rest = match rest.strip_prefix('[') {
        Some(data) => data.split_once("] ")?.1,
        None => rest.strip_prefix("- ")?,
    };
    let stamp = Some(stamp).filter(|stamp| looks_like_rfc3339(stamp));
    let rest = rest.strip_prefix('\u{feff}').unwrap_or(rest);
    Some((Some(host).filter(|host| *host != "-"), stamp, rest))
}

/// `Jul 15 05:52:53 cz kernel: ` and its like: (host, RFC 3339 stamp, rest).
pub(super) fn log_daemon(line: &str) -> Option<(Option<&str>, Option<&str>, &str)> {
    if let Some(found) = rfc5424(line) {
        return Some(found);
    }
    // Looked for only where such a prefix can end: a kernel message may quote the word later on.
    let first = *line.as_bytes().first()?;
    // Months are written in many a script.
    if !(first.is_ascii_alphanumeric() || first == b'<' || !first.is_ascii()) {
        return None;
    }
    let window = floor_boundary(line, 120);
    let at = memmem::find_iter(window.as_bytes(), "kernel").find(|at| {
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
        Some(_) if is_syslog_stamp(before) => {
            let host = words.last();
            (None, host.filter(|host| !host.contains(':') || host.contains('.')))
        }
        Some(_) => return (before.contains(':') || before.len() < 60).then_some((None, None, rest)),
    };
    Some((host.filter(|host| !host.ends_with(':') && *host != "-"), stamp, rest))
}

/// `cz kernel: ` behind a journald time.
pub(super) fn daemon_after_time(line: &str) -> Option<(&str, &str)> {
    let (host, rest) = line.split_once(' ')?;
    let rest = rest.strip_prefix("kernel: ")?;
    (!host.is_empty() && host.len() <= 70).then_some((host, rest))
}
