//! Addresses → source places, through inlined functions, by DWARF.
//!
//! Only the units whose code is asked about are read.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use addr2line::{Context, LookupResult};
use gimli::{Reader, SectionId};

use super::elf::DebugFile;
use super::section::SectionReader;
use super::units::{self, Ranges};

/// Functions inlined into each other deeper than this are a damaged file.
const MAX_INLINED: usize = 256;
/// The source file that every kernel has: the path before it is that of the source tree.
const LANDMARK: &str = "init/main.c";

/// A place in the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The function, as the source spells it.
    pub function: Option<String>,
    /// File and line, the path relative to the source tree: `kernel/rwsem.c:34`.
    pub source: Option<String>,
}

/// Answers where code came from. Keeps what it read, so it is for one report.
pub struct SourceLines {
    file: Arc<DebugFile>,
    told: Ranges,
    gathered: OnceLock<Ranges>,
    units: HashMap<u64, Option<Code>>,
    tree: Tree,
}

impl std::fmt::Debug for SourceLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceLines")
            .field("tree", &self.tree)
            .finish_non_exhaustive()
    }
}

impl SourceLines {
    /// `None` without DWARF.
    pub fn open(file: &Arc<DebugFile>) -> Option<SourceLines> {
        file.has_dwarf().then(|| SourceLines {
            told: Ranges::told(file),
            gathered: OnceLock::new(),
            units: HashMap::new(),
            tree: Tree::of(file),
            file: file.clone(),
        })
    }

    /// The places of the instruction at `address` (as linked), innermost first: functions inlined there, then the one
    /// they were inlined into. Empty: nothing is known of it.
    ///
    /// A return address belongs to the instruction behind the call: ask for the byte before it.
    pub fn places(&mut self, address: u64) -> Vec<Place> {
        let unit = self.told.unit_at(address).or_else(|| {
            let gathered = self.gathered.get_or_init(|| Ranges::gathered(&self.file));
            gathered.unit_at(address)
        });
        let Some(unit) = unit else { return Vec::new() };
        let code = self
            .units
            .entry(unit)
            .or_insert_with(|| Code::of(&self.file, unit, &self.tree));
        let Some(Code { context, tree }) = code else {
            return Vec::new();
        };
        let LookupResult::Output(Ok(mut frames)) = context.find_frames(address) else {
            return Vec::new();
        };
        let mut places = Vec::new();
        while let Ok(Some(frame)) = frames.next()
            && places.len() < MAX_INLINED
        {
            let function = frame.function.as_ref().and_then(|name| name.raw_name().ok());
            let source = frame.location.and_then(|at| {
                let path = tree.relative(at.file?);
                Some(match at.line {
                    Some(line) => format!("{path}:{line}"),
                    None => path,
                })
            });
            places.push(Place {
                function: function.map(|name| name.into_owned()),
                source,
            });
        }
        places
    }
}

/// One unit.
struct Code {
    context: Context<SectionReader>,
    /// As this unit knows it.
    tree: Tree,
}

impl Code {
    /// The unit at `offset`. One that refers to others (link-time optimisation) needs all of them.
    fn of(file: &DebugFile, offset: u64, tree: &Tree) -> Option<Code> {
        let info = file.section(".debug_info")?;
        let unit = units::unit(&info, file.endian(), offset)?;
        let alone = Arc::new(info.part(unit.offset, unit.len)?);
        let dwarf = units::dwarf(file, |id, section| match id {
            SectionId::DebugInfo => Some(alone.clone()),
            // It speaks of offsets in the whole section.
            SectionId::DebugAranges => None,
            _ => section,
        });
        let header = dwarf.units().next().ok().flatten()?;
        let tree = tree.of_unit(&text(dwarf.unit(header).ok()?.comp_dir));
        let context = if refers_to_others(&dwarf) {
            Context::from_dwarf(units::dwarf(file, |_, section| section))
        } else {
            Context::from_dwarf(dwarf)
        };
        let context = context.ok()?;
        Some(Code { context, tree })
    }
}

/// Whether the only unit of `dwarf` has a form in its abbreviations that leads out of it.
fn refers_to_others(dwarf: &gimli::Dwarf<SectionReader>) -> bool {
    let header = dwarf.units().next().ok().flatten();
    let abbreviations = header.and_then(|header| dwarf.abbreviations(&header).ok());
    abbreviations.is_some_and(|abbreviations| {
        // Compilers number them from 1 without a gap.
        (1..)
            .map_while(|code| abbreviations.get(code))
            .flat_map(|abbreviation| abbreviation.attributes())
            .any(|attribute| attribute.form() == gimli::DW_FORM_ref_addr)
    })
}

