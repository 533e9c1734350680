//! A value out of the dump's memory, as it is shown to people.

use std::fmt;

use crate::addr::VirtAddr;

/// A value that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// An unsigned number.
    Unsigned(u64),
    /// A signed number.
    Signed(i64),
    /// A pointer, what it points to by type, and the symbol there.
    Pointer {
        /// Where it points.
        to: VirtAddr,
        /// The name of the type it points to.
        type_name: Option<String>,
        /// The symbol there: `init_mm`, `ext4_file_operations+0x8`.
        symbol: Option<String>,
    },
    /// A string, unescaped.
    Text(String),
    /// Several numbers.
    Numbers(Vec<u64>),
    /// A structure or anything else that is no single value.
    Object {
        /// Its type's name, if it has one.
        type_name: Option<String>,
        /// Where it lies.
        address: VirtAddr,
        /// Its size in bytes, if known.
        size: Option<u64>,
    },
}

impl Value {
    /// The value as one unsigned number, if it is one.
    pub fn number(&self) -> Option<u64> {
        match self {
            Value::Unsigned(number) => Some(*number),
            Value::Signed(number) => Some(*number as u64),
            Value::Pointer { to, .. } => Some(to.0),
            Value::Text(_) | Value::Numbers(_) | Value::Object { .. } => None,
        }
    }
}

impl fmt::Display for Value {
    /// One line, fit for a terminal: control characters are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Unsigned(number @ 0..=9) => write!(f, "{number}"),
            Value::Unsigned(number) => write!(f, "{number:#x} ({number})"),
            Value::Signed(number) => write!(f, "{number}"),
            Value::Pointer { to, type_name, symbol } => {
                write!(f, "{to}")?;
                if let Some(type_name) = type_name {
                    write!(f, " {} *", type_name.escape_debug())?;
                }
                match symbol {
                    Some(symbol) => write!(f, " <{}>", symbol.escape_debug()),
                    None => Ok(()),
                }
            }
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Numbers(numbers) => {
                f.write_str("[")?;
                for (place, number) in numbers.iter().enumerate() {
                    let comma = if place == 0 { "" } else { ", " };
                    write!(f, "{comma}{number:#x}")?;
                }
                f.write_str("]")
            }
            Value::Object {
                type_name,
                address,
                size,
            } => {
                let name = type_name.as_deref().unwrap_or("an object without a name");
                write!(f, "{} at {address}", name.escape_debug())?;
                match size {
                    Some(size) => write!(f, ", {size} bytes"),
                    None => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_on_one_harmless_line() {
        assert_eq!(Value::Unsigned(8).to_string(), "8");
        assert_eq!(Value::Unsigned(255).to_string(), "0xff (255)");
        assert_eq!(Value::Signed(-12).to_string(), "-12");
        assert_eq!(
            Value::Text("a\u{1b}[31m\n".to_owned()).to_string(),
            r#""a\u{1b}[31m\n""#
        );
        assert_eq!(Value::Numbers(vec![1, 255]).to_string(), "[0x1, 0xff]");
        let pointer = Value::Pointer {
            to: VirtAddr(0x1000),
            type_name: Some("mm_struct".to_owned()),
            symbol: Some("init_mm".to_owned()),
        };
        assert_eq!(pointer.to_string(), "0x1000 mm_struct * <init_mm>");
    }
}
