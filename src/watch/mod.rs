//! New dumps in folders that others write to: which of them are whole, and which have not been answered yet.
//!
//! It looks again and again instead of asking the kernel to tell: on a network file system nobody is told what another
//! machine writes. What an answer is, and what is done with it, is not its business.

mod names;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

pub use names::{UNFINISHED, is_final};

use crate::archive::{Entry, Face, FaceCache, FileStamp, Kind, Known, KnownFace, Listing, Role, Walk};

/// How many files are remembered beside those that are there: some folders keep years of dumps.
const REMEMBERED: usize = 100_000;

/// What was not written to for so long is not being written, however wrong the clock of who writes it may be.
const OLD: Duration = Duration::from_secs(3600);

/// When a dump is tried again that could not be read for a reason that may pass: first after a minute, at last after an
/// hour, and so many times.
const AGAIN: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(3600), 10);

/// Folders under watch.
#[derive(Debug)]
pub struct Watch {
    folders: Vec<PathBuf>,
    settle: Duration,
    faces: Arc<Faces>,
    seen: HashMap<String, Seen>,
    told: HashSet<String>,
}

/// What a look found.
#[derive(Debug, Default)]
pub struct Look {
    /// The dumps that became whole and have no answer, each given once for each content.
    pub whole: Vec<Entry>,
    /// Whether others are still being written.
    pub waiting: bool,
    /// What cannot be looked into, and why; each told once for as long as it lasts.
    pub unreadable: Vec<String>,
    /// Answers that are being written, or were when their writer was killed.
    pub unfinished: Vec<PathBuf>,
}

/// What is known of a dump since the last look.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// Of the dump itself.
    stamp: i64,
    /// Of the dump and what belongs to it.
    with_companions: i64,
    /// When it is whole, if nothing changes.
    ready: Instant,
    done: bool,
    failures: u32,
}

impl Watch {
    /// Watches folders for dumps whose files keep size and time for `settle`.
    pub fn new(folders: &[PathBuf], settle: Duration) -> Self {
        Watch {
            folders: folders.to_vec(),
            settle,
            faces: Arc::default(),
            seen: HashMap::new(),
            told: HashSet::new(),
        }
    }

    /// Looks once.
    pub fn look(&mut self) -> Look {
        self.look_at(Instant::now(), SystemTime::now())
    }

    fn look_at(&mut self, now: Instant, clock: SystemTime) -> Look {
        let mut look = Look::default();
        let mut troubles = HashSet::new();
        let mut there = HashSet::new();
        for entry in Walk::new(&self.folders, Arc::clone(&self.faces) as _) {
            look.unfinished.extend(unfinished(&entry));
            if !self.is_final(&entry) {
                continue;
            }
            match &entry.kind {
                Kind::Crash => {}
                Kind::Tarball => continue,
                Kind::Unreadable(why) => {
                    troubles.insert(why.clone());
                    continue;
                }
            }
            let key = entry.key();
            let mut state = self.state(&key, &entry, now, clock);
            if !state.done && is_answered(&entry) {
                state.done = true;
            } else if !state.done {
                state.done = now >= state.ready;
                // One that is tried again is waited for by nobody.
                look.waiting |= !state.done && state.failures == 0;
                if state.done {
                    match is_dump(&entry) {
                        Ok(true) => look.whole.push(entry),
                        Ok(false) => {}
                        Err(error) => {
                            state.done = false;
                            troubles.insert(format!("{}: {error}", entry.name));
                        }
                    }
                }
            }
            self.seen.insert(key.clone(), state);
            there.insert(key);
        }
        // What is gone may come back as it was: a share that was away for a while.
        if self.seen.len() > there.len().saturating_add(REMEMBERED) {
            self.seen.retain(|key, _| there.contains(key));
        }
        self.faces.forget_others();
        look.unreadable = troubles.difference(&self.told).cloned().collect();
        look.unreadable.sort();
        self.told = troubles;
        look
    }

