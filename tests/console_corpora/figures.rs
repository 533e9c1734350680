//! The figures, their thresholds, and the table.

use std::collections::BTreeMap;

use super::cases::Difference;

macro_rules! figures {
    ($($name:ident, $word:literal, $least:literal, $about:literal;)+) => {
        /// What is measured.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Figure { $($name,)+ }

        impl Figure {
            const ALL: &[Figure] = &[$(Figure::$name,)+];

            fn word(self) -> &'static str {
                match self { $(Figure::$name => $word,)+ }
            }

            /// The least that must be reached, in thousandths.
            fn least(self) -> u64 {
                match self { $(Figure::$name => $least,)+ }
            }

            fn about(self) -> &'static str {
                match self { $(Figure::$name => $about,)+ }
            }
        }
    };
}

figures! {
    Found, "found", 995, "whole logs of a crash in which one is found";
    FoundCorrupted, "found-corrupted", 970, "corrupted logs of a crash in which one is found";
    Clean, "clean", 1000, "logs without a crash in which none is found";
    Kind, "kind", 970, "kind as the title's";
    Function, "function", 950, "function to blame as the title's, in whole logs";
    Grouping, "grouping", 900, "pairwise F1 of signature ids against equal titles, in whole logs";
    FieldRip, "field-rip", 990, "field: symbol and offset of the fault";
    FieldFrames, "field-frames", 970, "field: texts with all frames exact";
    UpstreamRip, "upstream-rip", 990, "fix commits: symbol and offset of the fault";
    UpstreamFrames, "upstream-frames", 970, "fix commits: texts with all sure frames in order";
    UpstreamKind, "upstream-kind", 970, "fix commits: kind";
}

#[derive(Default)]
struct Row {
    hits: u64,
    total: u64,
    misses: Vec<String>,
    listed: Vec<String>,
}

/// Everything measured so far.
pub struct Table {
    rows: BTreeMap<Figure, Row>,
    differences: Vec<Difference>,
}

impl Table {
    pub fn new(differences: Vec<Difference>) -> Self {
        Table {
            rows: BTreeMap::new(),
            differences,
        }
    }

    /// Counts one text; `say` gives our answer and the expected one, for the list of misses.
    pub fn count(&mut self, figure: Figure, text: &str, hit: bool, say: impl FnOnce() -> (String, String)) {
        let row = self.rows.entry(figure).or_default();
        row.total += 1;
        if hit {
            row.hits += 1;
            return;
        }
        let (ours, theirs) = say();
        let listed = self
            .differences
            .iter()
            .position(|known| known.figure == figure.word() && known.text == text && known.ours == ours);
        match listed {
            Some(at) => {
                let known = self.differences.remove(at);
                row.hits += 1;
                row.listed.push(format!("{text}: {ours} | {theirs} | {}", known.why));
            }
            None => row.misses.push(format!("{text}: {ours} | {theirs}")),
        }
    }

    /// Sets a figure that is no count of texts.
    pub fn set(&mut self, figure: Figure, hits: u64, total: u64) {
        self.rows.insert(
            figure,
            Row {
                hits,
                total,
                ..Row::default()
            },
        );
    }

    /// Prints the table and the misses, and fails where a threshold is missed or a listed difference is none any more.
    pub fn finish(self) {
        for (figure, row) in &self.rows {
            for miss in &row.misses {
                println!("{}: {miss}", figure.word());
            }
            for case in &row.listed {
                println!("{}, right all the same: {case}", figure.word());
            }
        }
        println!(
            "{:<16} {:>6} {:>6} {:>7} {:>7}  listed",
            "figure", "hits", "of", "%", "least"
        );
        let mut short = Vec::new();
        for figure in Figure::ALL {
            let Some(row) = self.rows.get(figure) else { continue };
            let percent = 100.0 * row.hits as f64 / row.total.max(1) as f64;
            println!(
                "{:<16} {:>6} {:>6} {:>7.2} {:>7.1}  {:>6}  {}",
                figure.word(),
                row.hits,
                row.total,
                percent,
                figure.least() as f64 / 10.0,
                row.listed.len(),
                figure.about()
            );
            if row.hits * 1000 < row.total * figure.least() {
                short.push(figure.word());
            }
        }
        assert!(short.is_empty(), "below the threshold: {short:?}");
        assert!(
            self.differences.is_empty(),
            "no difference any more: {:#?}",
            self.differences
        );
    }
}
