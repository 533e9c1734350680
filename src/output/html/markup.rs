//! HTML under construction. Every text that is not written in this program's source is escaped: tags, attribute names
//! and ready-made pieces are `&'static str`, all else goes through [`Markup::text`] or an attribute's value.

use std::fmt::Write as _;

use crate::output::page;

/// How much of one text is shown. A hostile dump may hold a "name" of megabytes.
const LONGEST: usize = 4_000;

/// A piece of HTML.
#[derive(Clone, Debug, Default)]
pub struct Markup {
    html: String,
}

impl Markup {
    /// An empty piece.
    pub fn new() -> Self {
        Markup::default()
    }

    /// Adds a tag.
    pub fn open(&mut self, tag: &'static str, attributes: &[(&'static str, &str)]) {
        self.html.push('<');
        self.html.push_str(tag);
        for (name, value) in attributes {
            // Writing to a String cannot fail.
            let _ = write!(self.html, " {name}=\"");
            self.text(value);
            self.html.push('"');
        }
        self.html.push('>');
    }

    /// Adds the end of a tag, and a line's.
    pub fn close(&mut self, tag: &'static str) {
        self.end(tag);
        self.html.push('\n');
    }

    fn end(&mut self, tag: &'static str) {
        let _ = write!(self.html, "</{tag}>");
    }

    /// Adds text.
    pub fn text(&mut self, text: &str) {
        let (shown, more) = clip(text);
        for c in page::escape(shown).chars() {
            match c {
                '&' => self.html.push_str("&amp;"),
                '<' => self.html.push_str("&lt;"),
                '>' => self.html.push_str("&gt;"),
                '"' => self.html.push_str("&quot;"),
                '\'' => self.html.push_str("&#39;"),
                c => self.html.push(c),
            }
        }
        if more > 0 {
            let _ = write!(self.html, "… ({more} more bytes)");
        }
    }

    /// Adds text between two tags, inside a line.
    pub fn inline(&mut self, tag: &'static str, attributes: &[(&'static str, &str)], text: &str) {
        self.open(tag, attributes);
        self.text(text);
        self.end(tag);
    }

    /// Adds text between two tags, and a line's end.
    pub fn element(&mut self, tag: &'static str, attributes: &[(&'static str, &str)], text: &str) {
        self.inline(tag, attributes, text);
        self.html.push('\n');
    }

    /// Adds paragraphs, with an empty line between two, in which a line that begins with `- ` begins an item of a list.
    pub fn prose(&mut self, text: &str) {
        for paragraph in text.trim().split("\n\n") {
            let mut lines = paragraph.lines().map(str::trim).peekable();
            let mut block = |first: &str| {
                let mut block = first.to_owned();
                while let Some(line) = lines.next_if(|line| !line.starts_with("- ")) {
                    if !block.is_empty() {
                        block.push(' ');
                    }
                    block.push_str(line);
                }
                (block, lines.next())
            };
            let (plain, mut item) = block("");
            if !plain.is_empty() {
                self.element("p", &[], &plain);
            }
            if item.is_none() {
                continue;
            }
            self.open("ul", &[]);
            while let Some(first) = item {
                let (text, next) = block(first.trim_start_matches("- "));
                self.element("li", &[], &text);
                item = next;
            }
            self.close("ul");
        }
    }

    /// Adds HTML of this program's own.
    pub fn fixed(&mut self, html: &'static str) {
        self.html.push_str(html);
    }

    /// Adds another piece.
    pub fn append(&mut self, other: &Markup) {
        self.html.push_str(&other.html);
    }

    /// Adds a link to a web page. Anything but http and https (`javascript:`) is text alone.
    pub fn link(&mut self, address: &str) {
        if address.starts_with("https://") || address.starts_with("http://") {
            self.inline("a", &[("href", address), ("rel", "noreferrer")], address);
        } else {
            self.text(address);
        }
    }

    /// A term with its text, in a list of them; nothing when there is no text.
    pub fn fact(&mut self, term: &'static str, text: &str) {
        if !text.is_empty() {
            self.inline("dt", &[], term);
            self.element("dd", &[], text);
        }
    }

    /// The piece as text.
    pub fn as_str(&self) -> &str {
        &self.html
    }
}

/// `text` up to the longest that is shown, and how many bytes are left out.
fn clip(text: &str) -> (&str, usize) {
    if text.len() <= LONGEST {
        return (text, 0);
    }
    let end = text.floor_char_boundary(LONGEST);
    let (shown, rest) = text.split_at(end);
    (shown, rest.len())
}

/// A count as people write it: `12,345`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count of things: `1 crash`, `12,345 crashes`.
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_and_attributes_are_escaped() {
        let mut html = Markup::new();
        html.inline("p", &[("id", "\" onload=\"x")], "<script>&'\u{202e}\n");
        assert_eq!(
            html.as_str(),
            "<p id=\"&quot; onload=&quot;x\">&lt;script&gt;&amp;&#39;\\u{202e}\\n</p>"
        );
    }

    #[test]
    fn only_web_addresses_are_links() {
        let mut html = Markup::new();
        html.link("javascript:alert(1)");
        html.link("HTTPS://x");
        assert!(!html.as_str().contains('<'));
        html.link("https://bugzilla.kernel.org/show_bug.cgi?id=1");
        assert!(html.as_str().contains("<a href=\"https://bugzilla"));
    }

    #[test]
    fn prose_has_paragraphs_and_lists() {
        let mut html = Markup::new();
        html.prose("One\ntwo.\n\nLook at:\n- the <page>\n  and its - flags;\n- the log.\n\n- alone\n\n\n");
        assert_eq!(
            html.as_str(),
            "<p>One two.</p>\n<p>Look at:</p>\n<ul><li>the &lt;page&gt; and its - flags;</li>\n<li>the log.</li>\n</ul>\n\
             <ul><li>alone</li>\n</ul>\n"
        );
        let mut html = Markup::new();
        html.prose(" \n");
        assert_eq!(html.as_str(), "");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let mut html = Markup::new();
        html.text(&"ä".repeat(5_000));
        assert!(html.as_str().ends_with("ä… (6000 more bytes)"));
    }

    #[test]
    fn counts_read_well() {
        assert_eq!(
            ["0", "999", "1,000", "1,234,567"].map(str::to_owned),
            [0, 999, 1000, 1_234_567].map(count)
        );
    }

    proptest! {
        #[test]
        fn no_text_yields_a_tag_or_an_attribute(text in any::<String>()) {
            let mut html = Markup::new();
            html.text(&text);
            let hostile = |c: char| matches!(c, '<' | '>' | '"' | '\'') || c.is_control();
            prop_assert!(!html.as_str().contains(hostile));
        }
    }
}
