//! Opening inputs: wrappers, cut wrappers, text, and everything that is refused.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use tempfile::TempDir;
use vmcoroner::input::{self, Content, Input, InputError, Limits};

/// Something with a dump's magic, compressible but not trivial, over many blocks of every compression.
fn sample() -> Vec<u8> {
    let mut state = 1u64;
    let mut data = b"KDUMP   ".to_vec();
    while data.len() < 700_000 {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let word = (state >> 40) as u32 & 0x3f3f;
        data.extend(word.to_le_bytes());
        if state >> 54 == 0 {
            data.extend([0; 5000]);
        }
    }
    data
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(data: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zstd(data: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
}

/// `KDUMP   ` and ten thousand times `page`, packed by `xz`.
const XZ: &[u8] =
    b"\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4F\x02\x00!\x01\x16\x00\x00\x00t/\xe5\xa3\xe0\x9cG\x00R]\x00%\x91\x06\
    \xf0T3\x072!\xd4\xb0\xdd\x05\x0e\xd0F/#'\x03\xa9\xab\xf8\x06\x07\xb7GuD1Y.!\x9f\x1f\x05nX\xeex\xf0\
    \xd4\xd8\x93\x9dC\xf0-\x09\xf7K\x1a\xa3\xec,P\x8e\xd2%\x0b\xef,s\xa4\x5c3\xfak\x0c\xf5H\xab\xb2F\xfe\
    \x18\xa0Z\x94\x05\x00\x00\x00\x00\x00O\xda\x224\x83\xfaH\x0d\x00\x01n\xc8\xb8\x02\x00\x00\xf6\xab\
    \x8c\xf3\xb1\xc4g\xfb\x02\x00\x00\x00\x00\x04YZ";

fn xz_content() -> Vec<u8> {
    [b"KDUMP   ".as_slice(), &b"page".repeat(10_000)].concat()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn open(&self, content: &[u8]) -> Result<Input, InputError> {
        input::open(&self.file("input", content))
    }
}

fn content(input: &Input) -> Vec<u8> {
    match &input.content {
        Content::Text(text) => text.to_vec(),
        Content::Dump(dump) => {
            let mut bytes = vec![0; dump.size() as usize];
            assert_eq!(dump.read_at(0, &mut bytes).unwrap(), bytes.len());
            bytes
        }
    }
}

#[test]
fn a_plain_dump_is_read_in_place() {
    let data = sample();
    let input = Folder::new().open(&data).unwrap();
    assert!(input.counter.bytes() <= 4096);
    assert!(input.wrappings.is_empty() && input.cut_short.is_none());
    assert_eq!(content(&input), data);
    assert!(input.counter.bytes() >= data.len() as u64);
}

#[test]
fn each_wrapper_comes_off() {
    let (folder, data) = (Folder::new(), sample());
    for (name, packed, data) in [
        ("gzip", gzip(&data), &data),
        ("bzip2", bzip2(&data), &data),
        ("zstd", zstd(&data), &data),
        ("xz", XZ.to_vec(), &xz_content()),
    ] {
        let input = folder.open(&packed).unwrap();
        assert_eq!(input.wrappings, [name]);
        assert_eq!(input.cut_short, None, "{name}");
        assert_eq!(input.size, packed.len() as u64);
        assert!(content(&input) == *data, "{name}");

        // Several members or frames in a row are one file, and padding behind them is none of it.
        let twice = folder.open(&[packed.as_slice(), &packed].concat()).unwrap();
        assert_eq!(twice.cut_short, None, "{name}");
        assert!(content(&twice) == [data.as_slice(), data].concat(), "{name}");
    }
    for packed in [gzip(&data), bzip2(&data)] {
        let padded = folder.open(&[packed.as_slice(), &[0; 1000]].concat()).unwrap();
        assert_eq!(padded.cut_short, None);
        assert!(content(&padded) == data);
    }
}

#[test]
fn a_cut_wrapper_gives_what_came_before() {
    let (folder, data) = (Folder::new(), sample());
    for (name, packed, data, lost) in [
        ("gzip", gzip(&data), &data, 1 << 17),
        ("zstd", zstd(&data), &data, 1 << 18),
        ("bzip2", bzip2(&data), &data, 1 << 18),
        ("xz", XZ.to_vec(), &xz_content(), 40_100),
    ] {
        for cut in (1..8)
            .map(|eighths| packed.len() * eighths / 8)
            .chain([packed.len() - 1])
        {
            let input = match folder.open(&packed[..cut]) {
                Ok(input) => input,
                Err(InputError::Wrapper { .. }) if data.len() * cut / packed.len() < lost => continue,
                Err(error) => panic!("{name} cut at {cut}: {error}"),
            };
            let there = content(&input);
            assert!(input.cut_short.is_some(), "{name} cut at {cut}");
            assert!(data.starts_with(&there), "{name} cut at {cut}: wrong bytes");
            let expected = (data.len() * cut / packed.len()).saturating_sub(lost);
            assert!(
                there.len() >= expected,
                "{name} cut at {cut}: {} bytes, expected {expected}",
                there.len()
            );
        }
    }
}

#[test]
fn nested_wrappers_come_off_to_a_limit() {
    let folder = Folder::new();
    let input = folder.open(&gzip(&zstd(&bzip2(b"[ 1.0] Oops: 0000\n")))).unwrap();
    assert_eq!(input.wrappings, ["gzip", "zstd", "bzip2"]);
    assert_eq!(content(&input), b"[ 1.0] Oops: 0000\n");
    let deep = (0..5).fold(sample(), |data, _| gzip(&data));
    assert!(matches!(folder.open(&deep), Err(InputError::TooDeep { .. })));
}

#[test]
fn what_unpacks_too_far_is_stopped() {
    let folder = Folder::new();
    let path = folder.file("bomb.gz", &gzip(&[b"KDUMP   ".as_slice(), &vec![7; 10 << 20]].concat()));
    let limits = Limits {
        unpacked: 1 << 20,
        unpacked_ratio: 10,
        stored_ratio: 10,
        ..Limits::default()
    };
    let input = input::open_with(&path, &limits).unwrap();
    assert!(input.cut_short.is_some());
    assert!(content(&input).len() < 2 << 20);
}

#[test]
fn a_long_text_is_cut() {
    let folder = Folder::new();
    let path = folder.file("log", &b"Oops\n".repeat(1000));
    let input = input::open_with(
        &path,
        &Limits {
            text: 1200,
            ..Limits::default()
        },
    )
    .unwrap();
    let kept = content(&input);
    assert!(kept.len() <= 1200 && kept.starts_with(b"Oops\n") && kept.ends_with(b"Oops\n"));
    assert!(input.cut_short.is_some());
}

#[test]
fn text_in_utf16_is_translated() {
    let text: Vec<u8> = "\u{feff}Oops: \u{e9}\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(
        content(&Folder::new().open(&text).unwrap()),
        "Oops: \u{e9}\n".as_bytes()
    );
}

#[test]
fn what_cannot_be_read_is_named_in_one_line() {
    let folder = Folder::new();
    let check = |path: &Path, expected: &str| {
        let error = input::open(path).map(|input| input.wrappings).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} lacks {expected:?}");
        assert!(
            !error.contains('\n') && error.starts_with(&path.display().to_string()),
            "{error:?}"
        );
    };
    check(folder.0.path(), "is a folder");
    check(&folder.0.path().join("missing"), "No such file");
    check(Path::new("/dev/zero"), "a character device");
    check(&folder.file("a", b""), "is empty");
    check(&folder.file("b", &gzip(b"")), "is empty (inside gzip)");
    check(&folder.file("c", &[0; 100_000]), "zero bytes only");
    check(
        &folder.file("d", &[0xde, 0xad, 0xbe, 0xef, 0x80, 0x81]),
        "neither a dump nor text: it begins with de ad",
    );
    check(
        &folder.file("e", &zstd(b"PK\x03\x04zip")),
        "a zip archive (inside zstd)",
    );
    check(
        &folder.file("f", &[0x1f, 0x8b, 8, 0]),
        "cannot unpack a byte of it (gzip",
    );
    check(&folder.file("g", b"sadu\x6d\x70\0\0rest"), "makedumpfile -c -d 31");
}

