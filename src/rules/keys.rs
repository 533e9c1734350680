//! What a rule can be found by: the functions and texts without which none of its telling predicates is yes.
//!
//! Read from the rule file's tree, by the build script for the shipped rules and by the loader for all others: so it
//! knows neither types nor YAML, only [`Tree`]. What is left out here the index never asks about, so in doubt a rule is
//! open: always asked.

use std::borrow::Cow;

use super::literal;
use super::symbol_name::{normalise_symbol, unify_syscall};

/// The tree of a rule file, whoever read it.
pub trait Tree: Sized {
    /// The value of a key of a mapping.
    fn key(&self, key: &str) -> Option<&Self>;
    /// The items of a list.
    fn list(&self) -> Option<&[Self]>;
    /// A scalar as it is spelt.
    fn word(&self) -> Option<Cow<'_, str>>;
    /// How many keys a mapping has; 0 for anything else.
    fn entries(&self) -> usize;

    /// The items of a list, or the value itself, where one may stand for a list of one.
    fn one_or_many(&self) -> &[Self] {
        self.list().unwrap_or(std::slice::from_ref(self))
    }
}

/// A group of telling predicates: each looks at one fact of a report.
pub const FAULT: u8 = 1;
/// See [`FAULT`].
pub const FRAMES: u8 = 2;
/// See [`FAULT`].
pub const PANIC: u8 = 4;
/// See [`FAULT`].
pub const LOG: u8 = 8;

/// The names by which the index knows a function, or a literal of a text as it is.
pub fn spellings(group: u8, name: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let is_symbol = group == FAULT || group == FRAMES;
    let plain = if is_symbol { normalise_symbol(name) } else { name };
    let unified = is_symbol
        .then(|| unify_syscall(plain))
        .filter(|unified| *unified != plain);
    std::iter::once(Cow::Borrowed(plain)).chain(unified)
}

/// One telling predicate: it is yes only where the report holds one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its group: where to look.
    pub group: u8,
    /// Whether it stands in `match` itself, so that without it the rule is out; else inside an `any`.
    pub required: bool,
    /// Functions by their exact names, or literals of a text.
    pub any_of: Cow<'static, [Cow<'static, str>]>,
}

/// Which reports a rule must be asked about, whatever they hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// All.
    pub always: bool,
    /// Those that name a module: at the place of the fault, or on the stack.
    pub to_modules: bool,
    /// Those of these kinds.
    pub to_kinds: Vec<String>,
}

/// What a rule can be found by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// The telling predicates that name something.
    pub keys: Cow<'static, [Key]>,
    /// Where it may match or nearly match although the report holds none of them.
    pub open: Open,
    /// The kinds of crash that it asks for; none: any.
    pub kinds: Cow<'static, [Cow<'static, str>]>,
    /// Functions of which the stack must hold one of each list, lest a predicate of `match` is not yes. Empty where the
    /// rule's only key says as much.
    pub further: Vec<Vec<String>>,
    /// Whether but one of its predicates looks for functions on the stack.
    pub one_stack: bool,
    /// How many predicates `match` has.
    pub asks: usize,
    /// Whether it names a class of crash, no bug.
    pub general: bool,
}

impl Keys {
    /// The keys of a rule file.
    pub fn of<T: Tree>(rule: &T) -> Self {
        let mut walk = Walk::default();
        if let Some(block) = rule.key("match") {
            walk.block(block, true);
        }
        let kinds = rule.key("match").map(kinds).unwrap_or_default();
        if walk.further.len() < 2 {
            walk.further.clear();
        }
        let of_stack = walk.keys.iter().filter(|key| key.group == FRAMES);
        Keys {
            one_stack: of_stack.count() == 1,
            keys: Cow::Owned(walk.keys),
            open: walk.open,
            kinds: kinds.into_iter().map(Cow::Owned).collect(),
            further: walk.further,
            asks: rule.key("match").map_or(0, asks),
            general: rule
                .key("scope")
                .and_then(Tree::word)
                .is_some_and(|scope| scope == "general"),
        }
    }
}

/// How many predicates a block has: each is a row of evidence.
fn asks<T: Tree>(block: &T) -> usize {
    let of = |key: &str| block.key(key);
    // One each, whatever they look like.
    let single = ["kind", "comm", "arch", "uptime", "release", "panic", "log"];
    let single = single.iter().filter(|key| of(key).is_some()).count();
    // One for every key, and one where the short form has none.
    let keyed = ["fault", "registers", "taint", "hardware", "memory", "cmdline", "sysctl"];
    let keyed: usize = keyed
        .iter()
        .filter_map(|key| of(key))
        .map(|part| part.entries().max(1))
        .sum();
    let frames = of("frames").map_or(0, |frames| {
        let lists = ["ordered", "adjacent", "any", "none"];
        lists.iter().filter(|list| frames.key(list).is_some()).count().max(1)
    });
    let modules = of("modules").map_or(0, |modules| {
        let lists = ["loaded", "absent"]
            .iter()
            .filter(|list| modules.key(list).is_some())
            .count();
        let versions = modules.key("version").map_or(0, Tree::entries);
        (lists + versions).max(1)
    });
    let items = |key: &str| of(key).and_then(Tree::list).map_or(0, <[T]>::len);
    let blocks = ["any", "none"].iter().filter(|key| items(key) > 0).count();
    single + keyed + frames + modules + blocks + items("deref")
}

