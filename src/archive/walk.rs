//! Places → entries, in an order that depends on names alone: folder by folder, so that memory follows the largest
//! folder and not the archive.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::{self, BufRead};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use rayon::prelude::*;

use super::folder::{self, Group};
use super::listing::{Listed, Lister};
use super::{Entry, Face, FaceCache, FileStamp, Kind, Known, by_name, key_of};

/// So many files of a folder are worth being looked at by several threads.
const MANY: usize = 32;

/// Where a file or folder is in the archive.
#[derive(Clone, Debug)]
struct Spot {
    /// The path as the place was given.
    path: PathBuf,
    /// How many bytes of it are the place.
    place: usize,
}

impl Spot {
    /// A folder that was given.
    fn folder(path: PathBuf) -> Self {
        let place = path.as_os_str().len();
        Spot { path, place }
    }

    /// A file that was given.
    fn file(path: PathBuf) -> Self {
        Spot { path, place: 0 }
    }

    fn below(&self, name: &OsStr) -> Self {
        let mut path = PathBuf::with_capacity(self.path.as_os_str().len() + 1 + name.len());
        path.push(&self.path);
        path.push(name);
        let place = self.place;
        Spot { path, place }
    }

    fn unreadable(&self, error: &io::Error) -> Entry {
        let (name, within) = names(&self.path, self.place);
        Entry {
            kind: Kind::Unreadable(format!("{name}: {error}")),
            name,
            within,
            parts: Vec::new(),
            companions: Vec::new(),
        }
    }
}

/// An entry's name, and the same below its place, which is so many bytes of it.
fn names(path: &Path, place: usize) -> (String, String) {
    let mut below = path.as_os_str().as_bytes().get(place..).unwrap_or_default();
    if place > 0 {
        below = below.strip_prefix(b"/").unwrap_or(below);
    }
    let name = path.to_string_lossy().into_owned();
    let within = match below {
        // The place itself.
        b"" => name.clone(),
        below => String::from_utf8_lossy(below).into_owned(),
    };
    (name, within)
}

/// What is still to be walked.
#[derive(Debug)]
enum Step {
    Folder(Spot),
    /// Files of one folder that were given one by one.
    Files(Vec<Spot>),
    Ready(Entry),
}

impl Step {
    /// The first name that comes of it.
    fn name(&self) -> &Path {
        match self {
            Step::Folder(spot) => &spot.path,
            Step::Files(spots) => spots.first().map_or(Path::new(""), |spot| &spot.path),
            Step::Ready(entry) => entry.parts.first().map_or(Path::new(&entry.name), |part| &part.path),
        }
    }
}

/// The entries of an archive, in order.
pub struct Walk {
    /// The next step is the last.
    steps: Vec<Step>,
    cache: Arc<dyn FaceCache>,
    lister: Lister,
    left_out: HashSet<(u64, u64)>,
}

impl Walk {
    /// Starts at `places`, files or folders. A place that is given twice, or that lies within another, is walked once.
    pub fn new(places: &[PathBuf], cache: Arc<dyn FaceCache>) -> Self {
        let mut steps = steps(places);
        steps.reverse();
        Walk {
            steps,
            cache,
            lister: Lister::default(),
            left_out: HashSet::new(),
        }
    }

    /// Leaves a file out, whatever it is called: what the scan itself writes may lie in the archive.
    pub fn leave_out(mut self, file: &Metadata) -> Self {
        self.left_out.insert((file.dev(), file.ino()));
        self
    }

    fn folder(&mut self, spot: Spot) {
        let key = key_of(&spot.path);
        // A cache that fails is one that knows nothing: looking again is only slower.
        let mut known = self.cache.known(&key).unwrap_or_default();
        let listing = match self.lister.list(&spot.path, known.listing.take(), SystemTime::now()) {
            Ok(Listed::Known(listing) | Listed::Fleeting(listing)) => listing,
            Ok(Listed::Lasting(listing)) => {
                // Not kept: listed again next time.
                let _ = self.cache.keep_listing(&key, &listing);
                listing
            }
            Err(error) => return self.unreadable(spot, &error),
        };
        let files: Vec<Spot> = listing.files.iter().map(|name| spot.below(name)).collect();
        let mut found = self.files(files, &key, &known);
        let folders = listing.folders.iter().map(|name| Step::Folder(spot.below(name)));
        found.extend(folders);
        found.sort_by(|a, b| by_name(a.name(), b.name()));
        self.steps.extend(found.into_iter().rev());
    }

