//! One HTML file about many crashes, that can be mailed: no script, nothing from elsewhere, readable on a phone and in
//! print, and the same bytes for the same rows.
//!
//! It reads rows, one JSON object a line, as `scan` and `identify --format jsonl` print them: of crashes, dumps and
//! rules it knows only what they say. Sections are written to a spool as rows come, so that memory does not grow with
//! the archive; at the end it is chosen which of them are shown, and the overview is made, which stands before them.
//!
//! - [`markup`]: HTML in which everything is escaped that this program's source does not hold.
//! - [`row`]: a row, read back. [`tally`]: what rows come to.
//! - [`overview`], [`chart`], [`section`]: the parts of the page.

pub mod chart;
pub mod markup;
mod overview;
pub mod row;
mod section;
pub mod tally;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};

use crate::scan::Status;
use markup::{Markup, counted};
use row::Row;
use tally::Tally;

/// The longest line that is read: a report with every module, all of its log's end and every near miss takes less than
/// a hundredth of it.
const LINE: u64 = 64 << 20;

/// How many times as many sections as are shown wait in the spool for the choice among them. The archive's order is not
/// that of importance: the only crash of a bug may be its last.
const SPOOLED: u64 = 8;

/// The style sheet.
const STYLE: &str = include_str!("style.css");

/// What is shown of a large archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The page's title.
    pub title: String,
    /// How many crashes have a section.
    pub crashes: u64,
    /// How many crashes of one bug, or of one signature, have one.
    pub alike: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            title: "Kernel crashes".to_owned(),
            crashes: 300,
            alike: 10,
        }
    }
}

/// A report under construction.
#[derive(Debug)]
pub struct Report<S> {
    options: Options,
    tally: Tally,
    spool: S,
    /// Where in the spool the section of a crash is, by its number among the crashes.
    sections: BTreeMap<u64, Span>,
    spooled: u64,
    lines: u64,
}

/// A section in the spool.
#[derive(Debug)]
struct Span {
    start: u64,
    length: u64,
}

impl<S: Read + Write + Seek> Report<S> {
    /// An empty report, whose sections wait in `spool`.
    pub fn new(options: Options, spool: S) -> Self {
        Report {
            options,
            tally: Tally::default(),
            spool,
            sections: BTreeMap::new(),
            spooled: 0,
            lines: 0,
        }
    }

    /// Adds the rows of a stream. A line that is no row is noted, and the next one read.
    pub fn read(&mut self, mut rows: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if rows.by_ref().take(LINE).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            self.lines += 1;
            if line.len() as u64 == LINE && !line.ends_with(b"\n") {
                rows.skip_until(b'\n')?;
                self.tally.broken(self.lines, "longer than any row");
            } else if !line.trim_ascii().is_empty() {
                self.line(&line)?;
            }
        }
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        match serde_json::from_slice(line) {
            Ok(row) => self.add(&row),
            Err(error) => {
                self.tally.broken(self.lines, &error.to_string());
                Ok(())
            }
        }
    }

    /// Adds a row.
    pub fn add(&mut self, row: &Row) -> io::Result<()> {
        let id = self.tally.crashes() + 1;
        let Some(group) = self.tally.add(row) else {
            return Ok(());
        };
        let is_first = group.count == 1;
        if is_first {
            match row.label().filter(|_| row.status() == Status::Known) {
                Some(label) => section::bug(&mut group.about, label),
                None => section::unnamed(&mut group.about, row),
            }
        }
        let room = match is_first {
            true => self.options.crashes.saturating_mul(SPOOLED),
            false => self.options.crashes,
        };
        if self.sections.len() as u64 >= room || group.sections.len() >= self.options.alike {
            return Ok(());
        }
        group.sections.push(id);
        let mut html = Markup::new();
        section::crash(&mut html, id, row);
        let (start, length) = (self.spooled, html.as_str().len() as u64);
        self.sections.insert(id, Span { start, length });
        self.spooled += length;
        self.spool.write_all(html.as_str().as_bytes())
    }

    /// How many lines were no row.
    pub fn broken(&self) -> u64 {
        self.tally.broken.1
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.tally.rows()
    }

    /// Writes the page.
    pub fn finish(mut self, out: &mut impl Write) -> io::Result<()> {
        let shown = self
            .tally
            .choose(&self.sections.keys().copied().collect(), self.options.crashes);
        let mut html = Markup::new();
        head(&mut html, &self.options.title);
        overview::overview(&mut html, &self.options.title, &self.tally, !shown.is_empty());
        out.write_all(html.as_str().as_bytes())?;
        if !shown.is_empty() {
            let mut html = Markup::new();
            self.before_sections(&mut html, shown.len() as u64);
            out.write_all(html.as_str().as_bytes())?;
            self.spool.flush()?;
            for Span { start, length } in shown.iter().filter_map(|id| self.sections.get(id)) {
                self.spool.seek(SeekFrom::Start(*start))?;
                io::copy(&mut Read::by_ref(&mut self.spool).take(*length), out)?;
            }
            out.write_all(b"</section>\n")?;
        }
        out.write_all(b"</main>\n</body>\n</html>\n")
    }

    fn before_sections(&self, html: &mut Markup, shown: u64) {
        html.open("section", &[("id", "crashes")]);
        html.element("h2", &[], "Crashes");
        let all = self.tally.crashes();
        if shown < all {
            let text = format!(
                "Shown are {} of {}, in the order of the rows: the first of each bug and of each signature, and others while \
                 there is room, at most {} of one and {} in all. The rows that this page was made from hold every one.",
                markup::count(shown),
                counted(all, "crash", "crashes"),
                self.options.alike,
                markup::count(self.options.crashes),
            );
            html.element("p", &[("class", "faint")], &text);
        }
    }
}

/// Everything before the body's content. The policy forbids the page to load anything, should an escape ever fail; the
/// empty icon keeps a browser from asking a server for one.
fn head(html: &mut Markup, title: &str) {
    html.fixed(concat!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; ",
        "img-src data:; base-uri 'none'; form-action 'none'\">\n",
        "<meta name=\"referrer\" content=\"no-referrer\">\n",
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
        "<meta name=\"color-scheme\" content=\"light dark\">\n",
        "<link rel=\"icon\" href=\"data:,\">\n",
    ));
    html.element("title", &[], title);
    html.fixed("<style>\n");
    html.fixed(STYLE);
    html.fixed("</style>\n</head>\n<body>\n<main>\n");
}
