//! kdump-compressed (makedumpfile, QEMU) and diskdump files: headers, and pages on demand.
//!
//! Block 0 is the header, then sub header, bitmaps (RAM there; page stored), a 24-byte descriptor for every stored
//! page in page order, page data.

mod bitmap;
mod codec;
mod header;
mod memory;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::addr::PhysAddr;
use crate::dump::cache::BlockCache;
use crate::dump::io::{read_vec, zero_filled};
use crate::dump::notes::{Dialect, Notes};
use crate::dump::set::{DumpIdentity, SplitPart};
use crate::dump::shared::decoded_page;
use crate::dump::{DumpError, Header, MemoryError, SharedPages};
use crate::input::ReadAt;

use bitmap::{Bitmap, is_zero};
use codec::{Codecs, Method};
pub(super) use memory::KdumpMemory;

use header::{Family, MAIN_HEADER_SIZE, MainHeader, STATUS_INCOMPLETE, SUB_HEADER_SIZE, SubHeader};

const DESCRIPTOR_SIZE: u64 = 24;
/// Descriptors are read in blocks of this many bytes (a multiple of their size): neighbours are usually asked for next.
const DESCRIPTOR_BLOCK: u64 = 170 * DESCRIPTOR_SIZE;
const CACHED_DESCRIPTOR_BLOCKS: usize = 64;
/// Pages that are alike mostly follow each other, so that a few are enough; in bytes.
const PLACES_CACHE: usize = 512 << 10;
/// Pages that are stored in more bytes have too much to say to be like others.
const LARGEST_ALIKE: u32 = 256;
/// More pages than this need more than 48 bits of address space at 4 KiB a page: no machine has them.
const MAX_PAGES: u64 = 1 << 36;
/// The largest VMCOREINFO text that is believed, in bytes: the kernel's own is one page.
const MAX_VMCOREINFO: u64 = 1 << 20;

/// One file of a kdump-compressed dump: the whole of it, or one part of a split set.
#[derive(Debug)]
pub(super) struct KdumpFile {
    file: Arc<dyn ReadAt>,
    main: MainHeader,
    sub: SubHeader,
    stored: Bitmap,
    /// The number of pages the bitmaps speak of.
    pages: u64,
    /// Set bits before this file's first page: 0 unless it is a part of a split set.
    first_rank: u64,
    descriptors: BlockCache<Arc<[u8]>>,
    codecs: Codecs,
    methods_seen: AtomicU32,
    /// Where a page of zeros was seen in the file; 0 for not yet.
    zero_page: AtomicU64,
    /// Pages by where they are stored: those that are alike, such as the blanked tables of a capsule, share a place.
    places: BlockCache<(Stored, Arc<[u8]>)>,
    truncated: bool,
    remarks: Vec<String>,
}

/// Whether the first bytes are those of such a file.
pub(super) fn is_kdump(first_bytes: &[u8]) -> bool {
    Family::of(first_bytes).is_some()
}

/// What the headers of a part of a split dump say; `None` for anything else.
pub(super) fn split_part(file: &dyn ReadAt) -> Option<SplitPart> {
    let (main, sub) = read_headers(file).ok()?;
    as_part(&main, &sub)
}

/// The kernel's release as the header states it.
pub(super) fn release(file: &dyn ReadAt) -> Option<String> {
    let (main, _) = read_headers(file).ok()?;
    Some(main.utsname.release).filter(|release| !release.is_empty())
}

fn as_part(main: &MainHeader, sub: &SubHeader) -> Option<SplitPart> {
    let dump = DumpIdentity {
        utsname: main.utsname.clone(),
        timestamp: main.timestamp,
        block_size: main.block_size,
        pages: claimed_pages(main, sub),
    };
    sub.split.then_some(SplitPart {
        dump,
        pages: sub.start_pfn..sub.end_pfn,
    })
}

/// The number of page frames that the headers state.
fn claimed_pages(main: &MainHeader, sub: &SubHeader) -> u64 {
    if sub.max_mapnr != 0 {
        sub.max_mapnr
    } else {
        u64::from(main.max_mapnr)
    }
}

