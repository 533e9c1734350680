//! `vmcoroner scan` over archives as kdump, ABRT and people lay them out: one row for every input, in order, whatever the
//! others are; rows from a catalogue are those that were read.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::vmcoroner;
use serde_json::Value;

const SYSRQ: &str = "[    0.000000] Linux version 6.1.0-13-amd64 (x@y) (gcc) #1 SMP Debian 6.1.55-1\n\
    [    5.000000] sysrq: Trigger a crash\n[    5.000100] Kernel panic - not syncing: sysrq triggered crash\n";
const QUIET: &str = "[    0.000000] Linux version 6.1.0-13-amd64 (x@y) (gcc) #1 SMP Debian 6.1.55-1\n";

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Every `step`-th case of the corpus that ends in `ending`.
fn cases(ending: &str, step: usize) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for rule in fs::read_dir(corpus())
        .unwrap()
        .flatten()
        .filter(|entry| entry.path().is_dir())
    {
        let files = fs::read_dir(rule.path()).unwrap().flatten().map(|entry| entry.path());
        all.extend(files.filter(|path| path.extension().is_some_and(|found| found == ending)));
    }
    all.sort();
    all.into_iter().step_by(step).collect()
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A small archive: real dumps with what belongs to them, texts, noise, an empty file, a tar archive.
fn archive() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let capsules = cases("capsule", 20);
    fs::create_dir_all(root.join("127.0.0.1-2024-01-01-10:00:00")).unwrap();
    fs::copy(&capsules[0], root.join("127.0.0.1-2024-01-01-10:00:00/vmcore")).unwrap();
    write(root, "127.0.0.1-2024-01-01-10:00:00/kexec-dmesg.log", QUIET);
    fs::copy(&capsules[1], root.join("b.vmcore")).unwrap();
    let cut = fs::read(&capsules[1]).unwrap();
    write(root, "cut.vmcore", &cut[..cut.len() / 3]);
    for (number, text) in cases("txt", 10).iter().enumerate() {
        fs::copy(text, root.join(format!("text-{number}.txt"))).unwrap();
    }
    write(root, "abrt/analyzer", "Kerneloops\n");
    write(root, "abrt/time", "1700000000\n");
    write(root, "abrt/hostname", "db01\n");
    write(root, "abrt/backtrace", SYSRQ);
    write(root, "noise", [0x9d, 0x81, 0x02, 0x00, 0xff, 0xfe, 0x07].repeat(1000));
    write(root, "empty", "");
    write(root, "quiet.log", QUIET);
    let mut tar = tar::Builder::new(fs::File::create(root.join("more.tar")).unwrap());
    for name in ["x/vmcore-dmesg.txt", "y.txt"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(SYSRQ.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, SYSRQ.as_bytes()).unwrap();
    }
    tar.finish().unwrap();
    folder
}

fn scan(arguments: &[&str], places: &[&Path]) -> (i32, String) {
    let output = vmcoroner()
        .args(["scan", "--quiet"])
        .args(arguments)
        .args(places)
        .output()
        .expect("the binary runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8(output.stdout).expect("rows are UTF-8"),
    )
}

