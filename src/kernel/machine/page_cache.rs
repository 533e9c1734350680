//! The parts of the page cache that `kmem -i` counts apart: block devices (buffers) and swap.
//!
//! Where types are not known (el7), a structure is used only where its own content bears the layout out: an inode and
//! its `address_space` point at each other, and an `address_space` names the operations it must have.

use super::{Fact, Machine, Unknown, unreadable};
use crate::addr::VirtAddr;

/// More block devices than are worth a look at each: every one costs up to three pages.
const MAX_BLOCK_DEVICES: usize = 1024;
/// `MAX_SWAPFILES` is at most this.
const MAX_SWAP_FILES: u64 = 32;
/// Swap caches of one swap file: one for each 64 MiB since 4.11, and none larger than 1 TiB.
const MAX_SWAP_SPACES: u64 = 1 << 14;

/// 3.10: `struct address_space` has `nrpages` behind a mutex, and `a_ops` two or three words further on.
mod untyped {
    pub(super) const WORDS: usize = 22;
    pub(super) const NRPAGES: usize = 12;
    pub(super) const A_OPS: std::ops::RangeInclusive<usize> = 14..=15;
    /// `inode.i_mapping`, and `address_space.host` which points back.
    pub(super) const I_MAPPING: u64 = 48;
    /// `block_device.bd_inode`; the inode lies behind the device in one object (`struct bdev_inode`).
    pub(super) const BD_INODE: u64 = 8;
    pub(super) const MAX_BLOCK_DEVICE: u64 = 1024;
}

/// How the list of block devices is linked.
struct BlockDevices {
    head: VirtAddr,
    /// Where in an object its link lies.
    link: u64,
    /// Where in an object the pointer to its inode lies; `None`: the object is the inode.
    inode: Option<u64>,
}

