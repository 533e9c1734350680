//! How far a scan has come: a bar on a terminal, else a plain line every so often; both on standard error.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};

use crate::archive;
use crate::scan::{Status, Tally};

/// How often a plain line is written.
const EVERY: Duration = Duration::from_secs(10);
/// How often the bar is drawn.
const DRAWN: Duration = Duration::from_millis(100);
/// A scan that is over sooner need not know how much there is: to count the files takes as long as to find them.
const SHORT: Duration = Duration::from_secs(1);

/// What is known of the whole archive.
#[derive(Default)]
struct Whole {
    files: AtomicU64,
    bytes: AtomicU64,
    counted: AtomicBool,
    stop: AtomicBool,
}

impl Whole {
    fn count(&self, places: &[PathBuf]) {
        let begun = Instant::now();
        while begun.elapsed() < SHORT && !self.stop.load(Ordering::Relaxed) {
            std::thread::park_timeout(SHORT.saturating_sub(begun.elapsed()));
        }
        let stop = || self.stop.load(Ordering::Relaxed);
        archive::measure(places, &self.files, &self.bytes, &stop);
        self.counted.store(true, Ordering::Release);
    }
}

/// Shows how far a scan has come.
pub struct Progress {
    bar: Option<ProgressBar>,
    quiet: bool,
    whole: Arc<Whole>,
    started: Instant,
    said: Instant,
}

impl Progress {
    /// Starts, and counts the files of the places in the background.
    pub fn start(places: &[PathBuf], quiet: bool) -> Self {
        let whole = Arc::new(Whole::default());
        let bar = (!quiet && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new(0);
            // The template is ours, and right.
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} files  {msg}") {
                bar.set_style(style);
            }
            bar
        });
        if !quiet {
            let (whole, places) = (Arc::clone(&whole), places.to_vec());
            // Where no thread can be had, only what was done is known.
            let _ = std::thread::Builder::new().spawn(move || whole.count(&places));
        }
        Progress {
            bar,
            quiet,
            whole,
            started: Instant::now(),
            said: Instant::now(),
        }
    }

    /// Shows what was done so far.
    pub fn show(&mut self, tally: &Tally) {
        if self.quiet {
            return;
        }
        match &self.bar {
            Some(bar) if self.said.elapsed() >= DRAWN => {
                self.said = Instant::now();
                bar.set_length(self.whole.files.load(Ordering::Relaxed).max(tally.files));
                bar.set_position(tally.files);
                bar.set_message(self.text(tally));
            }
            None if self.said.elapsed() >= EVERY => {
                self.said = Instant::now();
                let of = self.whole.files.load(Ordering::Relaxed).max(tally.files);
                let line = format!("{} of {of} files, {}\n", tally.files, self.text(tally));
                // Nobody is left to tell when standard error is closed.
                let _ = std::io::stderr().lock().write_all(line.as_bytes());
            }
            _ => {}
        }
    }

    /// Does `write`, which writes to the terminal, with the bar out of its way.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {
        self.whole.stop.store(true, Ordering::Relaxed);
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }

    fn text(&self, tally: &Tally) -> String {
        let elapsed = self.started.elapsed();
        let rate = tally.files as f64 / elapsed.as_secs_f64().max(0.001);
        let whole = self.whole.files.load(Ordering::Relaxed);
        let bytes = self.whole.bytes.load(Ordering::Relaxed);
        let mut text = format!(
            "{rate:.0}/s, {} read of {}, {} known, {} unknown, {} no crash, {} failed",
            HumanBytes(tally.bytes_read),
            HumanBytes(bytes),
            tally.of(Status::Known),
            tally.of(Status::Unknown),
            tally.of(Status::NoCrash),
            tally.of(Status::Failed),
        );
        if self.whole.counted.load(Ordering::Acquire) && rate > 0.0 {
            let left = Duration::try_from_secs_f64(whole.saturating_sub(tally.files) as f64 / rate).unwrap_or_default();
            text += &format!(", {} left", HumanDuration(left));
        }
        text
    }
}
