//! What a register or a word read from memory must be.
//!
//! Knows numbers and the layout of kernel addresses, not where a value came from.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::form::{OneOrMany, TwoForms, two_forms};
use super::names::Operand;
use super::text::{Fault, Word};
use crate::rules::suggest::nearest;

/// A number, written in hex (`0x1f`) unless it is a single digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex(pub u64);

impl Hex {
    /// The schema format of a number whose base must show.
    pub const FORMAT: &'static str = "hex";
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match ShortValue::deserialize(deserializer)? {
            ShortValue::Number(number) => Ok(Hex(number)),
            ShortValue::Class(class) => Err(de::Error::custom(format!(
                "{} is not a number such as 0x8",
                class.word()
            ))),
        }
    }
}

impl JsonSchema for Hex {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Hex".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "format": Hex::FORMAT})
    }
}

/// What kind of value it is. Address ranges are those of x86_64 (Documentation/arch/x86/x86_64/mm.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ValueClass {
    /// 0.
    Zero,
    /// Below 4096: NULL, or a member of a NULL object.
    NullPage,
    /// A user-space address.
    User,
    /// A kernel address.
    Kernel,
    /// In the kernel's or a module's code and data.
    Text,
    /// On the stack that was in use.
    Stack,
    /// An address that the processor refuses.
    NonCanonical,
    /// An error code where a pointer was expected: -4095 … -1 (MAX_ERRNO, include/linux/err.h).
    ErrPtr,
    /// A bit pattern that the kernel marks dead memory with.
    Poison,
}

impl ValueClass {
    const ALL: [(ValueClass, &'static str); 9] = [
        (ValueClass::Zero, "zero"),
        (ValueClass::NullPage, "null-page"),
        (ValueClass::User, "user"),
        (ValueClass::Kernel, "kernel"),
        (ValueClass::Text, "text"),
        (ValueClass::Stack, "stack"),
        (ValueClass::NonCanonical, "non-canonical"),
        (ValueClass::ErrPtr, "err-ptr"),
        (ValueClass::Poison, "poison"),
    ];

    /// The word that rules use.
    pub fn word(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(class, _)| *class == self)
            .map_or("", |(_, word)| word)
    }
}

/// A number or a class word: the short form of a [`Value`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortValue {
    /// Exactly this number.
    Number(u64),
    /// Any value of this class.
    Class(ValueClass),
}

impl<'de> Deserialize<'de> for ShortValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;
        impl Visitor<'_> for ValueVisitor {
            type Value = ShortValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number such as 0x8 or a class of values")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<ShortValue, E> {
                Ok(ShortValue::Number(number))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<ShortValue, E> {
                Ok(ShortValue::Number(number.cast_unsigned()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ShortValue, E> {
                ShortValue::read(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(ValueVisitor)
    }
}

impl JsonSchema for ShortValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ShortValue".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "integer"], "format": ShortValue::FORMAT})
    }
}

impl Word for ShortValue {
    const FORMAT: &'static str = "value";

    fn read(text: &str) -> Result<Self, Fault> {
        if let Some((class, _)) = ValueClass::ALL.iter().find(|(_, word)| *word == text) {
            return Ok(ShortValue::Class(*class));
        }
        if let Some(digits) = text.strip_prefix("0x") {
            return u64::from_str_radix(digits, 16)
                .map(ShortValue::Number)
                .map_err(|_| Fault::new("bad-value", format!("{text:?} is not a 64-bit number")));
        }
        if let Ok(number) = text.parse::<u64>() {
            return if number < 10 {
                Ok(ShortValue::Number(number))
            } else {
                Err(
                    Fault::new("decimal-value", format!("`{text}`: is this decimal or hex?"))
                        .help(format!("write {number:#x} for {number}, or 0x{text}")),
                )
            };
        }
        let fault = Fault::new(
            "bad-value",
            format!("{text:?} is neither a number nor a class of values"),
        );
        let words = ValueClass::ALL.iter().map(|(_, word)| *word);
        Err(match nearest(text, words.clone()) {
            Some(near) => fault.help(format!("did you mean `{near}`?")),
            None if POISONS.iter().any(|(word, _)| *word == text) => fault.help(format!("write {{poison: {text}}}")),
            None => fault.help(format!("write 0x…, or one of {}", words.collect::<Vec<_>>().join(", "))),
        })
    }
}

/// The words for poison patterns, and the kernel's names that each stands for ([`crate::crash::poison`] knows the values).
const POISONS: &[(&str, &[&str])] = &[
    ("slab-free", &["POISON_FREE", "POISON_END"]),
    ("slab-uninitialised", &["POISON_INUSE"]),
    (
        "slab-red-zone",
        &["RED_INACTIVE", "RED_ACTIVE", "SLUB_RED_INACTIVE", "POISON_FREE_INITMEM"],
    ),
    ("page-free", &["PAGE_POISON"]),
    ("pool-free", &["POOL_POISON_FREED"]),
    ("list", &["LIST_POISON1", "LIST_POISON2"]),
    ("timer", &["TIMER_ENTRY_STATIC"]),
    ("mutex-free", &["MUTEX_DEBUG_FREE"]),
    ("lock-magic", &["SPINLOCK_MAGIC", "RWLOCK_MAGIC"]),
    ("stack-end", &["STACK_END_MAGIC"]),
];

/// One kind of poison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoisonKind {
    word: &'static str,
    names: &'static [&'static str],
}