impl Machine<'_> {
    /// Pages of the block devices' own cache: `nr_blockdev_pages()` of block/bdev.c (fs/block_dev.c).
    pub(super) fn buffers(&self) -> Fact<u64> {
        let devices = self.block_devices()?;
        let mut pages = 0_u64;
        let mut at = devices.head;
        for _ in 0..MAX_BLOCK_DEVICES {
            at = self.pointer_at(at, "the list of block devices")?;
            if at == devices.head {
                return Ok(pages);
            }
            let object = VirtAddr(at.0.wrapping_sub(devices.link));
            let inode = match devices.inode {
                None => object,
                Some(offset) => self.pointer_at(VirtAddr(object.0.wrapping_add(offset)), "block_device.bd_inode")?,
            };
            pages = pages.saturating_add(self.cached_pages(self.mapping(inode)?, "def_blk_aops")?);
        }
        Err(Unknown::Implausible("the list of block devices".to_owned()))
    }

    /// Until 5.9 all block devices are in a list; since, their inodes are, as those of a file system of their own.
    fn block_devices(&self) -> Fact<BlockDevices> {
        let Ok(head) = self.symbol(&["all_bdevs"]) else {
            let name = "blockdev_superblock";
            let superblock = self.pointer_at(self.symbol(&[name])?, name)?;
            let inodes = self.offset("super_block", "s_inodes")?;
            return Ok(BlockDevices {
                head: VirtAddr(superblock.0.wrapping_add(inodes)),
                link: self.offset("inode", "i_sb_list")?,
                inode: None,
            });
        };
        if let (Ok(link), Ok(inode)) = (
            self.offset("block_device", "bd_list"),
            self.offset("block_device", "bd_inode"),
        ) {
            return Ok(BlockDevices {
                head,
                link,
                inode: Some(inode),
            });
        }
        let first = self.pointer_at(head, "all_bdevs")?;
        let link = (0..untyped::MAX_BLOCK_DEVICE)
            .step_by(8)
            .find(|link| first == head || self.is_block_device(VirtAddr(first.0.wrapping_sub(*link))))
            .ok_or_else(|| Unknown::NoLayout("block_device".to_owned()))?;
        Ok(BlockDevices {
            head,
            link,
            inode: Some(untyped::BD_INODE),
        })
    }

    /// Whether a `struct block_device` begins at `object`: its inode lies close behind it.
    fn is_block_device(&self, object: VirtAddr) -> bool {
        let inode = self.memory.pointer(VirtAddr(object.0.wrapping_add(untyped::BD_INODE)));
        inode.is_ok_and(|inode| {
            let distance = inode.0.wrapping_sub(object.0);
            (1..untyped::MAX_BLOCK_DEVICE).contains(&distance) && self.mapping(inode).is_ok()
        })
    }

    /// The `address_space` of an inode.
    fn mapping(&self, inode: VirtAddr) -> Fact<VirtAddr> {
        if let Ok(offset) = self.offset("inode", "i_mapping") {
            return self.pointer_at(VirtAddr(inode.0.wrapping_add(offset)), "inode.i_mapping");
        }
        let mapping = self.pointer_at(VirtAddr(inode.0.wrapping_add(untyped::I_MAPPING)), "inode.i_mapping")?;
        match self.memory.pointer(mapping) {
            Ok(host) if host == inode => Ok(mapping),
            _ => Err(Unknown::NoLayout("inode.i_mapping".to_owned())),
        }
    }

    /// How many pages an `address_space` holds, whose operations are those of the symbol `operations`.
    fn cached_pages(&self, mapping: VirtAddr, operations: &str) -> Fact<u64> {
        match self.member(mapping, "address_space", "nrpages") {
            Err(Unknown::NoLayout(what)) => {
                let words = self.words(mapping, untyped::WORDS, "address_space")?;
                let operations = self.symbol(&[operations])?;
                let fits = words
                    .get(untyped::A_OPS)
                    .is_some_and(|found| found.contains(&operations.0));
                let pages = words.get(untyped::NRPAGES).filter(|_| fits);
                pages.copied().ok_or(Unknown::NoLayout(what))
            }
            known => known,
        }
    }

    fn words(&self, at: VirtAddr, count: usize, what: &str) -> Fact<Vec<u64>> {
        let bytes = self
            .memory
            .bytes(at, count * 8)
            .map_err(|source| unreadable(what, source))?;
        Ok(bytes.chunks_exact(8).map(|word| self.memory.abi().uint(word)).collect())
    }

    /// Pages in the swap cache, of which `counted` is the kernel's own count (since 5.12) and `used` how much swap is
    /// in use. Without the first, each swap file has one `address_space` or several in `swapper_spaces`, or all have
    /// `swapper_space` (until 3.8).
    pub(super) fn swap_cache(&self, counted: Fact<u64>, used: Fact<u64>) -> Fact<u64> {
        // Every page in the swap cache has its place in swap.
        if used == Ok(0) {
            return Ok(0);
        }
        if counted.is_ok() {
            return counted;
        }
        let operations = "swap_aops";
        if let Ok(only) = self.symbol(&["swapper_space"]) {
            return self.cached_pages(only, operations);
        }
        let spaces = self.symbol(&["swapper_spaces"])?;
        let size = self.types.size_of("address_space");
        let Ok(numbers) = self.symbol(&["nr_swapper_spaces"]) else {
            // An array of structures until 4.10.
            let room = self.room(spaces, 1);
            let size = size.map_or_else(|| self.space_size(spaces, operations), Ok)?;
            return self.cached_pages_of(spaces, (room / size.max(1)).min(MAX_SWAP_FILES), size);
        };
        let size = size.ok_or_else(|| Unknown::NoLayout("address_space".to_owned()))?;
        let word = self.memory.abi().word_size();
        let files = self.room(spaces, word).min(MAX_SWAP_FILES);
        (0..files).try_fold(0_u64, |total, file| {
            let number = self
                .memory
                .u32(VirtAddr(numbers.0.wrapping_add(file * 4)))
                .map_err(|source| unreadable("nr_swapper_spaces", source))?;
            if number == 0 {
                return Ok(total);
            }
            let first = self.pointer_at(VirtAddr(spaces.0.wrapping_add(file * word)), "swapper_spaces")?;
            let pages = self.cached_pages_of(first, u64::from(number).min(MAX_SWAP_SPACES), size)?;
            Ok(total.saturating_add(pages))
        })
    }

    /// The pages of `number` structures `address_space` of `size` bytes each, from `first` on.
    fn cached_pages_of(&self, first: VirtAddr, number: u64, size: u64) -> Fact<u64> {
        (0..number).try_fold(0_u64, |sum, place| {
            let at = VirtAddr(first.0.wrapping_add(place.wrapping_mul(size)));
            Ok(sum.saturating_add(self.cached_pages(at, "swap_aops")?))
        })
    }

    /// The size of the structures `address_space` in an array: how far their equal operations lie apart.
    fn space_size(&self, array: VirtAddr, operations: &str) -> Fact<u64> {
        let operations = self.symbol(&[operations])?;
        let words = self.words(array, 2 * 2 * untyped::WORDS, "swapper_spaces")?;
        let mut places = (0_u64..).zip(&words).filter(|(_, word)| **word == operations.0);
        match (places.next(), places.next()) {
            (Some((first, _)), Some((second, _))) => Ok((second - first) * 8),
            _ => Err(Unknown::NoLayout("address_space".to_owned())),
        }
    }
}
