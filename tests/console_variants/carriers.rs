//! How each source prints a kernel's lines. Written from the sources' own formats, not from what is read.

use std::fmt::Write as _;

use super::lines::Line;

/// One way that a text comes.
pub struct Carrier {
    /// What it is called in the table.
    pub name: &'static str,
    /// The text as it prints it; `None` when the text is not for it.
    pub carry: fn(&[Line]) -> Option<String>,
    /// The least that must survive, in percent.
    pub least: f64,
}

const fn carrier(name: &'static str, carry: fn(&[Line]) -> Option<String>, least: f64) -> Carrier {
    Carrier { name, carry, least }
}

#[rustfmt::skip]
pub const CARRIERS: &[Carrier] = &[
    carrier("as it is", |lines| each(lines, |out, line| write!(out, "{}", timed(line))), 99.5),
    carrier("bare", |lines| without_callers(lines, |out, line| write!(out, "{}", line.body)), 99.0),
    carrier("<4> levels", |lines| each(lines, |out, line| write!(out, "<4>{}", timed(line))), 99.5),
    carrier("<4> levels, no time", |lines| without_callers(lines, |out, line| write!(out, "<4>{}", line.body)), 99.0),
    carrier("dmesg -x", |lines| each(lines, |out, line| write!(out, "kern  :warn  : {}", timed(line))), 99.5),
    carrier("dmesg -T", |lines| each(lines, |out, line| write!(out, "[Mon Nov 23 17:51:{:02} 2026] {}", second(line), called(line))), 99.0),
    carrier("dmesg -T -d", |lines| each(lines, |out, line| write!(out, "[Mon Nov 23 17:51:{:02} 2026 <    0.000012>] {}", second(line), called(line))), 99.0),
    carrier("dmesg -d", |lines| each(lines, |out, line| write!(out, "[{:>5}.{:06} <    0.000012>] {}", line.micros / 1_000_000, line.micros % 1_000_000, called(line))), 99.0),
    carrier("dmesg -H", |lines| each(lines, |out, line| write!(out, "[  +0.000012] {}", called(line))), 99.0),
    carrier("dmesg --time-format iso", |lines| each(lines, |out, line| write!(out, "2026-11-23T17:51:{:02},{:06}+00:00 {}", second(line), line.micros % 1_000_000, called(line))), 99.0),
    carrier("journald short", |lines| each(lines, |out, line| write!(out, "Nov 23 17:51:{:02} host7 kernel: {}", second(line), called(line))), 99.0),
    carrier("journald short-precise", |lines| each(lines, |out, line| write!(out, "Nov 23 17:51:{:02}.{:06} host7 kernel: {}", second(line), line.micros % 1_000_000, called(line))), 99.0),
    carrier("journald short-full", |lines| each(lines, |out, line| write!(out, "Mon 2026-11-23 17:51:{:02} UTC host7 kernel: {}", second(line), called(line))), 99.0),
    carrier("journald short-iso", |lines| each(lines, |out, line| write!(out, "2026-11-23T17:51:{:02}+0000 host7 kernel: {}", second(line), called(line))), 99.0),
    carrier("journald short-iso-precise", |lines| each(lines, |out, line| write!(out, "2026-11-23T17:51:{:02}.{:06}+0000 host7.example.org kernel: {}", second(line), line.micros % 1_000_000, called(line))), 99.0),
    carrier("journald short-monotonic", |lines| each(lines, |out, line| write!(out, "[{:>5}.{:06}] host7 kernel: {}", line.micros / 1_000_000, line.micros % 1_000_000, called(line))), 99.0),
    carrier("journald short-unix", |lines| each(lines, |out, line| write!(out, "17690478{:02}.{:06} host7 kernel: {}", second(line), line.micros % 1_000_000, called(line))), 99.0),
    carrier("syslog RFC 3164", |lines| each(lines, |out, line| write!(out, "Nov 23 17:51:{:02} host7 kernel: {}", second(line), timed(line))), 99.5),
    carrier("syslog RFC 3164 with <PRI>", |lines| each(lines, |out, line| write!(out, "<4>Nov  3 17:51:{:02} host7 kernel: {}", second(line), timed(line))), 99.5),
    carrier("syslog RFC 5424", |lines| each(lines, |out, line| write!(out, "<4>1 2026-11-23T17:51:{:02}.{:06}+00:00 host7 kernel - - - {}", second(line), line.micros % 1_000_000, timed(line))), 99.5),
    carrier("syslog-ng, level in the tag", |lines| each(lines, |out, line| write!(out, "2026-11-23T17:51:{:02}.{:06}+01:00 host7 kernel: [warn] {}", second(line), line.micros % 1_000_000, timed(line))), 0.0),
    carrier("rsyslog from an address", |lines| each(lines, |out, line| write!(out, "Nov 23 17:51:{:02} 192.0.2.17 {}", second(line), timed(line))), 99.0),
    carrier("netconsole extended", |lines| each(lines, |out, line| write!(out, "4,{},{},-{};{}", 1000 + line.micros % 997, line.micros, line.caller.as_ref().map(|caller| format!(",caller={caller}")).unwrap_or_default(), line.body)), 99.5),
    carrier("netconsole with release", |lines| each(lines, |out, line| write!(out, "6.1.0-13-amd64,4,{},{},-;{}", 1000 + line.micros % 997, line.micros, line.body)), 98.0),
    carrier("/dev/kmsg with properties", |lines| each(lines, |out, line| write!(out, "4,{},{},-{};{}\n SUBSYSTEM=pci\n DEVICE=+pci:0000:00:03.0", 1000 + line.micros % 997, line.micros, line.caller.as_ref().map(|caller| format!(",caller={caller}")).unwrap_or_default(), line.body)), 98.0),
    carrier("pstore", |lines| Some(format!("Panic#2 Part1\n{}", each(lines, |out, line| write!(out, "<4>{}", timed(line)))?)), 99.5),
    carrier("callers", |lines| one_caller(lines, |out, line| write!(out, "{}[{:>6}] {}", stamp(line), "T4711", line.body)), 99.0),
    carrier("callers, a blank between", |lines| one_caller(lines, |out, line| write!(out, "{} [{:>6}] {}", stamp(line), "C3", line.body)), 99.0),
    carrier("telephone", |lines| one_caller(lines, |out, line| write!(out, "{} c7   4711 {}", stamp(line), line.body)), 99.0),
    carrier("CR LF", |lines| each(lines, |out, line| write!(out, "{}\r", timed(line))), 99.5),
    carrier("CR CR LF", |lines| each(lines, |out, line| write!(out, "{}\r\r", timed(line))), 99.5),
    carrier("dmesg --color", |lines| each(lines, |out, line| write!(out, "\u{1b}[32m{} \u{1b}[0m\u{1b}[1m{}\u{1b}[0m", stamp(line), called(line))), 99.0),
    carrier("a terminal's log", |lines| each(lines, |out, line| write!(out, "[2026-11-23 17:51:{:02}] {}", second(line), timed(line))), 99.0),
    carrier("blanks at the ends", |lines| each(lines, |out, line| write!(out, "{}   \t", timed(line))), 99.0),
    carrier("quoted in a mail", |lines| each(lines, |out, line| write!(out, "> {}", timed(line))), 99.0),
    carrier("quoted twice", |lines| each(lines, |out, line| write!(out, "> > {}", timed(line))), 99.0),
    carrier("indented", |lines| without_callers(lines, |out, line| write!(out, "    {}", timed(line))), 98.0),
    carrier("no last line feed", |lines| Some(each(lines, |out, line| write!(out, "{}", timed(line)))?.trim_end().to_owned()), 99.0),
    carrier("calm lines around", |lines| Some(format!("{}{}{}", calm(lines.first()?, 500), each(lines, |out, line| write!(out, "{}", timed(line)))?, calm(lines.last()?, 30))), 98.0),
    carrier("a program's lines between", |lines| each(lines, |out, line| write!(out, "{}\nexecuting program {}", timed(line), line.micros % 7)), 98.0),
    carrier("another CPU's lines between", |lines| one_caller(lines, |out, line| write!(out, "{}[{:>6}] {}\n{}[{:>6}] usb 1-1: new high-speed USB device number 4 using xhci_hcd", stamp(line), "T4711", line.body, stamp(line), "C1")), 98.0),
    carrier("another CPU's stack between", between_stacks, 97.0),
    carrier("syslog, a Russian's", |lines| each(lines, |out, line| write!(out, "ноя 23 17:51:{:02} host7 kernel: {}", second(line), timed(line))), 99.0),
    carrier("journald, a Frenchman's", |lines| each(lines, |out, line| write!(out, "déc. 03 17:51:{:02} host7 kernel: {}", second(line), called(line))), 99.0),
    carrier("journald, a Chinese's", |lines| each(lines, |out, line| write!(out, "11月 23 17:51:{:02} host7 kernel: {}", second(line), called(line))), 99.0),
    carrier("dmesg -T, a Chinese's", |lines| each(lines, |out, line| write!(out, "[一 11月 23 17:51:{:02} 2026] {}", second(line), called(line))), 99.0),
    carrier("dmesg -T, a German's", |lines| each(lines, |out, line| write!(out, "[Mo Dez  3 17:51:{:02} 2026] {}", second(line), called(line))), 99.0),
    carrier("dmesg -T, a Frenchman's", |lines| each(lines, |out, line| write!(out, "[lun. nov. 23 17:51:{:02} 2026] {}", second(line), called(line))), 99.0),
    carrier("logread", |lines| each(lines, |out, line| write!(out, "Mon Nov 23 17:51:{:02} 2026 kern.warn kernel: {}", second(line), timed(line))), 99.0),
    carrier("busybox syslogd", |lines| each(lines, |out, line| write!(out, "Nov 23 17:51:{:02} host7 kern.warn kernel: {}", second(line), timed(line))), 99.0),
    carrier("logcat -b kernel", |lines| each(lines, |out, line| write!(out, "11-23 17:51:{:02}.123     0     0 W KERNEL  : {}", second(line), timed(line))), 99.0),
    carrier("a build server's log", |lines| each(lines, |out, line| write!(out, "2026-11-23T17:51:{:02}.1234567Z {}", second(line), timed(line))), 99.0),
    carrier("compose", |lines| each(lines, |out, line| write!(out, "kernel-1  | {}", timed(line))), 99.0),
    carrier("quoted without blanks", |lines| each(lines, |out, line| write!(out, ">> {}", timed(line))), 99.0),
    carrier("quoted without blanks, bare", |lines| without_callers(lines, |out, line| write!(out, ">>{}", line.body)), 98.0),
    carrier("quoted four times", |lines| without_callers(lines, |out, line| write!(out, "> > >> {}", line.body)), 98.0),
    carrier("escaped for HTML", |lines| each(lines, |out, line| write!(out, "{}", escaped(&timed(line)))), 98.0),
    carrier("a page's <br>", |lines| each(lines, |out, line| write!(out, "{}<br>", escaped(&timed(line)))), 97.0),
    carrier("a page's <div>", |lines| each(lines, |out, line| write!(out, "<div class=\"line\">{}</div>", escaped(&timed(line)))), 97.0),
    carrier("quoted-printable", |lines| Some(quoted_printable(&each(lines, |out, line| write!(out, "{}", timed(line)))?)), 97.0),
    carrier("newest first", |lines| Some(timed_lines(lines).into_iter().rev().collect::<Vec<_>>().join("\n")), 95.0),
    carrier("pstore's parts, newest first", parts, 97.0),
    carrier("filled at 76", |lines| filled(lines, 76), 95.0),
    carrier("a typesetter's multiplication", |lines| each(lines, |out, line| write!(out, "{}", timed(line).replace("0x", "0×"))), 95.0),
    carrier("one line feed too many", |lines| each(lines, |out, line| writeln!(out, "{}", timed(line))), 97.0),
    carrier("not indented", |lines| without_callers(lines, |out, line| write!(out, "{}", line.body.trim_start())), 98.0),
    carrier("blanks run together", |lines| without_callers(lines, |out, line| write!(out, "{}", line.body.split_ascii_whitespace().collect::<Vec<_>>().join(" "))), 95.0),
    carrier("a screen's width of blanks", |lines| each(lines, |out, line| write!(out, "{:<160}", timed(line))), 97.0),
    carrier("nine digits", |lines| each(lines, |out, line| write!(out, "[{:>5}.{:06}789] {}", line.micros / 1_000_000, line.micros % 1_000_000, called(line))), 98.0),
    carrier("the first line cut", |lines| Some(each(lines, |out, line| write!(out, "{}", timed(line)))?.chars().skip(18).collect()), 85.0),
    carrier("the last line cut", without_the_end, 95.0),
    carrier("journald json", |lines| each(lines, |out, line| write!(out, "{{\"_HOSTNAME\":\"host7\",\"SYSLOG_IDENTIFIER\":\"kernel\",\"PRIORITY\":\"4\",\"MESSAGE\":\"{}\"}}", called(line).replace('\\', "\\\\").replace('"', "\\\"").replace('\t', "\\t"))), 97.0),
    carrier("wrapped at 80", |lines| wrapped(lines, 80), 97.0),
    carrier("wrapped at 120", |lines| wrapped(lines, 120), 97.0),
];

