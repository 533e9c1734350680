//! A file that is written to by a thread of its own, once there is much to write: whoever has it written goes on meanwhile.

use std::fs::File;
use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

/// So much is written at a time, in bytes: some tens of rows of a scan.
const BUFFER: usize = 512 * 1024;
/// How many such buffers there are: one is filled, one written, one waits.
const BUFFERS: usize = 3;

/// The file.
#[derive(Debug)]
pub struct Behind {
    state: State,
    /// What is still to be written.
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum State {
    /// No thread was needed yet, or none could be had.
    New(File),
    /// A thread writes.
    Begun {
        full: Sender<Vec<u8>>,
        /// Buffers that were written, or why they could not be.
        written: Receiver<io::Result<Vec<u8>>>,
        /// Buffers on the way.
        under_way: usize,
    },
}

impl Behind {
    /// Nothing is written to the file yet.
    pub fn new(file: File) -> Self {
        Behind {
            state: State::New(file),
            buffer: Vec::new(),
        }
    }

    /// Hands the buffer over to be written, and takes an empty one.
    fn hand_over(&mut self) -> io::Result<()> {
        if let State::New(file) = &self.state
            && let Ok(begun) = file.try_clone().and_then(begin)
        {
            self.state = begun;
        }
        let (full, written, under_way) = match &mut self.state {
            State::Begun {
                full,
                written,
                under_way,
            } => (full, written, under_way),
            // No thread can be had.
            State::New(file) => {
                file.write_all(&self.buffer)?;
                self.buffer.clear();
                return Ok(());
            }
        };
        let empty = match *under_way + 1 < BUFFERS {
            true => Vec::with_capacity(BUFFER),
            false => {
                *under_way -= 1;
                written.recv().map_err(io::Error::other)??
            }
        };
        *under_way += 1;
        full.send(std::mem::replace(&mut self.buffer, empty))
            .map_err(|_| io::Error::other("the thread that writes is gone"))
    }
}

fn begin(mut file: File) -> io::Result<State> {
    let (full, to_write) = mpsc::channel::<Vec<u8>>();
    let (tell, written) = mpsc::channel();
    thread::Builder::new().spawn(move || {
        for mut buffer in to_write {
            let result = file.write_all(&buffer);
            buffer.clear();
            if tell.send(result.map(|()| buffer)).is_err() {
                break;
            }
        }
    })?;
    Ok(State::Begun {
        full,
        written,
        under_way: 0,
    })
}

impl Write for Behind {
    /// An error may be that of an earlier call.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.buffer.is_empty() && self.buffer.len() + bytes.len() > BUFFER {
            self.hand_over()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Comes back when all is written.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.state {
            State::New(file) => {
                file.write_all(&self.buffer)?;
                self.buffer.clear();
            }
            State::Begun { .. } if !self.buffer.is_empty() => self.hand_over()?,
            State::Begun { .. } => {}
        }
        if let State::Begun { written, under_way, .. } = &mut self.state {
            while *under_way > 0 {
                *under_way -= 1;
                written.recv().map_err(io::Error::other)??;
            }
        }
        Ok(())
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        // Whoever wants to know of a failure flushes first.
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_written_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let mut out = Behind::new(File::create(&path).unwrap());
        let mut expected = Vec::new();
        for (at, length) in [3, 0, BUFFER, 7, 3 * BUFFER, 1, BUFFER - 1, 2]
            .into_iter()
            .cycle()
            .take(50)
            .enumerate()
        {
            let part = vec![at as u8; length];
            out.write_all(&part).unwrap();
            expected.extend(part);
            if at % 7 == 0 {
                out.flush().unwrap();
                assert_eq!(std::fs::read(&path).unwrap(), expected);
            }
        }
        out.flush().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), expected);
    }

    #[test]
    fn that_nobody_reads_is_told() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut out = Behind::new(File::from(std::os::fd::OwnedFd::from(writer)));
        let written = (0..2 * BUFFERS).try_for_each(|_| out.write_all(&vec![0; BUFFER]));
        let error = written.and_then(|()| out.flush()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
