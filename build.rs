//! Lists the shipped rules, so that the binary holds them, with what it needs to know of each before it reads one:
//! `rules/**/*.yaml`, in the order of their ids. Data that every run reads is put down as JSON.

#![allow(clippy::disallowed_macros, reason = "cargo reads a build script's standard output")]

#[allow(dead_code, reason = "the build script uses a part of it")]
#[path = "src/rules/keys.rs"]
mod keys;
#[allow(dead_code, reason = "the build script uses a part of it")]
#[path = "src/rules/literal.rs"]
mod literal;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use keys::{Keys, Tree};
use serde::Deserialize;
use serde_yaml::Value;

impl Tree for Value {
    fn key(&self, key: &str) -> Option<&Self> {
        self.as_mapping()?.get(key)
    }

    fn list(&self) -> Option<&[Self]> {
        self.as_sequence().map(Vec::as_slice)
    }

    fn word(&self) -> Option<Cow<'_, str>> {
        match self {
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            Value::Bool(flag) => Some(Cow::Owned(flag.to_string())),
            _ => None,
        }
    }
}

fn main() -> io::Result<()> {
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    println!("cargo::rerun-if-changed=build.rs");
    for module in ["keys", "literal"] {
        println!("cargo::rerun-if-changed=src/rules/{module}.rs");
    }
    let root = package.join("rules");
    let mut files = Vec::new();
    if root.is_dir() {
        collect(&root, &mut files)?;
    }
    let mut entries = Vec::new();
    for file in &files {
        let name = file.strip_prefix(&root).map_err(io::Error::other)?;
        let name = name.to_string_lossy().replace('\\', "/");
        entries.push(entry(&name, file)?);
    }
    entries.sort();
    let mut list = String::from("&[\n");
    for (_, entry) in &entries {
        list.push_str(entry);
    }
    list.push_str("]\n");
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    fs::write(out.join("rules.rs"), list)?;
    fs::write(
        out.join("plumbing.json"),
        json_of(&package.join("src/crash/plumbing.yaml"))?,
    )
}

/// A YAML file as JSON.
fn json_of(file: &Path) -> io::Result<String> {
    println!("cargo::rerun-if-changed={}", file.display());
    let value: Value = serde_yaml::from_str(&fs::read_to_string(file)?).map_err(io::Error::other)?;
    serde_json::to_string(&value).map_err(io::Error::other)
}

/// The part of a rule in which numbers are names: read as words, their leading zeros stay.
#[derive(Deserialize)]
struct Words {
    #[serde(deserialize_with = "words")]
    references: Value,
}

fn words<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    let references = Vec::<BTreeMap<String, String>>::deserialize(deserializer)?;
    serde_yaml::to_value(references).map_err(serde::de::Error::custom)
}

/// A rule's id, and the text of its `Shipped`. A file that is no rule is listed without a word of what it says: the
/// program's own tests tell what is wrong with it.
fn entry(name: &str, file: &Path) -> io::Result<(String, String)> {
    let text = fs::read_to_string(file)?;
    let mut rule: Value = serde_yaml::from_str(&text).unwrap_or(Value::Null);
    if let (Some(references), Ok(Words { references: words })) =
        (rule.get_mut("references"), serde_yaml::from_str(&text))
    {
        *references = words;
    }
    let word = |key: &str| rule.key(key).and_then(Tree::word).unwrap_or_default().into_owned();
    let words = |key: &str| -> Vec<String> {
        let values = rule.key(key).into_iter().flat_map(Tree::one_or_many);
        values.filter_map(Tree::word).map(Cow::into_owned).collect()
    };
    let keys = Keys::of(&rule);
    let json = serde_json::to_string(&rule).map_err(io::Error::other)?;
    let mut code = String::new();
    let path = file.to_string_lossy();
    write!(
        code,
        "    Shipped {{ file: {:?}, text: include_str!({path:?}), json: {json:?}, id: {:?}, status: {:?}, was: &{:?}, \
         specializes: &{:?}, replaced_by: {:?}, digest: {}, open: {}, kinds: &{}, keys: &[",
        format!("builtin:{name}"),
        word("id"),
        word("status"),
        words("was"),
        words("specializes"),
        word("replaced_by"),
        digest(text.as_bytes()),
        keys.open,
        borrowed(&keys.kinds),
    )
    .map_err(io::Error::other)?;
    for key in keys.keys.iter() {
        write!(
            code,
            "Key {{ group: {}, required: {}, any_of: Cow::Borrowed(&{}) }}, ",
            key.group,
            key.required,
            borrowed(&key.any_of)
        )
        .map_err(io::Error::other)?;
    }
    code.push_str("] },\n");
    Ok((word("id"), code))
}

/// An array of `Cow::Borrowed`.
fn borrowed(words: &[Cow<'static, str>]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("Cow::Borrowed({word:?})")).collect();
    format!("[{}]", words.join(", "))
}

/// FNV-1a, 64 bits: `pack::digest_of` makes the same of a text.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    // A folder's time changes when a file comes or goes; a file's own when it is edited.
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            println!("cargo::rerun-if-changed={}", path.display());
            files.push(path);
        }
    }
    Ok(())
}
