//! A page of text for a terminal: labelled, wrapped, coloured, and safe to print.
//!
//! Text out of a crash is hostile: control characters are escaped here, before anything reaches a terminal. Knows
//! nothing of crashes or rules.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

/// Columns of a page: what a serial console and a mail both show whole.
pub const WIDTH: usize = 80;

/// Width of the label column, with the blanks behind it.
const LABEL: usize = 12;

/// Width of an item's first word, with the blanks behind it.
const WORD: usize = 8;

/// What a piece of text means; the page decides how that looks.
///
/// Only the eight basic colours, which every terminal theme maps to something readable on its own background, and
/// never black or white, which vanish on one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Running text.
    Plain,
    /// Titles and labels.
    Strong,
    /// A certain verdict, an answer of yes.
    Good,
    /// A crash, an answer of no, an error.
    Bad,
    /// Something to weigh: likely, related, unknown.
    Doubt,
    /// An address to follow or a command to type.
    Link,
    /// Side remarks.
    Faint,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Tone::Plain => Style::new(),
            Tone::Strong => Style::new().bold(),
            Tone::Good => AnsiColor::Green.on_default().bold(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Doubt => AnsiColor::Yellow.on_default().bold(),
            Tone::Link => AnsiColor::Cyan.on_default(),
            Tone::Faint => Style::new().dimmed(),
        }
    }
}

/// A page under construction. Styled with ANSI sequences; the writer strips them where colour is not wanted.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

impl Page {
    /// An empty page.
    pub fn new() -> Self {
        Page::default()
    }

    /// An empty line, unless the page is empty or already ends in one.
    pub fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// A line from the left margin, wrapped with a hanging indent of two.
    pub fn line(&mut self, tone: Tone, text: &str) {
        self.flow("", Tone::Plain, 0, tone, text, 2);
    }

    /// The page's verdict: a word in the left column in its own tone, the title strong beside it.
    pub fn heading(&mut self, word: &str, tone: Tone, title: &str) {
        self.flow(word, tone, LABEL, Tone::Strong, title, LABEL);
    }

    /// A command under an item, whole and ready to be copied, with a remark behind it.
    pub fn command(&mut self, command: &str, remark: &str) {
        self.blanks(LABEL + WORD);
        self.styled(Tone::Link, command);
        self.styled(Tone::Faint, remark);
        self.text.push('\n');
    }

    /// A line of cells, each padded to its width and two blanks; the last one is neither padded nor wrapped.
    pub fn cells(&mut self, cells: &[(Tone, usize, &str)]) {
        for (index, (tone, width, text)) in cells.iter().enumerate() {
            self.styled(*tone, text);
            if index + 1 < cells.len() {
                self.blanks(width.saturating_sub(text.chars().count()) + 2);
            }
        }
        self.text.push('\n');
    }

    /// A line as it is, escaped: a file's own text.
    pub fn raw(&mut self, text: &str) {
        self.styled(Tone::Plain, text);
        self.text.push('\n');
    }

    /// A label in the left column (once, for its first row) and text in the right one.
    pub fn row(&mut self, label: &str, tone: Tone, text: &str) {
        self.flow(label, Tone::Strong, LABEL, tone, text, LABEL);
    }

    /// Paragraphs in the right column: an empty line between two, and items (`- …`) on lines of their own.
    pub fn prose(&mut self, label: &str, text: &str) {
        let mut label = label;
        for (index, paragraph) in text.trim().split("\n\n").enumerate() {
            if index > 0 {
                self.gap();
            }
            let mut block = String::new();
            for line in paragraph.lines() {
                if line.trim_start().starts_with("- ") && !block.is_empty() {
                    self.block(label, &block);
                    label = "";
                    block.clear();
                }
                block.push_str(line);
                block.push('\n');
            }
            self.block(label, &block);
            label = "";
        }
    }

    /// A paragraph, or an item whose further lines stand under its text.
    fn block(&mut self, label: &str, text: &str) {
        let hang = if text.trim_start().starts_with("- ") { 2 } else { 0 };
        self.flow(label, Tone::Strong, LABEL, Tone::Plain, text, LABEL + hang);
    }

    /// Text in the right column behind a short word, `yes    frames: …`, wrapped under the text.
    pub fn item(&mut self, label: &str, word: &str, word_tone: Tone, text: &str) {
        self.label(label);
        self.styled(word_tone, word);
        let used = word.chars().count();
        self.blanks(WORD.saturating_sub(used).max(1));
        self.wrapped(Tone::Plain, text, LABEL + WORD.max(used + 1), LABEL + WORD);
    }