    /// What is known of an entry as it stands now.
    fn state(&self, key: &str, entry: &Entry, now: Instant, clock: SystemTime) -> Seen {
        let (stamp, with_companions) = (stamp(entry, |_| false), stamp(entry, |role| role != Role::Answer));
        // Once it was given, only the dump itself makes it new: others write to what stands beside it.
        let same = |before: &&Seen| before.stamp == stamp && (before.done || before.with_companions == with_companions);
        let wait = match is_old(entry, self.settle.max(OLD), clock) {
            true => Duration::ZERO,
            false => self.settle,
        };
        self.seen.get(key).filter(same).copied().unwrap_or(Seen {
            stamp,
            with_companions,
            ready: now + wait,
            done: false,
            failures: 0,
        })
    }

    /// Gives a dump again after a while: it could not be read for a reason that may pass.
    pub fn again(&mut self, entry: &Entry) {
        let (first, last, times) = AGAIN;
        if let Some(state) = self.seen.get_mut(&entry.key()).filter(|state| state.failures < times) {
            let wait = first.saturating_mul(1 << state.failures).min(last);
            state.done = false;
            state.ready = Instant::now() + wait;
            state.failures += 1;
        }
    }

    /// Whether every name from the watched folder down is one that a finished dump has.
    fn is_final(&self, entry: &Entry) -> bool {
        let is_final = |path: &Path| {
            let below = self.folders.iter().find_map(|folder| path.strip_prefix(folder).ok());
            below
                .unwrap_or(path)
                .iter()
                .all(|name| is_final(&name.to_string_lossy()))
        };
        match entry.parts.as_slice() {
            [] => is_final(Path::new(&entry.name)),
            parts => parts.iter().all(|part| is_final(&part.path)),
        }
    }
}

/// The files of an entry that are answers not yet written: one that is whole already belongs to its dump.
fn unfinished(entry: &Entry) -> impl Iterator<Item = PathBuf> {
    let companions = entry.companions.iter().map(|companion| &companion.file);
    let files = entry.parts.iter().chain(companions);
    files
        .filter(|file| file.name().starts_with(UNFINISHED))
        .map(|file| file.path.clone())
}

/// What changes when the dump does, or one of those that belong to it and count.
fn stamp(entry: &Entry, counts: impl Fn(Role) -> bool) -> i64 {
    let mut own = entry.clone();
    own.companions.retain(|companion| counts(companion.role));
    own.stamp()
}

/// Whether nothing was written to it for that long. A time in the future, from a clock that is ahead of ours, says
/// nothing.
fn is_old(entry: &Entry, long: Duration, clock: SystemTime) -> bool {
    entry.parts.iter().all(|part| {
        let modified = u64::try_from(part.modified).ok().filter(|nanoseconds| *nanoseconds > 0);
        let modified = modified.map(|nanoseconds| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds));
        let age = modified.and_then(|modified| clock.duration_since(modified).ok());
        age.is_some_and(|age| age >= long)
    })
}

