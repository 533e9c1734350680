//! Worker processes: one request a line, answers as they come, and the one who looks after them.
//!
//! A request is `{"entry": …, "skip": n}` (an [`Entry`] as the archive found it) or, for other programs, `{"input": PATH}`.
//! Answers are lines of [`Line`]: `begin` before each thing that is read, a `row` for what it gave, `done` at the end.
//! A worker that breaks, takes too long or wants too much memory costs what it was reading and nothing else: a new one
//! goes on behind it.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::label::{Labelled, label};
use crate::archive::{self, Entry, NoCache, Walk};
use crate::extract::Shared;
use crate::rules::KnowledgeBase;

/// How long a worker may take to start, whatever it is asked: to read its rules.
const START: Duration = Duration::from_secs(60);
/// How much of what a worker says on standard error is kept.
const LAST_WORDS: usize = 4096;

/// What a worker is asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// A path to be read as a place: the way for other programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<PathBuf>,
    /// An entry of an archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Entry>,
    /// How many things to read of it are left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skip: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// One line of a worker's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// It has read its rules and waits for requests; their digest.
    Ready(String),
    /// This is read next.
    Begin(String),
    /// What it gave.
    Row(Box<Labelled>),
    /// The request is answered; how many rows it had.
    Done(usize),
}

/// Answers requests until there are no more, or nobody listens.
pub fn work(requests: impl BufRead, mut answers: impl Write, base: &KnowledgeBase) -> io::Result<()> {
    let mut say = |line: &Line| -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        answers.write_all(&text)?;
        answers.flush()
    };
    let shared = Shared::new();
    say(&Line::Ready(base.digest().to_owned()))?;
    for request in requests.split(b'\n') {
        let request = request?;
        if request.trim_ascii().is_empty() {
            continue;
        }
        let (entries, skip) = match serde_json::from_slice::<Request>(&request) {
            Ok(Request { entry, input, skip }) => {
                let places: Vec<PathBuf> = input.into_iter().collect();
                let listed = Walk::new(&places, std::sync::Arc::new(NoCache));
                (entry.into_iter().chain(listed).collect::<Vec<_>>(), skip)
            }
            Err(error) => {
                let why = format!("this is no request: {error}");
                say(&Line::Row(Box::new(Labelled::failed("", why, false))))?;
                say(&Line::Done(1))?;
                continue;
            }
        };
        let mut rows = 0;
        for entry in entries {
            let mut failure = None;
            // Two closures speak; the first failure ends both.
            let spoken = std::cell::RefCell::new(|line: Line| {
                if failure.is_none() {
                    failure = say(&line).err();
                }
            });
            label(
                &entry,
                base,
                &shared,
                skip,
                &mut |name| (spoken.borrow_mut())(Line::Begin(name.to_owned())),
                &mut |labelled| {
                    rows += 1;
                    (spoken.borrow_mut())(Line::Row(Box::new(labelled)));
                },
            );
            if let Some(error) = failure {
                return Err(error);
            }
        }
        say(&Line::Done(rows))?;
    }
    Ok(())
}

/// How workers are started and what they may take.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The program and its arguments.
    pub program: PathBuf,
    /// The arguments that make it a worker, with the rules in force.
    pub arguments: Vec<std::ffi::OsString>,
    /// How long one crash may take.
    pub timeout: Option<Duration>,
    /// How much memory a worker may have, in bytes: told in the messages; it sets the limit itself.
    pub max_memory: Option<u64>,
    /// The digest that its rules must have.
    pub rules_digest: String,
}

/// A worker process, started when it is first needed and again when it is lost.
#[derive(Debug)]
pub struct Supervised {
    terms: Terms,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    requests: Option<ChildStdin>,
    answers: Receiver<io::Result<Line>>,
    last_words: Receiver<String>,
}

/// How a worker was lost.
enum Loss {
    /// It took longer than it may.
    Late(Duration),
    /// It ended, or said what nobody understands.
    Ended(String),
}

impl Supervised {
    /// A worker that is not yet started.
    pub fn new(terms: Terms) -> Self {
        Supervised { terms, running: None }
    }

