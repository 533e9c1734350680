//! The debuginfo file for a dump: where it lies, and whether it really belongs to the kernel that was dumped.
//!
//! A file that was named must match, else all that follows would be wrong: it is refused. In a folder the right one is
//! looked for, and none is no error.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::addr::VirtAddr;
use crate::input;
use crate::kernel::Kernel;
use crate::kernel::access::KernelMemory;
use crate::kernel::debuginfo::{DebugFile, DebugFileError, build_id_of_notes};
use crate::kernel::symbols::{ListedSymbol, Symbols};

/// A kernel's notes take some hundred bytes.
const MAX_NOTES: u64 = 1 << 16;
/// `linux_banner` is one line.
const MAX_BANNER: usize = 1024;

/// Where debuginfo may be taken from; by default nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DebugFiles {
    /// The kernel's own file.
    pub vmlinux: Option<PathBuf>,
    /// Folders that hold build-id folders, unpacked debuginfo packages, or both.
    pub folders: Vec<PathBuf>,
}

/// Why a debuginfo file that was named cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DebugFilesError {
    /// It is none.
    #[error("{}: {source}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DebugFileError,
    },
    /// It is of another kernel.
    #[error("{} is of another kernel: {why}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What differs, with both sides.
        why: String,
    },
}

/// A debuginfo file that belongs to the dump.
#[derive(Debug)]
pub struct Debug {
    /// The file.
    pub file: Arc<DebugFile>,
    /// Where it lies.
    pub path: PathBuf,
    /// What it was recognised by.
    pub matched_by: String,
    /// How far the kernel was moved from where the file says it lies, in bytes (to be added, wrapping). `None`: nothing
    /// tells.
    pub slide: Option<u64>,
}

impl Debug {
    /// The file's symbols, for a dump whose own are not to be had.
    pub fn symbols(&self, memory: &KernelMemory) -> Option<Symbols> {
        let slide = self.slide?;
        let top_bit = if self.file.abi().is_64bit { 63 } else { 31 };
        let listed = self.file.symbols().into_iter().map(|symbol| {
            // Only what lies in the kernel's half was moved: per-CPU symbols may be mere offsets.
            let is_moved = symbol.address >> top_bit != 0;
            ListedSymbol {
                address: VirtAddr(symbol.address.wrapping_add(if is_moved { slide } else { 0 })),
                kind: symbol.kind,
                name: symbol.name,
            }
        });
        Some(Symbols::listed(memory, listed.collect()))
    }
}

/// What was found of all that [`DebugFiles`] names.
#[derive(Debug, Default)]
pub struct Search {
    /// The file to use.
    pub found: Option<Debug>,
    /// Why there is none, when one was asked for.
    pub remark: Option<String>,
}

impl DebugFiles {
    /// Looks for the file that belongs to `kernel`; `symbols` are the dump's own.
    pub fn search(&self, kernel: &Kernel, symbols: Option<&Symbols>) -> Result<Search, DebugFilesError> {
        let dump = Dump { kernel, symbols };
        if let Some(path) = &self.vmlinux {
            return Ok(Search {
                found: Some(dump.open(path)?),
                remark: None,
            });
        }
        if self.folders.is_empty() {
            return Ok(Search::default());
        }
        let mut wrong = Vec::new();
        for path in self.folders.iter().flat_map(|folder| dump.candidates(folder)) {
            match dump.open(&path) {
                Ok(found) => {
                    return Ok(Search {
                        found: Some(found),
                        remark: None,
                    });
                }
                Err(error) => wrong.push(error.to_string()),
            }
        }
        let folders: Vec<String> = self.folders.iter().map(|folder| folder.display().to_string()).collect();
        let wanted = match (dump.release(), dump.build_id(None)) {
            (Some(release), Some((id, _))) => format!("of {release} with build-id {id}"),
            (Some(release), None) => format!("of {release}"),
            (None, Some((id, _))) => format!("with build-id {id}"),
            (None, None) => "of a kernel whose release and build-id are not known".to_owned(),
        };
        let mut remark = format!("no vmlinux {wanted} in {}", folders.join(", "));
        if let Some(first) = wrong.first() {
            remark.push_str(&format!(" ({first})"));
        }
        Ok(Search {
            found: None,
            remark: Some(remark),
        })
    }
}

