//! Messages of commits, as `git log` prints them, as patches carry them and as mail brings them: what they fix, since
//! when, and the crash that they quote.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use super::announce;
use super::bug::{About, Bug, area_of, is_commit};

/// The longest quoted crash that is looked at, in bytes.
const LONGEST: usize = 256 * 1024;

macro_rules! pattern {
    ($name:ident, $text:expr) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($text).unwrap_or_else(|_| never()));
    };
}

fn never() -> Regex {
    // Constant patterns are valid: the tests would not pass without them.
    Regex::new("$^").unwrap_or_else(|_| unreachable!("a constant pattern"))
}

pattern!(LOG_START, r"(?m)^commit ([0-9a-f]{40})(?: \(.*\))?\r?$");
// A patch of git names its commit here, a mail its sender.
pattern!(
    MAIL_START,
    r"(?m)^From (\S+) +(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z][a-z] +[0-9]+ .*$"
);
pattern!(
    UPSTREAM,
    r"(?mi)^\s*(?:commit ([0-9a-f]{12,40}) upstream\.?|\[ ?upstream commit ([0-9a-f]{12,40}) ?\]|\(cherry picked from commit ([0-9a-f]{12,40})\))"
);
pattern!(FIXES, r"(?mi)^\s*fixes: ([0-9a-f]{12,40})\b");
pattern!(
    STABLE,
    r"(?mi)^\s*cc: .*stable@.*#\s*v?([0-9]+\.[0-9]+(?:\.[0-9]+)?)(?:\.x|\+|\s|$)"
);
pattern!(PRINTABLE, r"(?mi)^content-transfer-encoding: *quoted-printable");
pattern!(CVE, r"\bCVE-[0-9]{4}-[0-9]{4,7}\b");
pattern!(
    CHANGED,
    r"(?m)^(?:diff --git a/(\S+) b/|\+\+\+ b/(\S+)| (\S+/\S+?)\s+\|\s+[0-9]+ )"
);
pattern!(SUBJECT, r"(?mi)^subject: *(.*(?:\n[ \t]+.*)*)");
pattern!(
    HEADLINE,
    r"BUG: |kernel BUG at |Oops|general protection fault|[Uu]nable to handle|WARNING: |INFO: task |INFO: rcu|rcu: INFO|watchdog: |NMI watchdog|soft lockup|divide error|invalid opcode|stack segment|double fault|Internal error|list_add corruption|list_del corruption|refcount_t: |Kernel panic|kernel NULL pointer|Unhandled fault|UBSAN: |detected buffer overflow|Bad page state"
);
pattern!(
    FRAME,
    r"[A-Za-z_][\w.]*\+0x[0-9a-f]+(?:/0x[0-9a-f]+)?|\bRIP: |\b[pP][cC] (?:is at|:) |Call [Tt]race|---\[ end trace|^\s*[\w.]+ \([\w./-]+\.[chS]:[0-9]+|^[ \t?]+[\w.]+ (?:[\w./-]+\.[chS]:[0-9]+)"
);

/// Whether a text may hold messages of commits.
pub fn may_be(text: &str) -> bool {
    LOG_START.is_match(text) || MAIL_START.is_match(text) || SUBJECT.is_match(text)
}

/// Takes a text apart into the messages that it holds, and reads each. `source` says where it was found.
pub fn read(source: &str, text: &str, bugs: &mut Vec<Bug>) {
    // What comes first says what the text is: the messages of either may quote the other's form.
    let forms = [&*LOG_START, &*MAIL_START].into_iter();
    let form = forms.min_by_key(|form| form.find(text).map_or(usize::MAX, |found| found.start()));
    let found = form.into_iter().flat_map(|form| form.captures_iter(text));
    let mut starts: Vec<(usize, Option<String>)> = found
        .filter_map(|found| {
            let sha = found.get(1).map(|sha| sha.as_str());
            // Mail programs put zeros where there is no commit.
            let sha = sha.filter(|sha| sha.len() == 40 && is_commit(sha) && sha.bytes().any(|b| b != b'0'));
            Some((found.get(0)?.start(), sha.map(str::to_owned)))
        })
        .collect();
    if starts.is_empty() {
        starts.push((0, None));
    }
    for (index, (start, sha)) in starts.iter().enumerate() {
        let end = starts.get(index + 1).map_or(text.len(), |(next, _)| *next);
        let Some(message) = text.get(*start..end) else { continue };
        if let Some(bug) = one(source, message, sha.as_deref()) {
            bugs.push(bug);
        }
    }
}