    /// Has an entry labelled. What a worker is lost over gives a failed row.
    pub fn label(&mut self, entry: &Entry) -> Vec<Labelled> {
        let mut rows = Vec::new();
        let mut begun: Vec<String> = Vec::new();
        loop {
            let before = begun.len();
            let loss = match self.ask(entry, &mut begun, &mut rows) {
                Ok(()) => return rows,
                Err(loss) => loss,
            };
            let why = self.lose(loss);
            // Lost before it began to read anything new: the next one would be lost in the same way.
            let reading = begun.get(before..).and_then(|new| new.last()).cloned();
            let name = reading.clone().unwrap_or_else(|| entry.name.clone());
            rows.push(Labelled::failed(&name, format!("{name}: {why}"), true));
            if reading.is_none() || name == entry.name {
                return rows;
            }
        }
    }

    fn ask(&mut self, entry: &Entry, begun: &mut Vec<String>, rows: &mut Vec<Labelled>) -> Result<(), Loss> {
        let timeout = self.terms.timeout;
        let running = match &mut self.running {
            Some(running) => running,
            none => none.insert(Running::start(&self.terms)?),
        };
        let request = Request {
            input: None,
            entry: Some(entry.clone()),
            skip: begun.len(),
        };
        running.send(&request)?;
        let mut deadline = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            let line = match deadline {
                Some(at) => running
                    .answers
                    .recv_timeout(at.saturating_duration_since(Instant::now())),
                None => running.answers.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match line {
                Ok(Ok(Line::Begin(name))) => {
                    begun.push(name);
                    deadline = timeout.map(|timeout| Instant::now() + timeout);
                }
                Ok(Ok(Line::Row(labelled))) => rows.push(*labelled),
                Ok(Ok(Line::Done(_))) => return Ok(()),
                Ok(Ok(Line::Ready(_))) => {}
                Ok(Err(error)) => return Err(Loss::Ended(format!("its worker's answer cannot be read: {error}"))),
                Err(RecvTimeoutError::Timeout) => return Err(Loss::Late(timeout.unwrap_or_default())),
                Err(RecvTimeoutError::Disconnected) => return Err(Loss::Ended(String::new())),
            }
        }
    }

    /// Ends what is left of a lost worker, and says how it was lost.
    fn lose(&mut self, loss: Loss) -> String {
        let ended = self.running.take().map(Running::end);
        archive::clear_away();
        match (loss, ended) {
            (Loss::Late(timeout), _) => format!("it took longer than {} (--timeout)", Seconds(timeout)),
            (Loss::Ended(why), _) if !why.is_empty() => why,
            (Loss::Ended(_), None) => "its worker could not be started".to_owned(),
            (Loss::Ended(_), Some((status, words))) => {
                let how = status.map_or_else(|error| error.to_string(), |status| ending(&status));
                if words.contains("memory allocation of") {
                    let limit = self
                        .terms
                        .max_memory
                        .map_or_else(String::new, |limit| format!(" than {} MiB (--max-memory)", limit >> 20));
                    return format!("it wanted more memory{limit}; its worker ended: {how}");
                }
                let words = words.lines().rev().find(|line| !line.trim().is_empty());
                let words = words
                    .map(|line| format!("; it said: {}", line.trim()))
                    .unwrap_or_default();
                format!("its worker ended: {how}{words}")
            }
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            drop(running.end());
        }
    }
}

