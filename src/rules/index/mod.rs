//! Which rules can possibly say anything of a report, without asking each.
//!
//! A rule matches or nearly matches only where one of its telling predicates (fault, frames, panic, log) is yes, and
//! none that it requires is no. So rules are found by what those predicates need ([`keys`](super::keys)); what the index
//! leaves out would have answered no, or nothing worth telling. Verdicts and near misses are the same without it.

mod texts;

use std::borrow::Cow;
use std::collections::HashMap;

pub use texts::Hits;

use texts::Texts;

use super::keys::{FAULT, FRAMES, Keys, LOG, Open, PANIC, spellings};
use super::loaded::{Indexed, SHIPPED};
use crate::crash::{CrashReport, PanicKind};

/// The index over a knowledge base, by place in it.
#[derive(Debug, Default)]
pub struct Index {
    fault: HashMap<String, Function>,
    frames: HashMap<String, Function>,
    panic: Texts,
    log: Texts,
    /// For each rule the groups in which it requires something that it names.
    required: Vec<u8>,
    /// The kinds that each rule asks for, a bit each.
    kinds: Vec<u64>,
    /// What else must be known of each to rank it unread.
    traits: Vec<Traits>,
    /// What else each needs of the stack.
    further: Vec<Further>,
    /// Of rules of packs: how many lists there are, of each how many functions' numbers it has, and those.
    lists: Vec<u32>,
    /// Rules that no name leads to.
    open: Vec<u32>,
    /// Those that nothing but a module may lead to.
    to_modules: Vec<u32>,
    /// Those that nothing but one of these kinds, a bit each, may lead to.
    to_kinds: Vec<(u32, u64)>,
    in_force: Vec<usize>,
    /// Where each shipped rule stands, by its number; [`Index::NOWHERE`] when it is not in force. The functions that
    /// these rules name are looked up where the build script put them.
    places: Vec<u32>,
}

/// A function that rules of packs name.
#[derive(Debug)]
struct Function {
    /// Counted on from the places of the shipped rules' names.
    number: u32,
    rules: Vec<u32>,
}

/// What must be known of a rule to rank it unread.
#[derive(Clone, Copy, Debug, Default)]
struct Traits {
    /// How many predicates it has.
    asks: u32,
    /// Whether it is a general rule.
    general: bool,
    /// Whether but one of its predicates looks for functions on the stack.
    one_stack: bool,
}

/// Where the lists are of which the stack must hold a function each.
#[derive(Clone, Copy, Debug)]
enum Further {
    Nowhere,
    /// There in [`Index::lists`].
    Own(usize),
    /// With the shipped rule of this number.
    Shipped(usize),
}

/// A rule that may match or nearly match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its place in the knowledge base.
    pub at: usize,
    /// At least so many predicates that it requires are unknown: what they name was not found. With any, it cannot match.
    pub lacks: usize,
    /// How many predicates it has.
    pub asks: usize,
    /// Whether it is a general rule.
    pub general: bool,
}

impl Index {
    const NOWHERE: u32 = u32::MAX;

