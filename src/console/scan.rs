//! Small scanners that the readers of single lines share. No meaning, only shapes.

use memchr::{memchr, memmem};

/// Where `label` first stands in `text`. A line is short: the standard library's search would spend most of its time on
/// getting ready.
pub fn find(text: &str, label: &str) -> Option<usize> {
    memmem::find(text.as_bytes(), label.as_bytes())
}

/// What stands before and behind the first `label` in `text`.
pub fn split_once<'a>(text: &'a str, label: &str) -> Option<(&'a str, &'a str)> {
    let at = find(text, label)?;
    Some((text.get(..at)?, text.get(at + label.len()..)?))
}

/// The lines of a text, as [`str::lines`] has them, and several times faster.
pub fn lines(mut text: &str) -> impl Iterator<Item = &str> + Clone {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let (line, rest) = match memchr(b'\n', text.as_bytes()) {
            Some(at) => (text.get(..at)?, text.get(at + 1..)?),
            None => return Some(std::mem::take(&mut text)),
        };
        text = rest;
        Some(line.strip_suffix('\r').unwrap_or(line))
    })
}

/// A hex number without `0x`, of at most 16 digits; `None` when there is anything else in `text`.
pub fn bare_hex(text: &str) -> Option<u64> {
    let sound = (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if sound {
        u64::from_str_radix(text, 16).ok()
    } else {
        None
    }
}

/// A hex number with or without `0x`.
pub fn hex(text: &str) -> Option<u64> {
    bare_hex(text.strip_prefix("0x").unwrap_or(text))
}

/// The hex number that `text` begins with (`0x` allowed), and what follows it.
pub fn leading_hex(text: &str) -> Option<(u64, &str)> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let length = digits.bytes().take_while(u8::is_ascii_hexdigit).count();
    let (number, rest) = digits.split_at_checked(length)?;
    Some((bare_hex(number)?, rest))
}

/// The decimal number that `text` begins with, and what follows it.
pub fn leading_decimal(text: &str) -> Option<(u64, &str)> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(length)?;
    Some((number.parse().ok()?, rest))
}

/// The number that follows the first `label` in `text`: `after_decimal("CPU: 1 PID: 2", "PID: ")` is 2.
pub fn decimal_after(text: &str, label: &str) -> Option<u64> {
    let at = find(text, label)?;
    leading_decimal(text.get(at + label.len()..)?.trim_start()).map(|(number, _)| number)
}

/// What stands between the first `open` and the next `close` behind it.
pub fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let (_, rest) = split_once(text, open)?;
    split_once(rest, close).map(|(inner, _)| inner)
}

/// What follows the first `label` in `text`.
pub fn after<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    split_once(text, label).map(|(_, rest)| rest)
}

/// `sym+0x9/0x50 [module]` and what is left of it: the reader of every symbol the kernel prints with `%pS`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SymbolRef<'a> {
    /// The function.
    pub symbol: &'a str,
    /// Bytes from its start.
    pub offset: Option<u64>,
    /// Its size.
    pub size: Option<u64>,
    /// The module, without the build id that 5.14 and later may print.
    pub module: Option<&'a str>,
    /// What follows.
    pub rest: &'a str,
}

/// Reads `sym+0xoff/0xsize [module]` at the start of `text`. The offset must be there.
pub fn symbol_ref(text: &str) -> Option<SymbolRef<'_>> {
    // 2.6.18 prints `:module:symbol+…`.
    let (old_module, text) = match text.strip_prefix(':').and_then(|rest| rest.split_once(':')) {
        Some((module, rest)) if is_symbol(module) => (Some(module), rest),
        _ => (None, text),
    };
    let plus = memchr(b'+', text.as_bytes())?;
    let (symbol, rest) = (text.get(..plus)?, text.get(plus + 1..)?);
    if !is_symbol(symbol) {
        return None;
    }
    let (offset, rest) = match rest.strip_prefix("0x") {
        Some(_) => leading_hex(rest)?,
        // `crash` prints decimal; so did 2.6.16.
        None => leading_decimal(rest)?,
    };
    let (size, rest) = match rest.strip_prefix('/') {
        Some(tail) if tail.starts_with("0x") => {
            let (size, rest) = leading_hex(tail)?;
            (Some(size), rest)
        }
        _ => (None, rest),
    };
    let (module, rest) = match module_tag(rest) {
        Some((module, rest)) => (Some(module), rest),
        None => (old_module, rest),
    };
    Some(SymbolRef {
        symbol,
        offset: Some(offset),
        size,
        module,
        rest,
    })
}

/// ` [crashlab]` or ` [crashlab 0123abcd…]` at the start of `text`.
fn module_tag(text: &str) -> Option<(&str, &str)> {
    let inner = text.trim_start().strip_prefix('[')?;
    let (tag, rest) = inner.split_once(']')?;
    let module = tag.split_once(' ').map_or(tag, |(module, _)| module);
    (is_module(module) && module != "inline").then_some((module, rest))
}

/// Whether `text` can be a module's name.
pub fn is_module(text: &str) -> bool {
    !text.is_empty()
        && text.len() < 64
        && !text.starts_with("<")
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        && bare_hex(text).is_none_or(|_| text.len() < 8)
}

/// Whether `text` can be a kernel symbol: C names, compiler suffixes, Rust's and C++'s manglings.
pub fn is_symbol(text: &str) -> bool {
    let mut bytes = text.bytes();
    let first = bytes.next();
    first.is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.' | b'$'))
        && text.len() <= 512
        && bytes.all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$' | b'@' | b':' | b'<' | b'>' | b'#')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_read_with_all_their_parts() {
        let full = symbol_ref("dm_get+0x30/0x40 [dm_mod 0123456789abcdef] tail").unwrap();
        assert_eq!(
            (full.symbol, full.offset, full.size),
            ("dm_get", Some(0x30), Some(0x40))
        );
        assert_eq!((full.module, full.rest), (Some("dm_mod"), " tail"));
        assert_eq!(symbol_ref("down_read_trylock+9]").unwrap().offset, Some(9));
        assert_eq!(symbol_ref(":ext3:ext3_get+0x1/0x2").unwrap().module, Some("ext3"));
        assert_eq!(symbol_ref("foo.isra.0+0x1/0x2").unwrap().symbol, "foo.isra.0");
        assert!(symbol_ref("1foo+0x1/0x2").is_none());
        assert!(symbol_ref("no offset").is_none());
    }

    proptest::proptest! {
        #[test]
        fn lines_are_those_of_the_standard_library(text in "[a\r\né]{0,12}") {
            proptest::prop_assert!(lines(&text).eq(text.lines()), "{text:?}");
        }

        #[test]
        fn what_is_found_is_what_the_standard_library_finds(text in "[abé ]{0,80}", label in "[abé ]{1,3}") {
            proptest::prop_assert_eq!(find(&text, &label), text.find(&label));
            proptest::prop_assert_eq!(split_once(&text, &label), text.split_once(&label));
        }
    }
}
