//! Where the members of the ring's structures are.

use crate::kernel::log::Source;

/// Where the members are, in bytes.
pub(super) struct Layout {
    pub(super) word: usize,
    pub(super) ring_size: usize,
    pub(super) count_bits: usize,
    pub(super) descs: usize,
    pub(super) infos: usize,
    pub(super) head_id: usize,
    pub(super) tail_id: usize,
    pub(super) text_ring: usize,
    pub(super) size_bits: usize,
    pub(super) data: usize,
    pub(super) head_lpos: usize,
    pub(super) tail_lpos: usize,
    pub(super) desc_size: u64,
    pub(super) state: usize,
    pub(super) begin: usize,
    pub(super) next: usize,
    pub(super) info_size: u64,
    pub(super) seq: usize,
    pub(super) time: usize,
    pub(super) text_len: usize,
    pub(super) caller: usize,
}

impl Layout {
    /// From VMCOREINFO; what it lacks as in 5.10–6.18 on 64 bits.
    pub(super) fn new(source: &Source<'_>) -> Layout {
        let word = source.memory.abi().word_size() as usize;
        let small = |value: u64| usize::try_from(value).ok().filter(|&value| value < 4096);
        let offset = |member: &str, fallback: usize| source.info.offset(member).and_then(small).unwrap_or(fallback);
        let size = |name: &str, fallback: u64| {
            source
                .info
                .size(name)
                .filter(|size| (8..4096).contains(size))
                .unwrap_or(fallback)
        };
        let desc_ring = offset("printk_ringbuffer.desc_ring", 0);
        let text_ring = offset("printk_ringbuffer.text_data_ring", 48);
        let counter = offset("atomic_long_t.counter", 0);
        let block = offset("prb_desc.text_blk_lpos", 8);
        Layout {
            word,
            ring_size: size("printk_ringbuffer", 88) as usize,
            count_bits: desc_ring + offset("prb_desc_ring.count_bits", 0),
            descs: desc_ring + offset("prb_desc_ring.descs", 8),
            infos: desc_ring + offset("prb_desc_ring.infos", 16),
            head_id: desc_ring + offset("prb_desc_ring.head_id", 24) + counter,
            tail_id: desc_ring + offset("prb_desc_ring.tail_id", 32) + counter,
            text_ring,
            size_bits: offset("prb_data_ring.size_bits", 0),
            data: offset("prb_data_ring.data", 8),
            head_lpos: offset("prb_data_ring.head_lpos", 16) + counter,
            tail_lpos: offset("prb_data_ring.tail_lpos", 24) + counter,
            desc_size: size("prb_desc", 24),
            state: offset("prb_desc.state_var", 0) + counter,
            begin: block + offset("prb_data_blk_lpos.begin", 0),
            next: block + offset("prb_data_blk_lpos.next", 8),
            info_size: size("printk_info", 88),
            seq: offset("printk_info.seq", 0),
            time: offset("printk_info.ts_nsec", 8),
            text_len: offset("printk_info.text_len", 16),
            caller: offset("printk_info.caller_id", 20),
        }
    }

    /// The bits of a state word that hold the id; the two above hold the state.
    pub(super) fn id_bits(&self) -> u32 {
        self.word as u32 * 8 - 2
    }

    pub(super) fn id_mask(&self) -> u64 {
        (1 << self.id_bits()) - 1
    }
}
