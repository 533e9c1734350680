//! ABRT's problem folders: one crash a folder, one small file a fact.
//!
//! The layout is libreport's "problem data" (elements by file name; `FILENAME_*` in its `problem_data.h`), with what
//! abrt's own hooks for kernel oopses, vmcores and pstore add.

use super::Face;
use crate::archive::FileStamp;

/// Elements that say which of ABRT's hooks made the folder, and what they say in one of a kernel's crash.
const MAKERS: &[&str] = &["analyzer", "type"];
const KERNEL: &[&str] = &["vmcore", "Kerneloops", "kerneloops", "koops", "abrt-oops", "pstoreoops"];

/// The elements of a kernel's crash, without the dump.
const ELEMENTS: &[&str] = &[
    "abrt_version",
    "analyzer",
    "architecture",
    "backtrace",
    "backtrace_rating",
    "cmdline",
    "comment",
    "component",
    "core_backtrace",
    "count",
    "cpuinfo",
    "dmesg",
    "duphash",
    "event_log",
    "executable",
    "hostname",
    "kernel",
    "kernel_log",
    "kernel_tainted_long",
    "kernel_tainted_short",
    "kernel_tainted",
    "kexec-dmesg.log",
    "last_occurrence",
    "machineid",
    "mountinfo",
    "not-reportable",
    "os_info",
    "os_release",
    "package",
    "pkg_arch",
    "pkg_epoch",
    "pkg_fingerprint",
    "pkg_name",
    "pkg_release",
    "pkg_vendor",
    "pkg_version",
    "proc_modules",
    "reason",
    "remote",
    "reported_to",
    "runlevel",
    "suspend_stats",
    "time",
    "type",
    "ureports_counter",
    "uid",
    "username",
    "uuid",
    "var_log_messages",
    "vmcore-dmesg.txt",
];

/// Those of them that hold the crash's own words, the best first.
const LOGS: &[&str] = &[
    "vmcore-dmesg.txt",
    "backtrace",
    "dmesg",
    "kernel_log",
    "var_log_messages",
];

/// Whether these are the files of a problem folder about a kernel.
pub(super) fn is_problem(files: &[(FileStamp, Face)]) -> bool {
    let word = |wanted: &str| {
        files.iter().find_map(|(file, face)| match face {
            Face::Word(word) if file.name() == wanted => Some(word.as_str()),
            _ => None,
        })
    };
    let made_for_kernels = MAKERS
        .iter()
        .any(|maker| word(maker).is_some_and(|word| KERNEL.contains(&word)));
    let dated = word("time").is_some_and(|word| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()));
    made_for_kernels && dated
}

/// Whether a file of such a folder is one of its elements.
pub(super) fn is_element(name: &str) -> bool {
    ELEMENTS.contains(&name)
}

/// Which of the crash's own words a file holds: 0 for the best.
pub(super) fn log_rank(name: &str) -> Option<usize> {
    LOGS.iter().position(|log| *log == name)
}
