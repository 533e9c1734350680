//! Puts the shipped rules, `rules/**/*.yaml`, into the form in which the binary holds them (`src/rules/store.rs`), in the
//! order of their ids. Data that every run reads is put down as JSON.

#![allow(clippy::disallowed_macros, reason = "cargo reads a build script's standard output")]

#[allow(dead_code, reason = "the build script uses a part of it")]
#[path = "src/rules/keys.rs"]
mod keys;
#[allow(dead_code, reason = "the build script uses a part of it")]
#[path = "src/rules/literal.rs"]
mod literal;
#[allow(dead_code, reason = "the build script uses a part of it")]
#[path = "src/rules/store.rs"]
mod store;
#[path = "src/rules/store_writer.rs"]
mod store_writer;
#[allow(dead_code, reason = "the build script uses a part of it")]
#[path = "src/crash/symbol_name.rs"]
mod symbol_name;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use keys::{Keys, Tree};
use serde::Deserialize;
use serde_yaml::Value;
use store::{Facets, Head};
use store_writer::Writer;

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

    fn entries(&self) -> usize {
        self.as_mapping().map_or(0, serde_yaml::Mapping::len)
    }
}

fn main() -> io::Result<()> {
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?);
    println!("cargo::rerun-if-changed=build.rs");
    for module in [
        "rules/keys",
        "rules/literal",
        "rules/store",
        "rules/store_writer",
        "crash/symbol_name",
    ] {
        println!("cargo::rerun-if-changed=src/{module}.rs");
    }
    let root = package.join("rules");
    let mut files = Vec::new();
    if root.is_dir() {
        collect(&root, &mut files)?;
    }
    let mut rules = Vec::new();
    for file in &files {
        let name = file.strip_prefix(&root).map_err(io::Error::other)?;
        let name = name.to_string_lossy().replace('\\', "/");
        rules.push(Shipped::read(&name, file)?);
    }
    rules.sort_by(|a, b| a.id.cmp(&b.id));
    let mut writer = Writer::default();
    for rule in &rules {
        rule.add_to(&mut writer);
    }
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    fs::write(out.join("rules.numbers"), writer.numbers())?;
    fs::write(out.join("rules.texts"), writer.texts)?;
    fs::write(out.join("rules.heads"), writer.heads)?;
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

/// A rule file. Of one that is no rule not a word is known: the program's own tests tell what is wrong with it.
struct Shipped {
    file: String,
    text: String,
    json: String,
    id: String,
    rule: Value,
    keys: Keys,
}

impl Shipped {
    fn read(name: &str, file: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(file)?;
        let mut rule: Value = serde_yaml::from_str(&text).unwrap_or(Value::Null);
        if let (Some(references), Ok(Words { references: words })) =
            (rule.get_mut("references"), serde_yaml::from_str(&text))
        {
            *references = words;
        }
        Ok(Shipped {
            file: format!("builtin:{name}"),
            json: serde_json::to_string(&rule).map_err(io::Error::other)?,
            id: word(&rule, "id"),
            keys: Keys::of(&rule),
            text,
            rule,
        })
    }

    fn add_to(&self, writer: &mut Writer) {
        let (status, replaced_by) = (word(&self.rule, "status"), word(&self.rule, "replaced_by"));
        let (was, specializes) = (words_of(&self.rule, "was"), words_of(&self.rule, "specializes"));
        let required = self.keys.keys.iter().filter(|key| key.required);
        let head = Head {
            file: &self.file,
            id: &self.id,
            status: &status,
            replaced_by: &replaced_by,
            was: was.iter().map(String::as_str).collect(),
            specializes: specializes.iter().map(String::as_str).collect(),
            digest: digest(self.text.as_bytes()),
        };
        let facets = Facets {
            always: self.keys.open.always,
            to_modules: self.keys.open.to_modules,
            to_kinds: self.keys.open.to_kinds.iter().map(String::as_str).collect(),
            general: self.keys.general,
            required: required.fold(0, |groups, key| groups | key.group),
            one_stack: self.keys.one_stack,
            asks: self.keys.asks,
            kinds: self.keys.kinds.iter().map(Cow::as_ref).collect(),
        };
        let mut names: Vec<(u8, Cow<'_, str>)> = Vec::new();
        for key in self.keys.keys.iter() {
            for name in key.any_of.iter() {
                names.extend(keys::spellings(key.group, name).map(|name| (key.group, name)));
            }
        }
        let names = names.iter().map(|(group, name)| (*group, name.as_ref()));
        let further = self.keys.further.iter().map(|names| {
            let names = names.iter().flat_map(|name| keys::spellings(keys::FRAMES, name));
            names.map(|name| (keys::FRAMES, name.into_owned())).collect()
        });
        writer.add((&self.text, &self.json), &head, &facets, names, further.collect());
    }
}

fn word(rule: &Value, key: &str) -> String {
    rule.key(key).and_then(Tree::word).unwrap_or_default().into_owned()
}

fn words_of(rule: &Value, key: &str) -> Vec<String> {
    let values = rule.key(key).into_iter().flat_map(Tree::one_or_many);
    values.filter_map(Tree::word).map(Cow::into_owned).collect()
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
