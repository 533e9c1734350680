//! Places in code as rules write them, and how they fit the places of a report.
//!
//! Knows how functions are named, nothing of stacks.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer};

use super::text::{Fault, Word, glob, words};
use crate::crash::machinery::unify_syscall;
use crate::crash::normalise_symbol;

words!(Symbol, FrameSymbol);

/// A place in code: `sym`, `sym+0x9`, `mod:sym`, with `*` for anything.
#[derive(Clone, PartialEq, Eq)]
pub struct Symbol {
    text: String,
    module: Option<String>,
    name: String,
    offset: Option<u64>,
    wild: bool,
    /// How many bytes of the name stand before the first `*`.
    literal: usize,
    spells_suffix: bool,
    /// The one spelling of a system call's name, when it is one.
    syscall: Option<String>,
}

/// How a symbol token fits a place in code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is that place.
    Yes,
    /// It is another place.
    No,
    /// The function fits, but the place does not say its offset.
    OffsetUnknown,
}

impl Symbol {
    /// The token as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The function's name, when the token names exactly one.
    pub fn exact_name(&self) -> Option<&str> {
        (!self.wild).then_some(&*self.name)
    }

    /// Whether only a module's function can fit.
    pub fn names_module(&self) -> bool {
        self.module.is_some()
    }

    /// Whether the token names one function by its whole name with the compiler's suffix.
    pub fn spells_suffix(&self) -> bool {
        self.spells_suffix
    }

    /// Holds the token against a place. Compiler suffixes count only when the token names one, and a system call has
    /// one name however its wrappers are called (`SyS_read`, `__x64_sys_read`).
    pub fn fits(&self, symbol: &str, module: Option<&str>, offset: Option<u64>) -> Fit {
        // Nearly every place is another one, which its module or its first letters tell before suffixes are looked at.
        if let Some(wanted) = &self.module
            && !module.is_some_and(|module| fits_module(wanted, module))
        {
            return Fit::No;
        }
        let literal = self.name.get(..self.literal).unwrap_or_default();
        let begins = symbol.starts_with(literal) || symbol.starts_with('.') || literal.starts_with('.');
        if self.syscall.is_none() && !begins {
            return Fit::No;
        }
        let name = if self.spells_suffix {
            symbol
        } else {
            normalise_symbol(symbol)
        };
        let named = if self.wild {
            glob(&self.name, name)
        } else {
            self.name == name || self.syscall.as_ref().is_some_and(|call| unify_syscall(name) == *call)
        };
        if !named {
            return Fit::No;
        }
        match (self.offset, offset) {
            (None, _) => Fit::Yes,
            (Some(_), None) => Fit::OffsetUnknown,
            (Some(wanted), Some(found)) if wanted == found => Fit::Yes,
            (Some(_), Some(_)) => Fit::No,
        }
    }
}

/// Whether a module's name fits a pattern; `-` and `_` are one letter in them.
fn fits_module(wanted: &str, module: &str) -> bool {
    if module.contains('-') {
        glob(wanted, &module.replace('-', "_"))
    } else {
        glob(wanted, module)
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Word for Symbol {
    const FORMAT: &'static str = "symbol";

    fn read(text: &str) -> Result<Self, Fault> {
        let bad = |message: String| Fault::new("bad-symbol", message);
        let (place, offset) = match text.split_once('+') {
            None => (text, None),
            Some((place, offset)) => (place, Some(read_offset(text, place, offset)?)),
        };
        let (module, name) = match place.split_once(':') {
            None => (None, place),
            Some((module, name)) => (Some(module), name),
        };
        if name.is_empty() || module.is_some_and(str::is_empty) {
            return Err(bad(format!("{text:?} names no function")).help("write `sym`, `sym+0x9` or `module:sym`"));
        }
        if name.ends_with('?') {
            return Err(bad(format!("`{text}`: only an item of `frames` may be unreliable"))
                .help(format!("write `{}`", text.trim_end_matches('?'))));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '*' | '$');
        if let Some(odd) = name.chars().find(|&c| !allowed(c)) {
            return Err(bad(format!(
                "{text:?} is not a function's name: {odd:?} cannot be part of one"
            ))
            .help("write `sym`, `sym+0x9` or `module:sym`; `*` stands for anything"));
        }
        if let Some(module) = module
            && let Some(odd) = module
                .chars()
                .find(|&c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '*')))
        {
            return Err(bad(format!(
                "{module:?} is not a module's name: {odd:?} cannot be part of one"
            )));
        }
        if name.chars().all(|c| c == '*') && module.is_none() {
            return Err(Fault::new("always-true", format!("{text:?} fits any function")));
        }
        let spells_suffix = normalise_symbol(name) != name;
        let syscall = unify_syscall(name);
        Ok(Symbol {
            text: text.to_owned(),
            module: module.map(|module| module.replace('-', "_")),
            name: name.to_owned(),
            offset,
            wild: name.contains('*'),
            literal: name.find('*').unwrap_or(name.len()),
            spells_suffix,
            syscall: (!spells_suffix && syscall.starts_with("sys_")).then(|| syscall.into_owned()),
        })
    }
}

