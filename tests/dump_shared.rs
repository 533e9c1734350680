//! The real dumps in the shared test data folder: header facts against what `crash` found, and every page readable.
//!
//! The folder is `$VMCORONER_SHARED`, else `../shared`; without it these tests say so and pass.

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use vmcoroner::addr::PhysAddr;
use vmcoroner::dump::{MemoryError, PhysicalMemory, Vmcore};
use vmcoroner::input::{self, Content, ReadAt};

/// A shared dump and the truth that lies beside it.
struct Case {
    path: PathBuf,
    truth: Value,
}

impl Case {
    fn truth(&self, name: &str) -> &Value {
        &self.truth["truth"][name]
    }

    fn open(&self) -> Vmcore {
        open(&self.path)
    }
}

fn open(path: &Path) -> Vmcore {
    let input = input::open(path).unwrap_or_else(|error| panic!("{error}"));
    match input.content {
        Content::Dump(source) => {
            Vmcore::open(vec![source]).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        }
        Content::Text(_) => panic!("{} was taken for text", path.display()),
    }
}

fn cases() -> Vec<Case> {
    let Some(shared) = support::shared_folder() else {
        return Vec::new();
    };
    let mut cases: Vec<_> = std::fs::read_dir(shared.join("vmcores"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".truth.json"))
        .map(|path| {
            let truth: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            // Some are packed to save space.
            let file = &truth["files"][0];
            let name = file["stored_as"]["file"].as_str().or(file["file"].as_str()).unwrap();
            Case {
                path: path.with_file_name(name),
                truth,
            }
        })
        .collect();
    cases.sort_by(|a, b| a.path.cmp(&b.path));
    cases
}

#[test]
fn header_facts_agree_with_crash() {
    for case in cases() {
        let dump = case.open();
        let header = dump.header();
        let name = case.path.display();
        assert_eq!(header.machine.as_deref(), Some("x86_64"), "{name}");
        assert_eq!(header.page_size, 4096, "{name}");
        if let Some(utsname) = &header.utsname {
            assert_eq!(utsname.release, *case.truth("kernel_release"), "{name}");
            assert_eq!(utsname.nodename, *case.truth("nodename"), "{name}");
        }
        // crash says "partial" of kdump-compressed files only; `makedumpfile -E` filters too.
        if header.format != "elf" {
            assert_eq!(header.partial, case.truth("partial_dump").as_bool(), "{name}");
        } else {
            let filtered = case.truth["made"]["mode"].to_string().contains("-E");
            assert_eq!(header.partial, Some(filtered), "{name}");
        }
        let cut = case.truth["files"][0]["file"].as_str().unwrap().contains("trunc");
        assert_eq!(header.truncated, cut, "{name}: {:?}", header.remarks);
        eprintln!(
            "{name}: {:?} {:?} cpus {} remarks {:?}",
            header.format,
            dump.compressions_seen(),
            header.prstatus.len(),
            header.remarks
        );
    }
}

#[test]
fn every_page_of_an_unbroken_dump_reads() {
    for case in cases() {
        let dump = case.open();
        let mut pages = 0;
        let mut page = vec![0; 4096];
        for range in dump.ranges() {
            for address in range.clone().step_by(4096) {
                match dump.read(PhysAddr(address), &mut page) {
                    Ok(()) => pages += 1,
                    Err(MemoryError::Excluded(_) | MemoryError::NotPresent(_)) => {}
                    Err(MemoryError::Truncated { .. }) if dump.header().truncated => {}
                    Err(error) => panic!("{}: {error}", case.path.display()),
                }
            }
        }
        assert!(pages > 1000, "{}: only {pages} pages", case.path.display());
    }
}

/// The first `size` bytes of a file.
#[derive(Debug)]
struct Cut {
    file: Arc<dyn ReadAt>,
    size: u64,
}

impl ReadAt for Cut {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<usize> {
        let there = self.size.saturating_sub(offset).min(buf.len() as u64) as usize;
        self.file.read_at(offset, &mut buf[..there])
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// Cut at every page of the headers, at every 64 KiB of the first megabytes and more coarsely behind: what still reads
/// is what the whole dump says, more of it the more there is, and the cut is told.
#[test]
fn cut_dumps_give_what_they_hold() {
    for case in cases() {
        let name = case.path.display();
        let Content::Dump(file) = input::open(&case.path).unwrap().content else {
            panic!("{name} is text")
        };
        let whole = Vmcore::open(vec![file.clone()]).unwrap();
        let addresses: Vec<u64> = whole
            .ranges()
            .iter()
            .flat_map(|range| range.clone().step_by(4096 * 37))
            .collect();
        let read = |dump: &Vmcore, address: u64| {
            let mut page = vec![0; 4096];
            dump.read(PhysAddr(address), &mut page).ok().map(|()| page)
        };
        let expected: Vec<_> = addresses.iter().map(|address| read(&whole, *address)).collect();

        let size = file.size();
        let fine = (0..32).map(|index| index * 4096);
        let medium = (2..48).map(|index| index << 16);
        let coarse = (1..24).map(|index| size * index / 24);
        let mut last = 0;
        for cut in fine
            .chain(medium)
            .chain(coarse)
            .chain([size - 1])
            .collect::<BTreeSet<_>>()
        {
            let cut_file = Arc::new(Cut {
                file: file.clone(),
                size: cut,
            });
            let Ok(dump) = Vmcore::open(vec![cut_file]) else {
                assert!(cut <= 2 * 4096, "{name} cut at {cut} cannot be opened");
                continue;
            };
            let mut count = 0;
            for (address, expected) in addresses.iter().zip(&expected) {
                if let Some(page) = read(&dump, *address) {
                    count += 1;
                    assert!(
                        expected.as_ref() == Some(&page),
                        "{name} cut at {cut}: {address:#x} reads wrong"
                    );
                }
            }
            // QEMU writes a section name table behind the memory: without that nothing is lost.
            let lost = count < expected.iter().flatten().count();
            assert!(
                dump.header().truncated || !lost && size - cut < 100,
                "{name} cut at {cut}"
            );
            assert!(count >= last, "{name} cut at {cut}: {count} pages, {last} before");
            last = count;
        }
        assert!(
            last * 10 >= expected.iter().flatten().count() * 9,
            "{name}: only {last} pages of the last cut"
        );
    }
}
