//! The files of one folder → inputs: which are parts of one dump, and which belong to a dump.
//!
//! Companions are tied by name and content together: a log must be kernel text, and of the release that the dump's own
//! header states. What is in doubt is an input of its own: a row too many can be seen, one too few cannot.

use super::{Companion, Face, FileStamp, Kind, Role, abrt};
use crate::dump::Split;

/// One input of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) kind: Kind,
    pub(super) parts: Vec<FileStamp>,
    pub(super) companions: Vec<Companion>,
}

/// A dump that companions may belong to.
struct Dump {
    /// The names of its parts, without what they are packed in.
    stems: Vec<String>,
    names: Vec<String>,
    release: Option<String>,
    splits: Vec<Split>,
    group: usize,
}

/// Sorts a folder's files, which come by name, into inputs, which are in the order of their first files.
pub(super) fn group(files: Vec<(FileStamp, Face)>) -> Vec<Group> {
    let problem = abrt::is_problem(&files);
    let mut groups: Vec<Group> = Vec::new();
    let mut dumps: Vec<Dump> = Vec::new();
    let mut rest = Vec::new();
    for (file, face) in files {
        match face {
            Face::Dump { release, split } => add_dump(&mut groups, &mut dumps, file, release, split),
            face => rest.push((file, face)),
        }
    }
    if problem && dumps.is_empty() {
        add_words(&mut groups, &mut rest);
    }
    let of_problem = problem.then(|| dumps.first().map_or(0, |dump| dump.group));
    for (file, face) in rest {
        let owner = match of_problem {
            Some(group) if abrt::is_element(&file.name()) && !groups.is_empty() => {
                Some((group, element(&file.name(), &face)))
            }
            _ => owner(&dumps, &file.name(), &face),
        };
        match owner.and_then(|(group, role)| Some((groups.get_mut(group)?, role))) {
            Some((group, role)) => group.companions.push(Companion { role, file }),
            None => groups.push(Group {
                kind: if face == Face::Tarball {
                    Kind::Tarball
                } else {
                    Kind::Crash
                },
                parts: vec![file],
                companions: Vec::new(),
            }),
        }
    }
    groups.sort_by(|a, b| first(a).cmp(&first(b)));
    groups
}

fn first(group: &Group) -> Option<&std::ffi::OsStr> {
    group.parts.first().and_then(|part| part.path.file_name())
}

fn add_dump(
    groups: &mut Vec<Group>,
    dumps: &mut Vec<Dump>,
    file: FileStamp,
    release: Option<String>,
    split: Option<Split>,
) {
    let name = file.name().into_owned();
    let fits = |dump: &&mut Dump| match (&split, dump.splits.first()) {
        // Two files with the same pages are two copies, and belong to two sets.
        (Some(split), Some(first)) => {
            first.dump == split.dump && dump.splits.iter().all(|other| other.pages != split.pages)
        }
        _ => false,
    };
    if let Some(dump) = dumps.iter_mut().find(fits)
        && let Some(group) = groups.get_mut(dump.group)
    {
        dump.stems.push(stem(&name).to_owned());
        dump.names.push(name);
        dump.splits.extend(split);
        group.parts.push(file);
        return;
    }
    dumps.push(Dump {
        stems: vec![stem(&name).to_owned()],
        names: vec![name],
        release,
        splits: split.into_iter().collect(),
        group: groups.len(),
    });
    groups.push(Group {
        kind: Kind::Crash,
        parts: vec![file],
        companions: Vec::new(),
    });
}

/// A problem folder without a dump: the best of the crash's words is the input.
fn add_words(groups: &mut Vec<Group>, rest: &mut Vec<(FileStamp, Face)>) {
    let rank = |(file, face): &(FileStamp, Face)| match face {
        Face::Log { .. } => abrt::log_rank(&file.name()),
        _ => None,
    };
    let best = rest
        .iter()
        .enumerate()
        .filter_map(|(at, file)| Some((rank(file)?, at)))
        .min();
    if let Some((_, at)) = best {
        let (file, _) = rest.remove(at);
        groups.push(Group {
            kind: Kind::Crash,
            parts: vec![file],
            companions: Vec::new(),
        });
    }
}

fn element(name: &str, face: &Face) -> Role {
    match face {
        Face::Log { .. } if abrt::log_rank(name).is_some() => Role::Log,
        Face::Log { .. } => Role::CaptureLog,
        _ => Role::Element,
    }
}