/// Reads one message. `None`: it quotes no crash.
pub fn one(source: &str, message: &str, own: Option<&str>) -> Option<Bug> {
    let message = &*decoded(message);
    if let Some((description, releases)) = announce::split(message) {
        let mut bug = fix(source, description, None)?;
        announce::add(&mut bug, description, releases);
        return Some(bug);
    }
    fix(source, message, own)
}

/// Reads the message of a fix.
fn fix(source: &str, message: &str, own: Option<&str>) -> Option<Bug> {
    let (words, diff) = split_diff(message);
    let text = crash_in(words)?;
    let upstream = UPSTREAM.captures(words).and_then(|found| {
        (1..=3)
            .find_map(|group| found.get(group))
            .map(|sha| sha.as_str().to_owned())
    });
    let subject = subject_of(words);
    let changed = CHANGED.captures_iter(diff).find_map(|found| {
        (1..=3)
            .find_map(|group| found.get(group))
            .map(|path| path.as_str().to_owned())
    });
    let area = changed
        .as_deref()
        .map(area_of)
        .or_else(|| subject.as_deref().map(area_of_subject));
    let commit = upstream.or_else(|| own.map(str::to_owned)).filter(|sha| is_commit(sha));
    let name = commit.as_deref().map_or_else(String::new, |sha| format!(", {sha}"));
    let mut cves: Vec<String> = CVE.find_iter(words).map(|cve| cve.as_str().to_owned()).collect();
    cves.dedup();
    // A message that speaks of several CVEs does not say which is its own.
    cves.truncate(if cves.len() == 1 { 1 } else { 0 });
    Some(Bug {
        commit,
        introduced_by: FIXES
            .captures(words)
            .and_then(|found| Some(found.get(1)?.as_str().to_owned())),
        introduced_in: STABLE
            .captures(words)
            .and_then(|found| Some(found.get(1)?.as_str().to_owned())),
        cves,
        area: area.map(str::to_owned),
        about: subject.as_deref().map(About::of).unwrap_or_default(),
        source: format!("{source}{name}"),
        text,
        ..Bug::default()
    })
}

/// What people wrote, and what the patch changes.
fn split_diff(message: &str) -> (&str, &str) {
    let marks = ["\n---\n", "\n---\r\n", "\ndiff --git ", "\nIndex: ", "\n--- a/"];
    let at = marks
        .iter()
        .filter_map(|mark| message.find(mark))
        .min()
        .unwrap_or(message.len());
    message.split_at_checked(at).unwrap_or((message, ""))
}

