//! `vmcoroner worker`: one request a line, answers as they come, for the scan and for other engines.

use std::io;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getppid, setrlimit};

use super::Outcome;
use super::args::archive::Worker;
use super::knowledge::load;
use super::sink::Sink;
use crate::scan::worker;

/// Answers requests on standard input until there are no more.
pub fn run(arguments: &Worker, sink: &mut Sink) -> Outcome {
    if let Some(size) = arguments.max_memory {
        let limit = Rlimit {
            current: Some(size.0),
            maximum: Some(size.0),
        };
        // Private memory that can be written: the heap, and not the program or files.
        if let Err(error) = setrlimit(Resource::Data, limit) {
            sink.error(&format!("this system sets no limit to memory: {error}"));
            return Outcome::Failed;
        }
    }
    end_with_supervisor();
    let Some(base) = load(&arguments.rules, sink) else {
        return Outcome::Failed;
    };
    // One crash at a time: nothing of it is given to further threads.
    let _alone = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread()
        .build();
    match worker::work(io::stdin().lock(), Lines(sink), &base) {
        Ok(()) => Outcome::Found,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Outcome::Found,
        Err(error) => {
            sink.error(&format!("requests cannot be read or answered: {error}"));
            Outcome::Failed
        }
    }
}

/// A worker whose supervisor was killed must not go on with a dump that nobody waits for.
///
/// `PR_SET_PDEATHSIG` would not do: it tells of the end of the thread that started the worker, which may come long
/// before the supervisor's.
fn end_with_supervisor() {
    const EVERY: Duration = Duration::from_millis(500);
    let supervisor = getppid();
    // Where no thread can be had, the worker ends when it wants to answer.
    let _ = thread::Builder::new().spawn(move || {
        while getppid() == supervisor {
            thread::sleep(EVERY);
        }
        std::process::exit(2);
    });
}

/// Standard output, each line at once.
struct Lines<'a>(&'a mut Sink);

impl io::Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_json(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush();
        match self.0.is_closed() {
            true => Err(io::ErrorKind::BrokenPipe.into()),
            false => Ok(()),
        }
    }
}