/// Whether it is one; an error when nobody can tell. What is gone by now is none.
fn is_dump(entry: &Entry) -> io::Result<bool> {
    let Some(first) = entry.parts.first() else {
        return Ok(false);
    };
    match Face::of_file(&first.path) {
        Ok(face) => Ok(matches!(face, Face::Dump { .. })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where the answer about a dump stands: `vmcoroner.json` beside it, as long as no other dump's stands there.
pub fn answer_path(dump: &Path) -> PathBuf {
    let usual = dump.with_file_name("vmcoroner.json");
    if !usual.exists() || is_about(&usual, dump) {
        return usual;
    }
    let mut name = dump.file_name().unwrap_or_default().to_owned();
    name.push(".vmcoroner.json");
    dump.with_file_name(name)
}

/// Whether an answer stands beside a dump that is no older than it.
fn is_answered(entry: &Entry) -> bool {
    let (Some(first), Some(newest)) = (entry.parts.first(), newest(entry)) else {
        return false;
    };
    let answer = answer_path(&first.path);
    let written = answer.metadata().and_then(|data| data.modified());
    written.is_ok_and(|written| written >= newest) && is_about(&answer, &first.path)
}

/// When a dump was last written to, as it was seen: the time that its answer is given. By their own clocks two machines
/// could not tell which of the two is older.
pub fn newest(entry: &Entry) -> Option<SystemTime> {
    let newest = entry.parts.iter().map(|part| part.modified).max()?;
    let since = Duration::from_nanos(u64::try_from(newest).ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)
}

fn is_about(answer: &Path, dump: &Path) -> bool {
    match Face::of_file(answer) {
        Ok(Face::Answer { of: Some(of) }) => dump.file_name().is_some_and(|name| name.to_string_lossy() == of),
        _ => false,
    }
}

/// What is kept between two looks: a file that did not change is not opened again, such a folder not listed.
#[derive(Debug, Default)]
struct Faces {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The folders of the look before, as far as this one has not come to them.
    before: HashMap<String, Known>,
    now: HashMap<String, Known>,
    /// How many names `now` has, of folders, files and in listings.
    names: usize,
}

impl Faces {
    /// Forgets the folders that this look did not come to; the next look begins.
    fn forget_others(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Kept {
            before: std::mem::take(&mut kept.now),
            ..Kept::default()
        };
    }
}

impl FaceCache for Faces {
    fn known(&self, folder: &str) -> io::Result<Known> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.before.remove(folder).unwrap_or_default();
        let names = 1 + known.faces() + known.listing.as_ref().map_or(0, Listing::names);
        if kept.names + names <= REMEMBERED {
            kept.names += names;
            kept.now.insert(folder.to_owned(), known.clone());
        }
        Ok(known)
    }

    fn keep(&self, folder: &str, faces: &[(FileStamp, Face)]) -> io::Result<()> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut *kept;
        let Some(known) = kept.now.get_mut(folder) else {
            return Ok(());
        };
        for (file, face) in faces {
            if kept.names < REMEMBERED {
                kept.names += 1;
                known.add(KnownFace::new(file, face.clone()));
            }
        }
        Ok(())
    }

    fn keep_listing(&self, folder: &str, listing: &Listing) -> io::Result<()> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut *kept;
        if let Some(known) = kept.now.get_mut(folder).filter(|_| kept.names < REMEMBERED) {
            kept.names += listing.names();
            known.listing = Some(listing.clone());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    const SETTLE: Duration = Duration::from_secs(10);

    fn names(found: &[Entry]) -> Vec<&str> {
        found.iter().filter_map(|entry| entry.name.rsplit('/').next()).collect()
    }

    /// The first bytes of a dump are enough to be taken for one.
    fn write(path: &Path, more: &str) {
        fs::write(path, format!("KDUMP   {}{more}", "\0".repeat(8192))).unwrap();
        // Written far in the past or the future, so that the clock says nothing: the tests bring their own time.
        let ahead = SystemTime::now() + Duration::from_secs(100_000);
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(ahead)
            .unwrap();
    }

    #[test]
    fn a_dump_is_whole_when_it_kept_its_size_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(&[folder.path().to_owned()], SETTLE);
        let start = Instant::now();
        let mut look = |after: u64| {
            let look = watch.look_at(start + Duration::from_secs(after), SystemTime::now());
            (names(&look.whole).join(" "), look.waiting)
        };
        let none = (String::new(), false);
        let wait = (String::new(), true);
        assert_eq!(look(0), none);
        fs::create_dir(folder.path().join("127.0.0.1")).unwrap();
        let dump = folder.path().join("127.0.0.1/vmcore");
        write(&folder.path().join("127.0.0.1/vmcore-incomplete"), "");
        assert_eq!(look(1), none, "its name is not final");
        write(&dump, "");
        assert_eq!(look(2), wait);
        write(&dump, "more");
        assert_eq!(look(11), wait, "it grew");
        assert_eq!(look(20), wait);
        assert_eq!(look(21), ("vmcore".to_owned(), false));
        assert_eq!(look(40), none, "it is given once");
        write(&dump, "written again");
        assert_eq!(look(41), wait);
        assert_eq!(look(51), ("vmcore".to_owned(), false));
    }

    #[test]
    fn what_has_been_there_for_long_need_not_settle() {
        let folder = tempfile::tempdir().unwrap();
        let dump = folder.path().join("vmcore");
        write(&dump, "");
        let past = SystemTime::now() - 2 * OLD;
        File::options()
            .write(true)
            .open(&dump)
            .unwrap()
            .set_modified(past)
            .unwrap();
        let mut watch = Watch::new(&[folder.path().to_owned()], SETTLE);
        assert_eq!(names(&watch.look().whole), ["vmcore"]);
    }

    #[test]
    fn what_stands_beside_a_dump_may_change_and_what_was_away_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let dump = folder.path().join("a/vmcore");
        fs::create_dir(folder.path().join("a")).unwrap();
        write(&dump, "");
        let mut watch = Watch::new(&[folder.path().to_owned()], Duration::ZERO);
        assert_eq!(names(&watch.look().whole), ["vmcore"]);
        fs::write(folder.path().join("a/vmcore-dmesg.txt"), "[    1.000000] x\n").unwrap();
        assert_eq!(names(&watch.look().whole), [""; 0], "its log came later");
        fs::rename(folder.path().join("a"), folder.path().join(".a")).unwrap();
        assert_eq!(names(&watch.look().whole), [""; 0]);
        fs::rename(folder.path().join(".a"), folder.path().join("a")).unwrap();
        assert_eq!(names(&watch.look().whole), [""; 0], "it was given");
    }

    #[test]
    fn a_folder_that_cannot_be_looked_into_is_told_once_as_long_as_it_lasts() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("share");
        let mut watch = Watch::new(std::slice::from_ref(&place), Duration::ZERO);
        let told = |watch: &mut Watch| watch.look().unreadable.len();
        assert_eq!((told(&mut watch), told(&mut watch)), (1, 0));
        fs::create_dir(&place).unwrap();
        write(&place.join("vmcore"), "");
        let look = watch.look();
        assert_eq!((names(&look.whole), look.unreadable.len()), (vec!["vmcore"], 0));
        fs::remove_dir_all(&place).unwrap();
        assert_eq!((told(&mut watch), told(&mut watch)), (1, 0));
    }

    #[test]
    fn one_that_failed_is_given_again_after_a_while_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("vmcore"), "");
        let mut watch = Watch::new(&[folder.path().to_owned()], Duration::ZERO);
        let mut after = Duration::ZERO;
        for wait in [60, 120, 240] {
            let found = watch.look_at(Instant::now() + after, SystemTime::now());
            watch.again(&found.whole[0]);
            let look = watch.look();
            assert!(look.whole.is_empty() && !look.waiting, "{look:?}");
            after = Duration::from_secs(wait);
        }
    }

    #[test]
    fn faces_are_kept_as_long_as_their_folders_are_there() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            write(&folder.path().join(name).join("vmcore"), "");
        }
        let mut watch = Watch::new(&[folder.path().to_owned()], Duration::ZERO);
        let kept = |watch: &Watch| watch.faces.kept.lock().unwrap().before.len();
        watch.look();
        watch.look();
        // And the place itself.
        assert_eq!(kept(&watch), 3);
        fs::remove_dir_all(folder.path().join("a")).unwrap();
        watch.look();
        assert_eq!(kept(&watch), 2);
    }

    #[test]
    fn an_answer_belongs_to_one_dump() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["a.vmcore", "b.vmcore"].map(|name| folder.path().join(name));
        write(&first, "");
        write(&second, "");
        let usual = folder.path().join("vmcoroner.json");
        assert_eq!(answer_path(&first), usual);
        let text = r#"{"input":"/var/crash/a.vmcore","report":{"schema":"vmcoroner/report/1"}}"#;
        fs::write(&usual, text).unwrap();
        assert_eq!(answer_path(&first), usual);
        assert_eq!(answer_path(&second), folder.path().join("b.vmcore.vmcoroner.json"));
    }
}
