//! kallsyms' compressed names: the token tables, the name stream, and an index over all names.
//!
//! A name is a length and as many codes, each standing for one of 256 tokens (scripts/kallsyms.c); the first expanded
//! character is the symbol's type as `nm` prints it. The length has one byte, from 6.1 on ULEB128 of at most two
//! (`len & 0x80` asks for the second). Read as ULEB128 throughout: before 6.1 a name had at most 127 characters, so a
//! length of 128 or more would need a name with a type in which no two characters share a token.

use std::borrow::Cow;

use rayon::prelude::*;

use crate::addr::VirtAddr;
use crate::kernel::access::KernelMemory;

/// A token cannot be longer than a name: KSYM_NAME_LEN is 512 at most (6.1+).
const MAX_TOKEN: usize = 512;
/// Symbols between two markers (scripts/kallsyms.c writes a marker for every 256th name).
pub(super) const GROUP: u32 = 256;

/// The 256 tokens that name codes stand for.
#[derive(Debug)]
pub(super) struct Tokens {
    tokens: Vec<Token>,
}

#[derive(Debug, Default)]
struct Token {
    text: Box<[u8]>,
    whole: Hash,
    /// Without the first character: what the first token of a name adds to it behind the type.
    tail: Hash,
}

/// A polynomial hash that can be put together from the hashes of the pieces.
#[derive(Clone, Copy, Debug)]
struct Hash {
    value: u64,
    /// The multiplier to the power of the length.
    power: u64,
}

impl Default for Hash {
    fn default() -> Self {
        Hash { value: 0, power: 1 }
    }
}

impl Hash {
    /// Odd, so that no power of it vanishes modulo 2^64 (Knuth's multiplier for linear congruential generators).
    const MULTIPLIER: u64 = 6_364_136_223_846_793_005;

    fn of(text: &[u8]) -> Hash {
        text.iter().fold(Hash::default(), |hash, byte| {
            hash.then(Hash {
                value: u64::from(*byte) + 1,
                power: Hash::MULTIPLIER,
            })
        })
    }

    fn then(self, next: Hash) -> Hash {
        Hash {
            value: self.value.wrapping_mul(next.power).wrapping_add(next.value),
            power: self.power.wrapping_mul(next.power),
        }
    }