impl KdumpFile {
    pub(super) fn open(file: Arc<dyn ReadAt>) -> Result<Self, DumpError> {
        let (main, sub) = read_headers(&*file)?;
        let mut remarks = Vec::new();
        let bitmaps_bits = main.bitmaps_size() * 8;
        let claimed = claimed_pages(&main, &sub);
        let pages = claimed.min(bitmaps_bits).min(MAX_PAGES);
        if pages < claimed {
            remarks.push(format!("the header claims {claimed} pages, its bitmaps hold {pages}"));
        }
        // Old diskdump has one bitmap: then half of the blocks cannot hold a bit for every page.
        let two_bitmaps = pages <= bitmaps_bits / 2;
        let stored_at = main.bitmaps_at() + if two_bitmaps { main.bitmaps_size() / 2 } else { 0 };
        let stored = Bitmap::index(&*file, stored_at, pages)?;
        let mut truncated = false;
        if stored.cut {
            truncated = true;
            remarks.push("the file ends inside its page bitmap".to_owned());
        }
        if main.family == Family::Kdump && main.status & STATUS_INCOMPLETE != 0 {
            truncated = true;
            remarks.push("the dump says itself that it is incomplete (makedumpfile ran out of space)".to_owned());
        }
        let first_rank = if sub.split {
            stored.rank(&*file, sub.start_pfn).unwrap_or(0)
        } else {
            0
        };
        let places = (PLACES_CACHE / (main.block_size as usize).max(512)).max(16);
        let mut dump = Self {
            file,
            main,
            sub,
            stored,
            pages,
            first_rank,
            descriptors: BlockCache::new(CACHED_DESCRIPTOR_BLOCKS),
            codecs: Codecs::default(),
            methods_seen: AtomicU32::new(0),
            zero_page: AtomicU64::new(0),
            places: BlockCache::new(places),
            truncated,
            remarks,
        };
        if !dump.truncated && dump.ends_early() {
            dump.truncated = true;
            dump.remarks.push("the file ends before its last page".to_owned());
        }
        Ok(dump)
    }

    pub(super) fn page_size(&self) -> u32 {
        self.main.block_size
    }

    /// The number of page frames that its bitmaps speak of.
    pub(super) fn page_frames(&self) -> u64 {
        self.pages
    }

    /// Which part of a split dump it is, if it is one.
    pub(super) fn part(&self) -> Option<SplitPart> {
        as_part(&self.main, &self.sub)
    }

