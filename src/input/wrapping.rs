//! What a whole file may be wrapped in, as streams that keep what they decoded before a file ended early.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use lzma_rust2::{Action, Status, XzStream};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::apport;

/// The most memory that an xz or zstd stream may claim for its window: `xz -9` wants 64 MiB, `zstd --long` 128 MiB.
const MAX_WINDOW: u64 = 1 << 30;
const BUFFER: usize = 1 << 16;

/// A compression around a whole file, or a report with a file in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapping {
    Gzip,
    Xz,
    Zstd,
    Bzip2,
    Apport,
}

impl Wrapping {
    /// Recognises the first bytes of a wrapped file.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        if is_gzip(head) {
            Some(Wrapping::Gzip)
        } else if head.starts_with(b"\xfd7zXZ\0") {
            Some(Wrapping::Xz)
        } else if is_zstd(head) {
            Some(Wrapping::Zstd)
        } else if is_bzip2(head) {
            Some(Wrapping::Bzip2)
        } else if apport::is_report(head) {
            Some(Wrapping::Apport)
        } else {
            None
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Wrapping::Gzip => "gzip",
            Wrapping::Xz => "xz",
            Wrapping::Zstd => "zstd",
            Wrapping::Bzip2 => "bzip2",
            Wrapping::Apport => "apport",
        }
    }

    /// What is inside `stream`.
    pub(crate) fn unwrap<'a>(self, stream: Box<dyn Read + 'a>) -> Box<dyn Read + 'a> {
        let stream = BufReader::with_capacity(BUFFER, stream);
        match self {
            Wrapping::Gzip => Box::new(Members::new(stream, is_gzip, GzDecoder::new, GzDecoder::into_inner)),
            Wrapping::Bzip2 => {
                use bzip2::bufread::BzDecoder;
                Box::new(Members::new(stream, is_bzip2, BzDecoder::new, BzDecoder::into_inner))
            }
            Wrapping::Xz => Box::new(XzDecoder::new(stream)),
            Wrapping::Zstd => Box::new(ZstdDecoder::new(stream)),
            Wrapping::Apport => Box::new(apport::Report::new(stream)),
        }
    }
}

fn is_gzip(head: &[u8]) -> bool {
    // The third byte is the method; 8 (deflate) is the only one.
    head.starts_with(&[0x1f, 0x8b, 8])
}

fn is_bzip2(head: &[u8]) -> bool {
    matches!(
        head,
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..]
    )
}

/// A frame, or a skippable frame (RFC 8878, 3.1.2) before one.
fn is_zstd(head: &[u8]) -> bool {
    matches!(head, [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// Members one after the other, as `gzip` and parallel compressors write them. What follows the last one and is no
/// member (padding of a tape or a block device) is ignored, as `gzip -d` does.
struct Members<R, D> {
    decoder: Option<D>,
    is_member: fn(&[u8]) -> bool,
    start: fn(R) -> D,
    finish: fn(D) -> R,
}

impl<R: BufRead, D: Read> Members<R, D> {
    fn new(stream: R, is_member: fn(&[u8]) -> bool, start: fn(R) -> D, finish: fn(D) -> R) -> Self {
        Self {
            decoder: Some(start(stream)),
            is_member,
            start,
            finish,
        }
    }
}

impl<R: BufRead, D: Read> Read for Members<R, D> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.decoder {
            let read = decoder.read(buf)?;
            if read != 0 || buf.is_empty() {
                return Ok(read);
            }
            let Some(finished) = self.decoder.take() else { break };
            let mut stream = (self.finish)(finished);
            if (self.is_member)(stream.fill_buf()?) {
                self.decoder = Some((self.start)(stream));
            }
        }
        Ok(0)
    }
}

/// xz through the push decoder: unlike a pulling one it hands out everything that the bytes so far decode to.
struct XzDecoder<R> {
    stream: R,
    decoder: XzStream,
}

impl<R: BufRead> XzDecoder<R> {
    fn new(stream: R) -> Self {
        Self {
            stream,
            decoder: XzStream::new_mem_limit(true, (MAX_WINDOW >> 10) as u32),
        }
    }
}

impl<R: BufRead> Read for XzDecoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.stream.fill_buf()?;
            let action = if input.is_empty() { Action::Finish } else { Action::Run };
            let step = self.decoder.process(input, buf, action)?;
            self.stream.consume(step.bytes_consumed);
            if step.bytes_produced != 0 || matches!(step.status, Status::StreamEnd) || buf.is_empty() {
                return Ok(step.bytes_produced);
            }
            if action == Action::Finish && step.bytes_consumed == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// zstd, frame by frame and block by block. A decoder holds back a window's worth of what it decoded until the frame
/// ends; when the file ends before that, an empty last block makes it hand that out.
struct ZstdDecoder<R> {
    stream: R,
    decoder: FrameDecoder,
    in_frame: bool,
    block: Vec<u8>,
    failure: Option<io::Error>,
}

/// A raw block of no bytes that is the last, and four bytes in place of a check sum.
const EMPTY_LAST_BLOCK: [u8; 7] = [1, 0, 0, 0, 0, 0, 0];
/// Bytes of a block header.
const BLOCK_HEADER: usize = 3;

impl<R: BufRead> ZstdDecoder<R> {
    fn new(stream: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW);
        Self {
            stream,
            decoder,
            in_frame: false,
            block: Vec::new(),
            failure: None,
        }
    }

    /// Starts the next frame; `false` at the end of the file.
    fn start_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.stream.fill_buf()?.is_empty() {
                return Ok(false);
            }
            match self.decoder.init(&mut self.stream) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    let length = u64::from(length);
                    if io::copy(&mut (&mut self.stream).take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }

    /// Fetches the next whole block with its header.
    fn fetch_block(&mut self) -> io::Result<()> {
        self.block.resize(BLOCK_HEADER, 0);
        self.stream.read_exact(&mut self.block)?;
        let header = self
            .block
            .iter()
            .rev()
            .fold(0usize, |value, byte| value << 8 | usize::from(*byte));
        let (kind, size) = (header >> 1 & 3, header >> 3);
        // A run-length block stores one byte, whatever it stands for.
        let stored = if kind == 1 { 1 } else { size };
        self.block.resize(BLOCK_HEADER + stored, 0);
        self.stream
            .read_exact(self.block.get_mut(BLOCK_HEADER..).unwrap_or_default())?;
        Ok(())
    }

    fn step(&mut self) -> io::Result<()> {
        self.fetch_block()?;
        // Behind a frame's last block may be a check sum: the decoder knows, and takes it from the stream.
        let mut rest = self.block.as_slice().chain(&mut self.stream);
        self.decoder
            .decode_blocks(&mut rest, BlockDecodingStrategy::UptoBlocks(1))
            .map_err(io::Error::other)?;
        Ok(())
    }
}

impl<R: BufRead> Read for ZstdDecoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.decoder.can_collect() != 0 || buf.is_empty() {
                return self.decoder.read(buf);
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if !self.in_frame {
                if !self.start_frame()? {
                    return Ok(0);
                }
                self.in_frame = true;
            }
            if let Err(error) = self.step() {
                let end = BlockDecodingStrategy::UptoBlocks(1);
                // If this fails too there is nothing more to be had.
                let _ = self.decoder.decode_blocks(EMPTY_LAST_BLOCK.as_slice(), end);
                self.failure = Some(error);
            }
            self.in_frame = !self.decoder.is_finished();
        }
    }
}
