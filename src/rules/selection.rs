//! Which rules are in force: what was asked for, the environment, and `vmcoroner.toml`, in this order.
//!
//! Knows names of files and variables; reading the rules themselves is [`load`](super::load)'s work.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The variable that names further rules: files and folders, separated as in `PATH`.
pub const VARIABLE: &str = "VMCORONER_RULES";

/// The configuration's name, looked for in the working folder and those above it, then in the user's own
/// configuration folder, then in `/etc`.
pub const CONFIG: &str = "vmcoroner.toml";

/// Which rules to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Files and folders, in the order of loading.
    pub paths: Vec<PathBuf>,
    /// Whether the rules inside the program are loaded, too.
    pub builtin: bool,
    /// Whether to go on where a rule is not in order.
    pub keep_going: bool,
}

impl Default for Selection {
    fn default() -> Self {
        Selection {
            paths: Vec::new(),
            builtin: true,
            keep_going: false,
        }
    }
}

/// What `vmcoroner.toml` may say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Config {
    /// Files and folders of rules, relative to the configuration's folder.
    rules: Vec<PathBuf>,
    builtin: bool,
    keep_going: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            rules: Vec::new(),
            builtin: true,
            keep_going: false,
        }
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// It cannot be read.
    #[error("{}: cannot read this configuration: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It says something else than it may.
    #[error("{}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line and reason.
        message: String,
    },
}

impl Selection {
    /// What the environment and the nearest configuration say.
    pub fn from_environment() -> Result<Self, SelectionError> {
        let mut selection = match config_file() {
            Some(path) => Self::from_config(&path)?,
            None => Selection::default(),
        };
        if let Some(paths) = env::var_os(VARIABLE) {
            selection.paths.extend(split(&paths));
        }
        Ok(selection)
    }

    /// Reads a configuration.
    pub fn from_config(path: &Path) -> Result<Self, SelectionError> {
        let text = fs::read_to_string(path).map_err(|source| SelectionError::Read {
            path: path.to_owned(),
            source,
        })?;
        let config: Config = toml::from_str(&text).map_err(|error| SelectionError::Parse {
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Ok(Selection {
            paths: config.rules.iter().map(|path| folder.join(path)).collect(),
            builtin: config.builtin,
            keep_going: config.keep_going,
        })
    }
}

fn split(paths: &OsStr) -> impl Iterator<Item = PathBuf> {
    env::split_paths(paths).filter(|path| !path.as_os_str().is_empty())
}

fn config_file() -> Option<PathBuf> {
    let here = env::current_dir().ok()?;
    let own = env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".config")));
    here.ancestors()
        .map(|folder| folder.join(CONFIG))
        .chain(own.map(|own| own.join("vmcoroner").join(CONFIG)))
        .chain([Path::new("/etc").join(CONFIG)])
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_names_paths_beside_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(CONFIG);
        fs::write(
            &path,
            "rules = [\"kb\", \"/abs\"]\nbuiltin = false\nkeep-going = true\n",
        )
        .unwrap();
        let selection = Selection::from_config(&path).unwrap();
        assert_eq!(selection.paths, [folder.path().join("kb"), PathBuf::from("/abs")]);
        assert!(!selection.builtin && selection.keep_going);
        fs::write(&path, "ruls = [\"kb\"]\n").unwrap();
        let error = Selection::from_config(&path).unwrap_err().to_string();
        assert!(error.contains("ruls") && error.contains("line 1"), "{error}");
    }

    #[test]
    fn a_variable_names_several_paths() {
        let paths: Vec<PathBuf> = split(OsStr::new("a:/b/c:")).collect();
        assert_eq!(paths, [PathBuf::from("a"), PathBuf::from("/b/c")]);
    }
}
