//! Constant words, all looked for at once.
//!
//! It must not know what a word means.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use aho_corasick::{AhoCorasick, AhoCorasickKind};

/// Words, and the automata that find them: one that is ready at once, and one that reads several times faster and takes
/// some milliseconds to make. One dump's log must not wait for the second; a large text soon has its use of it.
pub struct Words {
    words: fn() -> Vec<&'static str>,
    ready: OnceLock<AhoCorasick>,
    fast: OnceLock<AhoCorasick>,
    /// Bytes searched so far, as long as there is no fast automaton.
    searched: AtomicUsize,
}

impl Words {
    /// Finds the words that `words` names.
    pub const fn new(words: fn() -> Vec<&'static str>) -> Words {
        Words {
            words,
            ready: OnceLock::new(),
            fast: OnceLock::new(),
            searched: AtomicUsize::new(0),
        }
    }

    /// The automaton for a text of `len` bytes.
    pub fn over(&self, len: usize) -> &AhoCorasick {
        /// From so many bytes on the fast automaton has made up for its making.
        const WORTH: usize = 512 << 10;
        if let Some(fast) = self.fast.get() {
            return fast;
        }
        if self.searched.fetch_add(len, Ordering::Relaxed).saturating_add(len) < WORTH {
            self.ready.get_or_init(|| self.build(AhoCorasickKind::NoncontiguousNFA))
        } else {
            self.fast.get_or_init(|| self.build(AhoCorasickKind::DFA))
        }
    }

    /// Whether any of the words stands in `text`.
    pub fn is_in(&self, text: &str) -> bool {
        self.over(text.len()).is_match(text)
    }

    fn build(&self, kind: AhoCorasickKind) -> AhoCorasick {
        let automaton = AhoCorasick::builder().kind(Some(kind)).build((self.words)());
        // Constant words, few and short. Finding nothing would be the failure, and every test's.
        automaton.unwrap_or_else(|_| unreachable!("constant words"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_automata_find_the_same() {
        static WORDS: Words = Words::new(|| vec!["BUG", "UG: s", "panic"]);
        let text = "a BUG: soft lockup, a panic";
        let found = |automaton: &AhoCorasick| -> Vec<_> {
            automaton
                .find_overlapping_iter(text)
                .map(|hit| (hit.pattern().as_usize(), hit.start()))
                .collect()
        };
        let early = WORDS.over(1);
        assert_eq!(early.kind(), AhoCorasickKind::NoncontiguousNFA);
        let late = WORDS.over(1 << 20);
        assert_eq!(late.kind(), AhoCorasickKind::DFA);
        assert_eq!(found(early), [(0, 2), (1, 3), (2, 22)]);
        assert_eq!(found(early), found(late));
        assert!(WORDS.is_in(text) && !WORDS.is_in("nothing"));
    }
}