impl PoisonKind {
    /// The word that rules use.
    pub fn word(self) -> &'static str {
        self.word
    }

    /// Whether it stands for the pattern of this name in the kernel's source.
    pub fn is(self, name: &str) -> bool {
        self.names.contains(&name)
    }
}

impl<'de> Deserialize<'de> for PoisonKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let kind = POISONS.iter().find(|(word, _)| *word == text);
        kind.map(|&(word, names)| PoisonKind { word, names })
            .ok_or_else(|| de::Error::custom(format!("{text:?} is no kind of poison")))
    }
}

impl JsonSchema for PoisonKind {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PoisonKind".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = POISONS.iter().map(|(word, _)| *word).collect();
        json_schema!({"type": "string", "enum": words})
    }
}

/// What a value must be; all that is said must hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// Exactly this, or one of these. With `mask`: what remains under the mask.
    #[serde(default)]
    pub eq: Option<OneOrMany<Hex>>,
    /// At least this.
    #[serde(default)]
    pub min: Option<Hex>,
    /// At most this.
    #[serde(default)]
    pub max: Option<Hex>,
    /// Only these bits are looked at by `eq`, `min` and `max`.
    #[serde(default)]
    pub mask: Option<Hex>,
    /// The same as a register, or as `fault.address`.
    #[serde(default)]
    pub same_as: Option<Operand>,
    /// Added to what `same_as` names before comparing.
    #[serde(default)]
    pub plus: Option<SignedHex>,
    /// A kind of value.
    #[serde(default)]
    pub class: Option<OneOrMany<ValueClass>>,
    /// One of these patterns of dead memory.
    #[serde(default)]
    pub poison: Option<OneOrMany<PoisonKind>>,
    /// It points to an object of this type, or from this slab cache.
    #[serde(default)]
    pub points_to: Option<String>,
}

/// A small signed number: hex unless it is a single digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SignedHex(pub i64);

impl JsonSchema for SignedHex {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SignedHex".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "format": Hex::FORMAT})
    }
}

/// What a value must be: any of some numbers and kinds of value, or all that a [`Value`] says.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// `0x8`, `null-page`, `[zero, err-ptr]`.
    AnyOf(Vec<ShortValue>),
    /// `{min: 0x1000, max: 0x1fff}`.
    All(Box<Value>),
}

two_forms!(Condition);

impl TwoForms for Condition {
    type Short = OneOrMany<ShortValue>;
    type Long = Value;