    fn finish(self) -> u32 {
        ((self.value ^ self.value >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
    }
}

impl Tokens {
    /// Reads `kallsyms_token_table` and `kallsyms_token_index`.
    pub(super) fn read(memory: &KernelMemory, table: VirtAddr, index: VirtAddr) -> Option<Tokens> {
        let abi = memory.abi();
        let index = memory.bytes(index, 512).ok()?;
        let starts: Vec<usize> = index.chunks_exact(2).map(|pair| abi.uint(pair) as usize).collect();
        let last = *starts.last()?;
        if starts.first() != Some(&0) || !starts.is_sorted() {
            return None;
        }
        let mut text = memory.bytes(table, last).ok()?;
        text.extend(memory.c_string(table.checked_add(last as u64)?, MAX_TOKEN).ok()?);
        let tokens = starts
            .iter()
            .map(|start| {
                let token = text.get(*start..)?.split(|byte| *byte == 0).next()?;
                (token.len() <= MAX_TOKEN).then(|| Token {
                    text: token.into(),
                    whole: Hash::of(token),
                    tail: Hash::of(token.get(1..).unwrap_or_default()),
                })
            })
            .collect::<Option<Vec<Token>>>()?;
        Some(Tokens { tokens })
    }

    /// What they stand for.
    pub(super) fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.tokens.iter().map(|token| &*token.text)
    }

    fn get(&self, code: u8) -> Option<&Token> {
        self.tokens.get(usize::from(code))
    }

    /// The code of the token that is `text`.
    pub(super) fn code(&self, text: &[u8]) -> Option<u8> {
        let code = self.tokens.iter().position(|token| *token.text == *text)?;
        u8::try_from(code).ok()
    }

    /// The type character and the name that `codes` stand for.
    pub(super) fn expand(&self, codes: &[u8]) -> Option<(char, String)> {
        /// The kernel's own limit for one name is 512; a hostile table could multiply 16,383 codes by 512 characters.
        const MAX_NAME: usize = 4096;
        let mut name = Vec::with_capacity(32);
        for code in codes {
            name.extend_from_slice(&self.get(*code)?.text);
            if name.len() > MAX_NAME {
                return None;
            }
        }
        let (kind, name) = name.split_first()?;
        Some((char::from(*kind), String::from_utf8_lossy(name).into_owned()))
    }

    /// The hash of the name that `codes` stand for, as [`name_hash`] makes it.
    fn hash(&self, codes: &[u8]) -> Option<u32> {
        let (first, rest) = codes.split_first()?;
        let mut hash = self.get(*first)?.tail;
        for code in rest {
            hash = hash.then(self.get(*code)?.whole);
        }
        Some(hash.finish())
    }
}

/// The hash of a name without its type.
fn name_hash(name: &str) -> u32 {
    Hash::of(name.as_bytes()).finish()
}

/// The codes of the name that starts at `position` of `stream`, and where the next one starts.
pub(super) fn entry(stream: &[u8], position: usize) -> Option<(&[u8], usize)> {
    let low = *stream.get(position)?;
    let (len, start) = if low & 0x80 == 0 {
        (usize::from(low), position + 1)
    } else {
        let high = usize::from(*stream.get(position + 1)?);
        (usize::from(low & 0x7f) | high << 7, position + 2)
    };
    let end = start.checked_add(len)?;
    Some((stream.get(start..end)?, end))
}

/// How many names like that of `len` bytes at `position` follow it; of the last ones some may not be counted.
fn repeats(stream: &[u8], position: usize, len: usize) -> usize {
    const STEP: usize = 64;
    let from = |start: usize| stream.get(start..).unwrap_or_default().as_chunks::<STEP>().0;
    let alike = from(position + len).iter().zip(from(position));
    let steps = alike.take_while(|(next, this)| next == this).count();
    (steps * STEP).checked_div(len).unwrap_or(0)
}

/// Where the stream stands after `count` names from its start.
pub(super) fn skip(stream: &[u8], count: u32) -> Option<usize> {
    (0..count).try_fold(0, |position, _| entry(stream, position).map(|(_, next)| next))
}

/// Symbol numbers by name: made in one pass over the names, without keeping their text.
#[derive(Debug)]
pub(super) struct NameIndex {
    /// Of each symbol, by number; [`NameIndex::UNKNOWN`] where the dump lacks the name.
    hashes: Vec<u32>,
    /// Where each bucket's members start, and the end of the last.
    starts: Vec<u32>,
    /// Symbol numbers, by bucket, ascending in each. Of symbols in a row with one hash only the first: most names of a
    /// capsule are blanks, and alike.
    members: Vec<u32>,
}

impl NameIndex {
    /// Stands for "no name" and never leaves a hash: names with it are filed under 0.
    const UNKNOWN: u32 = u32::MAX;

    /// `group` gives the bytes of the name stream from the n-th marker on, up to the next.
    ///
    /// Nearly all of the cost is fetching and unpacking the pages that the names lie on: hence the threads. Two counting passes and no chains to follow: names made to collide cost no more than others.
    pub(super) fn build<'a>(count: u32, tokens: &Tokens, group: impl Fn(u32) -> Cow<'a, [u8]> + Sync) -> NameIndex {
        /// Groups for one thread at a time: some six pages of names.
        const GROUPS: usize = 8;
        /// Members of a bucket, about: telling them apart by their hashes costs less than memory for more buckets.
        const MEMBERS: usize = 8;
        let mut hashes = vec![NameIndex::UNKNOWN; count as usize];
        let runs = hashes.par_chunks_mut(GROUP as usize * GROUPS).enumerate();
        runs.for_each(|(run, hashes)| {
            for (number, hashes) in hashes.chunks_mut(GROUP as usize).enumerate() {
                let stream = group((run * GROUPS + number) as u32);
                let mut position = 0;
                let mut last: (&[u8], u32) = (&[], NameIndex::UNKNOWN);
                let mut rest = hashes;
                while !rest.is_empty()
                    && let Some((codes, next)) = entry(&stream, position)
                {
                    let mut row = 1;
                    if codes != last.0 {
                        last = (codes, tokens.hash(codes).map_or(NameIndex::UNKNOWN, NameIndex::filed));
                    } else {
                        row += repeats(&stream, position, next - position).min(rest.len() - 1);
                    }
                    let (these, behind) = rest.split_at_mut(row);
                    these.fill(last.1);
                    position += row * (next - position);
                    rest = behind;
                }
            }
        });
        let buckets = (count as usize / MEMBERS).next_power_of_two();
        let mut starts = vec![0_u32; buckets + 1];
        for_firsts(&hashes, |_, hash| {
            let bucket = bucket_of(hash, buckets);
            if let Some(start) = bucket.and_then(|bucket| starts.get_mut(bucket + 1)) {
                *start += 1;
            }
        });
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        let mut members = vec![0; sum as usize];
        let mut fill = starts.clone();
        for_firsts(&hashes, |number, hash| {
            let Some(next) = bucket_of(hash, buckets).and_then(|bucket| fill.get_mut(bucket)) else {
                return;
            };
            if let Some(member) = members.get_mut(*next as usize) {
                *member = number;
            }
            *next += 1;
        });
        NameIndex {
            hashes,
            starts,
            members,
        }
    }