    /// The entries that files of one folder make.
    fn files(&self, mut spots: Vec<Spot>, folder: &str, known: &Known) -> Vec<Step> {
        spots.sort_by(|a, b| a.path.cmp(&b.path));
        let place = spots.first().map_or(0, |spot| spot.place);
        let mut entries = Vec::with_capacity(spots.len());
        let mut files = Vec::with_capacity(spots.len());
        for spot in spots {
            match fs::metadata(&spot.path) {
                Ok(data) if self.left_out.contains(&(data.dev(), data.ino())) => {}
                Ok(data) if !data.is_file() => {
                    let error =
                        io::Error::other("not a regular file: give its content on standard input of `identify -`");
                    entries.push(Step::Ready(spot.unreadable(&error)));
                }
                Ok(data) => files.push(FileStamp::new(spot.path, &data)),
                Err(error) => entries.push(Step::Ready(spot.unreadable(&error))),
            }
        }
        let faces = self.faces(&files, folder, known);
        for group in folder::group(files.into_iter().zip(faces).collect()) {
            let Group {
                kind,
                parts,
                companions,
            } = group;
            let Some(first) = parts.first() else { continue };
            let (name, within) = names(&first.path, place);
            entries.push(Step::Ready(Entry {
                name,
                within,
                kind,
                parts,
                companions,
            }));
        }
        entries
    }

    fn faces(&self, files: &[FileStamp], folder: &str, known: &Known) -> Vec<Face> {
        let mut faces: Vec<Option<Face>> = files.iter().map(|file| known.face(file).cloned()).collect();
        let new: Vec<usize> = (0..files.len())
            .filter(|at| matches!(faces.get(*at), Some(None)))
            .collect();
        // What cannot be opened shows nothing now, and may show something the next time: it is not kept.
        let look = |at: &usize| Some((*at, Face::of_file(&files.get(*at)?.path).ok()?));
        let seen: Vec<(usize, Face)> = match new.len() {
            0..MANY => new.iter().filter_map(look).collect(),
            _ => new.par_iter().filter_map(look).collect(),
        };
        let keep: Vec<(FileStamp, Face)> = seen
            .iter()
            .filter_map(|(at, face)| Some((files.get(*at)?.clone(), face.clone())))
            .collect();
        if !keep.is_empty() {
            // Not kept: looked at again next time.
            let _ = self.cache.keep(folder, &keep);
        }
        for (at, face) in seen {
            if let Some(place) = faces.get_mut(at) {
                *place = Some(face);
            }
        }
        faces.into_iter().map(|face| face.unwrap_or(Face::Other)).collect()
    }

    fn unreadable(&mut self, spot: Spot, error: &io::Error) {
        self.steps.push(Step::Ready(spot.unreadable(error)));
    }
}

impl Iterator for Walk {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            match self.steps.pop()? {
                Step::Ready(entry) => return Some(entry),
                Step::Folder(spot) => self.folder(spot),
                Step::Files(spots) => {
                    let folder = spots.first().and_then(|spot| spot.path.parent()).map(key_of);
                    let folder = folder.unwrap_or_default();
                    let known = self.cache.known(&folder).unwrap_or_default();
                    let mut entries = self.files(spots, &folder, &known);
                    entries.sort_by(|a, b| by_name(b.name(), a.name()));
                    // Places may lie between files of one folder.
                    let next = self.steps.last().map(Step::name);
                    let last = entries.first().map(Step::name);
                    let in_between = matches!((next, last), (Some(next), Some(last)) if by_name(next, last).is_lt());
                    self.steps.append(&mut entries);
                    if in_between {
                        self.steps.sort_by(|a, b| by_name(b.name(), a.name()));
                    }
                }
            }
        }
    }
}

/// Sorts out places, by name: folders, and files by the folder they lie in, at the place of the first of them.
fn steps(places: &[PathBuf]) -> Vec<Step> {
    let real = |path: &Path| {
        fs::canonicalize(path)
            .or_else(|_| std::path::absolute(path))
            .unwrap_or_default()
    };
    let kinds: Vec<(PathBuf, bool)> = places.iter().map(|place| (real(place), place.is_dir())).collect();
    let folders: HashSet<&PathBuf> = kinds
        .iter()
        .filter(|(_, is_folder)| *is_folder)
        .map(|(real, _)| real)
        .collect();
    let mut taken: HashSet<&PathBuf> = HashSet::new();
    let mut steps: Vec<Step> = Vec::new();
    let mut files_of: HashMap<PathBuf, usize> = HashMap::new();
    for (place, (real, is_folder)) in places.iter().zip(&kinds) {
        let within_another = real
            .ancestors()
            .skip(1)
            .any(|above| folders.contains(&above.to_path_buf()));
        if within_another || !taken.insert(real) {
            continue;
        }
        if *is_folder {
            steps.push(Step::Folder(Spot::folder(place.clone())));
            continue;
        }
        let parent = real.parent().map(Path::to_owned).unwrap_or_default();
        let spot = Spot::file(place.clone());
        match files_of.get(&parent).and_then(|at| steps.get_mut(*at)) {
            Some(Step::Files(spots)) => spots.push(spot),
            _ => {
                files_of.insert(parent, steps.len());
                steps.push(Step::Files(vec![spot]));
            }
        }
    }
    for step in &mut steps {
        if let Step::Files(spots) = step {
            spots.sort_by(|a, b| by_name(&a.path, &b.path));
        }
    }
    steps.sort_by(|a, b| by_name(a.name(), b.name()));
    steps
}