/// Rows are long: the first that differs is told by its name.
fn same(one: &str, other: &str) {
    let names = |text: &str| {
        rows(text)
            .iter()
            .map(|row| row["input"].to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(one), names(other));
    for (one, other) in one.lines().zip(other.lines()) {
        assert!(one == other, "rows differ: {}", one.get(..200).unwrap_or(one));
    }
}

fn rows(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a row is JSON"))
        .collect()
}

fn statuses(root: &Path, text: &str) -> BTreeMap<String, String> {
    let below = |row: &Value| {
        let input = row["input"].as_str().unwrap();
        input
            .strip_prefix(root.to_str().unwrap())
            .unwrap_or(input)
            .trim_start_matches('/')
            .to_owned()
    };
    rows(text)
        .iter()
        .map(|row| (below(row), row["status"].as_str().unwrap().to_owned()))
        .collect()
}

#[test]
fn every_input_has_one_row_with_its_status() {
    let archive = archive();
    let (code, text) = scan(&[], &[archive.path()]);
    assert_eq!(code, 2, "some inputs cannot be read");
    let found = statuses(archive.path(), &text);
    assert_eq!(found.len(), text.lines().count(), "no input twice");
    let of = |name: &str| found.get(name).map(String::as_str);
    for name in [
        "127.0.0.1-2024-01-01-10:00:00/vmcore",
        "b.vmcore",
        "more.tar!x/vmcore-dmesg.txt",
        "more.tar!y.txt",
    ] {
        assert!(matches!(of(name), Some("known" | "unknown")), "{name}: {:?}", of(name));
    }
    assert!(of("cut.vmcore").is_some());
    assert_eq!(of("abrt/backtrace"), Some("unknown"));
    assert_eq!(
        (of("noise"), of("empty"), of("quiet.log")),
        (Some("failed"), Some("failed"), Some("no-crash"))
    );
    for companion in [
        "127.0.0.1-2024-01-01-10:00:00/kexec-dmesg.log",
        "abrt/hostname",
        "more.tar",
    ] {
        assert_eq!(of(companion), None, "{companion}");
    }
    let abrt = rows(&text)
        .into_iter()
        .find(|row| row["input"].as_str().unwrap().ends_with("backtrace"))
        .unwrap();
    assert_eq!(abrt["report"]["system"]["nodename"], "db01");
    assert_eq!(abrt["report"]["system"]["crashed_at"], "2023-11-14T22:13:20Z");
}

#[test]
fn a_row_is_what_identify_says() {
    let archive = archive();
    let (_, text) = scan(&[], &[archive.path()]);
    for row in rows(&text) {
        let input = row["input"].as_str().unwrap();
        if input.contains('!') || input.contains("abrt") || row["status"] == "failed" {
            continue;
        }
        let output = vmcoroner()
            .args(["identify", "--format", "json", input])
            .output()
            .unwrap();
        let mut said: Value = serde_json::from_slice(&output.stdout).unwrap();
        said["status"] = row["status"].clone();
        if let Some(with) = row.get("with") {
            said["with"] = with.clone();
        }
        assert_eq!(said, row, "{input}");
    }
}

#[test]
fn order_and_text_depend_on_nothing_but_the_archive() {
    let archive = archive();
    let (_, one) = scan(&["--jobs", "1"], &[archive.path()]);
    for arguments in [
        &["--jobs", "4"][..],
        &["--jobs", "1", "--io-jobs", "8"],
        &["--jobs", "2", "--io-jobs", "3"],
    ] {
        same(&scan(arguments, &[archive.path()]).1, &one);
    }
}

#[test]
fn few_open_files_make_a_scan_narrow_and_not_wrong() {
    let archive = archive();
    let (_, expected) = scan(&[], &[archive.path()]);
    let script = "ulimit -n 48; exec \"$0\" scan --quiet --isolate --io-jobs 64 \"$1\"";
    let output = std::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_vmcoroner")])
        .arg(archive.path())
        .output()
        .unwrap();
    same(&String::from_utf8(output.stdout).unwrap(), &expected);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("ulimit -n"), "{said}");
}

#[test]
fn shares_are_the_whole() {
    let archive = archive();
    let (_, whole) = scan(&[], &[archive.path()]);
    let mut parts: Vec<String> = Vec::new();
    for number in 1..=3 {
        let share = format!("{number}/3");
        parts.extend(
            scan(&["--shard", &share], &[archive.path()])
                .1
                .lines()
                .map(str::to_owned),
        );
    }
    let mut whole: Vec<&str> = whole.lines().collect();
    whole.sort_unstable();
    parts.sort_unstable();
    assert_eq!(parts, whole);
}

