//! Typed references → addresses. The tool builds the address, so a report never shows a mistyped link.
//!
//! Knows the trackers' address schemes, and does not fetch anything.

use serde::Serialize;

use super::schema::{Fault, Number, Reference};

/// Where a bug is written up, with its address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// What kind of place: `redhat-kb`, `commit`, …
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its id there.
    pub id: String,
    /// Its address.
    pub url: String,
    /// What is to be found there, or how far to trust it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// When somebody last looked: `YYYY-MM-DD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked: Option<String>,
}

/// A tracker: the key of its references, how its ids look, and how an id becomes an address.
struct Tracker {
    kind: &'static str,
    form: &'static str,
    address: fn(&str) -> Option<String>,
}

const TRACKERS: [Tracker; 13] = [
    Tracker {
        kind: "redhat-kb",
        form: "the article's number: 2779851",
        address: |id| digits(id, 1, 9).then(|| format!("https://access.redhat.com/solutions/{id}")),
    },
    Tracker {
        kind: "redhat-bugzilla",
        form: "the bug's number: 1305620",
        address: |id| digits(id, 1, 9).then(|| format!("https://bugzilla.redhat.com/show_bug.cgi?id={id}")),
    },
    Tracker {
        kind: "redhat-errata",
        form: "RHSA-2019:1873 (or RHBA, RHEA)",
        address: |id| {
            let (kind, rest) = id.split_once('-')?;
            let (year, number) = rest.split_once(':')?;
            (["RHSA", "RHBA", "RHEA"].contains(&kind) && digits(year, 4, 4) && digits(number, 3, 6))
                .then(|| format!("https://access.redhat.com/errata/{id}"))
        },
    },
    Tracker {
        kind: "cve",
        form: "CVE-2016-5195",
        address: |id| {
            let (year, number) = id.strip_prefix("CVE-")?.split_once('-')?;
            (digits(year, 4, 4) && digits(number, 4, 7)).then(|| format!("https://www.cve.org/CVERecord?id={id}"))
        },
    },
    Tracker {
        kind: "commit",
        form: "12 to 40 hex digits of a mainline commit",
        address: |id| {
            let hex = id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
            (hex && (12..=40).contains(&id.len())).then(|| format!("https://git.kernel.org/linus/{id}"))
        },
    },
    Tracker {
        kind: "lkml",
        form: "a message id (name@host) or an address",
        address: |id| {
            if is_url(id) {
                return Some(id.to_owned());
            }
            let id = id.trim_start_matches('<').trim_end_matches('>');
            let (name, host) = id.split_once('@')?;
            let clean = id
                .bytes()
                .all(|b| b.is_ascii_graphic() && !b"<>\"#?%\\^`{|}".contains(&b));
            (clean && !name.is_empty() && !host.is_empty())
                .then(|| format!("https://lore.kernel.org/r/{}", id.replace('/', "%2F")))
        },
    },
    Tracker {
        kind: "launchpad",
        form: "the bug's number: 1970672",
        address: |id| digits(id, 1, 9).then(|| format!("https://bugs.launchpad.net/bugs/{id}")),
    },
    Tracker {
        kind: "suse-tid",
        form: "the document's number: 000019735 or 7018178",
        address: |id| digits(id, 7, 9).then(|| format!("https://www.suse.com/support/kb/doc/?id={id}")),
    },
    Tracker {
        kind: "suse-bugzilla",
        form: "the bug's number: 1191238",
        address: |id| digits(id, 1, 9).then(|| format!("https://bugzilla.suse.com/show_bug.cgi?id={id}")),
    },
    Tracker {
        kind: "debian-bug",
        form: "the bug's number: 989778",
        address: |id| digits(id, 1, 9).then(|| format!("https://bugs.debian.org/{id}")),
    },
    Tracker {
        kind: "github",
        form: "owner/name#123 for an issue, owner/name@abcdef123456 for a commit",
        address: |id| {
            let repository = |text: &str| {
                text.split('/').count() == 2
                    && text.split('/').all(|part| {
                        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                    })
            };
            if let Some((name, number)) = id.split_once('#') {
                // An issue's address leads to the pull request of that number, too.
                return (repository(name) && digits(number, 1, 7))
                    .then(|| format!("https://github.com/{name}/issues/{number}"));
            }
            let (name, commit) = id.split_once('@')?;
            (repository(name) && (7..=40).contains(&commit.len()) && commit.bytes().all(|b| b.is_ascii_hexdigit()))
                .then(|| format!("https://github.com/{name}/commit/{commit}"))
        },
    },
    Tracker {
        kind: "lustre-jira",
        form: "LU-12345",
        address: |id| digits(id.strip_prefix("LU-")?, 1, 6).then(|| format!("https://jira.whamcloud.com/browse/{id}")),
    },
    Tracker {
        kind: "url",
        form: "an address that begins with https:// or http://",
        address: |id| is_url(id).then(|| id.to_owned()),
    },
];