/// Where the source was when it was built.
#[derive(Clone, Debug, Default)]
struct Tree {
    /// The source tree and the build tree, the longer one first; each ends with a slash.
    roots: Vec<String>,
    /// The build tree as most units name it: not always from the root on (`-fdebug-prefix-map`).
    build: String,
}

impl Tree {
    /// From the first unit that was compiled from [`LANDMARK`]: it is linked among the very first.
    fn of(file: &DebugFile) -> Tree {
        let dwarf = units::dwarf(file, |_, section| Some(Arc::new(section?.afresh())));
        let mut headers = dwarf.units();
        while let Ok(Some(header)) = headers.next() {
            let Ok(unit) = dwarf.unit(header) else { continue };
            let (name, folder) = (text(unit.name.clone()), text(unit.comp_dir.clone()));
            if name.ends_with(LANDMARK) {
                return Tree::from_landmark(&name, &folder);
            }
        }
        Tree::default()
    }

    fn from_landmark(name: &str, folder: &str) -> Tree {
        let path = normal(&joined(folder, name));
        let source = path.strip_suffix(LANDMARK).unwrap_or_default();
        let build = normal(&format!("{folder}/"));
        let mut roots = vec![source.to_owned(), build.clone()];
        roots.retain(|root| root.len() > 1);
        roots.dedup();
        roots.sort_by_key(|root| std::cmp::Reverse(root.len()));
        Tree { roots, build }
    }

    /// The same for a unit that was compiled in `folder`. Assembler sources are named from the root on even where the
    /// compiler was told to leave the source tree's path out: that path is then what the folder has more.
    fn of_unit(&self, folder: &str) -> Tree {
        let mut tree = self.clone();
        let folder = normal(&format!("{folder}/"));
        if folder.starts_with('/')
            && !self.build.starts_with('/')
            && let Some(source) = folder.strip_suffix(self.build.as_str())
        {
            tree.roots.extend([folder.clone(), source.to_owned()]);
        }
        tree
    }

    /// `path` as seen from the tree.
    fn relative(&self, path: &str) -> String {
        let path = normal(path);
        let inside = self.roots.iter().find_map(|root| path.strip_prefix(root.as_str()));
        inside.map_or_else(|| path.clone(), str::to_owned)
    }
}

fn text(reader: Option<SectionReader>) -> String {
    let text = reader.and_then(|reader| Some(reader.to_string_lossy().ok()?.into_owned()));
    text.unwrap_or_default()
}

fn joined(folder: &str, name: &str) -> String {
    if name.starts_with('/') {
        name.to_owned()
    } else {
        format!("{folder}/{name}")
    }
}

/// `path` without `.` and `..`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." => {}
            // The first part of a path from the root on is empty.
            "" if !parts.is_empty() => {}
            ".." if parts.last().is_some_and(|last| !last.is_empty() && *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    if path.ends_with('/') && parts.len() > 1 {
        parts.push("");
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_seen_from_the_source_tree() {
        let tree = Tree::from_landmark("../../../init/main.c", "/build/linux-6.1/debian/build/amd64");
        let relative = |path: &str| tree.relative(path);
        assert_eq!(
            relative("/build/linux-6.1/debian/build/amd64/../../../kernel/rwsem.c"),
            "kernel/rwsem.c"
        );
        assert_eq!(
            relative("/build/linux-6.1/debian/build/amd64/./arch/x86/include/generated/a.h"),
            "arch/x86/include/generated/a.h"
        );
        assert_eq!(relative("/build/linux-6.1/mm/rmap.c"), "mm/rmap.c");
        assert_eq!(relative("/usr/lib/gcc/stddef.h"), "/usr/lib/gcc/stddef.h");
        assert_eq!(relative("kernel/./rwsem.c"), "kernel/rwsem.c");
    }

    #[test]
    fn assembler_sources_keep_the_path_that_others_leave_out() {
        let tree = Tree::from_landmark("init/main.c", "debian/build/amd64");
        assert_eq!(tree.relative("debian/build/amd64/mm/rmap.c"), "mm/rmap.c");
        let tree = tree.of_unit("/build/linux-6.1/debian/build/amd64");
        assert_eq!(
            tree.relative("/build/linux-6.1/arch/x86/entry/entry_64.S"),
            "arch/x86/entry/entry_64.S"
        );
    }

    #[test]
    fn dots_are_resolved() {
        assert_eq!(normal("/a/b/../c//d"), "/a/c/d");
        assert_eq!(normal("../x/y"), "../x/y");
        assert_eq!(normal("/.."), "/..");
    }
}
