//! The words of a rule: texts with a form of their own, each read once, with an error that says what to write.
//!
//! Knows how a word is spelt, not what it is held against.

use std::fmt;
use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::names::{Operand, Register, StreamName, SysctlName, TaintLetter};
use super::symbol::{FrameSymbol, Symbol};
use crate::rules::literal;

/// Why a text is not what its place asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// The diagnostic's code.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Fault {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Fault {
            code,
            message: message.into(),
            help: None,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A type that is written as one text.
pub trait Word: Sized {
    /// The name of the form, the `format` of its JSON Schema.
    const FORMAT: &'static str;

    /// Reads the text.
    fn read(text: &str) -> Result<Self, Fault>;
}

/// Checks a text against a form by the form's name; a name that is not known passes.
pub fn check_format(format: &str, text: &str) -> Result<(), Fault> {
    fn check<T: Word>(text: &str) -> Result<(), Fault> {
        T::read(text).map(drop)
    }
    match format {
        Slug::FORMAT => check::<Slug>(text),
        Title::FORMAT => check::<Title>(text),
        Date::FORMAT => check::<Date>(text),
        Pattern::FORMAT => check::<Pattern>(text),
        Glob::FORMAT => check::<Glob>(text),
        Symbol::FORMAT => check::<Symbol>(text),
        FrameSymbol::FORMAT => check::<FrameSymbol>(text),
        Register::FORMAT => check::<Register>(text),
        Operand::FORMAT => check::<Operand>(text),
        Span::FORMAT => check::<Span>(text),
        TaintLetter::FORMAT => check::<TaintLetter>(text),
        StreamName::FORMAT => check::<StreamName>(text),
        SysctlName::FORMAT => check::<SysctlName>(text),
        super::value::ShortValue::FORMAT => check::<super::value::ShortValue>(text),
        _ => Ok(()),
    }
}

/// Implements `Deserialize` and `JsonSchema` for words.
macro_rules! words {
    ($($name:ident),+ $(,)?) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(crate::rules::schema::text::WordVisitor(std::marker::PhantomData))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "format": <$name as Word>::FORMAT})
            }
        }
    )+};
}
pub(super) use words;

pub(super) struct WordVisitor<T>(pub std::marker::PhantomData<T>);

impl<T: Word> Visitor<'_> for WordVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a ")?;
        f.write_str(T::FORMAT)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::read(text).map_err(E::custom)
    }

    // A word that looks like a number (`comm: 7`) arrives as one where a list may stand, too.
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

words!(Slug, Title, Date, Pattern, Glob, Span);

/// A rule's id: `[a-z0-9]` words joined by `-`, 3 to 64 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slug(String);

impl Slug {
    /// Takes a text as it is.
    pub(super) fn unchecked(text: &str) -> Self {
        Slug(text.to_owned())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Word for Slug {
    const FORMAT: &'static str = "rule-id";

    fn read(text: &str) -> Result<Self, Fault> {
        let good = (3..=64).contains(&text.len())
            && text
                .split('-')
                .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
        if good {
            return Ok(Slug(text.to_owned()));
        }
        let fault = Fault::new("bad-id", format!("{text:?} is not a rule id"));
        let mut slug = String::new();
        for word in text
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty())
        {
            if !slug.is_empty() {
                slug.push('-');
            }
            slug.push_str(&word.to_ascii_lowercase());
        }
        Err(if (3..=64).contains(&slug.len()) && slug != text {
            fault.help(format!("write `{slug}`: lower-case words and digits joined by `-`"))
        } else {
            fault.help("write 3 to 64 lower-case letters and digits, words joined by `-`")
        })
    }
}

/// A rule's title: one line of at most 120 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Title(String);

impl Title {
    /// Takes a text as it is.
    pub(super) fn unchecked(text: &str) -> Self {
        Title(text.to_owned())
    }

    /// The title as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Word for Title {
    const FORMAT: &'static str = "title";

    fn read(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        if text.is_empty() || text.chars().any(char::is_control) || text.chars().count() > 120 {
            return Err(Fault::new("bad-title", "a title is one line of 1 to 120 characters")
                .help("say what breaks and where; the rest belongs into root_cause"));
        }
        Ok(Title(text.to_owned()))
    }
}

/// A day: `2026-11-23`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(String);

impl Date {
    /// The day as `YYYY-MM-DD`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Word for Date {
    const FORMAT: &'static str = "date";

