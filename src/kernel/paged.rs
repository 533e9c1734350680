//! A long table in the dump's memory, read page by page as it is asked for and then kept, without a copy where that can
//! be: many are alike, and others have them as well.
//!
//! Symbol tables have megabytes of which a lookup needs a few pages; a page that the dump lacks spoils only itself.
//! Of the pages read, those who keep a record hear which bytes were asked for.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::addr::VirtAddr;
use crate::kernel::PAGE;
use crate::kernel::access::KernelMemory;

/// `len` bytes of virtual memory from `start` on.
#[derive(Debug)]
pub(super) struct PagedBytes {
    memory: KernelMemory,
    start: u64,
    len: u64,
    pages: Vec<OnceLock<Option<Page>>>,
    /// All pages at once, once [`PagedBytes::load`] has read them; `None` inside where the dump lacks one.
    loaded: OnceLock<Option<Arc<Vec<u8>>>>,
    is_recorded: bool,
}

/// A part of a page.
#[derive(Debug)]
struct Page {
    bytes: Arc<[u8]>,
    part: Range<usize>,
}

impl PagedBytes {
    /// Reads nothing yet. `None` when the table would reach past the end of the address space.
    pub(super) fn new(memory: KernelMemory, start: VirtAddr, len: u64) -> Option<PagedBytes> {
        let end = start.0.checked_add(len)?;
        let count = end.div_ceil(PAGE).checked_sub(start.0 / PAGE)?;
        let pages = (0..count).map(|_| OnceLock::new()).collect();
        Some(PagedBytes {
            is_recorded: memory.is_recorded(),
            memory,
            start: start.0,
            len,
            pages,
            loaded: OnceLock::new(),
        })
    }

    /// Its length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Where it starts.
    pub(super) fn start(&self) -> VirtAddr {
        VirtAddr(self.start)
    }

    /// Fills `buf` from byte `offset` of the table on; `None` outside the table or where the dump has no memory.
    pub(super) fn copy(&self, offset: u64, buf: &mut [u8]) -> Option<()> {
        self.peek(offset, buf)?;
        self.record(offset, buf.len());
        Some(())
    }