#[test]
fn a_named_pipe_is_refused_without_waiting() {
    let folder = Folder::new();
    let path = folder.0.path().join("pipe");
    if !Command::new("mkfifo")
        .arg(&path)
        .status()
        .is_ok_and(|status| status.success())
    {
        eprintln!("skipped: no mkfifo");
        return;
    }
    assert!(matches!(input::open(&path), Err(InputError::NoFile { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any bytes, and any bytes behind a wrapper's magic, are answered.
    #[test]
    fn arbitrary_bytes_are_answered(
        magic in prop::sample::select(vec![
            b"".as_slice(), &[0x1f, 0x8b, 8, 0], b"\xfd7zXZ\0", &[0x28, 0xb5, 0x2f, 0xfd], b"BZh91AY&SY",
            &[0x50, 0x2a, 0x4d, 0x18], b"KDUMP   ", b"\x7fELF",
        ]),
        bytes in prop::collection::vec(any::<u8>(), 0..3000),
    ) {
        let _ = Folder::new().open(&[magic, &bytes].concat());
    }

    /// A wrapped dump with one byte changed still gives a prefix, or an error.
    #[test]
    fn a_damaged_wrapper_is_answered(which in 0usize..4, at in any::<prop::sample::Index>(), value: u8) {
        let data = sample();
        let mut packed = match which {
            0 => gzip(&data[..60_000]),
            1 => bzip2(&data[..60_000]),
            2 => zstd(&data[..60_000]),
            _ => XZ.to_vec(),
        };
        *at.get_mut(&mut packed) = value;
        if let Ok(input) = Folder::new().open(&packed) {
            content(&input);
        }
    }
}
