//! The mails in which the kernel's CVE team announces a CVE: the fix's message, and below it which releases and commits
//! brought the bug and which fixed it.

use std::sync::LazyLock;

use regex::Regex;

use super::bug::{Bug, area_of, is_commit};

/// What ends the description of such a mail.
const END: &str = "The Linux kernel CVE team has assigned";

static SUBJECT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?mi)^subject: *(?:re: *)?(CVE-[0-9]{4}-[0-9]{4,7}): "));
static INTRODUCED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"ssue introduced in (\S+) with commit ([0-9a-f]{12,40})"));
static FIXED: LazyLock<Regex> = LazyLock::new(|| pattern(r"ixed in (\S+) with commit ([0-9a-f]{12,40})"));

fn pattern(text: &str) -> Regex {
    // Constant patterns are valid: the tests would not pass without them.
    Regex::new(text).unwrap_or_else(|_| unreachable!("a constant pattern"))
}

/// Takes a mail apart into its description and what the team says of releases. `None`: it is no such mail.
pub fn split(mail: &str) -> Option<(&str, &str)> {
    SUBJECT.is_match(mail).then_some(())?;
    mail.split_at_checked(mail.find(END)?)
}

/// Adds what such a mail says of a bug beside its message.
pub fn add(bug: &mut Bug, description: &str, releases: &str) {
    let cve = SUBJECT.captures(description).and_then(|found| found.get(1));
    bug.cves = cve.map(|cve| cve.as_str().to_owned()).into_iter().collect();
    bug.source = format!("kernel CNA announcement of {}", bug.cves.concat());
    bug.commit = None;
    for line in releases.lines() {
        let introduced = words(&INTRODUCED, line);
        let fixed = words(&FIXED, line);
        let mainline = fixed.is_some_and(|(release, _)| is_mainline(release));
        if let Some((release, commit)) = introduced
            && (mainline || bug.introduced_in.is_none())
        {
            bug.introduced_in = Some(plain(release)).filter(|release| release != "2.6.12");
            bug.introduced_by =
                Some(commit.to_owned()).filter(|sha| is_commit(sha) && !sha.starts_with("1da177e4c3f4"));
        }
        if let Some((release, commit)) = fixed {
            bug.fixed_in.push(plain(release));
            if mainline {
                bug.commit = Some(commit.to_owned());
            }
        }
    }
    let files = releases
        .split_once("affected by this issue are:")
        .map(|(_, files)| files);
    let mut files = files
        .unwrap_or_default()
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    if let Some(file) = files.next() {
        bug.area = Some(area_of(file).to_owned());
    }
}

fn words<'l>(pattern: &Regex, line: &'l str) -> Option<(&'l str, &'l str)> {
    let found = pattern.captures(line)?;
    Some((found.get(1)?.as_str(), found.get(2)?.as_str()))
}

/// Whether a release is one of mainline's: two numbers since 3.0, perhaps a candidate.
fn is_mainline(release: &str) -> bool {
    plain(release).split('.').count() == 2
}

/// A release without the mark of a candidate: what a candidate fixes, its release has fixed.
fn plain(release: &str) -> String {
    release.split("-rc").next().unwrap_or(release).to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::message;

    #[test]
    fn an_announcement_gives_commits_and_releases() {
        let mail = "\
From bippy-1.2.0 Mon Sep 17 00:00:00 2001
From: Somebody <some@body>
To: <linux-cve-announce@vger.kernel.org>
Subject: CVE-2099-1234: pump: fix use-after-free

Description
===========

In the Linux kernel, the following vulnerability has been resolved:

pump: fix use-after-free

Much like CVE-2098-1111:

BUG: kernel NULL pointer dereference, address: 0000000000000010
RIP: 0010:pump_water+0x13/0x60
Call Trace:
 fill_tank+0x2d/0x90

The Linux kernel CVE team has assigned CVE-2099-1234 to this issue.


Affected and fixed versions
===========================

\tIssue introduced in 5.14 with commit aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa and fixed in 6.1.9 with commit bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
\tIssue introduced in 5.14 with commit aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa and fixed in 6.2-rc4 with commit cccccccccccccccccccccccccccccccccccccccc
\tIssue introduced in 5.10.4 with commit dddddddddddddddddddddddddddddddddddddddd

Affected files
==============

The file(s) affected by this issue are:
\tnet/core/pump.c

Mitigation
==========
";
        let mut bugs = Vec::new();
        message::read(
            "a.mbox",
            &format!("{mail}\n{}", mail.replace("2099-1234", "2099-4321")),
            &mut bugs,
        );
        let [bug, other] = bugs.as_slice() else {
            panic!("{bugs:?}")
        };
        assert_eq!(bug.cves, ["CVE-2099-1234"]);
        assert_eq!(other.cves, ["CVE-2099-4321"]);
        assert_eq!(bug.commit.as_deref(), Some("cccccccccccccccccccccccccccccccccccccccc"));
        assert_eq!(
            bug.introduced_by.as_deref(),
            Some("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
        );
        assert_eq!(bug.introduced_in.as_deref(), Some("5.14"));
        assert_eq!(bug.fixed_in, ["6.1.9", "6.2"]);
        assert_eq!(bug.area.as_deref(), Some("net"));
        assert!(
            String::from_utf8_lossy(&bug.text)
                .trim_end()
                .ends_with("fill_tank+0x2d/0x90")
        );
    }
}