/// The dump that a file belongs to, and as what.
fn owner(dumps: &[Dump], name: &str, face: &Face) -> Option<(usize, Role)> {
    let alone = match dumps {
        [dump] => Some(dump),
        _ => None,
    };
    let stem = stem(name);
    match face {
        Face::Log { release } => {
            let agrees = |dump: &&Dump| match (&dump.release, release) {
                (Some(of_dump), Some(of_log)) => of_dump == of_log,
                _ => true,
            };
            let named_after = |dump: &&Dump| dump.stems.iter().any(|of_dump| is_log_of(stem, of_dump));
            let named = dumps.iter().filter(named_after).find(agrees);
            if let Some(dump) = named.or_else(|| alone.filter(|dump| is_log(stem) && agrees(dump))) {
                return Some((dump.group, Role::Log));
            }
            // The capture kernel may be another one.
            let dump = alone.filter(|_| is_capture_log(stem))?;
            Some((dump.group, Role::CaptureLog))
        }
        Face::Answer { of: Some(of) } => {
            let about = |dump: &&Dump| {
                let own = |of_dump: &String| name == "vmcoroner.json" || *name == format!("{of_dump}.vmcoroner.json");
                dump.names.contains(of) && dump.names.iter().any(own)
            };
            Some((dumps.iter().find(about)?.group, Role::Answer))
        }
        // SUSE: `vmlinux-RELEASE.gz`, `System.map-RELEASE`, `README.txt` beside the one dump.
        Face::Elf | Face::SymbolMap => {
            let dump = alone?;
            let release = dump.release.as_ref()?;
            let suits = ["vmlinux", "vmlinuz", "System.map"].iter().any(|what| {
                let rest = stem.strip_prefix(what).and_then(|rest| rest.strip_prefix('-'));
                rest.is_some_and(|rest| rest == release || rest.strip_suffix(".debug") == Some(release))
            });
            suits.then_some((dump.group, Role::Kernel))
        }
        Face::KdumpReadme => alone.map(|dump| (dump.group, Role::Kernel)),
        Face::Dump { .. } | Face::Answer { of: None } | Face::Tarball | Face::Word(_) | Face::Other => None,
    }
}

/// A name without what the file is packed in, or flattened.
fn stem(name: &str) -> &str {
    [".gz", ".xz", ".zst", ".bz2", ".flat"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending))
        .filter(|stem| !stem.is_empty())
        .unwrap_or(name)
}

/// What a log is called after the one dump of its folder: by kdump's scripts, and by those that came before them.
fn is_log(stem: &str) -> bool {
    matches!(
        stem,
        "vmcore-dmesg.txt" | "vmcore-dmesg-incomplete.txt" | "dmesg.txt" | "dmesg"
    )
}

fn is_capture_log(stem: &str) -> bool {
    matches!(
        stem,
        "kexec-dmesg.log" | "kexec-dmesg-incomplete.log" | "kdump-dmesg.log"
    )
}