    /// How much memory it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        4 * (self.hashes.len() + self.starts.len() + self.members.len())
    }

    /// The numbers of the symbols that may bear `name`, ascending; the text decides.
    pub(super) fn candidates(&self, name: &str) -> impl Iterator<Item = u32> {
        let hash = NameIndex::filed(name_hash(name));
        let bucket = bucket_of(hash, self.starts.len() - 1).unwrap_or(0);
        let bound = |bucket: usize| self.starts.get(bucket).copied().unwrap_or(0) as usize;
        let members = self.members.get(bound(bucket)..bound(bucket + 1)).unwrap_or_default();
        let bears = move |number: &u32| self.hashes.get(*number as usize) == Some(&hash);
        members.iter().flat_map(move |first| (*first..).take_while(bears))
    }

    fn filed(hash: u32) -> u32 {
        if hash == NameIndex::UNKNOWN { 0 } else { hash }
    }
}

/// Calls `visit` for every symbol whose hash is not that of the one before, with both.
fn for_firsts(hashes: &[u32], mut visit: impl FnMut(u32, u32)) {
    let mut last = None;
    for (number, hash) in (0..).zip(hashes) {
        if last != Some(*hash) {
            visit(number, *hash);
        }
        last = Some(*hash);
    }
}

/// Which of `buckets` (a power of two) a hash belongs to.
fn bucket_of(hash: u32, buckets: usize) -> Option<usize> {
    (hash != NameIndex::UNKNOWN).then_some(hash as usize & (buckets - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_same_whole_and_in_pieces() {
        let whole = Hash::of(b"down_read_trylock");
        let pieces = Hash::of(b"down_re").then(Hash::of(b"")).then(Hash::of(b"ad_trylock"));
        assert_eq!(whole.finish(), pieces.finish());
    }

    #[test]
    fn of_names_in_a_row_that_are_alike_each_is_found() {
        let tokens = ["t", "a", "b"].map(|text| Token {
            text: text.as_bytes().into(),
            whole: Hash::of(text.as_bytes()),
            tail: Hash::default(),
        });
        let tokens = Tokens { tokens: tokens.into() };
        let names = [&b"aabaaabba".repeat(30)[..], &[b'b'; 150], b"abbba", &[b'a'; 115]].concat();
        // The second group lacks its last name, and the third all.
        let groups: Vec<Vec<u8>> = names
            .chunks(GROUP as usize)
            .zip([256, 255, 0])
            .map(|(names, there)| {
                let codes = names.iter().take(there).map(|name| name - b'a' + 1);
                codes.flat_map(|code| [2, 0, code]).collect()
            })
            .collect();
        let count = names.len() as u32;
        let index = NameIndex::build(count, &tokens, |group| Cow::Borrowed(&*groups[group as usize]));
        for name in ["a", "b"] {
            let wanted = (0..511_u32).filter(|number| names[*number as usize] == name.as_bytes()[0]);
            assert!(index.candidates(name).eq(wanted), "{name}");
        }
        assert_eq!(index.candidates("c").count(), 0);
    }

    #[test]
    fn lengths_of_128_and_more_take_two_bytes() {
        let mut stream = vec![0x82, 0x01];
        stream.extend([9; 130]);
        stream.push(1);
        assert_eq!(
            entry(&stream, 0).map(|(codes, next)| (codes.len(), next)),
            Some((130, 132))
        );
        assert_eq!(entry(&stream, 132), None);
        assert_eq!(entry(&[], 0), None);
    }
}
