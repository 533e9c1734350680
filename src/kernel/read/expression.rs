//! What to read, as people write it: `page@r13.mapping`, `task_struct@current.mm.pgd`, `module.list*@modules.name`.
//!
//! It knows the form and nothing of memory.

use std::fmt;
use std::str::FromStr;

/// Parentheses nest no deeper than this.
const MAX_DEPTH: usize = 8;
/// No expression is longer, in bytes.
const MAX_LEN: usize = 1024;

/// What to read.
///
/// ```text
/// expression = [type "@"] place ["." path]
///            | type "." path "*@" place ["." path]     every object of a list whose head is at the place
/// place      = start {("+" | "-") number}
/// start      = number | name [":" cpu] | "(" expression ")"
/// path       = member {("." | "->") member}            members may be indexed: regs[2]
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// The type of the object.
    pub type_name: Option<String>,
    /// Set: the objects of a list, linked through the member at this path; the place is the list's head.
    pub list: Option<String>,
    /// Where the object is.
    pub place: Place,
    /// Which of its members. Pointers on the way are followed.
    pub path: Option<String>,
}

/// An address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it starts.
    pub start: Start,
    /// Bytes added to it.
    pub offset: i64,
}

/// Where an address comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Written out.
    Number(u64),
    /// A register of the fault, `current`, or a symbol.
    Name(String),
    /// A per-CPU variable of one CPU.
    PerCpu(String, u32),
    /// What another expression reads.
    Inner(Box<Expression>),
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} at column {column} of `{text}`; write TYPE@START.MEMBER, such as page@r13.mapping or task_struct@current.comm"
)]
pub struct ExpressionError {
    /// What was expected.
    what: &'static str,
    /// Where, in characters from 1 on.
    column: usize,
    /// The text.
    text: String,
}

