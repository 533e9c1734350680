//! Makes an archive of crashes out of the corpus, for measuring `scan`: `make_archive FOLDER COUNT [texts|capsules|all]`.
//!
//! Its cases under many names, in the layouts of kdump, kdump-tools and ABRT, plain and packed; `all` is capsules and
//! texts by turns, and one in fifty is a report as JSON, one in fifty is cut short, one in fifty is noise, one in two
//! hundred is huge and sparse. The same arguments make the same archive.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

/// The length of a huge file, nearly all of it a hole.
const HUGE: u64 = 8 << 30;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(folder), Some(count)) = (arguments.first(), arguments.get(1).and_then(|count| count.parse().ok())) else {
        return Err(io::Error::other(
            "usage: make_archive FOLDER COUNT [texts|capsules|all]",
        ));
    };
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let mixed = !matches!(arguments.get(2).map(String::as_str), Some("texts" | "capsules"));
    let [mut texts, mut capsules, mut reports] =
        [cases("txt")?, cases("capsule")?, cases("json")?].map(|cases| cases.into_iter().cycle());
    for number in 0..count {
        let case = match arguments.get(2).map(String::as_str) {
            Some("texts") => texts.next(),
            Some("capsules") => capsules.next(),
            _ if number % 50 == 49 => reports.next(),
            // By turns, and the other way round in the next fifty: what is done to some numbers below befalls both.
            _ if (number + number / 50 + number / 200) % 2 == 0 => capsules.next(),
            _ => texts.next(),
        };
        let Some(case) = case else { break };
        one(Path::new(folder), number, &case, mixed, &mut noise)?;
    }
    Ok(())
}

/// The corpus' cases that end in `ending`.
fn cases(ending: &str) -> io::Result<Vec<PathBuf>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut cases = Vec::new();
    for rule in fs::read_dir(corpus)? {
        let rule = rule?.path();
        if rule.is_dir() {
            let files = fs::read_dir(rule)?.collect::<io::Result<Vec<_>>>()?;
            let paths = files.into_iter().map(|file| file.path());
            cases.extend(paths.filter(|path| path.extension().is_some_and(|end| end == ending)));
        }
    }
    cases.sort();
    Ok(cases)
}

fn one(root: &Path, number: usize, case: &Path, mixed: bool, noise: &mut Noise) -> io::Result<()> {
    let bytes = fs::read(case)?;
    let is_dump = case.extension().is_some_and(|end| end == "capsule");
    let host = root.join(format!("host-{:03}", number % 211));
    let crash = host.join(format!("127.0.0.1-{number:06}"));
    fs::create_dir_all(&crash)?;
    let name = if is_dump { "vmcore" } else { "vmcore-dmesg.txt" };
    if !mixed {
        return fs::write(crash.join(name), bytes);
    }
    match number % 200 {
        0 => {
            let file = File::create(crash.join(name))?;
            (&file).write_all(&bytes)?;
            // A text's hole would have to be read to its end, a dump's pages are found by its index.
            file.set_len(if is_dump { HUGE } else { bytes.len() as u64 + (1 << 20) })
        }
        n if n % 50 == 1 => fs::write(crash.join(name), bytes.get(..bytes.len() / 3).unwrap_or_default()),
        n if n % 50 == 2 => fs::write(crash.join("vmcore"), noise.bytes(4096 + number % 4096)),
        n if n % 10 == 3 => {
            let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
            packed.write_all(&bytes)?;
            fs::write(crash.join(format!("{name}.gz")), packed.finish()?)
        }
        n if n % 10 == 4 && is_dump => {
            fs::write(crash.join(format!("dump.{number:012}")), bytes)?;
            fs::write(crash.join("notes"), "moved here from the old file server\n")
        }
        n if n % 10 == 5 && !is_dump => {
            fs::write(crash.join("backtrace"), bytes)?;
            fs::write(crash.join("type"), "Kerneloops\n")?;
            fs::write(crash.join("time"), format!("{}\n", 1_700_000_000 + number * 977))?;
            fs::write(crash.join("hostname"), format!("host-{:03}.example\n", number % 211))
        }
        _ => fs::write(crash.join(name), bytes),
    }
}

/// Bytes that mean nothing: a linear congruential generator (Knuth's constants).
struct Noise(u64);

impl Noise {
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut next = || {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 56) as u8
        };
        (0..count).map(|_| next()).collect()
    }
}