/// Every line by itself.
fn each(lines: &[Line], print: fn(&mut String, &Line) -> std::fmt::Result) -> Option<String> {
    let mut out = String::new();
    for line in lines {
        print(&mut out, line).ok()?;
        out.push('\n');
    }
    Some(out)
}

/// For carriers that do not say who printed a line: not for texts in which two did.
fn without_callers(lines: &[Line], print: fn(&mut String, &Line) -> std::fmt::Result) -> Option<String> {
    let first = lines.first()?.caller.as_ref();
    let one = lines.iter().all(|line| line.caller.as_ref() == first);
    if one { each(lines, print) } else { None }
}

/// For carriers that say it: only for texts that did not.
fn one_caller(lines: &[Line], print: fn(&mut String, &Line) -> std::fmt::Result) -> Option<String> {
    let unnamed = lines.iter().all(|line| line.caller.is_none());
    if unnamed { each(lines, print) } else { None }
}

fn stamp(line: &Line) -> String {
    format!("[{:>5}.{:06}]", line.micros / 1_000_000, line.micros % 1_000_000)
}

fn called(line: &Line) -> String {
    match &line.caller {
        Some(caller) => format!("[{caller:>6}] {}", line.body),
        None => line.body.clone(),
    }
}

fn timed(line: &Line) -> String {
    let between = if line.caller.is_some() { "" } else { " " };
    format!("{}{between}{}", stamp(line), called(line))
}

