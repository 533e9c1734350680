//! `vmcoroner watch`: labels dumps as they land.

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process_group};

use super::args::Format;
use super::args::fleet::Watch as Arguments;
use super::knowledge::load;
use super::sink::Sink;
use super::workers::Workers;
use super::{Outcome, jobs, whole_file};
use crate::archive::Entry;
use crate::output::page::Page;
use crate::output::rows;
use crate::rules::KnowledgeBase;
use crate::scan::{Labelled, Status};
use crate::watch::{self, Watch};

/// How often a hook is asked whether it has ended.
const ASKED: Duration = Duration::from_millis(50);

/// Watches until nobody listens any more; with `--once` until everything that is there is labelled.
pub fn run(arguments: &Arguments, sink: &mut Sink) -> Outcome {
    let Some(base) = load(&arguments.rules, sink) else {
        return Outcome::Failed;
    };
    // A share may come later, but a run that ends does not wait for it.
    let is_wrong = |folder: &&PathBuf| !folder.is_dir() && (arguments.once || folder.exists());
    if let Some(folder) = arguments.folders.iter().find(is_wrong) {
        sink.error(&format!("{}: not a folder that can be watched", folder.display()));
        return Outcome::Failed;
    }
    let workers = Workers::new(&arguments.isolation, &arguments.rules, &base);
    let settle = Duration::from_secs(arguments.settle);
    let mut watch = Watch::new(&arguments.folders, settle);
    let mut worst = Outcome::Found;
    loop {
        let look = watch.look();
        for what in &look.unreadable {
            sink.error(&format!("cannot be watched: {what}"));
            worst = Outcome::Failed;
        }
        if arguments.write {
            look.unfinished.iter().for_each(|file| whole_file::clear_away(file));
        }
        jobs::in_order(
            &look.whole,
            |entry| workers.label(entry),
            |entry, rows| {
                let failed = |error: String| vec![Labelled::failed(&entry.name, error, true)];
                for row in rows.unwrap_or_else(failed) {
                    worst = worst.max(outcome(&row));
                    if row.passing {
                        watch.again(entry);
                    }
                    worst = worst.max(tell(entry, &row, arguments, &base, sink));
                }
                !sink.is_closed()
            },
        );
        if sink.is_closed() || (arguments.once && !look.waiting) {
            return worst;
        }
        let pause = Duration::from_secs(arguments.interval);
        // A run that ends need not wait longer than it takes to see that nothing is written any more.
        thread::sleep(if arguments.once { pause.min(settle) } else { pause });
    }
}

fn outcome(row: &Labelled) -> Outcome {
    match row.row.status {
        Status::Known => Outcome::Found,
        Status::Unknown | Status::NoCrash => Outcome::NotFound,
        Status::Failed => Outcome::Failed,
    }
}

/// Prints the row, writes it beside the dump, hands it to the hook. The answer counts as one when all that is done: of a
/// run that is killed in between, the next one does it again.
fn tell(entry: &Entry, row: &Labelled, arguments: &Arguments, base: &KnowledgeBase, sink: &mut Sink) -> Outcome {
    let line = row.row.line();
    match arguments.format {
        Format::Json | Format::Jsonl => sink.write(&line),
        Format::Human => {
            let mut page = Page::new();
            rows::human(&mut page, row);
            sink.write(&page.finish());
        }
    }
    sink.flush();
    let mut errors = Vec::new();
    // What may come out otherwise the next time is not an answer.
    let answer = match entry.parts.first() {
        Some(dump) if arguments.write && !row.passing => Some(watch::answer_path(&dump.path)),
        _ => None,
    };
    let newest = watch::newest(entry);
    if let (Some(answer), Some(dump)) = (&answer, entry.parts.first()) {
        let time = newest.filter(|_| arguments.hook.is_none());
        errors.extend(write(answer, &dump.path, time, &line).err());
    }
    if let Some(hook) = &arguments.hook {
        errors.extend(run_hook(hook, row, &line, base, Duration::from_secs(arguments.hook_timeout)).err());
        if let (Some(answer), Some(newest)) = (&answer, newest) {
            let done = File::open(answer).and_then(|file| file.set_modified(newest));
            errors.extend(done.err().map(|error| format!("{}: {error}", answer.display())));
        }
    }
    for error in &errors {
        sink.error(error);
    }
    match errors.is_empty() {
        true => Outcome::Found,
        false => Outcome::Failed,
    }
}

/// Writes the answer, readable for those who may read the dump. Without a time it is older than any dump: none yet.
fn write(answer: &Path, dump: &Path, time: Option<SystemTime>, line: &str) -> Result<(), String> {
    let mode = dump.metadata().ok().map(|data| data.permissions());
    whole_file::write(answer, whole_file::PRIVATE, |file| {
        file.write_all(line.as_bytes())?;
        file.flush()?;
        let file = file.get_ref().as_file();
        if let Some(mode) = mode {
            file.set_permissions(mode)?;
        }
        file.set_modified(time.unwrap_or(SystemTime::UNIX_EPOCH))
    })
}

/// Runs the hook with the row on its standard input; ends it when it takes too long.
fn run_hook(hook: &str, row: &Labelled, line: &str, base: &KnowledgeBase, limit: Duration) -> Result<(), String> {
    let failed = |why: String| format!("the hook `{hook}` failed for {}: {why}", row.row.input);
    let mut child = Command::new("/bin/sh")
        .args(["-c", hook])
        .env("VMCORONER_INPUT", row.row.input.replace('\0', ""))
        .env("VMCORONER_STATUS", row.row.status.word())
        .env("VMCORONER_RULE", row.facts.rule.as_deref().unwrap_or_default())
        .env("VMCORONER_RULES_DIGEST", base.digest())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        let line = line.to_owned();
        // A hook that does not read must not stop us; nor must one that leaves its input to a process of its own.
        let writing = thread::Builder::new().spawn(move || input.write_all(line.as_bytes()));
        if let Err(error) = writing {
            let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
            let _ = child.wait();
            return Err(failed(error.to_string()));
        }
    }
    let began = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(failed(status.to_string())),
            Ok(None) if began.elapsed() < limit => thread::sleep(ASKED),
            Ok(None) => {
                // With all that it started. It has ended by itself just now, or it does now.
                let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
                let _ = child.wait();
                return Err(failed(format!("it took more than {} s", limit.as_secs())));
            }
            Err(error) => return Err(failed(error.to_string())),
        }
    }
}