#[derive(Default)]
struct Walk {
    keys: Vec<Key>,
    further: Vec<Vec<String>>,
    open: Open,
}

impl Walk {
    fn block<T: Tree>(&mut self, block: &T, required: bool) {
        let mut telling = false;
        if let Some(fault) = block.key("fault") {
            // The long form is a mapping: it has no items and no word.
            let symbols = if fault.list().is_some() || fault.word().is_some() {
                Some(fault)
            } else {
                let of_module = fault.key("module").is_some();
                self.open.to_modules |= of_module;
                telling |= of_module;
                fault.key("symbol")
            };
            if let Some(symbols) = symbols {
                telling = true;
                self.functions(FAULT, required, symbols.one_or_many());
            }
        }
        if let Some(frames) = block.key("frames") {
            telling |= self.frames(frames, required);
        }
        if let Some(patterns) = block.key("panic") {
            telling = true;
            self.add(PANIC, required, literals(patterns));
        }
        if let Some(log) = block.key("log") {
            telling = true;
            // "At most so many lines" holds where there are none.
            let bounded = log.key("count").is_some();
            self.open.always |= bounded;
            let literals = literals(log.key("regex").unwrap_or(log));
            self.add(LOG, required && !bounded, literals);
        }
        let choices = block.key("any").map(Tree::one_or_many).unwrap_or_default();
        for inner in choices {
            self.block(inner, false);
        }
        // A block that nothing leads to holds by its other predicates alone.
        if !telling && choices.is_empty() {
            let kinds = kinds(block);
            self.open.always |= kinds.is_empty();
            self.open.to_kinds.extend(kinds);
        }
    }

    /// Returns whether there is a predicate that tells anything.
    fn frames<T: Tree>(&mut self, frames: &T, required: bool) -> bool {
        let mut telling = false;
        let long = frames.list().is_none() && frames.word().is_none();
        let lists = if long {
            vec![frames.key("ordered"), frames.key("adjacent")]
        } else {
            vec![Some(frames)]
        };
        for list in lists.into_iter().flatten() {
            telling = true;
            let items = list.one_or_many().iter();
            let choices = items.filter_map(|item| {
                let tokens = item.key("any").unwrap_or(item).one_or_many();
                tokens.iter().map(exact).collect::<Option<Vec<_>>>()
            });
            let choices: Vec<Vec<String>> = choices.collect();
            if required {
                self.further.extend(choices.iter().cloned());
            }
            // All items must be there: the one that fewest stacks hold will do. A long name says much.
            let best = choices.into_iter().max_by_key(|names| {
                let shortest = names.iter().map(String::len).min().unwrap_or(0);
                (std::cmp::Reverse(names.len()), shortest)
            });
            self.add(FRAMES, required, best);
        }
        if let Some(tokens) = frames.key("any").filter(|_| long) {
            telling = true;
            let names = self.functions(FRAMES, required, tokens.one_or_many());
            if required {
                self.further.extend(names);
            }
        }
        telling
    }

    /// A predicate that one of these functions makes yes; returns them, where all have names.
    fn functions<T: Tree>(&mut self, group: u8, required: bool, tokens: &[T]) -> Option<Vec<String>> {
        let names: Option<Vec<String>> = tokens.iter().map(exact).collect();
        let of_module = |token: &T| token.word().is_some_and(|token| token.contains(':'));
        if names.is_none() && tokens.iter().all(of_module) {
            self.open.to_modules = true;
        } else {
            self.add(group, required, names.clone());
        }
        names
    }

    fn add(&mut self, group: u8, required: bool, names: Option<Vec<String>>) {
        match names {
            Some(names) => self.keys.push(Key {
                group,
                required,
                any_of: names.into_iter().map(Cow::Owned).collect(),
            }),
            None => self.open.always = true,
        }
    }
}

/// The kinds of crash that a block asks for.
fn kinds<T: Tree>(block: &T) -> Vec<String> {
    let words = block.key("kind").into_iter().flat_map(Tree::one_or_many);
    words.filter_map(Tree::word).map(Cow::into_owned).collect()
}

/// The one function that a token names, without module, offset and mark.
fn exact<T: Tree>(token: &T) -> Option<String> {
    let token = token.word()?;
    let place = token.trim_end_matches('?').split('+').next()?;
    let name = place.rsplit(':').next()?;
    (!name.contains('*') && !name.is_empty()).then(|| name.to_owned())
}

fn literals<T: Tree>(patterns: &T) -> Option<Vec<String>> {
    let mut all = Vec::new();
    for pattern in patterns.one_or_many() {
        all.extend(literal::required(&pattern.word()?)?);
    }
    Some(all)
}
