//! `vmcoroner scan`: an archive of crashes, labelled.

use std::fs::Metadata;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Outcome;
use super::args::archive::{RowFormat, Scan};
use super::beside::Beside;
use super::knowledge::load;
use super::limits;
use super::progress::Progress;
use super::sink::Sink;
use super::workers::Workers;
use crate::archive::{self, Entry, FaceCache, NoCache, Walk};
use crate::catalog::{Catalog, CatalogError, Extent, Kept};
use crate::output::json::Answers;
use crate::output::page::Page;
use crate::output::rows;
use crate::rules::KnowledgeBase;
use crate::scan::{self, Answer, Labelled, Status, Stock, Tally, Width};

/// Labels every crash of the places.
pub fn run(arguments: &Scan, sink: &mut Sink) -> Outcome {
    let Some(base) = load(&arguments.rules, sink) else {
        return Outcome::Failed;
    };
    let places = match places(&arguments.places) {
        Ok(places) => places,
        Err(error) => {
            sink.error(&format!("the list of places on standard input cannot be read: {error}"));
            return Outcome::Failed;
        }
    };
    let mut width = width(arguments.jobs, arguments.io_jobs);
    if arguments.isolation.is_asked() {
        // A worker that waits for storage does not compute either: the system shares the processors out.
        width.jobs = width.threads();
    }
    if let Some(left) = limits::fit(&mut width) {
        sink.warning(&format!("only {left} at a time: no more files may be open (ulimit -n)"));
    }
    let catalog = match arguments.catalog.as_deref().map(Catalog::open).transpose() {
        Ok(catalog) => catalog.map(Arc::new),
        Err(error) => {
            sink.error(&error.to_string());
            return Outcome::Failed;
        }
    };
    let cache: Arc<dyn FaceCache> = match &catalog {
        Some(catalog) => Arc::clone(catalog) as _,
        None => Arc::new(NoCache),
    };
    let mut keeper = match Keeper::begin(catalog.clone(), "scan", &base) {
        Ok(keeper) => keeper,
        Err(error) => {
            sink.error(&error.to_string());
            return Outcome::Failed;
        }
    };
    let mut beside = match Beside::begin(arguments) {
        Ok(beside) => beside,
        Err(error) => {
            sink.error(&error);
            return Outcome::Failed;
        }
    };
    let mut walk = Walk::new(&places, cache);
    let files = catalog.iter().flat_map(|catalog| catalog.files());
    let files = files.chain(beside.paths().map(Path::to_owned));
    for own in files.filter_map(|file| file.metadata().ok()) {
        walk = walk.leave_out(&own);
    }
    if let Some(own) = standard_output() {
        walk = walk.leave_out(&own);
    }
    let shard = arguments.shard;
    let entries = walk.filter(|entry| shard.is_none_or(|shard| entry.falls_to(shard.number, shard.count)));
    let workers = Workers::new(&arguments.isolation, &arguments.rules, &base);
    let extent = match arguments.format {
        RowFormat::Jsonl | RowFormat::Json if !beside.wants_facts() => Extent::Line,
        _ => Extent::Whole,
    };
    let mut progress = Progress::start(&places, arguments.quiet);
    let mut printer = Printer::new(arguments.format);
    let mut tally = Tally::default();
    scan::run(
        entries,
        width,
        |entry| stock(catalog.as_deref(), entry, &base, extent),
        |entry| workers.label(entry),
        |row| again(row, &base),
        |answer| {
            if let Some(answer) = answer {
                tally.add(answer);
                keeper.keep(answer);
                progress.aside(|| {
                    answer.rows.iter().for_each(|row| printer.row(row, sink));
                    sink.end_part();
                });
                answer.rows.iter().for_each(|row| beside.row(row));
            } else {
                progress.aside(|| sink.flush());
            }
            progress.show(&tally);
            !sink.is_closed()
        },
    );
    progress.finish();
    printer.end(&tally, sink);
    let mut worst = outcome(&tally);
    if let Err(error) = beside.end() {
        sink.error(&error);
        worst = Outcome::Failed;
    }
    if let Err(error) = keeper.end() {
        sink.error(&format!("not all rows are in the catalogue: {error}"));
        worst = Outcome::Failed;
    }
    worst
}

/// What the catalogue has of an entry. One that cannot be read has nothing: the entry is read again.
fn stock(catalog: Option<&Catalog>, entry: &Entry, base: &KnowledgeBase, extent: Extent) -> Stock {
    match catalog.map(|catalog| catalog.kept(entry, base.digest(), extent)) {
        Some(Ok(Kept::Rows(rows))) => Stock::Rows(rows),
        Some(Ok(Kept::OtherRules(rows))) => Stock::Reports(rows),
        Some(Ok(Kept::Nothing) | Err(_)) | None => Stock::None,
    }
}