/// The dump, as far as a file can be held against it.
struct Dump<'a> {
    kernel: &'a Kernel,
    symbols: Option<&'a Symbols>,
}

impl Dump<'_> {
    fn release(&self) -> Option<&str> {
        let utsname = self.kernel.utsname().map(|utsname| utsname.release.as_str());
        self.kernel.vmcoreinfo().osrelease().or(utsname)
    }

    /// The places in `folder` where a vmlinux may lie, the surest first; only those where there is a file.
    fn candidates(&self, folder: &Path) -> Vec<PathBuf> {
        let mut places = Vec::new();
        let roots = [folder.to_owned(), folder.join("usr/lib/debug"), folder.join("debug")];
        if let Some((id, _)) = self.build_id(None)
            && let Some((first, rest)) = id.split_at_checked(2)
        {
            places.extend(
                roots
                    .iter()
                    .map(|root| root.join(format!(".build-id/{first}/{rest}.debug"))),
            );
        }
        // The release comes from the dump: it must not lead out of the folder.
        if let Some(release) = self.release().filter(|release| is_file_name(release)) {
            for root in &roots {
                places.extend(
                    [
                        // RHEL, Fedora; with /usr merged; SUSE
                        format!("lib/modules/{release}/vmlinux"),
                        format!("usr/lib/modules/{release}/vmlinux"),
                        format!("usr/lib/modules/{release}/vmlinux.debug"),
                        format!("lib/modules/{release}/vmlinux.debug"),
                        // Debian, Ubuntu; older SUSE
                        format!("boot/vmlinux-{release}"),
                        format!("boot/vmlinux-{release}.debug"),
                        format!("usr/lib/debug/boot/vmlinux-{release}"),
                        // a build tree; folders that someone keeps
                        format!("lib/modules/{release}/build/vmlinux"),
                        format!("{release}/vmlinux"),
                        format!("vmlinux-{release}"),
                        "vmlinux".to_owned(),
                    ]
                    .map(|place| root.join(place)),
                );
            }
        }
        places.retain(|place| place.is_file());
        places
    }

    fn open(&self, path: &Path) -> Result<Debug, DebugFilesError> {
        let file = input::open_plain(path).map_err(DebugFileError::Io);
        let file = file
            .and_then(DebugFile::open)
            .map_err(|source| DebugFilesError::Unusable {
                path: path.to_owned(),
                source,
            })?;
        let slide = self.slide(&file);
        match self.judge(&file, slide) {
            Ok(matched_by) => Ok(Debug {
                file: Arc::new(file),
                path: path.to_owned(),
                matched_by,
                slide,
            }),
            Err(why) => Err(DebugFilesError::Wrong {
                path: path.to_owned(),
                why,
            }),
        }
    }

    /// Whether `file` is this kernel's, with the reason.
    fn judge(&self, file: &DebugFile, slide: Option<u64>) -> Result<String, String> {
        let moved = slide.map(|slide| Moved { file, slide });
        if let (Some(theirs), Some((ours, source))) = (file.build_id(), self.build_id(moved.as_ref())) {
            return if theirs == ours {
                Ok(format!("build-id {ours} ({source})"))
            } else {
                Err(format!(
                    "its build-id is {theirs}, that of the dumped kernel is {ours} ({source})"
                ))
            };
        }
        let theirs = file.banner().map(|banner| banner.trim_end().to_owned());
        if let (Some(theirs), Some(ours)) = (&theirs, self.banner(moved.as_ref())) {
            return if *theirs == ours {
                Ok(format!("linux_banner {ours:?}"))
            } else {
                Err(format!(
                    "its banner is {theirs:?}, that of the dumped kernel is {ours:?}"
                ))
            };
        }
        if let (Some(theirs), Some(ours)) = (&theirs, self.release())
            && !theirs.starts_with(&format!("Linux version {ours} "))
        {
            return Err(format!("its banner is {theirs:?}, the dumped kernel is {ours}"));
        }
        match self.layout(file) {
            Some(Ok(count)) => Ok(format!("{count} symbols that lie alike")),
            Some(Err(name)) => Err(format!("its symbol {name} lies elsewhere than in the dump")),
            None => Ok("nothing: the dump has no build-id, banner or symbols left to hold it against".to_owned()),
        }
    }

    /// The dumped kernel's build id, and where it was read.
    fn build_id(&self, moved: Option<&Moved<'_>>) -> Option<(String, &'static str)> {
        let info = self.kernel.vmcoreinfo();
        if let Some(id) = info.build_id().filter(|_| info.build_id_is_reliable()) {
            return Some((id.to_ascii_lowercase(), "VMCOREINFO"));
        }
        let (start, stop) = (
            self.address("__start_notes", moved)?,
            self.address("__stop_notes", moved)?,
        );
        let len = stop.0.checked_sub(start.0).filter(|len| *len <= MAX_NOTES)?;
        let memory = self.kernel.memory();
        let notes = memory.bytes(start, usize::try_from(len).ok()?).ok()?;
        Some((build_id_of_notes(memory.abi(), &notes)?, "the notes in its memory"))
    }

    /// The dumped kernel's `linux_banner`.
    fn banner(&self, moved: Option<&Moved<'_>>) -> Option<String> {
        let read = || {
            let text = self
                .kernel
                .memory()
                .c_string(self.address("linux_banner", moved)?, MAX_BANNER);
            Some(String::from_utf8_lossy(&text.ok()?).trim_end().to_owned())
        };
        let read = read().filter(|text| text.starts_with("Linux version "));
        read.or_else(|| Some(self.kernel.banner()?.trim_end().to_owned()))
    }

    fn address(&self, name: &str, moved: Option<&Moved<'_>>) -> Option<VirtAddr> {
        let own = self.symbols.and_then(|symbols| symbols.by_name(name));
        own.or_else(|| {
            let moved = moved?;
            Some(VirtAddr(moved.file.symbol(name)?.0.wrapping_add(moved.slide)))
        })
    }

    /// How far the kernel was moved from where `file` says it lies.
    fn slide(&self, file: &DebugFile) -> Option<u64> {
        let info = self.kernel.vmcoreinfo();
        let found = ["_stext", "_text"].into_iter().find_map(|name| {
            let own = self.symbols.and_then(|symbols| symbols.by_name(name));
            let own = own.or_else(|| info.symbol(name))?;
            Some(own.0.wrapping_sub(file.symbol(name)?.0))
        });
        found.or_else(|| info.kernel_offset()).or_else(|| {
            let start = self.kernel.image_start()?;
            Some(start.0.wrapping_sub(file.symbol("_text")?.0))
        })
    }

    /// Whether some symbols of the image lie as far from each other as in `file`: how many, or the first that does not.
    fn layout(&self, file: &DebugFile) -> Option<Result<usize, &'static str>> {
        const NAMES: [&str; 8] = [
            "_etext",
            "linux_banner",
            "init_task",
            "init_uts_ns",
            "panic",
            "schedule",
            "sys_call_table",
            "vmlist",
        ];
        let symbols = self.symbols?;
        let slide = self.slide(file)?;
        let mut count = 0;
        for name in NAMES {
            if let (Some(own), Some(theirs)) = (symbols.by_name(name), file.symbol(name)) {
                if own.0.wrapping_sub(theirs.0) != slide {
                    return Some(Err(name));
                }
                count += 1;
            }
        }
        (count > 2).then_some(Ok(count))
    }
}

/// A file's symbols where the kernel was moved to.
struct Moved<'a> {
    file: &'a DebugFile,
    slide: u64,
}

/// Whether `name` is one plain component of a path.
fn is_file_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    matches!(components.next(), Some(Component::Normal(_))) && components.next().is_none() && !name.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_does_not_lead_out_of_the_folder() {
        assert!(is_file_name("6.1.0-56-amd64"));
        for bad in ["", ".", "..", "../x", "a/b", "/etc"] {
            assert!(!is_file_name(bad), "{bad}");
        }
    }
}