#[test]
fn the_catalogue_gives_the_same_rows_and_reads_nothing_again() {
    let archive = archive();
    let catalog = archive.path().join("catalogue.db");
    let catalog_text = catalog.to_str().unwrap().to_owned();
    let (_, bare) = scan(&[], &[archive.path()]);
    let (_, first) = scan(&["--catalog", &catalog_text], &[archive.path()]);
    same(&first, &bare);
    let (_, second) = scan(&["--catalog", &catalog_text], &[archive.path()]);
    same(&second, &first);
    let read = |text: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with("vmcoroner_scan_inputs_read "))
            .unwrap();
        line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()
    };
    let (_, figures) = scan(
        &["--catalog", &catalog_text, "--format", "prometheus"],
        &[archive.path()],
    );
    assert_eq!(read(&figures), 0, "{figures}");
    // A file that changed is read again, and nothing else.
    write(archive.path(), "quiet.log", SYSRQ);
    let (_, figures) = scan(
        &["--catalog", &catalog_text, "--format", "prometheus"],
        &[archive.path()],
    );
    assert_eq!(read(&figures), 1, "{figures}");
    // Without the shipped rules nothing is read either, and no row is the same as that of a scan with them.
    let (_, other) = scan(&["--catalog", &catalog_text, "--no-builtin"], &[archive.path()]);
    let (_, bare) = scan(&["--no-builtin"], &[archive.path()]);
    // To a scan that does not write it, the catalogue is a file like any other.
    let bare: Vec<&str> = bare
        .split_inclusive('\n')
        .filter(|line| !line.contains("catalogue.db\""))
        .collect();
    same(&other, &bare.concat());
    let (_, figures) = scan(
        &["--catalog", &catalog_text, "--format", "prometheus"],
        &[archive.path()],
    );
    assert_eq!(read(&figures), 0, "{figures}");
}

#[test]
fn lists_come_on_standard_input_and_their_files_belong_together() {
    let archive = archive();
    let folder = archive.path().join("127.0.0.1-2024-01-01-10:00:00");
    let list = format!("{0}/vmcore\n{0}/kexec-dmesg.log\n{0}/missing\n", folder.display());
    let output = vmcoroner()
        .args(["scan", "--quiet", "-"])
        .write_stdin(list)
        .output()
        .unwrap();
    let rows = rows(&String::from_utf8(output.stdout).unwrap());
    let names: Vec<&str> = rows
        .iter()
        .map(|row| row["input"].as_str().unwrap().rsplit('/').next().unwrap())
        .collect();
    assert_eq!(names, ["missing", "vmcore"]);
    assert_eq!(rows[1]["with"], serde_json::json!(["kexec-dmesg.log"]));
}

#[test]
fn tables_have_a_line_for_every_row() {
    let archive = archive();
    // Not even bytes that a terminal would obey are changed.
    fs::write(archive.path().join("odd\u{1}\u{1b}[1m\"name"), "text").unwrap();
    let (_, json) = scan(&[], &[archive.path()]);
    let (_, table) = scan(&["--format", "csv"], &[archive.path()]);
    let mut reader = csv::Reader::from_reader(table.as_bytes());
    let inputs: Vec<String> = reader.records().map(|record| record.unwrap()[0].to_owned()).collect();
    let expected: Vec<String> = rows(&json)
        .iter()
        .map(|row| row["input"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(inputs, expected);
}

#[cfg(feature = "parquet")]
#[test]
fn a_parquet_file_has_the_columns_of_the_table() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let archive = archive();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows.parquet");
    let (_, table) = scan(
        &["--format", "csv", "--parquet", file.to_str().unwrap()],
        &[archive.path()],
    );
    let mut table = csv::Reader::from_reader(table.as_bytes());
    let mut names: Vec<String> = table.headers().unwrap().iter().map(str::to_owned).collect();
    names.sort();
    let reader = SerializedFileReader::new(fs::File::open(file).unwrap()).unwrap();
    let columns = reader.metadata().file_metadata().schema_descr().columns().iter();
    let mut columns: Vec<String> = columns.map(|column| column.name().to_owned()).collect();
    columns.sort();
    assert_eq!(columns, names);
    assert_eq!(
        reader.metadata().file_metadata().num_rows() as usize,
        table.records().count()
    );
}