/// Makes the address of a reference, or says what is wrong with it.
pub fn link(reference: &Reference) -> Result<Link, Fault> {
    let bad = |message: String, help: String| Fault {
        code: "bad-reference",
        message,
        help: Some(help),
    };
    let given = ids(reference);
    let (kind, id) = match given.as_slice() {
        [(kind, id)] => (*kind, *id),
        [] => {
            let kinds: Vec<&str> = TRACKERS.iter().map(|tracker| tracker.kind).collect();
            return Err(bad(
                "a reference that names no place".to_owned(),
                format!("give one of {}", kinds.join(", ")),
            ));
        }
        [(first, _), (second, _), ..] => {
            return Err(bad(
                format!("a reference names one place: this one has `{first}` and `{second}`"),
                "make it two items of the list".to_owned(),
            ));
        }
    };
    let Some(tracker) = TRACKERS.iter().find(|tracker| tracker.kind == kind) else {
        return Err(bad(format!("`{kind}` is no kind of reference"), String::new()));
    };
    let id = id.trim();
    match (tracker.address)(id) {
        Some(url) => Ok(Link {
            kind,
            id: id.to_owned(),
            url,
            note: reference.note.clone(),
            checked: reference.checked.as_ref().map(|date| date.as_str().to_owned()),
        }),
        None => Err(bad(
            format!("{id:?} is not what a `{kind}` reference looks like"),
            format!("write {}", tracker.form),
        )),
    }
}

fn ids(reference: &Reference) -> Vec<(&'static str, &str)> {
    fn text(number: &Option<Number>) -> Option<&str> {
        number.as_ref().map(|number| number.0.as_str())
    }
    [
        ("redhat-kb", text(&reference.redhat_kb)),
        ("redhat-bugzilla", text(&reference.redhat_bugzilla)),
        ("redhat-errata", reference.redhat_errata.as_deref()),
        ("cve", reference.cve.as_deref()),
        ("commit", text(&reference.commit)),
        ("lkml", reference.lkml.as_deref()),
        ("launchpad", text(&reference.launchpad)),
        ("suse-tid", text(&reference.suse_tid)),
        ("suse-bugzilla", text(&reference.suse_bugzilla)),
        ("debian-bug", text(&reference.debian_bug)),
        ("github", reference.github.as_deref()),
        ("lustre-jira", reference.lustre_jira.as_deref()),
        ("url", reference.url.as_deref()),
    ]
    .into_iter()
    .filter_map(|(kind, id)| Some((kind, id?)))
    .collect()
}

fn digits(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        rest.split('/').next().is_some_and(|host| host.contains('.'))
            && rest.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"`".contains(&b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Link, Fault> {
        link(&serde_yaml::from_str::<Reference>(text).unwrap())
    }

    #[test]
    fn ids_become_addresses() {
        for (reference, url) in [
            ("redhat-kb: 2779851", "https://access.redhat.com/solutions/2779851"),
            (
                "redhat-bugzilla: 1305620",
                "https://bugzilla.redhat.com/show_bug.cgi?id=1305620",
            ),
            (
                "redhat-errata: RHSA-2019:1873",
                "https://access.redhat.com/errata/RHSA-2019:1873",
            ),
            ("cve: CVE-2016-5195", "https://www.cve.org/CVERecord?id=CVE-2016-5195"),
            ("commit: 414e2fb8ce5a", "https://git.kernel.org/linus/414e2fb8ce5a"),
            ("commit: 624483000000", "https://git.kernel.org/linus/624483000000"),
            (
                "lkml: 596F2D65.8020902@huawei.com",
                "https://lore.kernel.org/r/596F2D65.8020902@huawei.com",
            ),
            (
                "lkml: https://lore.kernel.org/r/x@y.z",
                "https://lore.kernel.org/r/x@y.z",
            ),
            ("launchpad: 1970672", "https://bugs.launchpad.net/bugs/1970672"),
            (
                "suse-tid: 000019735",
                "https://www.suse.com/support/kb/doc/?id=000019735",
            ),
            (
                "suse-bugzilla: 1191238",
                "https://bugzilla.suse.com/show_bug.cgi?id=1191238",
            ),
            ("debian-bug: 989778", "https://bugs.debian.org/989778"),
            (
                "github: opencontainers/runc#2",
                "https://github.com/opencontainers/runc/issues/2",
            ),
            (
                "github: openzfs/zfs@abcdef1",
                "https://github.com/openzfs/zfs/commit/abcdef1",
            ),
            ("lustre-jira: LU-20080", "https://jira.whamcloud.com/browse/LU-20080"),
            ("url: https://docs.kernel.org/x.html", "https://docs.kernel.org/x.html"),
        ] {
            assert_eq!(read(reference).unwrap().url, url);
        }
    }

    #[test]
    fn a_bad_form_says_the_good_one() {
        for reference in [
            "redhat-kb: KB2779851",
            "redhat-errata: RHSA-2019-1873",
            "cve: 2016-5195",
            "commit: 414e2fb",
            "commit: 414E2FB8CE5A",
            "lkml: no-at-sign",
            "lkml: a@b\"c",
            "suse-tid: 42",
            "github: runc#2",
            "lustre-jira: 20080",
            "url: docs.kernel.org",
            "note: nothing else",
            "{cve: CVE-2016-5195, url: https://a.b/c}",
        ] {
            let fault = read(reference).unwrap_err();
            assert_eq!(fault.code, "bad-reference");
            assert!(fault.help.is_some());
        }
    }
}
