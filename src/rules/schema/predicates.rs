//! The predicates of a rule: what can be asked of a crash, in a short and, where one is needed, a long form.
//!
//! Plain data. How a question is answered is `evaluate`'s work.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::form::{OneOrMany, TwoForms, two_forms};
use super::names::{Operand, Register, SysctlName, TaintLetter};
use super::symbol::{FrameSymbol, Symbol};
use super::text::{Glob, Pattern, Span};
use super::value::{Condition, Value};
use crate::crash::{Access, FaultRole, PanicKind};

/// What must hold: every key that is given. `any` and `none` nest.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// The class of failure: one of these.
    #[serde(default)]
    pub kind: Option<OneOrMany<PanicKind>>,
    /// The line that names the failure fits one of these regular expressions.
    #[serde(default)]
    pub panic: Option<OneOrMany<Pattern>>,
    /// The place that faulted or was interrupted: `sym`, `sym+0x9`, `module:sym`, with `*`, or a list of which any fits.
    #[serde(default)]
    pub fault: Option<FaultTest>,
    /// Functions on the stack, innermost first, gaps allowed, panic and entry code left out. `sym?` also accepts a frame
    /// that is not sure.
    #[serde(default)]
    pub frames: Option<FramesTest>,
    /// Registers at the fault. `any` stands for each of the general ones.
    #[serde(default)]
    pub registers: Option<RegistersTest>,
    /// Words read from the dump's memory; a list must hold as a whole.
    #[serde(default)]
    pub deref: Option<OneOrMany<Deref>>,
    /// Taint letters, all of which must be set.
    #[serde(default)]
    pub taint: Option<TaintTest>,
    /// Modules, all of which must be loaded.
    #[serde(default)]
    pub modules: Option<ModulesTest>,
    /// The running task's name.
    #[serde(default)]
    pub comm: Option<OneOrMany<Glob>>,
    /// The architecture as `uname -m` prints it.
    #[serde(default)]
    pub arch: Option<OneOrMany<Glob>>,
    /// Vendor, model and board, letter case aside.
    #[serde(default)]
    pub hardware: Option<HardwareTest>,
    /// How long the machine had been up.
    #[serde(default)]
    pub uptime: Option<SpanRange>,
    /// Memory use in percent.
    #[serde(default)]
    pub memory: Option<MemoryTest>,
    /// Words of the kernel's command line, all of which must be there.
    #[serde(default)]
    pub cmdline: Option<CmdlineTest>,
    /// Settings as they stood at the crash, by sysctl name or as the report names them (`thp.enabled`).
    #[serde(default)]
    pub sysctl: Option<SysctlsTest>,
    /// A line of the log before the panic fits one of these regular expressions.
    #[serde(default)]
    pub log: Option<LogTest>,
    /// The kernel's release. Seldom needed: `affected` says which kernels have the bug.
    #[serde(default)]
    pub release: Option<OneOrMany<Glob>>,
    /// At least one of these must hold.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub any: Vec<Block>,
    /// None of these may hold.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub none: Vec<Block>,
}

/// The place that faulted or was interrupted.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultLong {
    /// Which function: any of these.
    #[serde(default)]
    pub symbol: Option<OneOrMany<Symbol>>,
    /// The module it belongs to.
    #[serde(default)]
    pub module: Option<OneOrMany<Glob>>,
    /// The address whose access failed.
    #[serde(default)]
    pub address: Option<Condition>,
    /// How it was accessed.
    #[serde(default)]
    pub access: Option<OneOrMany<Access>>,
    /// Whether the place itself did wrong.
    #[serde(default)]
    pub role: Option<FaultRole>,
}

/// [`FaultLong`], or the symbols alone.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultTest(pub FaultLong);

impl TwoForms for FaultTest {
    type Short = OneOrMany<Symbol>;
    type Long = FaultLong;