/// Asks the rules in force about a row that other rules made.
fn again(row: Labelled, base: &KnowledgeBase) -> Labelled {
    let name = row.row.input.clone();
    scan::relabel(row, base).unwrap_or_else(|why| Labelled::failed(&name, why, true))
}

/// Writes what is new into the catalogue, if there is one. Rows go on to be printed when that fails; it is told at the
/// end.
struct Keeper {
    catalog: Option<Arc<Catalog>>,
    run: i64,
    digest: String,
    failed: Option<CatalogError>,
}

impl Keeper {
    fn begin(catalog: Option<Arc<Catalog>>, command: &str, base: &KnowledgeBase) -> Result<Self, CatalogError> {
        let run = match &catalog {
            Some(catalog) => catalog.begin(command, base.digest(), now())?,
            None => 0,
        };
        Ok(Keeper {
            catalog,
            run,
            digest: base.digest().to_owned(),
            failed: None,
        })
    }

    fn keep(&mut self, answer: &Answer) {
        if let (Some(catalog), true, None) = (&self.catalog, answer.new, &self.failed) {
            self.failed = catalog
                .keep(&answer.entry, &answer.rows, &self.digest, self.run, now())
                .err();
        }
    }

    fn end(self) -> Result<(), CatalogError> {
        match (self.catalog, self.failed) {
            (_, Some(error)) => Err(error),
            (Some(catalog), None) => catalog.end(self.run, now()),
            (None, None) => Ok(()),
        }
    }
}

/// The places that were named; a `-` stands for the list on standard input.
pub fn places(named: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut places = Vec::with_capacity(named.len());
    for place in named {
        match place == Path::new("-") {
            true => places.extend(archive::read_list(io::stdin().lock())?),
            false => places.push(place.clone()),
        }
    }
    Ok(places)
}

/// How much is done at a time.
pub fn width(jobs: Option<usize>, io_jobs: Option<usize>) -> Width {
    let processors = std::thread::available_parallelism().map_or(1, Into::into);
    let jobs = jobs.unwrap_or(processors).max(1);
    Width {
        jobs,
        io_jobs: io_jobs.unwrap_or(jobs).max(jobs),
    }
}

/// The file that standard output goes to: it may lie in the archive.
fn standard_output() -> Option<Metadata> {
    let descriptor = io::stdout().as_fd().try_clone_to_owned().ok()?;
    std::fs::File::from(descriptor)
        .metadata()
        .ok()
        .filter(Metadata::is_file)
}

/// Every input known: 0. Some not: 1. Some not read: 2.
pub fn outcome(tally: &Tally) -> Outcome {
    if tally.of(Status::Failed) > 0 {
        Outcome::Failed
    } else if tally.rows > tally.of(Status::Known) {
        Outcome::NotFound
    } else {
        Outcome::Found
    }
}

/// Prints rows in one of the forms.
pub struct Printer {
    format: RowFormat,
    json: Answers,
    first: bool,
}

impl Printer {
    /// A printer that has printed nothing yet.
    pub fn new(format: RowFormat) -> Self {
        let json = match format {
            RowFormat::Json => Answers::array(),
            RowFormat::Jsonl | RowFormat::Csv | RowFormat::Prometheus | RowFormat::Human => Answers::None,
        };
        Printer {
            format,
            json,
            first: true,
        }
    }

    /// Prints a row.
    pub fn row(&mut self, labelled: &Labelled, sink: &mut Sink) {
        match self.format {
            RowFormat::Jsonl => labelled.row.write_line(|part| sink.write_json(part.as_bytes())),
            RowFormat::Json => sink.write_json(self.json.add(&labelled.row).as_bytes()),
            // Cells are what the row says, byte for byte, as in the other forms.
            RowFormat::Csv => sink.write_json(rows::csv(labelled, self.first).as_bytes()),
            RowFormat::Human => {
                let mut page = Page::new();
                rows::human(&mut page, labelled);
                sink.write(&page.finish());
            }
            RowFormat::Prometheus => {}
        }
        self.first = false;
    }

    /// Ends the output.
    pub fn end(&self, tally: &Tally, sink: &mut Sink) {
        sink.write(self.json.end());
        match self.format {
            RowFormat::Human => {
                let mut page = Page::new();
                rows::summary(&mut page, tally);
                sink.write(&page.finish());
            }
            RowFormat::Prometheus => sink.write(&rows::prometheus(tally, now())),
            RowFormat::Jsonl | RowFormat::Json | RowFormat::Csv => {}
        }
    }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