fn second(line: &Line) -> u64 {
    (line.micros / 1_000_000) % 60
}

/// Everyday lines of one moment.
fn calm(at: &Line, count: usize) -> String {
    let mut out = String::new();
    for number in 0..count {
        let _ = writeln!(
            out,
            "{} EXT4-fs (dm-{number}): mounted filesystem with ordered data mode",
            stamp(at)
        );
    }
    out
}

/// Another CPU prints a warning of its own at the same time.
fn between_stacks(lines: &[Line]) -> Option<String> {
    const OTHER: [&str; 10] = [
        "usb 1-1: new high-speed USB device number 4 using xhci_hcd",
        "lab: another CPU at work",
        "Call Trace:",
        " lab_other_work+0x12/0x40",
        " lab_other_caller+0x34/0x90",
        " process_one_work+0x1a7/0x360",
        " worker_thread+0x30/0x390",
        " kthread+0x112/0x130",
        " ret_from_fork+0x35/0x40",
        "lab: done",
    ];
    if lines.iter().any(|line| line.caller.is_some()) {
        return None;
    }
    let mut out = String::new();
    for (number, line) in lines.iter().enumerate() {
        let _ = writeln!(out, "{}[{:>6}] {}", stamp(line), "T4711", line.body);
        if let Some(other) = OTHER.get(number) {
            let _ = writeln!(out, "{}[{:>6}] {other}", stamp(line), "T99");
        }
    }
    Some(out)
}

