//! New dumps in folders that others write to: which of them are whole, and which have not been answered yet.
//!
//! It looks again and again instead of asking the kernel to tell: on a network file system nobody is told what another
//! machine writes. What an answer is, and what is done with it, is not its business.

mod names;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

pub use names::is_final;

use crate::archive::{Entry, Face, FaceCache, FileStamp, Kind, Known, Role, Walk};

/// How many faces are remembered: some folders keep years of dumps.
const FACES: usize = 100_000;

/// Folders under watch.
#[derive(Debug)]
pub struct Watch {
    folders: Vec<PathBuf>,
    settle: Duration,
    faces: Arc<Faces>,
    seen: HashMap<String, Seen>,
}

/// What is known of a dump since the last look.
#[derive(Clone, Copy, Debug)]
struct Seen {
    stamp: i64,
    since: Instant,
    done: bool,
}

impl Watch {
    /// Watches folders for dumps whose files keep size and time for `settle`.
    pub fn new(folders: &[PathBuf], settle: Duration) -> Self {
        Watch {
            folders: folders.to_vec(),
            settle,
            faces: Arc::default(),
            seen: HashMap::new(),
        }
    }

    /// Looks once: the dumps that became whole, each given once for each content; and whether others are still being
    /// written.
    pub fn look(&mut self) -> (Vec<Entry>, bool) {
        self.look_at(Instant::now(), SystemTime::now())
    }

    fn look_at(&mut self, now: Instant, clock: SystemTime) -> (Vec<Entry>, bool) {
        let mut seen = HashMap::new();
        let (mut whole, mut waiting) = (Vec::new(), false);
        for entry in Walk::new(&self.folders, Arc::clone(&self.faces) as _) {
            if entry.kind != Kind::Crash || !self.is_final(&entry) {
                continue;
            }
            let (key, stamp) = (entry.key(), stamp(&entry));
            let before = self.seen.get(&key).filter(|before| before.stamp == stamp);
            let mut state = before.copied().unwrap_or(Seen {
                stamp,
                since: now,
                done: false,
            });
            if !state.done {
                let settled = now.duration_since(state.since) >= self.settle || is_old(&entry, self.settle, clock);
                state.done = settled;
                waiting |= !settled;
                if settled && is_dump(&entry) {
                    whole.push(entry);
                }
            }
            seen.insert(key, state);
        }
        self.seen = seen;
        (whole, waiting)
    }

    /// Whether every name from the watched folder down is one that a finished dump has.
    fn is_final(&self, entry: &Entry) -> bool {
        entry.parts.iter().all(|part| {
            let below = self
                .folders
                .iter()
                .find_map(|folder| part.path.strip_prefix(folder).ok());
            let below = below.unwrap_or(&part.path);
            below.iter().all(|name| is_final(&name.to_string_lossy()))
        })
    }
}

/// What changes when the dump does, and not when its answer is written.
fn stamp(entry: &Entry) -> i64 {
    let mut own = entry.clone();
    own.companions.retain(|companion| companion.role != Role::Answer);
    own.stamp()
}

/// Whether nothing was written to it for so long that it need not be watched for that. A time in the future, from a
/// clock that is ahead of ours, says nothing.
fn is_old(entry: &Entry, settle: Duration, clock: SystemTime) -> bool {
    entry.parts.iter().all(|part| {
        let modified = u64::try_from(part.modified).ok().filter(|nanoseconds| *nanoseconds > 0);
        let modified = modified.map(|nanoseconds| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds));
        let age = modified.and_then(|modified| clock.duration_since(modified).ok());
        age.is_some_and(|age| age >= settle)
    })
}

fn is_dump(entry: &Entry) -> bool {
    let first = entry.parts.first();
    first.is_some_and(|part| matches!(Face::of_file(&part.path), Face::Dump { .. }))
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
pub fn is_answered(entry: &Entry) -> bool {
    let Some(first) = entry.parts.first() else {
        return false;
    };
    let newest = entry.parts.iter().map(|part| part.modified).max();
    let answer = answer_path(&first.path);
    let written = answer
        .metadata()
        .ok()
        .map(|data| FileStamp::new(answer.clone(), &data).modified);
    written >= newest && is_about(&answer, &first.path)
}

fn is_about(answer: &Path, dump: &Path) -> bool {
    match Face::of_file(answer) {
        Face::Answer { of: Some(of) } => dump.file_name().is_some_and(|name| name.to_string_lossy() == of),
        _ => false,
    }
}

/// Faces kept between two looks: a file that did not change is not opened again.
#[derive(Debug, Default)]
struct Faces {
    folders: Mutex<HashMap<String, Known>>,
}

impl FaceCache for Faces {
    fn known(&self, folder: &str) -> io::Result<Known> {
        let folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(folders.get(folder).cloned().unwrap_or_default())
    }

    fn keep(&self, folder: &str, faces: &[(FileStamp, Face)]) -> io::Result<()> {
        let mut folders = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        if folders.values().map(Known::len).sum::<usize>() > FACES {
            folders.clear();
        }
        let known = folders.entry(folder.to_owned()).or_default();
        known.extend(
            faces
                .iter()
                .map(|(file, face)| (file.name(), (file.clone(), face.clone()))),
        );
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
            let (found, waiting) = watch.look_at(start + Duration::from_secs(after), SystemTime::now());
            (names(&found).join(" "), waiting)
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
        let past = SystemTime::now() - Duration::from_secs(100);
        File::options()
            .write(true)
            .open(&dump)
            .unwrap()
            .set_modified(past)
            .unwrap();
        let mut watch = Watch::new(&[folder.path().to_owned()], SETTLE);
        assert_eq!(names(&watch.look().0), ["vmcore"]);
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
