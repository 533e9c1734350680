//! Names of files that are still being written.

/// Marks of a file that is not finished: kdump's `vmcore-incomplete` and `dump-incomplete`, and what copying programs
/// call theirs.
const WITHIN: [&str; 2] = ["-incomplete", ".incomplete"];
const ENDINGS: [&str; 8] = [
    ".tmp",
    ".temp",
    ".part",
    ".partial",
    ".filepart",
    ".crdownload",
    ".swp",
    "~",
];

/// How the names of answers begin that are being written; a writer that is killed leaves its file.
pub const UNFINISHED: &str = ".vmcoroner-";

/// Whether a file or folder of that name may be taken for finished. Hidden ones are not: rsync writes to `.NAME.XXXXXX`.
pub fn is_final(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !(lower.starts_with('.')
        || WITHIN.iter().any(|mark| lower.contains(mark))
        || ENDINGS.iter().any(|ending| lower.ends_with(ending)))
}

#[cfg(test)]
mod tests {
    use super::is_final;

    #[test]
    fn partial_names_are_known() {
        for name in [
            "vmcore",
            "vmcore.flat",
            "dump.202611231200",
            "127.0.0.1-2026-11-23-10:00:00",
            "vmcore.gz",
        ] {
            assert!(is_final(name), "{name}");
        }
        for name in [
            "vmcore-incomplete",
            "vmcore-incomplete.flat",
            "dump-incomplete",
            "vmcore-dmesg-incomplete.txt",
            ".vmcore.Xy12ab",
            "vmcore.tmp",
            "vmcore.part",
            "VMCORE.TMP",
            "vmcore~",
        ] {
            assert!(!is_final(name), "{name}");
        }
    }
}