    fn read(text: &str) -> Result<Self, Fault> {
        let parts: Vec<&str> = text.split('-').collect();
        let good = match parts.as_slice() {
            [year, month, day] if [year.len(), month.len(), day.len()] == [4, 2, 2] => {
                let number = |part: &str| part.parse::<u32>().unwrap_or(0);
                let (year, month, day) = (number(year), number(month), number(day));
                let days = match month {
                    4 | 6 | 9 | 11 => 30,
                    2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
                    2 => 28,
                    _ => 31,
                };
                year >= 1991 && (1..=12).contains(&month) && (1..=days).contains(&day)
            }
            _ => false,
        };
        if good {
            Ok(Date(text.to_owned()))
        } else {
            Err(Fault::new("bad-date", format!("{text:?} is not a date")).help("write it as 2026-11-23"))
        }
    }
}

/// A regular expression (linear-time: no look-around, no back-references), compiled when it is first needed.
pub struct Pattern {
    text: String,
    choices: OnceLock<Vec<Choice>>,
}

/// One of the expressions that a pattern is made of. Compiling costs more than all else that is done with most patterns:
/// a text without what a match must hold does not ask for it, and of `a|b` only the one that it hints at is compiled.
struct Choice {
    choice: literal::Choice,
    compiled: OnceLock<Option<Regex>>,
}

impl Choice {
    fn may_fit(&self, holds: impl Fn(&str) -> bool) -> bool {
        let literals = self.choice.literals.as_ref();
        literals.is_none_or(|literals| literals.iter().any(|literal| holds(literal)))
    }

    fn fits(&self, line: &str) -> bool {
        let compiled = || Pattern::compile(&self.choice.pattern).ok();
        self.may_fit(|literal| line.contains(literal))
            && (self.compiled.get_or_init(compiled).as_ref()).is_some_and(|regex| regex.is_match(line.as_bytes()))
    }
}

impl Pattern {
    /// Bounds what one pattern may cost to compile and to hold, in bytes.
    const SIZE_LIMIT: usize = 1 << 20;

    /// The kernel writes ASCII: `\\d` and `\\S` as it understands them compile many times faster.
    fn compile(text: &str) -> Result<Regex, regex::Error> {
        RegexBuilder::new(text)
            .unicode(false)
            .size_limit(Self::SIZE_LIMIT)
            .build()
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn choices(&self) -> &[Choice] {
        let choice = |choice| Choice {
            choice,
            compiled: OnceLock::new(),
        };
        (self.choices).get_or_init(|| literal::choices(&self.text).into_iter().map(choice).collect())
    }

    /// Whether some part of `line` fits. A pattern that never passed [`Pattern::validate`] fits nothing.
    pub fn fits(&self, line: &str) -> bool {
        self.choices().iter().any(|choice| choice.fits(line))
    }

    /// Whether a text may have a line that fits, given which literals the text `holds`.
    pub fn may_fit(&self, holds: impl Fn(&str) -> bool) -> bool {
        self.choices().iter().any(|choice| choice.may_fit(&holds))
    }

    /// Compiles the pattern for its errors.
    pub fn validate(text: &str) -> Result<(), Fault> {
        match Self::compile(text) {
            Ok(_) => Ok(()),
            Err(regex::Error::Syntax(report)) => {
                // The report draws the pattern with a caret; its last line says what is wrong.
                let reason = report
                    .lines()
                    .last()
                    .unwrap_or("syntax error")
                    .trim_start_matches("error: ");
                let fault = Fault::new("bad-regex", format!("{text:?} is not a regular expression: {reason}"));
                Err(if report.contains("look-around") || report.contains("backreferences") {
                    fault.help("patterns run in linear time: split it, or use `none:`")
                } else {
                    fault.help("a literal `(`, `[`, `+`, `?`, `*` or `.` needs a backslash")
                })
            }
            Err(error) => Err(Fault::new("bad-regex", format!("{text:?} cannot be used: {error}"))
                .help("make the repetitions smaller")),
        }
    }
}

impl Word for Pattern {
    const FORMAT: &'static str = "regex";

    /// Does not compile: most patterns of a knowledge base are never needed for a given crash.
    fn read(text: &str) -> Result<Self, Fault> {
        if text.is_empty() {
            return Err(Fault::new("bad-regex", "an empty pattern matches everything"));
        }
        Ok(Pattern {
            text: text.to_owned(),
            choices: OnceLock::new(),
        })
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.text)
    }
}

/// A text in which `*` stands for anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// The glob as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole of `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        glob(&self.0, text)
    }

    /// As [`Glob::matches`], letter case aside: for hardware names, which vendors spell as they like.
    pub fn matches_any_case(&self, text: &str) -> bool {
        glob(&self.0.to_ascii_lowercase(), &text.to_ascii_lowercase())
    }
}

impl Word for Glob {
    const FORMAT: &'static str = "glob";