    /// Indexes rules by what they can be found by; `None` for a rule that is not in force.
    pub fn new<'k>(rules: impl Iterator<Item = Option<Indexed<'k>>>) -> Self {
        let mut index = Index::default();
        for (at, indexed) in rules.enumerate() {
            let rule = small(at);
            let (required, kinds, traits, further) = match indexed {
                None => (0, 0, Traits::default(), Further::Nowhere),
                Some(Indexed::Keys(keys)) => index.add(rule, keys),
                Some(Indexed::Shipped(number)) => index.add_shipped(rule, number),
            };
            index.required.push(required);
            index.kinds.push(kinds);
            index.traits.push(traits);
            index.further.push(further);
            if indexed.is_some() {
                index.in_force.push(at);
            }
        }
        index.add_shipped_texts();
        index
    }

    fn add(&mut self, rule: u32, keys: &Keys) -> (u8, u64, Traits, Further) {
        let mut required = 0;
        for key in keys.keys.iter() {
            for name in key.any_of.iter().flat_map(|name| spellings(key.group, name)) {
                match key.group {
                    FAULT => add_symbol(&mut self.fault, &name, rule),
                    FRAMES => add_symbol(&mut self.frames, &name, rule),
                    PANIC => self.panic.add(&name, rule),
                    _ => self.log.add(&name, rule),
                }
            }
            if key.required {
                required |= key.group;
            }
        }
        let Open {
            always,
            to_modules,
            to_kinds,
        } = &keys.open;
        self.add_open(rule, *always, *to_modules, to_kinds.iter().map(String::as_str));
        let kinds = kind_bits(keys.kinds.iter().map(Cow::as_ref));
        let traits = Traits {
            asks: small(keys.asks),
            general: keys.general,
            one_stack: keys.one_stack,
        };
        (required, kinds, traits, self.add_further(keys))
    }

    fn add_open<'w>(&mut self, rule: u32, always: bool, to_modules: bool, to_kinds: impl Iterator<Item = &'w str>) {
        let mut to_kinds = to_kinds.peekable();
        if always {
            self.open.push(rule);
        } else {
            if to_modules {
                self.to_modules.push(rule);
            }
            if to_kinds.peek().is_some() {
                self.to_kinds.push((rule, kind_bits(to_kinds)));
            }
        }
    }

    fn add_further(&mut self, keys: &Keys) -> Further {
        if keys.further.is_empty() {
            return Further::Nowhere;
        }
        let start = self.lists.len();
        self.lists.push(small(keys.further.len()));
        for names in &keys.further {
            let names = names.iter().flat_map(|name| spellings(FRAMES, name));
            let numbers: Vec<u32> = names.map(|name| function(&mut self.frames, &name).number).collect();
            self.lists.push(small(numbers.len()));
            self.lists.extend(numbers);
        }
        Further::Own(start)
    }

    fn add_shipped(&mut self, rule: u32, number: usize) -> (u8, u64, Traits, Further) {
        let facets = SHIPPED.facets(number);
        if self.places.len() <= number {
            self.places.resize(number + 1, Self::NOWHERE);
        }
        if let Some(place) = self.places.get_mut(number) {
            *place = rule;
        }
        self.add_open(rule, facets.always, facets.to_modules, facets.to_kinds);
        let traits = Traits {
            asks: small(facets.asks),
            general: facets.general,
            one_stack: facets.one_stack,
        };
        (
            facets.required,
            kind_bits(facets.kinds),
            traits,
            Further::Shipped(number),
        )
    }

    /// Texts are searched for all at once, whoever asks for them.
    fn add_shipped_texts(&mut self) {
        if self.places.is_empty() {
            return;
        }
        for (group, texts) in [(PANIC, &mut self.panic), (LOG, &mut self.log)] {
            texts.begin_shipped();
            for (literal, rules) in SHIPPED.names(group) {
                texts.add_shipped(literal, rules.filter_map(|number| place_of(&self.places, number)));
            }
        }
    }

    /// Calls `found` with the number of a function and the rules that name it in a predicate of `group`.
    fn look_up(&self, group: u8, symbol: &str, found: &mut dyn FnMut(usize, &[u32])) {
        let own = if group == FAULT { &self.fault } else { &self.frames };
        for name in spellings(group, symbol) {
            if let Some(function) = own.get(name.as_ref()) {
                found(function.number as usize, &function.rules);
            }
            if !self.places.is_empty()
                && let Some(function) = SHIPPED.place(group, &name)
            {
                found(function, &[]);
                for place in SHIPPED
                    .rules_of(function)
                    .filter_map(|number| place_of(&self.places, number))
                {
                    found(function, &[place]);
                }
            }
        }
    }

    /// Whether the stack holds none of the functions of one of the lists that a rule needs one of each from.
    fn lacks_further(&self, rule: usize, stack: &Numbers) -> bool {
        match self.further.get(rule) {
            None | Some(Further::Nowhere) => false,
            Some(Further::Own(start)) => lacks_one(self.lists.iter().skip(*start).copied(), stack),
            Some(Further::Shipped(number)) => lacks_one(SHIPPED.further(*number), stack),
        }
    }

    /// Every rule that is used, ascending.
    pub fn in_force(&self) -> &[usize] {
        &self.in_force
    }

    /// The rules that may match or nearly match, ascending, and what the log holds of what they look for there.
    /// `log` is the text that predicates over the log look at, `panic` the lines that those over the panic do.
    pub fn candidates<'t>(
        &self,
        report: &CrashReport,
        panic: impl Iterator<Item = &'t str>,
        log: &str,
    ) -> (Vec<Candidate>, Hits<'_>) {
        /// Beside the groups: asked whatever the report holds.
        const OPEN: u8 = 128;
        let mut hits = vec![0u8; self.required.len()];
        let kind = report.panic.as_ref().map_or(PanicKind::Unknown, |panic| panic.kind);
        let kind = if kind == PanicKind::Unknown {
            u64::MAX
        } else {
            bit(kind)
        };
        let frames = || report.frames.iter().filter(|frame| !frame.machinery);
        let mut touched: Vec<u32> = self.open.clone();
        touched.extend(
            self.to_kinds
                .iter()
                .filter(|(_, kinds)| kinds & kind != 0)
                .map(|(rule, _)| rule),
        );
        let mut definite = 0;
        let mut stack = Numbers::default();
        let mut hit = |group: u8, rules: &[u32]| {
            for &rule in rules {
                if let Some(groups) = hits.get_mut(rule as usize) {
                    if *groups == 0 {
                        touched.push(rule);
                    }
                    *groups |= group;
                }
            }
        };
        hit(OPEN, &self.open);
        for (rule, kinds) in &self.to_kinds {
            if kinds & kind != 0 {
                hit(OPEN, &[*rule]);
            }
        }
        let faulty = report.fault.as_ref().and_then(|fault| fault.module.as_ref());
        if faulty.is_some() || frames().any(|frame| frame.module.is_some()) {
            hit(OPEN, &self.to_modules);
        }
        if let Some(symbol) = report.fault.as_ref().and_then(|fault| fault.symbol.as_deref()) {
            definite |= FAULT;
            self.look_up(FAULT, symbol, &mut |_, rules| hit(FAULT, rules));
        }
        if report.stack.as_ref().is_some_and(|stack| stack.complete) && frames().all(|frame| frame.symbol.is_some()) {
            definite |= FRAMES;
        }
        for symbol in frames().filter_map(|frame| frame.symbol.as_deref()) {
            self.look_up(FRAMES, symbol, &mut |number, rules| {
                stack.add(number);
                hit(FRAMES, rules);
            });
        }
        if report.panic.as_ref().is_some_and(|panic| panic.message.is_some()) {
            definite |= PANIC;
        }
        self.panic.search(panic, &mut |rules| hit(PANIC, rules));
        if report.log.as_ref().is_some_and(|log| log.complete) {
            definite |= LOG;
        }
        // One long search costs less than many short ones.
        let found = (self.log).search(std::iter::once(log), &mut |rules| hit(LOG, rules));
        touched.sort_unstable();
        touched.dedup();
        let candidate = |rule: &u32| {
            let at = *rule as usize;
            if self.kinds.get(at)? & kind == 0 {
                return None;
            }
            let traits = *self.traits.get(at)?;
            let mut told = *hits.get(at)?;
            let mut lacking = self.required.get(at)? & !told;
            if told & FRAMES != 0 && self.lacks_further(at, &stack) {
                lacking |= FRAMES;
                if traits.one_stack {
                    told &= !FRAMES;
                }
            }
            // Where nothing that is there tells anything, the rule is not near either.
            (told != 0 && lacking & definite == 0).then_some(Candidate {
                at,
                lacks: lacking.count_ones() as usize,
                asks: traits.asks as usize,
                general: traits.general,
            })
        };
        (touched.iter().filter_map(candidate).collect(), found)
    }
}

