//! Members of the dumped kernel's objects by name: what rules ask of memory, and what people ask with `read`.
//!
//! Every read is bounded: one value, a short array, a list that is walked only so far. It knows nothing of rules.

mod expression;
mod slab;
#[cfg(test)]
mod tests;
mod value;

use std::collections::HashSet;

pub use self::expression::{Expression, ExpressionError, Place, Start};
pub use self::value::Value;
use super::ReadError;
use super::access::KernelMemory;
use super::symbols::Symbols;
use super::types::{Kind, Member, Types};
use crate::addr::VirtAddr;

/// Pointers followed on one path.
const MAX_STEPS: usize = 16;
/// Objects of one list.
const MAX_OBJECTS: usize = 65_536;
/// Bytes of an array or a string that are read.
const MAX_ARRAY: u64 = 4096;

/// What names in an expression stand for, besides symbols: registers of the fault and `current`.
pub type Names<'a> = &'a dyn Fn(&str) -> Option<VirtAddr>;

/// Why a value could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// The name is neither a register that is known nor a symbol.
    #[error("`{0}` is neither a register of the fault that is known nor a symbol of this kernel")]
    NoSuchName(String),
    /// The type or the member is not known.
    #[error("no type information for `{0}`: it is misspelt, or this kernel has none (give --vmlinux)")]
    NoLayout(String),
    /// A member is asked for, but of what type the object is was not said.
    #[error("what type is at {0}? write TYPE@START.MEMBER")]
    NoType(VirtAddr),
    /// A member of something that is neither structure nor pointer to one.
    #[error("`{0}` is neither a structure nor a pointer to one: it has no members")]
    NoMembers(String),
    /// A number is needed.
    #[error("`{0}` is no number but a structure, an array or text")]
    NoNumber(String),
    /// The memory could not be read.
    #[error("`{what}`: {source}")]
    Memory {
        /// What was to be read.
        what: String,
        /// Why it could not be.
        source: ReadError,
    },
    /// A list that leads nowhere, into itself or without end.
    #[error("the list is broken after {count} objects: {why}")]
    BrokenList {
        /// How many objects were found before.
        count: usize,
        /// What is wrong.
        why: String,
    },
    /// A question about the slab allocator that the dump cannot answer.
    #[error("{0}")]
    Slab(String),
}

/// One value, and of which object it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The object's address.
    pub object: VirtAddr,
    /// The value.
    pub value: Value,
}

/// What an expression came to: for a list as much of it as could be walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readings {
    /// The values, in the list's order.
    pub values: Vec<Reading>,
    /// Why a list's walk ended early.
    pub broken: Option<ProbeError>,
}

/// Reads members out of a dumped kernel. Cheap to make.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    memory: &'a KernelMemory,
    symbols: &'a Symbols,
    types: &'a dyn Types,
}

/// Where a path leads: an address and what lies there.
#[derive(Clone, Debug)]
struct Spot {
    address: VirtAddr,
    /// How it was written, for errors.
    what: String,
    member: Member,
}

