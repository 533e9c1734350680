//! The shipped rules as the binary holds them: written by the build script, read where they lie.
//!
//! Nothing of it has to be put in order when the program starts, and what nobody asks for is not even touched: a run pays
//! for the few rules that its crash concerns. Three parts: the rules' texts, what must be known of every rule, and tables
//! of numbers, little-endian words of 32 bits, that point into both. It must not know what a rule means.

/// Words of a rule's record: text and JSON (start and length each, in the texts), digest (two), flags, where its head
/// starts in the heads, where its further lists start in the list, and how long each of the head's fields is.
pub const RULE: usize = 9 + FIELDS;
/// Fields of a head: kinds, kinds that it must be asked about, file, id, status, replaced_by, was, specializes.
pub const FIELDS: usize = 8;
/// Words of a name's record: group, name (start and length, in the heads), its rules (start and count, in the list).
const NAME: usize = 5;
/// Words before the first record: how many rules, how many names, how many slots the table of names has.
const START: usize = 3;

/// What the index needs of a rule.
#[derive(Debug)]
pub struct Facets<K> {
    /// See [`Open::always`](super::keys::Open::always).
    pub always: bool,
    /// See [`Open::to_modules`](super::keys::Open::to_modules).
    pub to_modules: bool,
    /// See [`Open::to_kinds`](super::keys::Open::to_kinds).
    pub to_kinds: K,
    /// See [`Keys::general`](super::keys::Keys::general).
    pub general: bool,
    /// The groups in which it requires something that it names.
    pub required: u8,
    /// See [`Keys::one_stack`](super::keys::Keys::one_stack).
    pub one_stack: bool,
    /// How many predicates its `match` has.
    pub asks: usize,
    /// The kinds of crash that it asks for.
    pub kinds: K,
}

/// What must be known of a rule before it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head<'t> {
    /// `builtin:` and the path below `rules/`.
    pub file: &'t str,
    /// Its id.
    pub id: &'t str,
    /// Its status.
    pub status: &'t str,
    /// The rule that took its place, or nothing.
    pub replaced_by: &'t str,
    /// Former ids.
    pub was: Vec<&'t str>,
    /// The ids of more general rules.
    pub specializes: Vec<&'t str>,
    /// The digest of its text.
    pub digest: u64,
}

/// The three parts.
#[derive(Clone, Copy, Debug)]
pub struct Store<'t> {
    /// Rule files and what the build script made of them.
    pub texts: &'t str,
    /// Heads of rules, and names.
    pub heads: &'t str,
    /// The tables.
    pub numbers: &'t [u8],
}

/// Where in the table of names a name is looked for first, modulo the table's size: FNV-1a.
pub fn hash(group: u8, name: &str) -> usize {
    let bytes = std::iter::once(group).chain(name.bytes());
    bytes.fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    }) as usize
}

impl<'t> Store<'t> {
    fn word(&self, at: usize) -> usize {
        let bytes = self.numbers.get(at * 4..).and_then(|rest| rest.first_chunk::<4>());
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
    }

    fn part(text: &'t str, start: usize, len: usize) -> &'t str {
        text.get(start..start.saturating_add(len)).unwrap_or_default()
    }

    fn rule(&self, number: usize, word: usize) -> usize {
        self.word(START + number * RULE + word)
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.word(0)
    }

    /// A rule's file.
    pub fn text(&self, number: usize) -> &'t str {
        Self::part(self.texts, self.rule(number, 0), self.rule(number, 1))
    }

    /// The same as JSON, which is read several times faster.
    pub fn json(&self, number: usize) -> &'t str {
        Self::part(self.texts, self.rule(number, 2), self.rule(number, 3))
    }

    fn fields(&self, number: usize) -> [&'t str; FIELDS] {
        let mut start = self.rule(number, 7);
        std::array::from_fn(|field| {
            let len = self.rule(number, 9 + field);
            let text = Self::part(self.heads, start, len);
            start = start.saturating_add(len);
            text
        })
    }

    /// What the index needs of a rule.
    pub fn facets(&self, number: usize) -> Facets<impl Iterator<Item = &'t str> + use<'t>> {
        let flags = self.rule(number, 6);
        let [kinds, to_kinds, ..] = self.fields(number);
        let words = |field: &'t str| field.split(' ').filter(|word| !word.is_empty());
        Facets {
            always: flags & 1 != 0,
            to_modules: flags & 4 != 0,
            to_kinds: words(to_kinds),
            general: flags & 2 != 0,
            required: (flags >> 8) as u8,
            one_stack: flags & 8 != 0,
            asks: flags >> 16,
            kinds: words(kinds),
        }
    }

    /// What must be known of a rule.
    pub fn head(&self, number: usize) -> Head<'t> {
        let [_, _, file, id, status, replaced_by, was, specializes] = self.fields(number);
        let words = |field: &'t str| match field {
            "" => Vec::new(),
            field => field.split(' ').collect(),
        };
        Head {
            file,
            id,
            status,
            replaced_by,
            was: words(was),
            specializes: words(specializes),
            digest: self.rule(number, 4) as u64 | (self.rule(number, 5) as u64) << 32,
        }
    }

    fn name(&self, place: usize) -> (u8, &'t str) {
        let at = START + self.len() * RULE + place * NAME;
        (
            self.word(at) as u8,
            Self::part(self.heads, self.word(at + 1), self.word(at + 2)),
        )
    }

    /// How many names there are.
    pub fn names_len(&self) -> usize {
        self.word(1)
    }

    /// Where the table of names starts, and how many slots it has.
    fn table(&self) -> (usize, usize) {
        (START + self.len() * RULE + self.names_len() * NAME, self.word(2))
    }

    /// Where the list starts.
    fn list(&self) -> usize {
        let (table, slots) = self.table();
        table + slots
    }

    /// The rules that name the name at `place` in a predicate of its group.
    pub fn rules_of(&self, place: usize) -> impl Iterator<Item = usize> + use<'t> {
        let names = START + self.len() * RULE;
        let list = self.list();
        let (start, count) = (self.word(names + place * NAME + 3), self.word(names + place * NAME + 4));
        let store = *self;
        (start..start + count).map(move |at| store.word(list + at))
    }

    /// What else a rule needs of the stack (`Keys::further`): how many lists there are, and of each how many places of
    /// names it has, and those.
    pub fn further(&self, number: usize) -> impl Iterator<Item = u32> + use<'t> {
        let start = self.list() + self.rule(number, 8);
        let store = *self;
        (start..).map(move |at| store.word(at) as u32)
    }

    /// The place of the first name that is not below `(group, name)`.
    fn lower_bound(&self, group: u8, name: &str) -> usize {
        let (mut low, mut high) = (0, self.word(1));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.name(middle) < (group, name) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The place of a name in a group.
    pub fn place(&self, group: u8, name: &str) -> Option<usize> {
        let (table, slots) = self.table();
        let first = hash(group, name).checked_rem(slots)?;
        let slots = (first..slots).chain(0..first).map(|slot| self.word(table + slot));
        let mut places = slots.map_while(|slot| slot.checked_sub(1));
        places.find(|place| self.name(*place) == (group, name))
    }

    /// All names of a group with the rules that name them.
    pub fn names(&self, group: u8) -> impl Iterator<Item = (&'t str, impl Iterator<Item = usize> + use<'t>)> + use<'t> {
        let store = *self;
        (self.lower_bound(group, "")..self.word(1))
            .map(move |place| (store.name(place), store.rules_of(place)))
            .take_while(move |((of, _), _)| *of == group)
            .map(|((_, name), rules)| (name, rules))
    }
}