fn place_of(places: &[u32], number: usize) -> Option<u32> {
    places.get(number).copied().filter(|place| *place != Index::NOWHERE)
}

/// Whether of one of the lists (their number, and of each its length and its numbers) nothing is in `numbers`.
fn lacks_one(mut words: impl Iterator<Item = u32>, numbers: &Numbers) -> bool {
    let lists = words.next().unwrap_or_default();
    (0..lists).any(|_| {
        let len = words.next().unwrap_or_default();
        // Each is looked at, so that the next list begins behind the last.
        !(0..len).fold(false, |any, _| {
            any | words.next().is_some_and(|number| numbers.has(number as usize))
        })
    })
}

/// A set of small numbers.
#[derive(Debug, Default)]
struct Numbers(Vec<u64>);

impl Numbers {
    fn add(&mut self, number: usize) {
        if self.0.len() <= number / 64 {
            self.0.resize(number / 64 + 1, 0);
        }
        if let Some(word) = self.0.get_mut(number / 64) {
            *word |= 1 << (number % 64);
        }
    }

    fn has(&self, number: usize) -> bool {
        self.0
            .get(number / 64)
            .is_some_and(|word| word >> (number % 64) & 1 != 0)
    }
}

/// A number that fits into 32 bits: more would not fit into memory.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn function<'i>(index: &'i mut HashMap<String, Function>, name: &str) -> &'i mut Function {
    let number = small(SHIPPED.names_len() + index.len());
    index.entry(name.to_owned()).or_insert_with(|| Function {
        number,
        rules: Vec::new(),
    })
}