/// The subject of a mail, or the first line of a `git log` message.
fn subject_of(words: &str) -> Option<String> {
    if let Some(found) = SUBJECT.captures(words) {
        let subject = found.get(1)?.as_str();
        let after = subject
            .trim_start()
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'));
        let plain = after.map_or(subject, |(_, rest)| rest).trim();
        return Some(plain.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    let mut lines = words.lines().map(str::trim_end);
    lines
        .find(|line| line.starts_with("    ") && !line.trim().is_empty())
        .map(|line| line.trim().to_owned())
}

/// The area of a subject: what stands before its first colon.
fn area_of_subject(subject: &str) -> &'static str {
    let prefix = subject.split(':').next().unwrap_or_default().trim().to_lowercase();
    match prefix.as_str() {
        "btrfs" | "ext4" | "xfs" | "f2fs" | "nfs" | "nfsd" | "smb" | "cifs" | "ksmbd" | "gfs2" | "ocfs2" | "ceph"
        | "fuse" | "overlayfs" | "ovl" | "ntfs3" | "fs/ntfs3" | "hfsplus" | "jfs" | "nilfs2" | "udf" | "vfs" => "fs",
        "tcp" | "udp" | "ipv4" | "ipv6" | "sctp" | "tipc" | "netfilter" | "xfrm" | "bonding" | "bridge" | "vxlan"
        | "mptcp" | "can" | "wifi" | "mac80211" | "cfg80211" | "bluetooth" => "net",
        "x86" | "arm64" | "powerpc" | "s390" | "riscv" => "arch",
        _ => area_of(&prefix),
    }
}

/// The lines of a message that show a crash, without quotation marks and common indentation.
fn crash_in(words: &str) -> Option<Vec<u8>> {
    let lines: Vec<&str> = words.lines().map(unquoted).collect();
    let last = lines.iter().rposition(|line| FRAME.is_match(line))?;
    let is_head = |line: &&str| HEADLINE.is_match(line) && !is_prose(line);
    let first = lines.iter().position(is_head).or_else(|| {
        // Authors cut the headline away, too: the trace alone may still do.
        lines.iter().position(|line| FRAME.is_match(line))
    })?;
    let text = lines.get(first..=last)?.join("\n");
    (text.len() <= LONGEST).then(|| format!("{text}\n").into_bytes())
}

/// A line of an author's own: the crash words stand inside a sentence.
fn is_prose(line: &str) -> bool {
    let line = line.trim();
    let before = HEADLINE
        .find(line)
        .and_then(|found| line.get(..found.start()))
        .unwrap_or_default();
    // What a log puts before a message: times, levels, brackets; a sentence has words.
    let words = before
        .split_whitespace()
        .filter(|word| word.len() > 2 && word.bytes().all(|b| b.is_ascii_lowercase()));
    words.count() > 1 || line.ends_with(':') && !line.contains("BUG:") && !line.contains("Oops:")
}

/// A line without the marks of a quotation; indentation stays, the reader of kernel text knows it.
fn unquoted(line: &str) -> &str {
    let mut rest = line.trim_end();
    while let Some(inner) = without_mark(rest.trim_start()) {
        rest = inner;
    }
    rest.strip_prefix("    ").unwrap_or(rest)
}

/// A line without the mark that mail programs or authors put before what they quote.
fn without_mark(line: &str) -> Option<&str> {
    if let Some(inner) = line.strip_prefix('>') {
        return Some(inner.strip_prefix(' ').unwrap_or(inner));
    }
    // These begin lines of a kernel, too, but no blank follows there.
    let inner = line.strip_prefix(['|', '#', ':', '*', '-'])?;
    if inner.is_empty() {
        Some(inner)
    } else {
        inner.strip_prefix(' ')
    }
}

/// A mail whose body came as quoted-printable, decoded: long lines are broken in it.
fn decoded(mail: &str) -> Cow<'_, str> {
    let Some((head, body)) = mail.split_once("\n\n").or_else(|| mail.split_once("\r\n\r\n")) else {
        return Cow::Borrowed(mail);
    };
    if !PRINTABLE.is_match(head) {
        return Cow::Borrowed(mail);
    }
    let mut bytes = Vec::with_capacity(body.len());
    let mut parts = body.split('=');
    bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
    for part in parts {
        let code = part.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok());
        let broken = part.strip_prefix("\r\n").or_else(|| part.strip_prefix('\n'));
        match (code, broken) {
            (Some(byte), _) => {
                bytes.push(byte);
                bytes.extend_from_slice(part.get(2..).unwrap_or_default().as_bytes());
            }
            (None, Some(next)) => bytes.extend_from_slice(next.as_bytes()),
            (None, None) => {
                bytes.push(b'=');
                bytes.extend_from_slice(part.as_bytes());
            }
        }
    }
    Cow::Owned(format!("{head}\n\n{}", String::from_utf8_lossy(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
commit 0123456789abcdef0123456789abcdef01234567
Author: Somebody <some@body>
Date:   Mon Jan 1 00:00:00 2024 +0000

    pump: fix race when the pump leaks

    A word of the author, who saw a kernel BUG: it leaks:

      BUG: kernel NULL pointer dereference, address: 0000000000000010
      RIP: 0010:pump_water+0x13/0x60
      Call Trace:
       fill_tank+0x2d/0x90
       close_tap+0x2d/0x90

    Fixes: aaaaaaaaaaaa (\"pump: new\")
    Cc: stable@vger.kernel.org # 5.10+

commit 1123456789abcdef0123456789abcdef01234567
Author: Somebody <some@body>

    pump: no crash here
";

    #[test]
    fn a_log_gives_the_messages_that_quote_a_crash() {
        let mut bugs = Vec::new();
        read("history", LOG, &mut bugs);
        let [bug] = bugs.as_slice() else { panic!("{bugs:?}") };
        assert_eq!(bug.commit.as_deref(), Some("0123456789abcdef0123456789abcdef01234567"));
        assert_eq!(bug.introduced_by.as_deref(), Some("aaaaaaaaaaaa"));
        assert_eq!(bug.introduced_in.as_deref(), Some("5.10"));
        assert_eq!(bug.about, [About::Race]);
        let text = String::from_utf8(bug.text.clone()).unwrap();
        assert!(text.trim_start().starts_with("BUG: kernel NULL"), "{text}");
        assert!(text.trim_end().ends_with("close_tap+0x2d/0x90"), "{text}");
    }

    #[test]
    fn a_backport_names_the_commit_of_mainline() {
        let patch = "\
From 2222222222222222222222222222222222222222 Mon Sep 17 00:00:00 2001
From: Somebody <some@body>
Subject: [PATCH 5.10 1/2] net: stop the
 leak

commit 3333333333333333333333333333333333333333 upstream.

> BUG: KASAN: slab-use-after-free in pump_water+0x13/0x60
> Call Trace:
>  fill_tank+0x2d/0x90
---
 net/core/pump.c | 2 +-

diff --git a/net/core/pump.c b/net/core/pump.c
";
        let mut bugs = Vec::new();
        read("a.patch", patch, &mut bugs);
        let [bug] = bugs.as_slice() else { panic!("{bugs:?}") };
        assert_eq!(bug.commit.as_deref(), Some("3333333333333333333333333333333333333333"));
        assert_eq!(bug.area.as_deref(), Some("net"));
    }

    #[test]
    fn marks_of_a_quotation_are_taken_off_and_the_kernels_own_stay() {
        for (line, plain) in [
            ("> > BUG: bad", "BUG: bad"),
            ("  |  Call Trace:", " Call Trace:"),
            ("# RIP: 0010:pump+0x1/0x2", "RIP: 0010:pump+0x1/0x2"),
            (" * Call Trace:", "Call Trace:"),
            ("|", ""),
            ("#PF: supervisor read access", "#PF: supervisor read access"),
            ("---[ end trace 0 ]---", "---[ end trace 0 ]---"),
        ] {
            assert_eq!(unquoted(line), plain, "{line}");
        }
    }

    #[test]
    fn a_quoted_printable_mail_is_decoded() {
        let mail = "From a@b Mon Sep 17 00:00:00 2001\nSubject: [PATCH] pump\n\
                    Content-Transfer-Encoding: quoted-printable\n\n\
                    BUG: kernel NULL pointer dereference, address=3D 10\nRIP: 0010:pump_=\nwater+0x13/0x60\n=zz =";
        let text = decoded(mail);
        assert!(
            text.contains("address= 10\nRIP: 0010:pump_water+0x13/0x60\n=zz ="),
            "{text}"
        );
        assert_eq!(decoded("no mail"), "no mail");
    }
}
