//! The code bytes of an oops: its `Code:` line, the same as `fault.code` in the record.
//!
//! The one place that reads and writes that form. It knows nothing of instructions.

/// Code bytes around the place where the processor stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodeBytes {
    before: Vec<u8>,
    from_rip: Vec<u8>,
}

/// How many bytes an oops prints before and from RIP (`PROLOGUE_SIZE`, `OPCODE_BUFSIZE` in arch/x86/kernel/dumpstack.c).
pub const BEFORE: usize = 42;
/// See [`BEFORE`].
pub const FROM_RIP: usize = 22;

/// Longer than any `Code:` line ever printed.
const MAX: usize = 512;

impl CodeBytes {
    /// `before` RIP and from RIP on.
    pub fn new(before: impl Into<Vec<u8>>, from_rip: impl Into<Vec<u8>>) -> CodeBytes {
        CodeBytes {
            before: before.into(),
            from_rip: from_rip.into(),
        }
    }

    /// Reads `48 89 c3 <48> 8b 07`, with or without `Code:` before it. `None` when no byte is marked (`Bad RIP value.`,
    /// `Unable to access opcode bytes at …`, a line cut off too early) or when the bytes are not an x86 kernel's.
    ///
    /// What follows the last whole byte is left out: lines are cut off anywhere, and tools append what they like.
    pub fn parse(line: &str) -> Option<CodeBytes> {
        let line = line.trim_start();
        let line = line.strip_prefix("Code:").unwrap_or(line);
        let mut code = CodeBytes::default();
        let mut marked = false;
        for word in line.split_whitespace().take(MAX) {
            let mark = word.strip_prefix('<').and_then(|word| word.strip_suffix('>'));
            let Some(byte) = hex_byte(mark.unwrap_or(word)) else {
                break;
            };
            marked |= mark.is_some();
            if marked {
                code.from_rip.push(byte);
            } else {
                code.before.push(byte);
            }
        }
        marked.then_some(code)
    }

    /// The bytes from RIP on.
    pub fn from_rip(&self) -> &[u8] {
        &self.from_rip
    }
}

fn hex_byte(word: &str) -> Option<u8> {
    let is_byte = word.len() == 2 && word.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_byte.then(|| u8::from_str_radix(word, 16).ok()).flatten()
}

impl std::fmt::Display for CodeBytes {
    /// As an oops prints it, without `Code:`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for byte in &self.before {
            write!(f, "{byte:02x} ")?;
        }
        for (place, byte) in self.from_rip.iter().enumerate() {
            match place {
                0 => write!(f, "<{byte:02x}>")?,
                _ => write!(f, " {byte:02x}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_as_kernels_print_them() {
        let code = CodeBytes::parse("Code: 66 66 66 66 90 55 48 89 e5 <48> 8b 07 48 89 c2").unwrap();
        assert_eq!(code.from_rip(), [0x48, 0x8b, 0x07, 0x48, 0x89, 0xc2]);
        assert_eq!(code.to_string(), "66 66 66 66 90 55 48 89 e5 <48> 8b 07 48 89 c2");
        assert_eq!(CodeBytes::parse("<0f> 0b 0"), CodeBytes::parse("<0f> 0b"));
        assert_eq!(CodeBytes::parse("<0f> 0b 41 8b ..."), CodeBytes::parse("<0f> 0b 41 8b"));
    }

    #[test]
    fn lines_without_a_marked_byte_hold_nothing() {
        for line in [
            "Code: Bad RIP value.",
            "Code:  Bad RIP value.",
            "Code: Unable to access opcode bytes at 0xffffffffffffffd6.",
            "Code: 48 89 fa 4c 89 df e8 38",
            "Code: 910003fd f9400000 (b9400000) 52800001",
            "Code: ???????? ????????",
            "Code: 0000000000433f82: eb6ff0a00004\tlmg\t%r8,%r15,160(%r15)",
            "",
        ] {
            assert_eq!(CodeBytes::parse(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_harm(line in ".*") {
            let _ = CodeBytes::parse(&line);
        }

        #[test]
        fn what_is_written_is_read(before: Vec<u8>, rip: u8, rest: Vec<u8>) {
            let code = CodeBytes::new(before, [&[rip][..], &rest].concat());
            prop_assert_eq!(CodeBytes::parse(&code.to_string()), Some(code));
        }
    }
}