/// Whether a log is named after a dump: `X-dmesg.txt` after `X`, `vmcore-dmesg.1.txt` after `vmcore.1`, and Debian's
/// `dmesg.202411231200` after `dump.202411231200`.
fn is_log_of(log: &str, dump: &str) -> bool {
    let log = log
        .strip_suffix(".txt")
        .or_else(|| log.strip_suffix(".log"))
        .unwrap_or(log);
    let behind = |start: &str| log.strip_prefix(start).unwrap_or("\0");
    let ending = behind(dump);
    matches!(ending, "-dmesg" | ".dmesg" | "-dmesg-incomplete")
        || dump
            .strip_prefix("dump.")
            .is_some_and(|number| behind("dmesg.") == number)
        || dump
            .strip_prefix("vmcore.")
            .is_some_and(|number| behind("vmcore-dmesg.") == number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn files(list: &[(&str, Face)]) -> Vec<(FileStamp, Face)> {
        let stamp = |name: &str| FileStamp {
            path: Path::new("/c").join(name),
            size: 1,
            modified: 1,
        };
        let mut files: Vec<_> = list.iter().map(|(name, face)| (stamp(name), face.clone())).collect();
        files.sort_by(|a, b| a.0.path.cmp(&b.0.path));
        files
    }

    fn dump(release: &str) -> Face {
        Face::Dump {
            release: Some(release.to_owned()),
            split: None,
        }
    }

    fn log(release: &str) -> Face {
        Face::Log {
            release: (!release.is_empty()).then(|| release.to_owned()),
        }
    }

    fn part(dump: u64, pages: std::ops::Range<u64>) -> Face {
        Face::Dump {
            release: None,
            split: Some(Split { dump, pages }),
        }
    }

    /// `first part: other parts + companions`.
    fn shape(list: &[(&str, Face)]) -> Vec<String> {
        let groups = group(files(list));
        let told = |group: &Group| {
            let parts: Vec<String> = group.parts.iter().map(|part| part.name().into_owned()).collect();
            let companions: Vec<String> = group.companions.iter().map(|c| c.file.name().into_owned()).collect();
            match companions.is_empty() {
                true => parts.join(" "),
                false => format!("{} + {}", parts.join(" "), companions.join(" ")),
            }
        };
        groups.iter().map(told).collect()
    }

    #[test]
    fn kdump_layouts() {
        assert_eq!(
            shape(&[
                ("vmcore", dump("5.14")),
                ("vmcore-dmesg.txt", log("5.14")),
                ("kexec-dmesg.log", log("5.14")),
                ("notes", Face::Other)
            ]),
            ["notes", "vmcore + kexec-dmesg.log vmcore-dmesg.txt"]
        );
        assert_eq!(
            shape(&[("dump.202401011200", dump("6.1")), ("dmesg.202401011200", log("6.1"))]),
            ["dump.202401011200 + dmesg.202401011200"]
        );
        assert_eq!(
            shape(&[
                ("vmcore.gz", dump("5.3")),
                ("README.txt", Face::KdumpReadme),
                ("System.map-5.3", Face::SymbolMap),
                ("vmlinux-5.3.gz", Face::Elf)
            ]),
            ["vmcore.gz + README.txt System.map-5.3 vmlinux-5.3.gz"]
        );
        let answer = |of: &str| Face::Answer {
            of: Some(of.to_owned()),
        };
        assert_eq!(
            shape(&[("vmcore", dump("5.3")), ("vmcoroner.json", answer("vmcore"))]),
            ["vmcore + vmcoroner.json"]
        );
        assert_eq!(
            shape(&[("vmcore", dump("5.3")), ("vmcoroner.json", answer("other"))]),
            ["vmcore", "vmcoroner.json"]
        );
    }

    #[test]
    fn nothing_is_tied_by_a_number_alone_or_against_its_content() {
        assert_eq!(
            shape(&[("dump.1", dump("6.1")), ("notes.1", log("6.1")), ("1.txt", log("6.1"))]),
            ["1.txt", "dump.1", "notes.1"]
        );
        assert_eq!(
            shape(&[("vmcore", dump("6.1")), ("vmcore-dmesg.txt", log("5.10"))]),
            ["vmcore", "vmcore-dmesg.txt"]
        );
        // Two dumps: nobody knows whose log it is.
        assert_eq!(
            shape(&[
                ("a", dump("6.1")),
                ("b", dump("6.1")),
                ("dmesg.txt", log("6.1")),
                ("a-dmesg.txt", log(""))
            ]),
            ["a + a-dmesg.txt", "b", "dmesg.txt"]
        );
        assert_eq!(shape(&[("vmcore-dmesg.txt", log("6.1"))]), ["vmcore-dmesg.txt"]);
    }

    #[test]
    fn parts_make_sets_and_copies_make_two() {
        assert_eq!(
            shape(&[
                ("a_1", part(7, 0..10)),
                ("a_2", part(7, 10..20)),
                ("b_1", part(7, 0..10)),
                ("b_2", part(7, 10..20)),
                ("c_1", part(8, 0..10))
            ]),
            ["a_1 a_2", "b_1 b_2", "c_1"]
        );
    }

    #[test]
    fn abrt_folders_are_one_crash_with_a_dump_or_without() {
        let word = |word: &str| Face::Word(word.to_owned());
        let mut list = vec![
            ("analyzer", word("vmcore")),
            ("time", word("1700000000")),
            ("hostname", word("db01")),
            ("backtrace", log("")),
            ("vmcore-dmesg.txt", log("6.1")),
            ("unheard-of", word("x")),
        ];
        assert_eq!(
            shape(&list),
            ["unheard-of", "vmcore-dmesg.txt + analyzer backtrace hostname time"]
        );
        list.push(("vmcore", dump("6.1")));
        assert_eq!(
            shape(&list),
            [
                "unheard-of",
                "vmcore + analyzer backtrace hostname time vmcore-dmesg.txt"
            ]
        );
        list[0] = ("analyzer", word("CCpp"));
        assert_eq!(shape(&list).len(), 6);
    }
}