impl<'a> Reader<'a> {
    /// A reader of the kernel that `memory` is of.
    pub fn new(memory: &'a KernelMemory, symbols: &'a Symbols, types: &'a dyn Types) -> Reader<'a> {
        Reader { memory, symbols, types }
    }

    /// Reads what `expression` says. `names` gives the values of registers and of `current`, the task that ran.
    pub fn read(&self, expression: &Expression, names: Names<'_>) -> Result<Readings, ProbeError> {
        let (place, told) = self.place(&expression.place, names)?;
        let type_name = expression.type_name.clone().or(told);
        let Some(link) = &expression.list else {
            let value = self.value_at(place, type_name.as_deref(), expression.path.as_deref())?;
            return Ok(Readings {
                values: vec![Reading { object: place, value }],
                broken: None,
            });
        };
        let type_name = type_name.ok_or(ProbeError::NoType(place))?;
        let (objects, mut broken) = self.list(place, &type_name, link)?;
        let mut values = Vec::new();
        for object in objects {
            match self.value_at(object, Some(&type_name), expression.path.as_deref()) {
                Ok(value) => values.push(Reading { object, value }),
                // A name that does not exist, it does not for any of them.
                Err(error @ (ProbeError::NoLayout(_) | ProbeError::NoMembers(_))) => return Err(error),
                Err(error) => broken = broken.or(Some(error)),
            }
        }
        Ok(Readings { values, broken })
    }

    /// The member at `path` of the `type_name` at `at`, as an unsigned number; a bit field is shifted down, a signed
    /// one extended. Pointers on the way are followed.
    pub fn number(&self, at: VirtAddr, type_name: &str, path: &str) -> Result<u64, ProbeError> {
        let spot = self.spot(at, type_name, path)?;
        let value = self.value(&spot)?;
        value.number().ok_or(ProbeError::NoNumber(spot.what))
    }

    /// The objects of type `type_name` in the list whose head is at `head`, linked through the member at `link`; and
    /// why the walk ended early, if it did.
    pub fn list(
        &self,
        head: VirtAddr,
        type_name: &str,
        link: &str,
    ) -> Result<(Vec<VirtAddr>, Option<ProbeError>), ProbeError> {
        let offset = self.member(type_name, link)?.offset;
        let mut objects = Vec::new();
        let mut seen = HashSet::new();
        let mut at = head;
        let why = loop {
            match self.memory.pointer(at) {
                Err(source) => break source.to_string(),
                Ok(next) if next == head => return Ok((objects, None)),
                Ok(VirtAddr(0)) => break format!("the link at {at} is NULL"),
                Ok(next) if !seen.insert(next.0) => break format!("it leads back to {next}, not to its head"),
                Ok(_) if objects.len() >= MAX_OBJECTS => break format!("it has more than {MAX_OBJECTS} objects"),
                Ok(next) => {
                    objects.push(VirtAddr(next.0.wrapping_sub(offset)));
                    at = next;
                }
            }
        };
        // The last link is one only if it could be read itself.
        let count = objects.len();
        Ok((objects, Some(ProbeError::BrokenList { count, why })))
    }

    fn place(&self, place: &Place, names: Names<'_>) -> Result<(VirtAddr, Option<String>), ProbeError> {
        let (address, told) = match &place.start {
            Start::Number(number) => (VirtAddr(*number), None),
            Start::Name(name) => self.named(name, names)?,
            Start::PerCpu(name, cpu) => {
                let address = self.symbols.per_cpu(name, *cpu);
                let address = address.ok_or_else(|| ProbeError::NoSuchName(format!("{name}:{cpu}")))?;
                (address, None)
            }
            Start::Inner(inner) => match self.read(inner, names)?.values.into_iter().next() {
                Some(Reading {
                    value: Value::Object { address, type_name, .. },
                    ..
                }) => (address, type_name),
                Some(Reading {
                    value: Value::Pointer { to, type_name, .. },
                    ..
                }) => (to, type_name),
                Some(reading) => {
                    let number = reading.value.number();
                    (
                        VirtAddr(number.ok_or_else(|| ProbeError::NoNumber(inner.to_string()))?),
                        None,
                    )
                }
                None => return Err(ProbeError::NoNumber(inner.to_string())),
            },
        };
        // An object that something was added to is another one.
        let told = told.filter(|_| place.offset == 0);
        Ok((address.wrapping_offset(place.offset), told))
    }

    fn named(&self, name: &str, names: Names<'_>) -> Result<(VirtAddr, Option<String>), ProbeError> {
        if let Some(value) = names(name) {
            let told = (name == "current").then(|| "task_struct".to_owned());
            return Ok((value, told));
        }
        if let Some(address) = self.symbols.all_by_name(name).first().copied() {
            return Ok((address, None));
        }
        // An address as kernel text writes it, without 0x.
        match u64::from_str_radix(name, 16) {
            Ok(address) if name.len() == 16 => Ok((VirtAddr(address), None)),
            _ => Err(ProbeError::NoSuchName(name.to_owned())),
        }
    }

    /// What lies at `at`: a member of an object, a whole object, or a plain word.
    fn value_at(&self, at: VirtAddr, type_name: Option<&str>, path: Option<&str>) -> Result<Value, ProbeError> {
        match (type_name, path) {
            (Some(type_name), Some(path)) => self.value(&self.spot(at, type_name, path)?),
            (None, Some(_)) => Err(ProbeError::NoType(at)),
            (Some(type_name), None) => match plain(type_name, self.memory.abi().word_size()) {
                Some(member) => self.value(&Spot {
                    address: at,
                    what: type_name.to_owned(),
                    member,
                }),
                None => Ok(Value::Object {
                    type_name: Some(type_name.to_owned()),
                    address: at,
                    size: self.types.size_of(type_name),
                }),
            },
            (None, None) => {
                let word = self.memory.word(at).map_err(|source| memory(&at.to_string(), source))?;
                Ok(Value::Unsigned(word))
            }
        }
    }

    fn member(&self, type_name: &str, path: &str) -> Result<Member, ProbeError> {
        self.types
            .member(type_name, path)
            .ok_or_else(|| ProbeError::NoLayout(format!("{type_name}.{path}")))
    }

    /// Follows `path` from the object at `at` on: as far as it stays in one object, then through the pointer there.
    fn spot(&self, at: VirtAddr, type_name: &str, path: &str) -> Result<Spot, ProbeError> {
        let mut at = at;
        let mut type_name = type_name.to_owned();
        let mut path = path;
        for _ in 0..MAX_STEPS {
            let what = format!("{type_name}.{path}");
            if let Some(member) = self.types.member(&type_name, path) {
                let address = VirtAddr(at.0.wrapping_add(member.offset));
                return Ok(Spot { address, what, member });
            }
            // The longest beginning that is a member, which must be a pointer.
            let beginnings = path.rmatch_indices('.').map(|(dot, _)| path.split_at(dot));
            let (member, part, rest) = beginnings
                .filter_map(|(part, rest)| Some((self.types.member(&type_name, part)?, part, rest)))
                .next()
                .ok_or(ProbeError::NoLayout(what))?;
            let what = format!("{type_name}.{part}");
            let Kind::Pointer { to: Some(to) } = member.kind else {
                return Err(ProbeError::NoMembers(what));
            };
            let place = VirtAddr(at.0.wrapping_add(member.offset));
            at = self.memory.pointer(place).map_err(|source| memory(&what, source))?;
            type_name = to;
            path = rest.trim_start_matches('.');
        }
        Err(ProbeError::NoLayout(format!("{type_name}.{path}")))
    }

    fn value(&self, spot: &Spot) -> Result<Value, ProbeError> {
        let Spot { address, what, member } = spot;
        let failed = |source| memory(what, source);
        match &member.kind {
            Kind::Array { count, size: 1, .. } => {
                let len = (*count).clamp(1, MAX_ARRAY) as usize;
                let text = self.memory.c_string(*address, len).map_err(failed)?;
                if !text.iter().any(u8::is_ascii_control) {
                    return Ok(Value::Text(String::from_utf8_lossy(&text).into_owned()));
                }
                let bytes = self.memory.bytes(*address, len).map_err(failed)?;
                Ok(Value::Numbers(bytes.into_iter().map(u64::from).collect()))
            }
            Kind::Array {
                count,
                size: size @ (2 | 4 | 8),
                element,
            } if !matches!(**element, Kind::Struct { .. }) => {
                let len = count.saturating_mul(*size).min(MAX_ARRAY);
                let bytes = self.memory.bytes(*address, len as usize).map_err(failed)?;
                let numbers = bytes.chunks_exact(*size as usize);
                Ok(Value::Numbers(
                    numbers.map(|number| self.memory.abi().uint(number)).collect(),
                ))
            }
            Kind::Unsigned | Kind::Signed | Kind::Enum | Kind::Pointer { .. } if (1..=8).contains(&member.size) => {
                let mut buf = [0; 8];
                let buf = buf.get_mut(..member.size as usize).unwrap_or_default();
                self.memory.read(*address, buf).map_err(failed)?;
                let number = member.value(self.memory.abi().uint(buf));
                Ok(match &member.kind {
                    Kind::Signed => Value::Signed(number as i64),
                    Kind::Pointer { to } => self.pointer(VirtAddr(number), to.clone()),
                    _ => Value::Unsigned(number),
                })
            }
            kind => Ok(Value::Object {
                type_name: match kind {
                    Kind::Struct { name } => name.clone(),
                    _ => None,
                },
                address: *address,
                size: Some(member.size),
            }),
        }
    }

    fn pointer(&self, to: VirtAddr, type_name: Option<String>) -> Value {
        let symbol = self
            .symbols
            .by_address(to)
            .filter(|symbol| to.0 != 0 && symbol.offset < symbol.size.max(1))
            .map(|symbol| match symbol.offset {
                0 => symbol.name,
                offset => format!("{}+{offset:#x}", symbol.name),
            });
        Value::Pointer { to, type_name, symbol }
    }
}

fn memory(what: &str, source: ReadError) -> ProbeError {
    ProbeError::Memory {
        what: what.to_owned(),
        source,
    }
}

/// Plain types that need no knowledge of the kernel.
fn plain(name: &str, word: u64) -> Option<Member> {
    let (size, kind) = match name {
        "u8" | "bool" => (1, Kind::Unsigned),
        "u16" => (2, Kind::Unsigned),
        "u32" | "uint" => (4, Kind::Unsigned),
        "u64" => (8, Kind::Unsigned),
        "ulong" => (word, Kind::Unsigned),
        "s8" => (1, Kind::Signed),
        "s16" => (2, Kind::Signed),
        "s32" | "int" => (4, Kind::Signed),
        "s64" => (8, Kind::Signed),
        "long" => (word, Kind::Signed),
        "pointer" => (word, Kind::Pointer { to: None }),
        "string" => {
            let element = Box::new(Kind::Unsigned);
            (
                1,
                Kind::Array {
                    count: MAX_ARRAY,
                    size: 1,
                    element,
                },
            )
        }
        _ => return None,
    };
    Some(Member {
        offset: 0,
        size,
        bits: None,
        kind,
    })
}