/// A terminal breaks long lines, wherever they are, and its window is copied.
fn wrapped(lines: &[Line], width: usize) -> Option<String> {
    let mut out = String::new();
    for line in lines {
        let chars: Vec<char> = timed(line).trim_end().chars().collect();
        if chars.is_empty() {
            out.push('\n');
        }
        for piece in chars.chunks(width) {
            out.extend(piece);
            out.push('\n');
        }
    }
    Some(out)
}

/// Cut off in the middle of the last line.
fn without_the_end(lines: &[Line]) -> Option<String> {
    let mut text = each(lines, |out, line| write!(out, "{}", timed(line)))?;
    let last = text.trim_end().rfind('\n').map_or(0, |at| at + 1);
    let end = text
        .get(last..)?
        .char_indices()
        .nth(25)
        .map_or(text.len(), |(at, _)| last + at);
    text.truncate(end);
    Some(text)
}

fn timed_lines(lines: &[Line]) -> Vec<String> {
    lines.iter().map(timed).collect()
}

/// As a page's source has it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// RFC 2045, 6.7.
fn quoted_printable(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut width = 0;
        let mut tokens: Vec<String> = Vec::new();
        for byte in line.bytes() {
            tokens.push(match byte {
                b'=' | 0x80.. => format!("={byte:02X}"),
                byte => char::from(byte).to_string(),
            });
        }
        if let Some(last) = tokens.last_mut()
            && last.trim().is_empty()
        {
            *last = "=20".to_owned();
        }
        for token in tokens {
            if width + token.len() > 75 {
                out.push_str("=\n");
                width = 0;
            }
            width += token.len();
            out.push_str(&token);
        }
        out.push('\n');
    }
    out
}