    fn from_short(short: Self::Short) -> Self {
        FaultTest(FaultLong {
            symbol: Some(short),
            ..FaultLong::default()
        })
    }

    fn from_long(long: Self::Long) -> Self {
        FaultTest(long)
    }
}

/// An item of `frames`: a function, or any of several.
#[derive(Clone, Debug, PartialEq)]
pub struct FrameItem(pub Vec<FrameSymbol>);

/// `{any: [a, b]}`
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FrameChoice {
    /// Any of these functions.
    pub any: OneOrMany<FrameSymbol>,
}

impl TwoForms for FrameItem {
    type Short = FrameSymbol;
    type Long = FrameChoice;

    fn from_short(short: Self::Short) -> Self {
        FrameItem(vec![short])
    }

    fn from_long(long: Self::Long) -> Self {
        FrameItem(long.any.0)
    }
}

/// Functions on the stack.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FramesLong {
    /// In this order, gaps allowed.
    #[serde(default)]
    pub ordered: Option<OneOrMany<FrameItem>>,
    /// In this order, each the direct caller of the one before.
    #[serde(default)]
    pub adjacent: Option<OneOrMany<FrameItem>>,
    /// At least one of these.
    #[serde(default)]
    pub any: Option<OneOrMany<FrameSymbol>>,
    /// None of these.
    #[serde(default)]
    pub none: Option<OneOrMany<FrameSymbol>>,
    /// Only the innermost so many frames are looked at.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub within: Option<u32>,
}

/// [`FramesLong`], or the ordered functions alone.
#[derive(Clone, Debug, PartialEq)]
pub struct FramesTest(pub FramesLong);

impl TwoForms for FramesTest {
    type Short = OneOrMany<FrameItem>;
    type Long = FramesLong;

    fn from_short(short: Self::Short) -> Self {
        FramesTest(FramesLong {
            ordered: Some(short),
            ..FramesLong::default()
        })
    }

    fn from_long(long: Self::Long) -> Self {
        FramesTest(long)
    }
}

/// Registers and what each must hold.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct RegistersTest(pub BTreeMap<Register, Condition>);

/// Settings and what each must be.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct SysctlsTest(pub BTreeMap<SysctlName, SettingTest>);

/// Implements `JsonSchema` for a mapping whose keys have a form of their own.
macro_rules! keyed {
    ($($name:ident: $key:ty => $value:ty),+ $(,)?) => {$(
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let value = generator.subschema_for::<$value>();
                let key = <$key as super::text::Word>::FORMAT;
                schemars::json_schema!({
                    "type": "object",
                    "propertyNames": {"format": key},
                    "additionalProperties": value,
                    "minProperties": 1,
                })
            }
        }
    )+};
}
keyed!(RegistersTest: Register => Condition, SysctlsTest: SysctlName => SettingTest);

/// A word read from the dump's memory.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deref {
    /// Where the object is: a register, `fault.address` or a number.
    pub at: Operand,
    /// The object's type, without `struct`.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The member, as a path: `mapping`, `lru.next`.
    pub field: String,
    /// Exactly this, or one of these. With `mask`: what remains under the mask.
    #[serde(default)]
    pub eq: Option<OneOrMany<super::value::Hex>>,
    /// At least this.
    #[serde(default)]
    pub min: Option<super::value::Hex>,
    /// At most this.
    #[serde(default)]
    pub max: Option<super::value::Hex>,
    /// Only these bits are looked at.
    #[serde(default)]
    pub mask: Option<super::value::Hex>,
    /// The same as a register, or as `fault.address`.
    #[serde(default)]
    pub same_as: Option<Operand>,
    /// Added to what `same_as` names before comparing.
    #[serde(default)]
    pub plus: Option<super::value::SignedHex>,
    /// A kind of value.
    #[serde(default)]
    pub class: Option<OneOrMany<super::value::ValueClass>>,
    /// One of these patterns of dead memory.
    #[serde(default)]
    pub poison: Option<OneOrMany<super::value::PoisonKind>>,
    /// It points to an object of this type, or from this slab cache.
    #[serde(default)]
    pub points_to: Option<String>,
}