    /// Text that must stay whole to be copied (a command, an address): escaped and coloured, never wrapped.
    pub fn verbatim(&mut self, label: &str, text: &str) {
        self.label(label);
        self.styled(Tone::Link, text);
        self.text.push('\n');
    }

    /// A line of a listing in the right column: its blanks are kept, it is not wrapped.
    pub fn listing(&mut self, label: &str, tone: Tone, text: &str) {
        self.label(label);
        self.styled(tone, text);
        self.text.push('\n');
    }

    /// One line `error: …`, not wrapped, so that `grep` finds it whole.
    pub fn error(&mut self, text: &str) {
        self.styled(Tone::Bad, "error:");
        self.blanks(1);
        self.styled(Tone::Plain, text);
        self.text.push('\n');
    }

    /// One line `warning: …`, not wrapped.
    pub fn warning(&mut self, text: &str) {
        self.styled(Tone::Doubt, "warning:");
        self.blanks(1);
        self.styled(Tone::Plain, text);
        self.text.push('\n');
    }

    /// The page's text, with ANSI sequences.
    pub fn finish(self) -> String {
        self.text
    }

    fn label(&mut self, label: &str) {
        if label.is_empty() {
            self.blanks(LABEL);
            return;
        }
        self.styled(Tone::Strong, label);
        let used = label.chars().count();
        self.blanks(LABEL.saturating_sub(used).max(1));
    }

    fn flow(&mut self, label: &str, label_tone: Tone, start: usize, tone: Tone, text: &str, indent: usize) {
        if start > 0 {
            if label.is_empty() {
                self.blanks(start);
            } else {
                self.styled(label_tone, label);
                let used = label.chars().count();
                self.blanks(start.saturating_sub(used).max(1));
            }
        }
        self.wrapped(tone, text, start, indent);
    }

    fn wrapped(&mut self, tone: Tone, text: &str, start: usize, indent: usize) {
        // A paragraph's own line ends are blanks here; only what is left of control characters has to be shown.
        let text = text.replace('\n', " ");
        let clean = escape(&text);
        let mut column = start;
        let mut line = String::new();
        let mut first = true;
        for word in clean.split_whitespace() {
            let width = word.chars().count();
            let blank = usize::from(!line.is_empty());
            if !line.is_empty() && column + blank + width > WIDTH {
                self.end_of_line(tone, &mut line, &mut first, indent);
                column = indent;
            } else if blank == 1 {
                line.push(' ');
                column += 1;
            }
            line.push_str(word);
            column += width;
        }
        self.end_of_line(tone, &mut line, &mut first, indent);
    }

    fn end_of_line(&mut self, tone: Tone, line: &mut String, first: &mut bool, indent: usize) {
        if !*first {
            self.blanks(indent);
        }
        *first = false;
        self.styled_clean(tone, line);
        self.text.push('\n');
        line.clear();
    }

    fn styled(&mut self, tone: Tone, text: &str) {
        let clean = escape(text);
        self.styled_clean(tone, &clean);
    }

    fn styled_clean(&mut self, tone: Tone, clean: &str) {
        let style = tone.style();
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{style}{clean}{style:#}");
    }

    fn blanks(&mut self, count: usize) {
        self.text.extend(std::iter::repeat_n(' ', count));
    }
}

/// `text` with every control character shown instead of sent: `\x1b`, `\n`, …; printable Unicode stays, but the
/// invisible characters that reorder or hide text (bidirectional controls, zero-width ones) do not.
pub fn escape(text: &str) -> std::borrow::Cow<'_, str> {
    let hostile = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    if !text.contains(hostile) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push(' '),
            c if (c as u32) < 0x100 && hostile(c) => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if hostile(c) => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(page: Page) -> String {
        anstream::adapter::strip_str(&page.finish()).to_string()
    }

    #[test]
    fn control_characters_are_shown_not_sent() {
        assert_eq!(escape("a\x1b[2Jb\u{202e}c\nd"), "a\\x1b[2Jb\\u{202e}c\\nd");
        assert_eq!(escape("größe"), "größe");
    }

    #[test]
    fn rows_wrap_under_their_text_within_the_width() {
        let mut page = Page::new();
        page.row("crash", Tone::Plain, &"word ".repeat(40));
        let text = plain(page);
        assert!(text.lines().all(|l| l.chars().count() <= WIDTH), "{text}");
        assert!(
            text.lines().skip(1).all(|l| l.starts_with("            word")),
            "{text}"
        );
        assert!(text.starts_with("crash       word"));
    }

    #[test]
    fn a_command_is_never_wrapped() {
        let mut page = Page::new();
        let command = "x".repeat(100);
        page.verbatim("", &command);
        assert!(plain(page).contains(&command));
    }
}
