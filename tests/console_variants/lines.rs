//! A text as lines without their prefixes, so that others can be put before them.

/// One line of a kernel's.
#[derive(Clone, Debug)]
pub struct Line {
    /// Microseconds since boot.
    pub micros: u64,
    /// `T12` or `C1`, where the kernel names the printer.
    pub caller: Option<String>,
    /// The message, with its own indentation.
    pub body: String,
}

/// Takes a text apart whose lines all have the kernel's time before them, or of which none has anything; `None` for any
/// other. Lines without a time get one: a moment after the line before.
pub fn parse(text: &str) -> Option<Vec<Line>> {
    let mut lines = Vec::new();
    let mut timed = 0;
    let mut micros = 100_000_000;
    for raw in text.lines() {
        let raw = raw.trim_end_matches('\r');
        match time(raw) {
            Some((time, rest)) => {
                timed += 1;
                micros = time;
                let (caller, body) = caller(rest);
                lines.push(Line {
                    micros,
                    caller,
                    body: body.to_owned(),
                });
            }
            None => {
                micros += 10;
                let (caller, body) = caller(raw);
                lines.push(Line {
                    micros,
                    caller,
                    body: body.to_owned(),
                });
            }
        }
    }
    // Prefixes of another carrier would stay between.
    let foreign = |line: &Line| {
        let body = line.body.trim_start();
        let other_time = body.strip_prefix('[').is_some_and(|inner| {
            inner.trim_start().starts_with(|first: char| first.is_ascii_digit()) && inner.contains('.')
        });
        let phone = body.starts_with("c7 ");
        other_time
            || phone
            || body.contains("kernel: ")
            || line.body.starts_with(['<', '>', '|'])
            || body.contains('\u{1b}')
    };
    let sound = (timed == 0 || timed == lines.len()) && !lines.iter().any(foreign);
    (sound && !lines.is_empty()).then_some(lines)
}

fn time(raw: &str) -> Option<(u64, &str)> {
    let (inner, rest) = raw.strip_prefix('[')?.split_once(']')?;
    let (seconds, fraction) = inner.trim().split_once('.')?;
    if fraction.len() != 6 {
        return None;
    }
    let micros = seconds.parse::<u64>().ok()? * 1_000_000 + fraction.parse::<u64>().ok()?;
    Some((micros, rest.strip_prefix(' ').unwrap_or(rest)))
}

fn caller(rest: &str) -> (Option<String>, &str) {
    let tag = rest
        .trim_start()
        .strip_prefix('[')
        .and_then(|inner| inner.split_once(']'))
        .map(|(tag, after)| (tag.trim(), after));
    match tag {
        Some((tag, after))
            if tag.starts_with(['T', 'C'])
                && tag.len() > 1
                && tag.bytes().skip(1).all(|byte| byte.is_ascii_digit()) =>
        {
            (Some(tag.to_owned()), after.strip_prefix(' ').unwrap_or(after))
        }
        _ => (None, rest),
    }
}