impl Deref {
    /// What the word must be.
    pub fn value(&self) -> Value {
        // Written out: serde's flatten would lose the refusal of unknown keys.
        Value {
            eq: self.eq.clone(),
            min: self.min,
            max: self.max,
            mask: self.mask,
            same_as: self.same_as.clone(),
            plus: self.plus,
            class: self.class.clone(),
            poison: self.poison.clone(),
            points_to: self.points_to.clone(),
        }
    }
}

/// Things that must be there and things that may not.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, bound(deserialize = "T: Deserialize<'de>"))]
#[schemars(inline)]
pub struct HasNot<T> {
    /// All of these.
    #[serde(default)]
    pub has: Option<OneOrMany<T>>,
    /// None of these.
    #[serde(default)]
    pub not: Option<OneOrMany<T>>,
}

impl<T> HasNot<T> {
    fn has(list: OneOrMany<T>) -> Self {
        HasNot {
            has: Some(list),
            not: None,
        }
    }
}

/// Taint letters.
#[derive(Clone, Debug, PartialEq)]
pub struct TaintTest(pub HasNot<TaintLetter>);

impl TwoForms for TaintTest {
    type Short = OneOrMany<TaintLetter>;
    type Long = HasNot<TaintLetter>;

    fn from_short(short: Self::Short) -> Self {
        TaintTest(HasNot::has(short))
    }

    fn from_long(long: Self::Long) -> Self {
        TaintTest(long)
    }
}

/// Words of the command line.
#[derive(Clone, Debug, PartialEq)]
pub struct CmdlineTest(pub HasNot<Glob>);

impl TwoForms for CmdlineTest {
    type Short = OneOrMany<Glob>;
    type Long = HasNot<Glob>;

    fn from_short(short: Self::Short) -> Self {
        CmdlineTest(HasNot::has(short))
    }

    fn from_long(long: Self::Long) -> Self {
        CmdlineTest(long)
    }
}

/// Loaded modules.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModulesLong {
    /// All of these are loaded.
    #[serde(default)]
    pub loaded: Option<OneOrMany<Glob>>,
    /// None of these is.
    #[serde(default)]
    pub absent: Option<OneOrMany<Glob>>,
    /// The versions of loaded modules.
    #[serde(default)]
    pub version: Option<BTreeMap<String, VersionRange>>,
}

/// [`ModulesLong`], or the loaded ones alone.
#[derive(Clone, Debug, PartialEq)]
pub struct ModulesTest(pub ModulesLong);

impl TwoForms for ModulesTest {
    type Short = OneOrMany<Glob>;
    type Long = ModulesLong;

    fn from_short(short: Self::Short) -> Self {
        ModulesTest(ModulesLong {
            loaded: Some(short),
            ..ModulesLong::default()
        })
    }

    fn from_long(long: Self::Long) -> Self {
        ModulesTest(long)
    }
}

/// A module's version, in rpm order.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VersionRange {
    /// Exactly this.
    #[serde(default)]
    pub eq: Option<String>,
    /// At least this.
    #[serde(default)]
    pub min: Option<String>,
    /// At most this.
    #[serde(default)]
    pub max: Option<String>,
}

/// The machine's make.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HardwareLong {
    /// Vendor, model and board as the oops prints them.
    #[serde(default)]
    pub model: Option<OneOrMany<Glob>>,
    /// The BIOS's version and date.
    #[serde(default)]
    pub bios: Option<OneOrMany<Glob>>,
}

/// [`HardwareLong`], or the model alone.
#[derive(Clone, Debug, PartialEq)]
pub struct HardwareTest(pub HardwareLong);

impl TwoForms for HardwareTest {
    type Short = OneOrMany<Glob>;
    type Long = HardwareLong;