    /// The format's name.
    pub(super) fn format(&self) -> &'static str {
        self.main.family.name()
    }

    /// The page frame ranges that hold stored pages.
    pub(super) fn stored_ranges(&self) -> Vec<Range<u64>> {
        let ranges = self.stored.ranges().iter();
        if !self.sub.split {
            return ranges.cloned().collect();
        }
        let clip = |range: &Range<u64>| range.start.max(self.sub.start_pfn)..range.end.min(self.sub.end_pfn);
        ranges.map(clip).filter(|range| !range.is_empty()).collect()
    }

    /// The names of the compressions that the header announces or that pages read so far used.
    pub(super) fn compressions(&self) -> Vec<&'static str> {
        let seen = self.methods_seen.load(Ordering::Relaxed);
        let announced = if self.main.family == Family::Kdump {
            self.main.status
        } else {
            0
        };
        let used = |method: &Method| seen >> (*method as u32) & 1 == 1 || announced & method.flag() != 0;
        Method::ALL
            .into_iter()
            .filter(|method| *method != Method::Raw && used(method))
            .map(Method::name)
            .collect()
    }

    /// What the headers and the notes say.
    pub(super) fn header(&self) -> Result<Header, DumpError> {
        let (main, sub) = (&self.main, &self.sub);
        let machine = Some(main.utsname.machine.clone()).filter(|name| !name.is_empty());
        let mut remarks = self.remarks.clone();
        let mut notes = Notes::default();
        if sub.notes.size != 0 {
            let dialect = Dialect {
                layout: main.layout,
                machine: machine.as_deref(),
            };
            notes.read(&*self.file, sub.notes.offset, sub.notes.size, dialect)?;
        }
        if notes.cut {
            remarks.push("the file ends inside its notes".to_owned());
        }
        let mut vmcoreinfo = notes.vmcoreinfo;
        if vmcoreinfo.is_none() && sub.vmcoreinfo.size != 0 {
            let size = sub.vmcoreinfo.size.min(MAX_VMCOREINFO) as usize;
            vmcoreinfo = Some(read_vec(&*self.file, sub.vmcoreinfo.offset, size)?).filter(|text| !text.is_empty());
        }
        Ok(Header {
            format: self.format(),
            byte_order: main.layout.order,
            is_64bit: main.layout.is_64bit,
            machine,
            page_size: u64::from(main.block_size),
            utsname: Some(main.utsname.clone()),
            timestamp: Some(main.timestamp).filter(|seconds| *seconds != 0),
            phys_base: Some(sub.phys_base).filter(|base| *base != 0),
            vmcoreinfo,
            prstatus: notes.prstatus,
            qemu_cpus: notes.qemu_cpus,
            segments: Vec::new(),
            notes: notes.raw,
            capsule: notes.capsule,
            partial: sub.dump_level.map(|level| level != 0),
            truncated: self.truncated || notes.cut,
            remarks,
        })
    }

    /// Whether this file is the one that would hold `pfn`, stored or not.
    pub(super) fn covers(&self, pfn: u64) -> bool {
        !self.sub.split || (self.sub.start_pfn..self.sub.end_pfn).contains(&pfn)
    }

    /// Why this dump does not hold `pfn`: the first bitmap says whether there is memory at all.
    pub(super) fn why_absent(&self, pfn: u64) -> MemoryError {
        let at = self.address_of(pfn);
        if pfn < self.pages && bitmap::is_set(&*self.file, self.main.bitmaps_at(), pfn) {
            MemoryError::Excluded(at)
        } else {
            MemoryError::NotPresent(at)
        }
    }

    fn address_of(&self, pfn: u64) -> PhysAddr {
        PhysAddr(pfn.saturating_mul(u64::from(self.main.block_size)))
    }

    /// The page `pfn`, `size` bytes long; what `shared` has of another dump that stores it in the same bytes, or this one
    /// has of a page at the same place, is not decoded again.
    pub(super) fn page(&self, pfn: u64, size: usize, shared: Option<&SharedPages>) -> Result<Arc<[u8]>, MemoryError> {
        let stored = self.locate(pfn)?;
        if self.is_zero_page(&stored) {
            return decoded_page(size, |_| Ok(()));
        }
        if stored.method == Method::Raw && stored.size as usize == size {
            let page = decoded_page(size, |page| self.read_exactly(stored.at, stored.offset, page))?;
            self.note_zero_page(&stored, &page);
            return Ok(page);
        }
        if stored.size > LARGEST_ALIKE {
            return self.load(&stored, size, shared);
        }
        let load = || self.load(&stored, size, shared).map(|page| (stored, page));
        let (found, page) = self.places.get_or_load(stored.offset, load)?;
        // Where descriptors contradict each other every page is taken for itself.
        if found.size == stored.size && found.method == stored.method {
            Ok(page)
        } else {
            self.load(&stored, size, shared)
        }
    }

    fn load(&self, stored: &Stored, size: usize, shared: Option<&SharedPages>) -> Result<Arc<[u8]>, MemoryError> {
        let bytes = self.stored_bytes(stored)?;
        let decode = |page: &mut [u8]| {
            let decoded = self.codecs.decode(stored.method, &bytes, page);
            decoded.map_err(|why| stored.damaged(why))
        };
        let page = match shared {
            Some(shared) => shared.page(stored.method as u8, &bytes, size, decode)?,
            None => decoded_page(size, decode)?,
        };
        self.note_zero_page(stored, &page);
        Ok(page)
    }

    /// Where the page `pfn` is stored, and how.
    fn locate(&self, pfn: u64) -> Result<Stored, MemoryError> {
        let at = self.address_of(pfn);
        let Some(rank) = self.stored.rank_if_set(&*self.file, pfn)? else {
            return Err(self.why_absent(pfn));
        };
        let index = rank.checked_sub(self.first_rank).ok_or(MemoryError::Excluded(at))?;
        let descriptor = self.descriptor(index).map_err(|error| match error {
            DescriptorError::BehindEnd { offset } => MemoryError::Truncated { at, offset },
            DescriptorError::Unreadable(error) => error,
        })?;
        let Descriptor { offset, size, flags } = descriptor;
        if offset == 0 {
            // Never written: an incomplete dump, or a hole in a flattened file that was cut.
            return Err(MemoryError::Excluded(at));
        }
        let damaged = |why: String| MemoryError::Damaged { at, offset, why };
        let limit = self.main.block_size + self.main.block_size / 8 + 128;
        if size == 0 || size > limit {
            return Err(damaged(format!(
                "its descriptor claims {size} stored bytes, expected 1 to {limit}"
            )));
        }
        let method =
            Method::from_flags(flags).ok_or_else(|| damaged(format!("unknown compression flags {flags:#x}")))?;
        if offset
            .checked_add(u64::from(size))
            .is_none_or(|end| end > self.file.size())
        {
            return Err(MemoryError::Truncated { at, offset });
        }
        self.methods_seen.fetch_or(1 << (method as u32), Ordering::Relaxed);
        Ok(Stored {
            at,
            offset,
            size,
            method,
        })
    }

    fn stored_bytes(&self, stored: &Stored) -> Result<Vec<u8>, MemoryError> {
        let mut bytes = vec![0; stored.size as usize];
        self.read_exactly(stored.at, stored.offset, &mut bytes)?;
        Ok(bytes)
    }

    /// All pages of zeros usually share one place: once it is known it need not be read again.
    fn is_zero_page(&self, stored: &Stored) -> bool {
        stored.offset == self.zero_page.load(Ordering::Relaxed)
    }

    fn note_zero_page(&self, stored: &Stored, page: &[u8]) {
        if is_zero(page) {
            self.zero_page.store(stored.offset, Ordering::Relaxed);
        }
    }

    fn read_exactly(&self, at: PhysAddr, offset: u64, buf: &mut [u8]) -> Result<(), MemoryError> {
        match self.file.read_at(offset, buf) {
            Ok(read) if read == buf.len() => Ok(()),
            Ok(_) => Err(MemoryError::Truncated { at, offset }),
            Err(error) => Err(MemoryError::Io {
                offset,
                why: error.to_string(),
            }),
        }
    }

    fn descriptor(&self, index: u64) -> Result<Descriptor, DescriptorError> {
        let start = index.saturating_mul(DESCRIPTOR_SIZE);
        let offset = self.main.descriptors_at().saturating_add(start);
        if offset.saturating_add(DESCRIPTOR_SIZE) > self.file.size() {
            return Err(DescriptorError::BehindEnd { offset });
        }
        let block = start / DESCRIPTOR_BLOCK;
        let bytes = self
            .descriptors
            .get_or_load(block, || {
                let at = self.main.descriptors_at() + block * DESCRIPTOR_BLOCK;
                zero_filled(&*self.file, at, DESCRIPTOR_BLOCK as usize).map(Arc::from)
            })
            .map_err(DescriptorError::Unreadable)?;
        let layout = self.main.layout;
        let within = (start % DESCRIPTOR_BLOCK) as usize;
        let decoded = || {
            Some(Descriptor {
                offset: layout.u64(&bytes, within)?,
                size: layout.u32(&bytes, within + 8)?,
                flags: layout.u32(&bytes, within + 12)?,
            })
        };
        decoded().ok_or(DescriptorError::BehindEnd { offset })
    }

    /// Whether the last pages' data would lie behind the end of the file. Pages are written in order, so only the
    /// last descriptors are looked at; zero pages may all share an early place, so a few more than one.
    fn ends_early(&self) -> bool {
        let end = if self.sub.split {
            self.stored.rank(&*self.file, self.sub.end_pfn).unwrap_or(0)
        } else {
            self.stored.total()
        };
        let count = end.saturating_sub(self.first_rank);
        let looked_at = 16 * DESCRIPTOR_BLOCK / DESCRIPTOR_SIZE;
        let mut shared = None;
        for index in (count.saturating_sub(looked_at)..count).rev() {
            match self.descriptor(index) {
                Err(DescriptorError::BehindEnd { .. }) => return true,
                Err(DescriptorError::Unreadable(_)) => return false,
                Ok(descriptor) => {
                    let last = descriptor.offset.saturating_add(u64::from(descriptor.size));
                    if descriptor.offset == 0 || last > self.file.size() {
                        return true;
                    }
                    // Two different places: the later page is not the shared zero page's.
                    if shared.is_some_and(|other| other != descriptor.offset) {
                        return false;
                    }
                    shared = Some(descriptor.offset);
                }
            }
        }
        false
    }
}

