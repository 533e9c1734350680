//! The crash reports of Ubuntu's apport (`/var/crash/linux-image-*.crash`), as a stream of the dump or log in them.
//!
//! A report is fields as in a mail's head, `Name: value`, with further lines of a value behind a space. One that says
//! `base64` goes on in lines that are each encoded for themselves, and together are a gzip file (apport's
//! `problem_report.py`). What that file holds is not looked at here.

use std::io::{self, BufRead, Cursor, ErrorKind, Read};

/// The first line of a report about a kernel that crashed.
const START: &[u8] = b"ProblemType: KernelCrash";
/// The fields that hold the crash: a dump, or its log.
const FIELDS: [&[u8]; 2] = [b"VmCore:", b"VmCoreDmesg:"];
/// As much of a line as is looked at for its field's name.
const NAME: u64 = 64;

/// Whether `head` begins a report about a kernel that crashed.
pub(super) fn is_report(head: &[u8]) -> bool {
    head.strip_prefix(START)
        .is_some_and(|rest| matches!(rest.first(), Some(b'\n' | b'\r')))
}

/// What comes next in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Fields that do not matter.
    Before,
    /// A line of the field that does.
    Line { base64: bool },
    /// The rest of such a line.
    Within { base64: bool },
    /// The field's end.
    After,
}

/// The value of the field that holds the crash.
pub(super) struct Report<R> {
    stream: R,
    at: At,
    /// Six bits of every character of a base64 group so far, and how many characters those are.
    group: (u32, u32),
    decoded: Cursor<Vec<u8>>,
}

impl<R: BufRead> Report<R> {
    pub(super) fn new(stream: R) -> Self {
        Report {
            stream,
            at: At::Before,
            group: (0, 0),
            decoded: Cursor::default(),
        }
    }

    /// Goes to the first field that holds a crash.
    fn find(&mut self) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            (&mut self.stream).take(NAME).read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Err(io::Error::new(
                    ErrorKind::InvalidData,
                    "it holds no VmCoreDmesg, the kernel's log",
                ));
            }
            if !line.ends_with(b"\n") {
                self.stream.skip_until(b'\n')?;
            }
            if let Some(value) = FIELDS.iter().find_map(|field| line.strip_prefix(*field)) {
                let base64 = value.trim_ascii() == b"base64";
                self.at = At::Line { base64 };
                return Ok(());
            }
        }
    }

    /// Decodes what the stream has ready.
    fn decode(&mut self) -> io::Result<()> {
        let mut out = std::mem::take(&mut self.decoded).into_inner();
        out.clear();
        let bytes = self.stream.fill_buf()?;
        let read = bytes.len();
        if read == 0 {
            self.at = At::After;
        }
        for &byte in bytes {
            self.at = match (self.at, byte) {
                (At::Line { base64 }, b' ') => At::Within { base64 },
                (At::Line { .. } | At::Before | At::After, _) => {
                    self.at = At::After;
                    break;
                }
                (At::Within { base64 }, b'\n') => {
                    self.group = (0, 0);
                    if !base64 {
                        out.push(byte);
                    }
                    At::Line { base64 }
                }
                (within @ At::Within { base64: false }, _) => {
                    out.push(byte);
                    within
                }
                (within @ At::Within { base64: true }, _) => match base64_step(self.group, byte, &mut out) {
                    Some(group) => {
                        self.group = group;
                        within
                    }
                    // Damage ends the value: what it is packed in says that it ends early, and keeps what came before.
                    None => {
                        self.at = At::After;
                        break;
                    }
                },
            };
        }
        self.stream.consume(read);
        self.decoded = Cursor::new(out);
        Ok(())
    }
}

/// Takes a character of base64 (RFC 4648) into its group; none for what is no such character.
fn base64_step((bits, count): (u32, u32), byte: u8, out: &mut Vec<u8>) -> Option<(u32, u32)> {
    let six = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        b'=' => {
            // Two characters hold a byte, three hold two; a second `=` finds the group ended.
            let [_, first, second, _] = (bits << (6 * (4 - count.min(4)))).to_be_bytes();
            match count {
                2 => out.push(first),
                3 => out.extend([first, second]),
                _ => {}
            }
            return Some((0, 0));
        }
        b'\r' => return Some((bits, count)),
        _ => return None,
    };
    let bits = bits << 6 | u32::from(six);
    if count < 3 {
        return Some((bits, count + 1));
    }
    let [_, rest @ ..] = bits.to_be_bytes();
    out.extend(rest);
    Some((0, 0))
}

impl<R: BufRead> Read for Report<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.decoded.read(buf)?;
            if read != 0 || buf.is_empty() {
                return Ok(read);
            }
            match self.at {
                At::Before => self.find()?,
                At::Line { .. } | At::Within { .. } => self.decode()?,
                At::After => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    fn value(report: &[u8], buffer: usize) -> io::Result<Vec<u8>> {
        let mut found = Vec::new();
        Report::new(BufReader::with_capacity(buffer, report)).read_to_end(&mut found)?;
        Ok(found)
    }

    #[test]
    fn lines_are_decoded_each_for_itself_up_to_the_next_field() {
        let long = "x".repeat(300);
        let report = format!(
            "ProblemType: KernelCrash\nNote: {long}\n VmCore: no\nVmCoreDmesg: base64\n aGU=\n bA==\n bG8h\nZ: 1\n"
        );
        assert!(is_report(report.as_bytes()));
        for buffer in [1, 7, 4096] {
            assert_eq!(value(report.as_bytes(), buffer).unwrap(), b"hello!");
        }
        assert_eq!(value(&report.as_bytes()[..report.len() - 9], 5).unwrap(), b"hel");
    }

    #[test]
    fn a_log_may_stand_there_as_it_is() {
        let report = b"ProblemType: KernelCrash\nVmCoreDmesg:\n [ 1.0] a\n [ 1.1] b\nZ: 1\n";
        assert_eq!(value(report, 3).unwrap(), b"[ 1.0] a\n[ 1.1] b\n");
    }

    #[test]
    fn what_is_missing_or_damaged_is_told() {
        let told = |report: &[u8]| value(report, 9).unwrap_err().to_string();
        assert!(told(b"ProblemType: KernelCrash\nUname: x\n").contains("VmCoreDmesg"));
        assert_eq!(value(b"VmCore: base64\n aGVs\n bG\x00=\n", 99).unwrap(), b"hel");
        assert!(!is_report(b"ProblemType: KernelCrashes\n") && !is_report(b"ProblemType: Crash\n"));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes in proptest::collection::vec(any::<u8>(), 0..200), buffer in 1usize..40) {
            let _ = value(&bytes, buffer);
            let mut report = b"VmCore: base64\n ".to_vec();
            report.extend(&bytes);
            let _ = value(&report, buffer);
        }
    }
}
