//! A text of any length in bounded memory: whole up to a limit; of a longer one its start, its end, and of what lies
//! between those blocks that tell something.
//!
//! Whether a block tells something is not decided here.

use std::collections::VecDeque;

/// A text that is being read.
pub(super) struct LongText {
    limit: usize,
    telling: fn(&[u8]) -> bool,
    /// The start, and behind it what was kept of the middle.
    kept: Vec<u8>,
    /// The latest blocks.
    latest: VecDeque<Vec<u8>>,
    latest_bytes: usize,
    /// The end of the last block, behind its last line feed.
    partial: Vec<u8>,
    /// The block before was kept for what it tells: what it began may go on.
    goes_on: bool,
    /// Bytes of the middle that are left out.
    left_out: u64,
}

impl LongText {
    /// Keeps at most `limit` bytes.
    pub(super) fn new(limit: usize, telling: fn(&[u8]) -> bool) -> Self {
        LongText {
            limit,
            telling,
            kept: Vec::new(),
            latest: VecDeque::new(),
            latest_bytes: 0,
            partial: Vec::new(),
            goes_on: false,
            left_out: 0,
        }
    }

    /// Takes the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks((self.limit / 16).max(1)) {
            self.piece(piece);
        }
    }

    fn piece(&mut self, bytes: &[u8]) {
        if self.latest.is_empty() && self.kept.len() + bytes.len() <= self.limit / 2 {
            self.kept.extend_from_slice(bytes);
            return;
        }
        // Blocks end in whole lines, so that what is kept does.
        let mut block = std::mem::take(&mut self.partial);
        block.extend_from_slice(bytes);
        let end = block
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(block.len(), |at| at + 1);
        self.partial = block.split_off(end);
        self.latest_bytes += block.len();
        self.latest.push_back(block);
        while self.latest_bytes > self.limit / 4 {
            let Some(oldest) = self.latest.pop_front() else { break };
            self.latest_bytes -= oldest.len();
            self.sieve(&oldest);
        }
    }

    /// Keeps or leaves out a block of the middle.
    fn sieve(&mut self, block: &[u8]) {
        let room = self.kept.len() + block.len() <= self.limit / 4 * 3;
        let telling = room && (self.telling)(block);
        if room && (telling || self.goes_on) {
            self.kept.extend_from_slice(block);
        } else {
            self.left_out += block.len() as u64;
        }
        self.goes_on = telling;
    }

    /// The text, and how many bytes of it are left out.
    pub(super) fn finish(mut self) -> (Vec<u8>, u64) {
        self.kept.reserve_exact(self.latest_bytes + self.partial.len());
        for block in self.latest {
            self.kept.extend_from_slice(&block);
        }
        self.kept.extend_from_slice(&self.partial);
        (self.kept, self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: usize, limit: usize, mark: usize) -> (Vec<u8>, u64) {
        let mut text = LongText::new(limit, |block| block.windows(4).any(|word| word == b"BUG:"));
        for line in 0..lines {
            let word = if line == mark { "BUG:" } else { "calm" };
            text.push(format!("{word} {line:07}\n").as_bytes());
        }
        text.finish()
    }

    #[test]
    fn a_short_text_stays_whole() {
        let (text, left_out) = read(100, 1 << 20, 50);
        assert_eq!((text.len(), left_out), (1300, 0));
        // Also one that fits only together with the latest blocks.
        let (text, left_out) = read(100, 2000, 50);
        assert_eq!((text.len(), left_out), (1300, 0));
    }

    #[test]
    fn a_long_one_keeps_its_ends_and_what_tells_something() {
        let (text, left_out) = read(10_000, 4000, 5000);
        let text = String::from_utf8(text).unwrap();
        assert!(text.len() <= 4000 && left_out > 100_000);
        assert!(text.starts_with("calm 0000000\n") && text.ends_with("calm 0009999\n"));
        assert!(text.contains("BUG: 0005000\ncalm 0005001\n"));
        assert!(text.lines().all(|line| line.len() == 12), "only whole lines");
    }

    #[test]
    fn its_memory_is_bounded_whatever_it_tells() {
        let mut text = LongText::new(4000, |_| true);
        for _ in 0..10_000 {
            text.push(b"no line feed at all ");
        }
        assert!(text.finish().0.len() <= 4000);
    }
}
