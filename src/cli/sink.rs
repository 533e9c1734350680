//! Where output goes: standard output and standard error, buffered, coloured when wanted, quiet on a closed pipe.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use anstream::adapter::strip_bytes;
use anstream::{AutoStream, ColorChoice};

use super::Outcome;
use super::args::Color;
use super::behind::Behind;

/// Standard output as a file, without the standard library's buffer, which looks for the ends of lines in all that is
/// written.
fn standard_output() -> io::Result<File> {
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

/// Standard output and standard error of one run.
pub struct Sink {
    /// None if it cannot be had.
    out: Option<Behind>,
    is_terminal: bool,
    /// Whether colours are taken out of what goes to standard output.
    is_plain: bool,
    color: ColorChoice,
    broken: Option<io::Error>,
    least: Outcome,
}

impl Sink {
    /// Opens both. `Color::Auto` honours NO_COLOR, CLICOLOR_FORCE and whether a terminal listens.
    pub fn new(color: Color) -> Self {
        let color = match color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        let (out, broken) = match standard_output() {
            Ok(file) => (Some(Behind::new(file)), None),
            Err(error) => (None, Some(error)),
        };
        Sink {
            is_plain: match color {
                ColorChoice::Auto => AutoStream::choice(&io::stdout()) == ColorChoice::Never,
                choice => choice == ColorChoice::Never,
            },
            out,
            is_terminal: io::stdout().is_terminal(),
            color,
            broken,
            least: Outcome::Found,
        }
    }

    /// Writes `text` to standard output.
    pub fn write(&mut self, text: &str) {
        self.write_bytes(text.as_bytes());
    }

    /// Writes `bytes` to standard output.
    pub fn write_bytes(&mut self, bytes: &[u8]) {
        if self.is_plain {
            strip_bytes(bytes).for_each(|part| self.write_json(part));
        } else {
            self.write_json(bytes);
        }
    }

    /// Writes what cannot hold a colour, and so need not be looked through for one.
    pub fn write_json(&mut self, bytes: &[u8]) {
        if let (None, Some(out)) = (&self.broken, &mut self.out)
            && let Err(error) = out.write_all(bytes)
        {
            self.broken = Some(error);
        }
    }

    /// Ends what belongs together. On a terminal it is shown at once: what else is drawn there must not come between.
    pub fn end_part(&mut self) {
        if self.is_terminal {
            self.flush();
        }
    }

    /// Makes the run end no better than this, whatever becomes of its inputs.
    pub fn at_least(&mut self, outcome: Outcome) {
        self.least = self.least.max(outcome);
    }

    /// Whether nobody listens any more: further work for standard output is wasted.
    pub fn is_closed(&self) -> bool {
        self.broken.is_some()
    }

    /// Writes one line `error: …` to standard error, after everything written so far.
    pub fn error(&mut self, text: &str) {
        let mut page = crate::output::page::Page::new();
        page.error(text);
        self.stderr(&page.finish());
    }

    /// Writes one line `warning: …` to standard error, after everything written so far.
    pub fn warning(&mut self, text: &str) {
        let mut page = crate::output::page::Page::new();
        page.warning(text);
        self.stderr(&page.finish());
    }

    /// Writes text that carries its own colours to standard error, after everything written so far.
    pub fn stderr(&mut self, text: &str) {
        self.flush();
        let mut err = AutoStream::new(io::stderr().lock(), self.color);
        // Nobody is left to tell when standard error is closed too.
        let _ = err.write_all(text.as_bytes());
    }

    /// Hands on everything written so far.
    pub fn flush(&mut self) {
        if let (None, Some(out)) = (&self.broken, &mut self.out)
            && let Err(error) = out.flush()
        {
            self.broken = Some(error);
        }
    }

    /// Flushes; a reader who left early (`| head`) is no failure, a full disk is.
    pub fn finish(mut self, outcome: Outcome) -> Outcome {
        self.flush();
        match &self.broken {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                let text = format!("cannot write the output: {error}");
                self.error(&text);
                Outcome::Failed
            }
            _ => outcome.max(self.least),
        }
    }
}
