//! The log as text, the way vmcore-dmesg and `dmesg` print it.

use std::fmt::Write as _;
use std::io;

use super::{KernelLog, Record, State};

impl KernelLog {
    /// The log as lines `[    1.234567] text`. A message of several lines has its time on the first; bytes that are
    /// neither printable ASCII nor white space become `\xNN`. Half-written records and those whose text the dump
    /// lacks are left out.
    pub fn render(&self) -> String {
        let length = self.records.iter().map(|record| record.text.len() + 20).sum();
        let mut text = String::with_capacity(length);
        for record in self.finished() {
            record.render_to(&mut text);
        }
        text
    }

    /// Writes what [`KernelLog::render`] gives, without holding all of it.
    pub fn write_to(&self, out: &mut dyn io::Write) -> io::Result<()> {
        let mut line = String::new();
        for record in self.finished() {
            line.clear();
            record.render_to(&mut line);
            out.write_all(line.as_bytes())?;
        }
        Ok(())
    }

    fn finished(&self) -> impl Iterator<Item = &Record> {
        let has_text = |record: &&Record| !matches!(record.state, State::HalfWritten | State::Missing);
        self.records.iter().filter(has_text)
    }
}

impl Record {
    /// The message in printable form, without time and line end.
    pub fn printable(&self) -> String {
        let mut text = String::with_capacity(self.text.len());
        escape_to(&self.text, &mut text);
        text
    }

    fn render_to(&self, out: &mut String) {
        if let Some(nanoseconds) = self.nanoseconds {
            let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
            // Writing to a String cannot fail.
            let _ = write!(out, "[{seconds:5}.{:06}] ", rest / 1000);
        }
        escape_to(&self.text, out);
        out.push('\n');
    }
}

fn escape_to(text: &[u8], out: &mut String) {
    for &byte in text {
        match byte {
            // What isprint() and isspace() accept in the C locale.
            b' '..=b'~' | b'\t'..=b'\r' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Form;
    use super::*;

    fn record(nanoseconds: Option<u64>, text: &[u8], state: State) -> Record {
        Record {
            seq: 0,
            nanoseconds,
            level: None,
            facility: None,
            caller: None,
            continues: false,
            text: text.to_vec(),
            state,
        }
    }

    #[test]
    fn records_become_lines() {
        let log = KernelLog {
            form: Form::Ring,
            records: vec![
                record(Some(1_234_567_899), b"one", State::Whole),
                record(Some(100_000_000_000_000), b"two\n  lines", State::Whole),
                record(Some(0), b"\x1b[31m \xc3\xa4\t.", State::Suspect),
                record(Some(0), b"cut in the mid", State::HalfWritten),
                record(Some(0), b"", State::Missing),
                record(None, b"no time", State::Whole),
                record(Some(5), b"", State::TextLost),
            ],
            complete: true,
            problems: Vec::new(),
        };
        let expected = "[    1.234567] one\n[100000.000000] two\n  lines\n[    0.000000] \\x1b[31m \\xc3\\xa4\t.\nno time\n[    0.000000] \n";
        assert_eq!(log.render(), expected);
        let mut written = Vec::new();
        log.write_to(&mut written).unwrap();
        assert_eq!(written, expected.as_bytes());
    }
}