    /// [`PagedBytes::copy`] of bytes that may turn out not to matter.
    pub(super) fn peek(&self, offset: u64, buf: &mut [u8]) -> Option<()> {
        if offset.checked_add(buf.len() as u64)? > self.len {
            return None;
        }
        let mut at = self.start + offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let page = self.page(at)?;
            let skip = (at - self.page_range(at).start) as usize;
            let found = page.get(skip..)?;
            let count = found.len().min(rest.len());
            let (head, tail) = rest.split_at_mut_checked(count)?;
            head.copy_from_slice(found.get(..count)?);
            rest = tail;
            at += count as u64;
        }
        Some(())
    }

    /// Tells that bytes of the table mattered.
    fn record(&self, offset: u64, len: usize) {
        if self.is_recorded {
            self.memory
                .used(VirtAddr(self.start.saturating_add(offset)), len as u64);
        }
    }

    /// The bytes of `range` up to the first that the dump lacks. The caller bounds its length. They may turn out not to
    /// matter: nobody is told that they did.
    pub(super) fn prefix(&self, range: Range<u64>) -> Cow<'_, [u8]> {
        let range = range.start..range.end.min(self.len);
        if range.is_empty() {
            return Cow::default();
        }
        let loaded = self.loaded.get().and_then(Option::as_ref);
        let at_once = match loaded {
            Some(loaded) => loaded.get(range.start as usize..range.end as usize),
            // Nothing behind a page that lacks is wanted: it is not read either.
            None => Some(self.rest_of_page(range.start)).and_then(|rest| {
                let wanted = usize::try_from(range.end - range.start).ok()?;
                rest.get(..wanted).or_else(|| rest.is_empty().then_some(rest))
            }),
        };
        if let Some(bytes) = at_once {
            return Cow::Borrowed(bytes);
        }
        let mut bytes = Vec::with_capacity((range.end - range.start).min(PAGE) as usize);
        let mut at = range.start;
        while at < range.end {
            let found = self.rest_of_page(at);
            let count = (found.len() as u64).min(range.end - at);
            bytes.extend_from_slice(found.get(..count as usize).unwrap_or_default());
            at += count;
            if count == 0 {
                break;
            }
        }
        Cow::Owned(bytes)
    }

    /// What lies from byte `offset` on in one page; nothing outside the table or where the dump lacks the page. As with
    /// [`PagedBytes::peek`], nobody is told.
    pub(super) fn rest_of_page(&self, offset: u64) -> &[u8] {
        let found = || {
            let at = self.start.checked_add(offset).filter(|_| offset < self.len)?;
            let skip = at - self.page_range(at).start;
            self.page(at)?.get(skip as usize..)
        };
        found().unwrap_or_default()
    }

    /// All of it, read at once and not kept; `None` where the dump lacks a part. Whoever made the table has bounded it.
    pub(super) fn whole(&self) -> Option<Vec<u8>> {
        let len = usize::try_from(self.len).ok()?;
        self.memory.peek(VirtAddr(self.start), len).ok()
    }

    /// Reads all of it at once and keeps it: many pages together cost much less than one by one. Where the dump lacks
    /// a part, pages are read as before; `None`.
    pub(super) fn load(&self) -> Option<&Arc<Vec<u8>>> {
        /// A length may be an upper bound only.
        const MAX: u64 = 8 << 20;
        self.loaded
            .get_or_init(|| (self.len <= MAX).then(|| self.whole()).flatten().map(Arc::new))
            .as_ref()
    }

    /// The part of the table on the page of `at`.
    fn page_range(&self, at: u64) -> Range<u64> {
        let start = at / PAGE * PAGE;
        let end = start.saturating_add(PAGE);
        start.max(self.start)..end.min(self.start + self.len)
    }

    fn page(&self, at: u64) -> Option<&[u8]> {
        if let Some(Some(loaded)) = self.loaded.get() {
            let range = self.page_range(at);
            return loaded.get((range.start - self.start) as usize..(range.end - self.start) as usize);
        }
        let number = at / PAGE - self.start / PAGE;
        let slot = self.pages.get(usize::try_from(number).ok()?)?;
        let page = slot.get_or_init(|| {
            let range = self.page_range(at);
            let (start, length) = (at / PAGE * PAGE, (range.end - range.start) as usize);
            if let Some(bytes) = self.memory.page(VirtAddr(start)) {
                let skip = (range.start - start) as usize;
                let part = skip..skip + length;
                return Some(Page { bytes, part });
            }
            let bytes = self.memory.peek(VirtAddr(range.start), length).ok()?;
            Some(Page {
                bytes: bytes.into(),
                part: 0..length,
            })
        });
        let page = page.as_ref()?;
        page.bytes.get(page.part.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::access::test_memory::TestMemory;

    #[test]
    fn reads_across_pages_and_stops_at_holes() {
        let mut memory = TestMemory::one(0x1ff0, (0..=255).cycle().take(0x1010).collect());
        memory.parts.push((0x4000, vec![7; 16]));
        let table = PagedBytes::new(memory.reader(), VirtAddr(0x1ff8), 0x2010).unwrap();
        let copied = |offset| {
            let mut buf = [0; 8];
            table.copy(offset, &mut buf).map(|()| buf)
        };
        assert_eq!(copied(4), Some([12, 13, 14, 15, 16, 17, 18, 19]));
        assert_eq!(copied(0x1004), None);
        assert_eq!(copied(0x2008), Some([7; 8]));
        assert_eq!(copied(0x2009), None);
        assert_eq!(*table.prefix(4..12), (12..20).collect::<Vec<u8>>());
        assert_eq!(table.prefix(0xffc..0x2010).len(), 0x1008 - 0xffc);
        assert!(table.prefix(0x1008..0x2010).is_empty());
        assert_eq!(*table.prefix(0x200c..u64::MAX), [7; 4]);
        assert_eq!(table.rest_of_page(0x2008), [7; 8]);
        assert!(table.rest_of_page(0x1008).is_empty() && table.rest_of_page(0x2010).is_empty());
        assert!(PagedBytes::new(TestMemory::default().reader(), VirtAddr(u64::MAX), 2).is_none());
    }
}