    fn read(text: &str) -> Result<Self, Fault> {
        if text.trim().is_empty() || text.bytes().all(|b| b == b'*') {
            return Err(Fault::new("always-true", format!("{text:?} fits anything")));
        }
        Ok(Glob(text.to_owned()))
    }
}

/// Matches `*` only, in linear space and at most quadratic time: the first part is anchored, each further one is looked
/// for behind the last.
pub(in crate::rules) fn glob(pattern: &str, text: &str) -> bool {
    // Nearly every text is another one, which its first letter tells.
    let (first, own) = (pattern.as_bytes().first(), text.as_bytes().first());
    if first != Some(&b'*') && first != own {
        return false;
    }
    let Some((first, behind)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let (middle, last) = behind.rsplit_once('*').unwrap_or(("", behind));
    for part in middle.split('*').filter(|part| !part.is_empty()) {
        match rest.find(part).and_then(|at| rest.get(at + part.len()..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A length of time: `208d`, `1d12h`, `90s`, `2.5h`.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    text: String,
    seconds: f64,
}

impl Span {
    /// The length as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The length in seconds.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }
}

impl Word for Span {
    const FORMAT: &'static str = "duration";

    fn read(text: &str) -> Result<Self, Fault> {
        let bad = || {
            Fault::new("bad-duration", format!("{text:?} is not a length of time"))
                .help("write 208d, 12h, 90s or 1d12h")
        };
        let mut seconds = 0.0;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
            let (number, after) = rest.split_at(digits);
            let number: f64 = number.parse().map_err(|_| bad())?;
            let unit = after.chars().next().ok_or_else(bad)?;
            let factor = match unit {
                's' => 1.0,
                'm' => 60.0,
                'h' => 3600.0,
                'd' => 86_400.0,
                'w' => 604_800.0,
                _ => return Err(bad()),
            };
            seconds += number * factor;
            rest = after.get(unit.len_utf8()..).unwrap_or_default();
        }
        if text.is_empty() {
            return Err(bad());
        }
        Ok(Span {
            text: text.to_owned(),
            seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault<T: Word>(text: &str) -> (&'static str, String) {
        match T::read(text) {
            Ok(_) => panic!("{text:?} was accepted"),
            Err(fault) => (fault.code, fault.help.unwrap_or_default()),
        }
    }

    #[test]
    fn globs_are_whole_and_anchored() {
        for (pattern, text, fits) in [
            ("kworker/*", "kworker/0:1", true),
            ("kworker/*", "akworker/0", false),
            ("*a*b", "xxaxxb", true),
            ("*a*b", "xxbxxa", false),
            ("ab*b", "ab", false),
            ("a*a", "aa", true),
            ("a*a", "a", false),
            ("x", "x", true),
            ("x", "xy", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn bad_words_say_what_to_write() {
        assert!(fault::<Slug>("Bad Slug").1.contains("`bad-slug`"));
        assert_eq!(fault::<Slug>("a--b").0, "bad-id");
        assert!(fault::<Register>("R08").1.contains("`r8`"));
        assert!(fault::<Register>("rdj").1.contains("did you mean"));
        assert!(fault::<StreamName>("rhel7").1.contains("`el7`"));
        assert!(fault::<StreamName>("mainline").1.contains("`upstream`"));
        assert!(fault::<TaintLetter>("PO").1.contains("[P, O]"));
        assert!(
            fault::<SysctlName>("/proc/sys/vm/swappiness")
                .1
                .contains("vm.swappiness")
        );
        assert_eq!(fault::<Date>("2026-02-29").0, "bad-date");
        assert_eq!(fault::<Span>("208").0, "bad-duration");
        assert_eq!(fault::<Glob>("*").0, "always-true");
        assert_eq!(Pattern::validate("a(b").unwrap_err().code, "bad-regex");
        assert_eq!(Pattern::validate("(?=x)").unwrap_err().code, "bad-regex");
    }

    #[test]
    fn lengths_of_time_add_up() {
        assert_eq!(Span::read("1d12h").unwrap().seconds(), 129_600.0);
        assert_eq!(Span::read("208.5d").unwrap().seconds(), 18_014_400.0);
    }

    proptest::proptest! {
        #[test]
        fn globs_agree_with_regexes(pattern in "[ab*]{1,8}", text in "[ab]{0,8}") {
            let regex = regex::Regex::new(&format!("^{}$", pattern.replace('*', ".*"))).unwrap();
            proptest::prop_assert_eq!(glob(&pattern, &text), regex.is_match(&text));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,20}") {
            for format in ["rule-id", "title", "date", "glob", "symbol", "frame", "register", "register-or-address",
                "duration", "taint-letter", "stream", "sysctl-name", "value"] {
                let _ = check_format(format, &text);
            }
        }
    }
}