/// A record store keeps parts of two kilobytes, the end first, and each begins with a line of its own.
fn parts(lines: &[Line]) -> Option<String> {
    let mut parts: Vec<String> = vec![String::new()];
    for line in lines {
        let text = format!("<4>{}\n", timed(line));
        if parts.last().is_some_and(|part| part.len() + text.len() > 1700) {
            parts.push(String::new());
        }
        parts.last_mut()?.push_str(&text);
    }
    let mut out = String::new();
    for (number, part) in parts.iter().rev().enumerate() {
        let _ = write!(out, "Oops#1 Part{}\n{part}", number + 1);
    }
    Some(out)
}

/// A mailer fills long lines at the blanks before its width.
fn filled(lines: &[Line], width: usize) -> Option<String> {
    let mut out = String::new();
    for line in lines {
        let text = timed(line);
        let mut rest = text.trim_end();
        while rest.chars().count() > width {
            let Some(at) = rest
                .char_indices()
                .take(width + 1)
                .filter(|(at, c)| *c == ' ' && *at > 20)
                .map(|(at, _)| at)
                .last()
            else {
                break;
            };
            out.push_str(rest.get(..at)?);
            out.push('\n');
            rest = rest.get(at + 1..)?;
        }
        out.push_str(rest);
        out.push('\n');
    }
    Some(out)
}
