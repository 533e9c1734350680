//! What is wrong with a rule file, said the way a compiler says it: code, place, snippet, and what to write instead.
//!
//! It knows places in a text and nothing of rules.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The rule cannot be used.
    Error,
    /// The rule is used; somebody should look at it.
    Warning,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// A stable kebab-case code: `unknown-key`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// The file, as it was given.
    pub file: String,
    /// The line, counted from 1; absent when the whole file is meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The column in characters, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// The place as byte offsets into the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<Range<usize>>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// A place in a rule file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The first byte.
    pub start: usize,
    /// The byte behind the last.
    pub end: usize,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(code: &'static str, file: &str, place: Option<Place>, message: impl Into<String>) -> Self {
        debug_assert!(
            super::codes::page(code).is_some(),
            "docs/rules-check.md has no page for {code}"
        );
        Diagnostic {
            code,
            severity: Severity::Error,
            message: message.into(),
            file: file.to_owned(),
            line: place.map(|place| place.line),
            column: place.map(|place| place.column),
            span: place.map(|place| place.start..place.end),
            help: None,
        }
    }

    /// A warning at a place.
    pub fn warning(code: &'static str, file: &str, place: Option<Place>, message: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Warning,
            ..Diagnostic::error(code, file, place, message)
        }
    }

    /// The same finding with advice.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// `file:line:column: error[code]: message`, for logs.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, ":{line}:{column}")?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, ": {severity}[{}]: {}", self.code, self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// The findings of a run over any number of files, and the files' texts to show them in.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    /// The findings, by file and place.
    pub items: Vec<Diagnostic>,
    sources: BTreeMap<String, Arc<str>>,
}

impl Diagnostics {
    /// Keeps a file's text to show findings in.
    pub fn add_source(&mut self, file: &str, text: Arc<str>) {
        self.sources.insert(file.to_owned(), text);
    }

    /// Adds findings.
    pub fn extend(&mut self, items: impl IntoIterator<Item = Diagnostic>) {
        self.items.extend(items);
    }

    /// Brings the findings into their final order: by file, place and code.
    pub fn sort(&mut self) {
        self.items
            .sort_by(|a, b| (&a.file, a.line, a.column, a.code).cmp(&(&b.file, b.line, b.column, b.code)));
    }

    /// How many findings are errors.
    pub fn errors(&self) -> usize {
        self.items
            .iter()
            .filter(|item| item.severity == Severity::Error)
            .count()
    }

    /// Shows every finding with its snippet, as rustc does; `colour` adds terminal escapes.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let mut text = String::new();
        for item in &self.items {
            text.push_str(&self.render_one(&renderer, item));
            text.push_str("\n\n");
        }
        text
    }

    fn render_one(&self, renderer: &Renderer, item: &Diagnostic) -> String {
        let level = match item.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(&*item.message).id(item.code);
        let source = self.sources.get(&item.file);
        match (source, &item.span) {
            // A span that does not lie in the text would make the renderer panic.
            (Some(source), Some(span)) if source.get(span.clone()).is_some() => {
                let mut annotation = AnnotationKind::Primary.span(span.clone());
                if let Some(help) = &item.help {
                    annotation = annotation.label(&**help);
                }
                let snippet = Snippet::source(&**source).path(&*item.file).annotation(annotation);
                renderer.render(&[title.element(snippet)])
            }
            _ => {
                let group = title.element(Origin::path(&*item.file));
                match &item.help {
                    Some(help) => renderer.render(&[group.element(Level::HELP.message(&**help))]),
                    None => renderer.render(&[group]),
                }
            }
        }
    }
}