    fn from_short(short: Self::Short) -> Self {
        Condition::AnyOf(short.0)
    }

    fn from_long(long: Self::Long) -> Self {
        Condition::All(Box::new(long))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::AnyOf(values) => write_list(f, values),
            Condition::All(value) => value.fmt(f),
        }
    }
}

impl fmt::Display for ShortValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShortValue::Number(number) => Hex(*number).fmt(f),
            ShortValue::Class(class) => f.write_str(class.word()),
        }
    }
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut part = |text: String| parts.push(text);
        if let Some(mask) = self.mask {
            part(format!("mask {mask}"));
        }
        if let Some(eq) = &self.eq {
            part(format!("= {}", List(&eq.0)));
        }
        if let Some(min) = self.min {
            part(format!(">= {min}"));
        }
        if let Some(max) = self.max {
            part(format!("<= {max}"));
        }
        if let Some(operand) = &self.same_as {
            part(match self.plus {
                None => format!("same as {operand}"),
                Some(SignedHex(plus)) if plus < 0 => format!("same as {operand} - {:#x}", plus.unsigned_abs()),
                Some(SignedHex(plus)) => format!("same as {operand} + {plus:#x}"),
            });
        }
        if let Some(classes) = &self.class {
            let words: Vec<_> = classes.iter().map(|class| class.word()).collect();
            part(words.join(" or "));
        }
        if let Some(poisons) = &self.poison {
            let words: Vec<_> = poisons.iter().map(|poison| poison.word()).collect();
            part(format!("poison {}", words.join(" or ")));
        }
        if let Some(object) = &self.points_to {
            part(format!("points to {object}"));
        }
        f.write_str(&parts.join(", "))
    }
}

struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(f, self.0)
    }
}

fn write_list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(" or ")?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_for_poison_stands_for_patterns_that_the_record_knows() {
        let known = |value: u64| crate::crash::poison::poison(crate::addr::VirtAddr(value)).unwrap().name;
        for (word, value) in [
            ("slab-free", 0x6b6b_6b6b_6b6b_6b6b),
            ("slab-free", 0x6b6b_6b6b_6b6b_6ba5),
            ("slab-uninitialised", 0x5a5a_5a5a_5a5a_5a5a),
            ("slab-red-zone", 0xbbbb_bbbb_bbbb_bbbb),
            ("slab-red-zone", 0xcccc_cccc_cccc_cccc),
            ("slab-red-zone", 0x09f9_1102_9d74_e35b),
            ("page-free", 0xaaaa_aaaa_aaaa_aaaa),
            ("pool-free", 0xa7a7_a7a7_a7a7_a7a7),
            ("list", 0xdead_0000_0000_0100),
            ("list", 0xdead_0000_0000_0122),
            ("timer", 0xdead_0000_0000_0300),
            ("mutex-free", 0x2222_2222_2222_2222),
            ("lock-magic", 0x0000_0000_dead_4ead),
            ("stack-end", 0x0000_0000_57ac_6e9d),
        ] {
            let kind: PoisonKind = serde_yaml::from_str(word).unwrap();
            assert!(kind.is(known(value)), "{word} {value:#x}");
        }
    }

    #[test]
    fn a_condition_has_a_short_and_a_long_form() {
        let read = |text: &str| serde_yaml::from_str::<Condition>(text);
        assert_eq!(read("0x8").unwrap(), Condition::AnyOf(vec![ShortValue::Number(8)]));
        assert_eq!(
            read("[zero, 0xffffffff81000000]").unwrap(),
            Condition::AnyOf(vec![
                ShortValue::Class(ValueClass::Zero),
                ShortValue::Number(0xffff_ffff_8100_0000)
            ])
        );
        let Condition::All(long) = read("{same_as: rbx, plus: 1}").unwrap() else {
            panic!("the long form was taken for a short one");
        };
        assert_eq!(long.to_string(), "same as rbx + 0x1");
        assert!(read("{samesas: rbx}").is_err());
        assert!(read("nullpage").is_err());
    }
}
