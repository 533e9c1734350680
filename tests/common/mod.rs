//! What the tests over the binary share: the binary, and the folder of large real dumps if it is there.

#![allow(dead_code, reason = "each test binary uses its part of this")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use assert_cmd::Command;
use serde_json::Value;

/// The program under test, given up after a minute: no input may hang it.
pub fn vmcoroner() -> Command {
    let mut command = Command::cargo_bin("vmcoroner").expect("the binary is built for tests");
    command
        .timeout(Duration::from_secs(60))
        .env_remove("VMCORONER_RULES")
        .env("NO_COLOR", "1");
    command
}

/// Runs the program with `arguments`, the input and what stands `behind` it; its exit code and what it printed as JSON.
pub fn json(arguments: &[&str], input: &Path, behind: &[&str]) -> (i32, Value) {
    let output = vmcoroner()
        .args(arguments)
        .arg(input)
        .args(behind)
        .output()
        .expect("the binary runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{}: no JSON ({e}); standard error: {stderr}", input.display()));
    (output.status.code().unwrap_or(-1), value)
}

/// Runs the program in a folder: exit code, standard output, standard error.
pub fn run_in(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    run_with(folder, arguments, &[])
}

/// The same with these environment variables.
pub fn run_with(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let output = vmcoroner()
        .current_dir(folder)
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .expect("the binary runs");
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8(output.stdout).expect("standard output is text"),
        String::from_utf8(output.stderr).expect("standard error is text"),
    )
}

/// Puts a file into a folder.
pub fn put(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a file stands in a folder")).expect("the folder can be made");
    std::fs::write(path, text).expect("the file can be written");
}

/// The capsules of the corpus, in order.
pub fn capsules() -> Vec<PathBuf> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let entries = |folder: &Path| std::fs::read_dir(folder).expect("the folder can be listed");
    let paths = |folder: &Path| entries(folder).map(|entry| entry.expect("the folder can be listed").path());
    let mut found: Vec<_> = paths(&corpus)
        .filter(|path| path.is_dir())
        .flat_map(|folder| paths(&folder))
        .filter(|path| path.extension().is_some_and(|ending| ending == "capsule"))
        .collect();
    found.sort();
    found
}

/// The folder of large real dumps and texts; `None`, said aloud, when it isn't there.
pub fn shared(part: &str) -> Option<PathBuf> {
    let root = std::env::var_os("VMCORONER_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
        PathBuf::from,
    );
    let folder = root.join(part);
    if folder.exists() {
        return Some(folder);
    }
    eprintln!(
        "skipped: {} is not there (set VMCORONER_SHARED to the folder of test data)",
        folder.display()
    );
    None
}

/// A dump with what `crash` and the kernel's own log say of it.
pub struct Truth {
    /// Its name, without endings.
    pub name: String,
    /// The dump.
    pub dump: PathBuf,
    /// The kernel's log as `vmcore-dmesg` printed it, where it could.
    pub dmesg: Option<PathBuf>,
    /// Which crash was made.
    pub made: Value,
    /// What was found in it.
    pub truth: Value,
}

/// Every dump of `folder` that has a `NAME.truth.json`, by name.
pub fn truths(folder: &Path) -> Vec<Truth> {
    let mut all: Vec<Truth> = std::fs::read_dir(folder)
        .expect("the folder can be listed")
        .filter_map(|entry| {
            let path = entry.expect("the folder can be listed").path();
            let name = path.file_name()?.to_str()?.strip_suffix(".truth.json")?.to_owned();
            let text = std::fs::read(&path).expect("truth can be read");
            let mut json: Value = serde_json::from_slice(&text).expect("truth is JSON");
            let dump = json["files"]
                .as_array()
                .expect("truth lists its files")
                .iter()
                .filter_map(|file| file["stored_as"]["file"].as_str().or(file["file"].as_str()))
                .find(|file| file.contains(".vmcore"))
                .map(|file| folder.join(file))
                .expect("truth lists its dump");
            let dmesg = Some(folder.join(format!("{name}.vmcore-dmesg.txt"))).filter(|p| p.exists());
            Some(Truth {
                name,
                dump,
                dmesg,
                made: json["made"].take(),
                truth: json["truth"].take(),
            })
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!all.is_empty(), "{} holds no dump with its truth", folder.display());
    all
}