fn add_symbol(index: &mut HashMap<String, Function>, name: &str, rule: u32) {
    let rules = &mut function(index, name).rules;
    if rules.last() != Some(&rule) {
        rules.push(rule);
    }
}

/// The kinds that a rule asks for; every bit where it asks for none, or for a word that is not known.
fn kind_bits<'w>(words: impl Iterator<Item = &'w str>) -> u64 {
    let mut bits = 0;
    let mut any = true;
    for word in words {
        any = false;
        match PanicKind::from_word(word) {
            Some(kind) => bits |= bit(kind),
            None => return u64::MAX,
        }
    }
    if any { u64::MAX } else { bits }
}

fn bit(kind: PanicKind) -> u64 {
    // PanicKind has fewer than 64 values; one more would share the last bit, which only makes the index ask more.
    1 << (kind as u32).min(63)
}

#[cfg(test)]
mod tests {
    use super::super::evaluate::leaves;
    use super::super::pack::KnowledgeBase;
    use super::super::schema::Scope;
    use super::*;

    #[test]
    fn what_is_known_of_a_rule_before_it_is_read_is_what_it_says() {
        let shipped = KnowledgeBase::builtin();
        let texts = shipped
            .rules()
            .iter()
            .map(|loaded| (loaded.file.as_ref(), loaded.text()));
        let pack = KnowledgeBase::from_texts(texts).base;
        assert!(shipped.rules().len() > 1000);
        assert_eq!(shipped.rules().len(), pack.rules().len());
        for base in [&shipped, &pack] {
            let index = base.index();
            for &at in index.in_force() {
                let (rule, Traits { asks, general, .. }) = (base.rules()[at].rule(), index.traits[at]);
                assert_eq!(asks as usize, leaves(&rule.matches).len(), "{}", rule.id);
                assert_eq!(general, rule.scope == Scope::General, "{}", rule.id);
            }
        }
    }

    #[test]
    fn a_stack_lacks_what_one_list_has_and_it_has_not() {
        let mut stack = Numbers::default();
        for number in [3, 64, 200] {
            stack.add(number);
        }
        assert!(stack.has(64) && !stack.has(65) && !stack.has(5000));
        let lacks = |words: &[u32]| lacks_one(words.iter().copied(), &stack);
        assert!(!lacks(&[]) && !lacks(&[0]));
        assert!(!lacks(&[2, 1, 3, 3, 1, 2, 200]));
        assert!(lacks(&[2, 1, 3, 3, 1, 2, 4]));
        assert!(lacks(&[2, 2, 1, 2, 1, 3]));
    }
}
