//! Decoding of one compressed page.
//!
//! The flags are those of makedumpfile's diskdump_mod.h: the same bits in a page descriptor and in the header's status.

use std::sync::{Mutex, PoisonError};

use flate2::{Decompress, FlushDecompress, Status};
use ruzstd::decoding::FrameDecoder;

/// How a page is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Raw,
    /// A zlib stream (RFC 1950).
    Zlib,
    /// LZO1X.
    Lzo,
    /// A raw snappy block, unframed.
    Snappy,
    /// One zstd frame.
    Zstd,
}

impl Method {
    pub(super) const ALL: [Method; 5] = [Method::Raw, Method::Zlib, Method::Lzo, Method::Snappy, Method::Zstd];

    /// The method that a descriptor's flags name, or `None` for an unknown or doubled one.
    pub(super) fn from_flags(flags: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.flag() == flags & 0x27)
    }

    /// Its bit in a descriptor's flags and a header's status.
    pub(super) fn flag(self) -> u32 {
        match self {
            Method::Raw => 0,
            Method::Zlib => 0x1,
            Method::Lzo => 0x2,
            Method::Snappy => 0x4,
            Method::Zstd => 0x20,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Method::Raw => "none",
            Method::Zlib => "zlib",
            Method::Lzo => "lzo",
            Method::Snappy => "snappy",
            Method::Zstd => "zstd",
        }
    }
}

/// Decoders with their working memory, kept for the next page: making one costs more than decoding a page.
#[derive(Default)]
pub(super) struct Codecs {
    zlib: Mutex<Vec<Decompress>>,
    zstd: Mutex<Vec<FrameDecoder>>,
}

impl std::fmt::Debug for Codecs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Codecs")
    }
}

impl Codecs {
    /// Decodes `stored` into exactly `page.len()` bytes.
    pub(super) fn decode(&self, method: Method, stored: &[u8], page: &mut [u8]) -> Result<(), String> {
        let wanted = page.len();
        let decoded = match method {
            Method::Raw => {
                if stored.len() == wanted {
                    page.copy_from_slice(stored);
                }
                stored.len()
            }
            Method::Zlib => self.zlib(stored, page)?,
            Method::Lzo => lzokay::decompress::decompress(stored, page).map_err(|error| format!("lzo: {error}"))?,
            Method::Snappy => {
                let size = snap::raw::decompress_len(stored).map_err(|error| format!("snappy: {error}"))?;
                if size == wanted {
                    snap::raw::Decoder::new()
                        .decompress(stored, page)
                        .map_err(|error| format!("snappy: {error}"))?;
                }
                size
            }
            Method::Zstd => self.zstd(stored, page)?,
        };
        if decoded == wanted {
            Ok(())
        } else {
            Err(format!(
                "{} gave {decoded} bytes, expected a page of {wanted}",
                method.name()
            ))
        }
    }

    fn zlib(&self, stored: &[u8], page: &mut [u8]) -> Result<usize, String> {
        let mut decoder = take(&self.zlib).unwrap_or_else(|| Decompress::new(true));
        decoder.reset(true);
        let result = decoder.decompress(stored, page, FlushDecompress::Finish);
        let decoded = decoder.total_out();
        give_back(&self.zlib, decoder);
        match result {
            Ok(Status::StreamEnd) => Ok(usize::try_from(decoded).unwrap_or(usize::MAX)),
            Ok(_) => Err("zlib: the stream does not end inside the page".to_owned()),
            Err(error) => Err(format!("zlib: {error}")),
        }
    }

    fn zstd(&self, stored: &[u8], page: &mut [u8]) -> Result<usize, String> {
        let mut decoder = take(&self.zstd).unwrap_or_default();
        let result = decoder.decode_all(stored, page);
        // A decoder that failed half way is not used again.
        let decoded = result.map_err(|error| format!("zstd: {error}"))?;
        give_back(&self.zstd, decoder);
        Ok(decoded)
    }
}

fn take<T>(pool: &Mutex<Vec<T>>) -> Option<T> {
    pool.lock().unwrap_or_else(PoisonError::into_inner).pop()
}

fn give_back<T>(pool: &Mutex<Vec<T>>, decoder: T) {
    pool.lock().unwrap_or_else(PoisonError::into_inner).push(decoder);
}