#[derive(Clone, Copy, Debug)]
struct Descriptor {
    offset: u64,
    size: u32,
    flags: u32,
}

/// A page as the file has it.
#[derive(Clone, Copy, Debug)]
struct Stored {
    at: PhysAddr,
    offset: u64,
    /// In bytes.
    size: u32,
    method: Method,
}

impl Stored {
    fn damaged(&self, why: String) -> MemoryError {
        MemoryError::Damaged {
            at: self.at,
            offset: self.offset,
            why,
        }
    }
}

enum DescriptorError {
    BehindEnd { offset: u64 },
    Unreadable(MemoryError),
}

fn read_headers(file: &dyn ReadAt) -> Result<(MainHeader, SubHeader), DumpError> {
    let bytes = read_vec(file, 0, MAIN_HEADER_SIZE)?;
    if bytes.len() < MAIN_HEADER_SIZE {
        return Err(DumpError::HeaderCut {
            format: Family::of(&bytes).map_or("kdump-compressed", Family::name),
            part: "header",
            needed: MAIN_HEADER_SIZE as u64,
            size: file.size(),
        });
    }
    let main = MainHeader::parse(&bytes)?;
    let sub = SubHeader::parse(&read_vec(file, main.sub_header_at(), SUB_HEADER_SIZE)?, &main);
    Ok((main, sub))
}