/// Reads a list of places: one a line, or separated by zero bytes where there is one (`find -print0`).
pub fn read_list(mut list: impl BufRead) -> io::Result<Vec<PathBuf>> {
    let mut bytes = Vec::new();
    list.read_to_end(&mut bytes)?;
    let end = if bytes.contains(&0) { 0 } else { b'\n' };
    let paths = bytes
        .split(|byte| *byte == end)
        .map(|path| path.strip_suffix(b"\r").unwrap_or(path));
    Ok(paths
        .filter(|path| !path.is_empty())
        .map(|path| PathBuf::from(std::ffi::OsString::from_vec(path.to_vec())))
        .collect())
}

/// Counts the regular files in `places` and the bytes that they take on the disk, for one who wants to know how much is
/// still to come. Stops early when `stop` says so.
pub fn measure(places: &[PathBuf], files: &AtomicU64, bytes: &AtomicU64, stop: &dyn Fn() -> bool) {
    let count = |data: &Metadata| {
        files.fetch_add(1, Ordering::Relaxed);
        bytes.fetch_add(data.len().min(data.blocks().saturating_mul(512)), Ordering::Relaxed);
    };
    let mut folders = Vec::new();
    for step in steps(places) {
        match step {
            Step::Folder(spot) => folders.push(spot.path),
            Step::Files(spots) => spots
                .iter()
                .filter_map(|spot| fs::metadata(&spot.path).ok())
                .for_each(|data| count(&data)),
            Step::Ready(_) => {}
        }
    }
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            if stop() {
                return;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => entry.metadata().iter().for_each(count),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::NoCache;
    use super::*;

    fn names(places: &[PathBuf], root: &Path) -> Vec<String> {
        let below = |entry: Entry| {
            entry
                .name
                .strip_prefix(&format!("{}/", root.display()))
                .unwrap_or(&entry.name)
                .to_owned()
        };
        Walk::new(places, Arc::new(NoCache)).map(below).collect()
    }

    fn archive() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "b/vmcore-dmesg.txt",
            "a/2/x",
            "a/10/x",
            "a.txt",
            "c",
            "a/2/y",
            ".hidden",
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "[    1.000000] Linux version 6.1\n").unwrap();
        }
        std::os::unix::fs::symlink(folder.path(), folder.path().join("loop")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("c"), folder.path().join("d")).unwrap();
        folder
    }

    #[test]
    fn every_regular_file_comes_once_in_order_and_links_are_not_followed() {
        let archive = archive();
        let root = archive.path().to_owned();
        let all = [
            ".hidden",
            "a/10/x",
            "a/2/x",
            "a/2/y",
            "a.txt",
            "b/vmcore-dmesg.txt",
            "c",
        ];
        assert_eq!(names(std::slice::from_ref(&root), &root), all);
        // Again, and places within it: nothing comes twice.
        assert_eq!(
            names(&[root.join("a"), root.clone(), root.clone(), root.join("c")], &root),
            all
        );
        let (files, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        measure(&[root], &files, &bytes, &|| false);
        assert_eq!(files.into_inner(), 7);
    }

    #[test]
    fn listed_files_are_grouped_by_folder_and_missing_ones_are_told() {
        let archive = archive();
        let root = archive.path().to_owned();
        let list = ["a/2/y", "c", "a/2/x", "nowhere"].map(|name| root.join(name));
        assert_eq!(names(&list, &root), ["a/2/x", "a/2/y", "c", "nowhere"]);
        // However they are given, and if one folder's files lie around another place.
        let mixed = ["c", "b", "a.txt", "a", ".hidden"].map(|name| root.join(name));
        assert_eq!(names(&mixed, &root), names(std::slice::from_ref(&root), &root));
        let missing = Walk::new(&[root.join("nowhere")], Arc::new(NoCache)).next().unwrap();
        assert!(matches!(missing.kind, Kind::Unreadable(why) if why.contains("nowhere")));
    }

    #[test]
    fn what_the_scan_writes_is_left_out() {
        let archive = archive();
        let own = fs::metadata(archive.path().join("c")).unwrap();
        let walk = Walk::new(&[archive.path().to_owned()], Arc::new(NoCache)).leave_out(&own);
        assert!(walk.map(|entry| entry.name).all(|name| !name.ends_with("/c")));
    }

    #[test]
    fn lists_are_lines_or_zero_terminated() {
        let paths = |text: &[u8]| read_list(text).unwrap();
        assert_eq!(paths(b"a b\nc\r\n\n"), [PathBuf::from("a b"), PathBuf::from("c")]);
        assert_eq!(paths(b"a\nb\0c\0"), [PathBuf::from("a\nb"), PathBuf::from("c")]);
    }
}