impl Running {
    fn start(terms: &Terms) -> Result<Self, Loss> {
        let failed = |why: String| Loss::Ended(format!("its worker cannot be started: {why}"));
        let mut child = Command::new(&terms.program)
            .args(&terms.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let (requests, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (send, answers) = mpsc::channel();
        std::thread::spawn(move || {
            let lines = output
                .into_iter()
                .flat_map(|output| BufReader::new(output).split(b'\n'));
            for line in lines {
                let line = line.and_then(|line| serde_json::from_slice::<Line>(&line).map_err(io::Error::other));
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let (send, last_words) = mpsc::channel();
        std::thread::spawn(move || {
            let mut words = Vec::new();
            let mut buf = [0; 1024];
            if let Some(mut errors) = errors {
                while let Ok(count @ 1..) = errors.read(&mut buf) {
                    words.extend(buf.get(..count).unwrap_or_default());
                    let surplus = words.len().saturating_sub(LAST_WORDS);
                    words.drain(..surplus);
                }
            }
            let _ = send.send(String::from_utf8_lossy(&words).into_owned());
        });
        let running = Running {
            child,
            requests,
            answers,
            last_words,
        };
        match running.answers.recv_timeout(START) {
            Ok(Ok(Line::Ready(digest))) if digest == terms.rules_digest => Ok(running),
            Ok(Ok(_)) => {
                drop(running.end());
                Err(failed("its rules are not those of the scan".to_owned()))
            }
            _ => {
                let (_, words) = running.end();
                let words = words.lines().last().unwrap_or("it says nothing").to_owned();
                Err(failed(words))
            }
        }
    }

    fn send(&mut self, request: &Request) -> Result<(), Loss> {
        let mut text = serde_json::to_vec(request).unwrap_or_default();
        text.push(b'\n');
        // A worker that died meanwhile closes its end: how it died is asked for then.
        match &mut self.requests {
            Some(requests) => requests.write_all(&text).map_err(|_| Loss::Ended(String::new())),
            None => Err(Loss::Ended(String::new())),
        }
    }

    /// Ends the process; how it ended, and what it said last.
    fn end(mut self) -> (io::Result<ExitStatus>, String) {
        drop(self.requests.take());
        // One that died or is done closes its output a moment before it can be waited for.
        let mut words = self.last_words.recv_timeout(Duration::from_millis(50)).ok();
        if words.is_none() && !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
        }
        let status = self.child.wait();
        if words.is_none() {
            words = self.last_words.recv_timeout(Duration::from_secs(1)).ok();
        }
        (status, words.unwrap_or_default())
    }
}

/// `signal 9 (SIGKILL)`, `exit code 2`.
fn ending(status: &ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    let name = |signal| match signal {
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        7 => " (SIGBUS)",
        9 => " (SIGKILL: somebody, or the kernel for want of memory)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM)",
        24 => " (SIGXCPU)",
        _ => "",
    };
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}{}", name(signal)),
        (None, code) => format!("exit code {}", code.unwrap_or(-1)),
    }
}

/// `1.5 s`, `60 s`.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(requests: &str) -> Vec<Line> {
        let mut answers = Vec::new();
        work(requests.as_bytes(), &mut answers, &KnowledgeBase::builtin()).unwrap();
        let text = String::from_utf8(answers).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_worker_answers_every_request_and_goes_on_after_nonsense() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.txt");
        std::fs::write(
            &path,
            "[    1.000000] Kernel panic - not syncing: sysrq triggered crash\n",
        )
        .unwrap();
        let requests = format!(
            "nonsense\n\n{{\"input\": \"{0}\"}}\n{{\"input\": \"/nowhere\"}}\n",
            path.display()
        );
        let said = lines(&requests);
        let words: Vec<String> = said
            .iter()
            .map(|line| match line {
                Line::Ready(_) => "ready".to_owned(),
                Line::Begin(_) => "begin".to_owned(),
                Line::Row(labelled) => labelled.row.status.to_string(),
                Line::Done(rows) => format!("done {rows}"),
            })
            .collect();
        assert_eq!(
            words,
            [
                "ready", "failed", "done 1", "begin", "unknown", "done 1", "begin", "failed", "done 1"
            ]
        );
    }

    /// A worker in the shell: says it is ready, then does `script` for each line that it reads.
    fn shell(script: &str, timeout: u64) -> Supervised {
        let script =
            format!("echo '{{\"ready\":\"d\"}}'; while read line; do echo '{{\"begin\":\"/x\"}}'; {script}; done");
        Supervised::new(Terms {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            timeout: Some(Duration::from_millis(timeout)),
            max_memory: None,
            rules_digest: "d".to_owned(),
        })
    }

    fn entry() -> Entry {
        Entry {
            name: "/x".to_owned(),
            within: "x".to_owned(),
            kind: crate::archive::Kind::Crash,
            parts: Vec::new(),
            companions: Vec::new(),
        }
    }

    fn error(worker: &mut Supervised) -> String {
        let rows = worker.label(&entry());
        assert_eq!(rows.len(), 1);
        assert!(rows[0].passing);
        rows[0].row.error.clone().unwrap()
    }

    #[test]
    fn a_lost_worker_costs_one_row_and_the_next_one_goes_on() {
        let mut killed = shell("kill -9 $$", 60_000);
        for _ in 0..3 {
            let said = error(&mut killed);
            assert!(said.contains("signal 9"), "{said}");
        }
        let said = error(&mut shell("exec sleep 1000", 300));
        assert!(said.contains("longer than 0.3 s"), "{said}");
        let said = error(&mut shell(
            "echo 'memory allocation of 5 bytes failed' >&2; kill -6 $$",
            60_000,
        ));
        assert!(said.contains("wanted more memory"), "{said}");
        let said = error(&mut shell("echo nonsense", 60_000));
        assert!(said.contains("cannot be read"), "{said}");
        let mut other = shell("true", 1000);
        other.terms.rules_digest = "e".to_owned();
        let said = error(&mut other);
        assert!(said.contains("not those of the scan"), "{said}");
    }
}