fn read_offset(text: &str, place: &str, offset: &str) -> Result<u64, Fault> {
    if let Some(number) = offset
        .strip_prefix("0x")
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
    {
        return Ok(number);
    }
    if offset.contains('/') {
        let (offset, _) = offset.split_once('/').unwrap_or((offset, ""));
        return Err(Fault::new(
            "bad-symbol",
            format!("`{text}`: a function's size differs from build to build"),
        )
        .help(format!("write `{place}+{offset}`")));
    }
    let fault = Fault::new(
        "decimal-offset",
        format!("`{text}`: an offset is written in hex, with 0x"),
    );
    Err(match offset.parse::<u64>() {
        Ok(number) => fault.help(format!("`crash` prints decimal offsets: write `{place}+{number:#x}`")),
        Err(_) => Fault::new("bad-symbol", format!("`{text}`: {offset:?} is not an offset")).help("write `sym+0x9`"),
    })
}

/// A [`Symbol`] as an item of `frames`: a `?` behind it also accepts a frame that the kernel printed with one.
#[derive(Clone, PartialEq, Eq)]
pub struct FrameSymbol {
    /// Which function.
    pub symbol: Symbol,
    /// Whether an unreliable frame will do.
    pub unreliable_too: bool,
}

impl fmt::Debug for FrameSymbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for FrameSymbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}",
            self.symbol.as_str(),
            if self.unreliable_too { "?" } else { "" }
        )
    }
}

impl Word for FrameSymbol {
    const FORMAT: &'static str = "frame";

    fn read(text: &str) -> Result<Self, Fault> {
        let (name, unreliable_too) = match text.strip_suffix('?') {
            Some(name) => (name, true),
            None => (text, false),
        };
        let symbol = Symbol::read(name)?;
        Ok(FrameSymbol { symbol, unreliable_too })
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
    fn an_offset_is_written_in_hex() {
        let (code, help) = fault::<Symbol>("down_read_trylock+9");
        assert_eq!(code, "decimal-offset");
        assert!(help.contains("`down_read_trylock+0x9`"), "{help}");
        assert_eq!(fault::<Symbol>("sym+0x9/0x50").0, "bad-symbol");
        assert_eq!(fault::<Symbol>("sym+nine").0, "bad-symbol");
        assert_eq!(fault::<FrameSymbol>("sym+17?").0, "decimal-offset");
        assert!(fault::<Symbol>("sym+16").1.contains("sym+0x10"));
    }

    #[test]
    fn a_symbol_fits_with_and_without_what_the_compiler_added() {
        let fits = |token: &str, symbol: &str, module: Option<&str>, offset| {
            Symbol::read(token).unwrap().fits(symbol, module, offset)
        };
        assert_eq!(fits("f", "f.isra.0", None, None), Fit::Yes);
        assert_eq!(fits("f", "f.isra.0.cold", None, None), Fit::Yes);
        assert_eq!(fits("f.isra.0", "f.isra.0", None, None), Fit::Yes);
        assert_eq!(fits("f.isra.0", "f", None, None), Fit::No);
        assert_eq!(fits("f*", "frob.part.3", None, None), Fit::Yes);
        assert_eq!(fits("*_trylock", "down_read_trylock", None, None), Fit::Yes);
        assert_eq!(fits("f+0x9", "f", None, Some(9)), Fit::Yes);
        assert_eq!(fits("f+0x9", "f", None, Some(5)), Fit::No);
        assert_eq!(fits("f+0x9", "f", None, None), Fit::OffsetUnknown);
        assert_eq!(fits("f+0x9", "g", None, None), Fit::No);
        assert_eq!(fits("dm-mod:f", "f", Some("dm_mod"), None), Fit::Yes);
        assert_eq!(fits("dm_mod:f", "f", None, None), Fit::No);
        assert_eq!(fits("dm_mod:*", "f", Some("dm_mod"), None), Fit::Yes);
        assert_eq!(fits("sys_read", "__x64_sys_read", None, None), Fit::Yes);
        assert_eq!(fits("SyS_read", "sys_read", None, None), Fit::Yes);
        assert_eq!(fits("sys_read", "sys_readv", None, None), Fit::No);
    }
}