    fn from_short(short: Self::Short) -> Self {
        HardwareTest(HardwareLong {
            model: Some(short),
            ..HardwareLong::default()
        })
    }

    fn from_long(long: Self::Long) -> Self {
        HardwareTest(long)
    }
}

/// A length of time between two bounds.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SpanRange {
    /// At least this: `208d`.
    #[serde(default)]
    pub min: Option<Span>,
    /// At most this.
    #[serde(default)]
    pub max: Option<Span>,
}

/// A number between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NumberRange {
    /// At least this.
    #[serde(default)]
    pub min: Option<f64>,
    /// At most this.
    #[serde(default)]
    pub max: Option<f64>,
}

/// Memory use in percent of what there is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryTest {
    /// Free pages of all memory.
    #[serde(default)]
    pub free_percent: Option<NumberRange>,
    /// Page cache of all memory.
    #[serde(default)]
    pub cached_percent: Option<NumberRange>,
    /// Slab of all memory.
    #[serde(default)]
    pub slab_percent: Option<NumberRange>,
    /// Used swap of all swap.
    #[serde(default)]
    pub swap_used_percent: Option<NumberRange>,
    /// Committed memory of the commit limit.
    #[serde(default)]
    pub committed_percent: Option<NumberRange>,
}

/// What a setting must be: one of some values, or a number between two bounds.
#[derive(Clone, Debug, PartialEq)]
pub enum SettingTest {
    /// One of these. Several numbers are written as `"256 256 32"`.
    AnyOf(Vec<SettingWord>),
    /// Between these bounds.
    Between(NumberRange),
}

impl TwoForms for SettingTest {
    type Short = OneOrMany<SettingWord>;
    type Long = NumberRange;

    fn from_short(short: Self::Short) -> Self {
        SettingTest::AnyOf(short.0)
    }

    fn from_long(long: Self::Long) -> Self {
        SettingTest::Between(long)
    }
}

/// A setting's value as text, numbers included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingWord(pub String);

impl<'de> Deserialize<'de> for SettingWord {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordVisitor;
        impl serde::de::Visitor<'_> for WordVisitor {
            type Value = SettingWord;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a setting's value")
            }

            fn visit_i64<E>(self, number: i64) -> Result<SettingWord, E> {
                Ok(SettingWord(number.to_string()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<SettingWord, E> {
                Ok(SettingWord(number.to_string()))
            }

            fn visit_str<E>(self, text: &str) -> Result<SettingWord, E> {
                Ok(SettingWord(text.split_whitespace().collect::<Vec<_>>().join(" ")))
            }
        }
        deserializer.deserialize_any(WordVisitor)
    }
}

impl JsonSchema for SettingWord {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SettingWord".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": ["string", "integer"]})
    }
}

/// Lines of the log before the panic.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogLong {
    /// A line fits one of these regular expressions.
    pub regex: OneOrMany<Pattern>,
    /// Only the last so many lines are looked at.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub lines: Option<u32>,
    /// How many lines must fit; at least one if not given.
    #[serde(default)]
    pub count: Option<CountRange>,
}

/// A number of lines.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CountRange {
    /// At least so many.
    #[serde(default)]
    pub min: Option<u32>,
    /// At most so many.
    #[serde(default)]
    pub max: Option<u32>,
}

/// [`LogLong`], or the regular expressions alone.
#[derive(Debug)]
pub struct LogTest(pub LogLong);

impl TwoForms for LogTest {
    type Short = OneOrMany<Pattern>;
    type Long = LogLong;

    fn from_short(short: Self::Short) -> Self {
        LogTest(LogLong {
            regex: short,
            lines: None,
            count: None,
        })
    }

    fn from_long(long: Self::Long) -> Self {
        LogTest(long)
    }
}

two_forms!(
    FaultTest,
    FrameItem,
    FramesTest,
    TaintTest,
    CmdlineTest,
    ModulesTest,
    HardwareTest,
    SettingTest,
    LogTest,
);