impl FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Expression, ExpressionError> {
        let mut parser = Parser { text, at: 0 };
        let parsed = if text.len() > MAX_LEN {
            Err("the expression is too long")
        } else {
            parser.expression(0).and_then(|expression| match parser.rest() {
                "" => Ok(expression),
                _ => Err("something that does not belong there"),
            })
        };
        parsed.map_err(|what| ExpressionError {
            what,
            column: text.get(..parser.at).map_or(0, |before| before.chars().count()) + 1,
            text: text.chars().take(200).collect(),
        })
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

type Parsed<T> = Result<T, &'static str>;

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Takes `token` if it comes next.
    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Takes the longest run of characters that `fits`.
    fn run(&mut self, fits: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let end = rest.find(|c| !fits(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn expression(&mut self, depth: usize) -> Parsed<Expression> {
        if depth > MAX_DEPTH {
            return Err("parentheses nested too deeply");
        }
        let (type_name, list) = match self.object_type() {
            Some((type_name, list)) => (Some(type_name), list),
            None => (None, None),
        };
        let place = self.place(depth)?;
        let path = match self.take(".") || self.take("->") {
            true => Some(self.path()?),
            false => None,
        };
        Ok(Expression {
            type_name,
            list,
            place,
            path,
        })
    }

    /// `page@`, `module.list*@`; nothing is taken when there is none.
    fn object_type(&mut self) -> Option<(String, Option<String>)> {
        let before = self.at;
        let found = self.try_object_type();
        if found.is_none() {
            self.at = before;
        }
        found
    }

    fn try_object_type(&mut self) -> Option<(String, Option<String>)> {
        let name = self.name();
        if name.is_empty() {
            return None;
        }
        if self.take("@") {
            return Some((name.to_owned(), None));
        }
        if self.take(".") {
            let path = self.path().ok()?;
            if self.take("*@") {
                return Some((name.to_owned(), Some(path)));
            }
        }
        None
    }

    fn place(&mut self, depth: usize) -> Parsed<Place> {
        let start = if self.take("(") {
            let inner = self.expression(depth + 1)?;
            if !self.take(")") {
                return Err("expected a closing parenthesis");
            }
            Start::Inner(Box::new(inner))
        } else if self.rest().starts_with(|c: char| c.is_ascii_digit()) {
            Start::Number(self.number()?)
        } else {
            let name = self.name().to_owned();
            if name.is_empty() {
                return Err("expected a register, a symbol, an address or a parenthesis");
            }
            match self.take(":") {
                true => Start::PerCpu(
                    name,
                    u32::try_from(self.number()?).map_err(|_| "expected a CPU's number")?,
                ),
                false => Start::Name(name),
            }
        };
        let mut offset = 0_i64;
        loop {
            // An arrow begins a path.
            let sign = match () {
                () if self.take("+") => 1,
                () if !self.rest().starts_with("->") && self.take("-") => -1,
                () => break,
            };
            let number = i64::try_from(self.number()?).map_err(|_| "a number that is too large")?;
            offset = offset.wrapping_add(sign * number);
        }
        Ok(Place { start, offset })
    }

    fn name(&mut self) -> &'t str {
        self.run(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$')
    }

    /// Decimal, or hex with `0x`.
    fn number(&mut self) -> Parsed<u64> {
        let digits = self.run(|c| c.is_ascii_alphanumeric());
        let parsed = match digits.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            // An address as kernel text writes it.
            None if digits.len() == 16 => u64::from_str_radix(digits, 16),
            None => digits.parse(),
        };
        parsed.map_err(|_| "expected a number (hex with 0x)")
    }

    /// Members, joined by dots whatever joined them.
    fn path(&mut self) -> Parsed<String> {
        let mut path = String::new();
        loop {
            let member = self.run(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '[' | ']'));
            if member.is_empty() {
                return Err("expected a member's name");
            }
            path.push_str(member);
            if !(self.take(".") || self.take("->")) {
                return Ok(path);
            }
            path.push('.');
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(type_name) = &self.type_name {
            f.write_str(type_name)?;
            if let Some(list) = &self.list {
                write!(f, ".{list}*")?;
            }
            f.write_str("@")?;
        }
        match &self.place.start {
            Start::Number(number) => write!(f, "{number:#x}")?,
            Start::Name(name) => f.write_str(name)?,
            Start::PerCpu(name, cpu) => write!(f, "{name}:{cpu}")?,
            Start::Inner(inner) => write!(f, "({inner})")?,
        }
        match self.place.offset {
            0 => {}
            ahead @ 1.. => write!(f, "+{ahead:#x}")?,
            behind => write!(f, "-{:#x}", behind.unsigned_abs())?,
        }
        match &self.path {
            Some(path) => write!(f, ".{path}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Expression {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    fn plain(type_name: Option<&str>, start: Start, path: Option<&str>) -> Expression {
        Expression {
            type_name: type_name.map(str::to_owned),
            list: None,
            place: Place { start, offset: 0 },
            path: path.map(str::to_owned),
        }
    }

    #[test]
    fn forms_that_people_write() {
        let name = |name: &str| Start::Name(name.to_owned());
        assert_eq!(
            parse("page@r13.mapping"),
            plain(Some("page"), name("r13"), Some("mapping"))
        );
        assert_eq!(
            parse("task_struct@current->mm->pgd"),
            plain(Some("task_struct"), name("current"), Some("mm.pgd"))
        );
        assert_eq!(parse("tainted_mask"), plain(None, name("tainted_mask"), None));
        assert_eq!(
            parse("u32@0xffffffff81000000"),
            plain(Some("u32"), Start::Number(0xffff_ffff_8100_0000), None)
        );
        assert_eq!(
            parse("page@ffffea0000001000.flags"),
            plain(Some("page"), name("ffffea0000001000"), Some("flags"))
        );
        assert_eq!(
            parse("rq@runqueues:1.curr"),
            plain(Some("rq"), Start::PerCpu("runqueues".to_owned(), 1), Some("curr"))
        );
        assert_eq!(
            parse("pt_regs@current.regs[2].ip"),
            plain(Some("pt_regs"), name("current"), Some("regs[2].ip"))
        );
    }

    #[test]
    fn lists_and_parentheses() {
        let modules = parse("module.list*@modules.name");
        assert_eq!(modules.list.as_deref(), Some("list"));
        assert_eq!(modules.path.as_deref(), Some("name"));
        let anon_vma = parse("anon_vma@(page@r13.mapping)-1.root");
        assert_eq!(anon_vma.place.offset, -1);
        assert!(matches!(anon_vma.place.start, Start::Inner(inner) if *inner == parse("page@r13.mapping")));
        assert_eq!(parse("list_head@rdi+0x10-8.next").place.offset, 8);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let error = |text: &str| text.parse::<Expression>().unwrap_err().to_string();
        assert!(error("page@").starts_with("expected a register, a symbol, an address or a parenthesis at column 6"));
        assert!(error("page@r13.").starts_with("expected a member's name at column 10"));
        assert!(error("(page@r13").starts_with("expected a closing parenthesis at column 10"));
        assert!(error("page@r13 mapping").starts_with("something that does not belong there at column 9"));
        assert!(error("").contains("column 1"));
        assert!(error(&"(".repeat(100)).starts_with("parentheses nested too deeply"));
        assert!(error(&"a".repeat(2000)).starts_with("the expression is too long"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in ".*") {
            let _ = text.parse::<Expression>();
        }

        #[test]
        fn what_is_shown_is_read_again(text in "[a-z]{1,3}(\\.[a-z]{1,2}\\*)?@\\(?[a-z0-9]{1,3}(:[0-9])?\\)?[+-][0-9]{1,3}(\\.[a-z]\\[[0-9]\\])?") {
            if let Ok(expression) = text.parse::<Expression>() {
                prop_assert_eq!(expression.to_string().parse::<Expression>(), Ok(expression));
            }
        }
    }
}
