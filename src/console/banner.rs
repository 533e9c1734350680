//! Lines that say who and what: `CPU: … PID: … Comm: …`, `Linux version …`, the hardware, the module list, the taint.
//!
//! It must not know of events; each function reads one line.

use crate::crash::Module;

use super::scan;

/// What `CPU: 1 PID: 173 Comm: labswapd/1 Kdump: loaded Tainted: G OE 5.10.0-32-amd64 #1 …` says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TaskLine {
    /// The CPU.
    pub cpu: Option<u64>,
    /// The process id.
    pub pid: Option<u64>,
    /// The task's name.
    pub comm: Option<String>,
    /// The taint as printed: `G           OE`. `Some("")`: not tainted.
    pub taint: Option<String>,
    /// The kernel's release.
    pub release: Option<String>,
    /// What of `uname -v` the line has: `#1 Debian 5.10.223-1`.
    pub version: Option<String>,
    /// The hardware, where old kernels put it on this line.
    pub hardware: Option<String>,
}

/// Reads the line that heads every stack dump: `CPU: …` since 3.10, `Pid: …` before.
pub fn task_line(body: &str) -> Option<TaskLine> {
    let text = body.trim();
    let mut line = TaskLine::default();
    let rest;
    if text.starts_with("CPU:") && (text.contains("PID:") || text.contains("Tainted") || text.contains("Not tainted")) {
        line.cpu = scan::decimal_after(text, "CPU:");
        line.pid = scan::decimal_after(text, "PID:");
        rest = match scan::find(text, "Comm:") {
            Some(at) => text.get(at + "Comm:".len()..)?.trim_start(),
            None => text.get("CPU:".len()..)?,
        };
        if let Some((comm, _)) = split_comm(rest) {
            line.comm = Some(comm.to_owned()).filter(|_| text.contains("Comm:"));
        }
    } else if text.starts_with("Pid: ") {
        line.pid = scan::decimal_after(text, "Pid: ");
        let after_comm = scan::after(text, "comm: ");
        rest = after_comm.unwrap_or(text);
        if after_comm.is_some()
            && let Some((comm, _)) = split_comm(rest)
        {
            line.comm = Some(comm.to_owned());
        }
    } else {
        return None;
    }
    if let Some((taint, after)) = taint(rest) {
        line.taint = Some(taint.to_owned());
        let (release, version, hardware) = release_and_version(after);
        line.release = release.map(str::to_owned);
        line.version = version.map(str::to_owned);
        // Since 3.10 the hardware has a line of its own.
        line.hardware = hardware.filter(|_| text.starts_with("Pid: ")).map(str::to_owned);
    }
    (line.pid.is_some() || line.taint.is_some()).then_some(line)
}

/// The task's name, which may hold blanks, and what follows it.
fn split_comm(text: &str) -> Option<(&str, &str)> {
    let ends = [" Kdump: ", " Not tainted", " Tainted: ", " xid: #"];
    let end = ends.iter().filter_map(|end| text.find(end)).min();
    match end {
        Some(end) => Some((text.get(..end)?.trim(), text.get(end..)?)),
        None => Some((text.trim(), "")).filter(|(comm, _)| !comm.is_empty() && comm.len() <= 24),
    }
}

/// `Not tainted` or `Tainted: G           OE  ------------` in `text`: (the flags, what follows).
fn taint(text: &str) -> Option<(&str, &str)> {
    if let Some(after) = scan::after(text, "Not tainted") {
        return Some(("", after));
    }
    let flags = scan::after(text, "Tainted: ")?;
    // The flags are single letters and blanks (el6 and el7: dashes too); the first word with anything else ends them.
    let mut end = 0;
    for word in flags.split(' ') {
        let is_flags = word
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'-' || byte == b'(' || byte == b')');
        if !is_flags || word.len() > 20 {
            break;
        }
        end += word.len() + 1;
    }
    let end = end.min(flags.len());
    Some((flags.get(..end)?.trim(), flags.get(end..)?))
}

/// The letters of a taint text that stand for something: `G` says that nothing proprietary is loaded.
pub fn taint_letters(text: &str) -> Vec<String> {
    let mut letters: Vec<String> = Vec::new();
    for letter in text
        .chars()
        .filter(|letter| letter.is_ascii_uppercase() && *letter != 'G')
    {
        let letter = letter.to_string();
        if !letters.contains(&letter) {
            letters.push(letter);
        }
    }
    letters
}

/// ` 5.10.0-32-amd64 #1 Debian 5.10.223-1`: (release, version, hardware of old kernels).
fn release_and_version(text: &str) -> (Option<&str>, Option<&str>, Option<&str>) {
    let text = text.trim().trim_start_matches(['-', ' ', '(']);
    let (release, rest) = match scan::split_once(text, " #") {
        Some((release, _)) => (release.trim(), text.get(release.len() + 1..).unwrap_or_default()),
        None => (text.split(' ').next().unwrap_or_default().trim_end_matches(')'), ""),
    };
    let release = is_release(release).then_some(release);
    let rest = rest.trim();
    let number = rest.split(' ').next().unwrap_or_default();
    let hardware = rest.get(number.len()..).map(str::trim).filter(|text| !text.is_empty());
    (release, (!rest.is_empty()).then_some(rest), hardware)
}

/// Whether `text` is a kernel release: starts with `N.N`.
pub fn is_release(text: &str) -> bool {
    let mut parts = text.splitn(3, ['.', '-']);
    let number = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    !text.contains(' ') && text.contains('.') && number(parts.next()) && {
        let second = parts.next().unwrap_or_default();
        let digits = second.bytes().take_while(u8::is_ascii_digit).count();
        digits > 0 && digits <= 3
    }
}

/// `Linux version R (builder) (compiler) #1 SMP …` → (release, version as `uname -v` has it).
pub fn linux_version(body: &str) -> Option<(&str, Option<&str>)> {
    let rest = body.trim_start().strip_prefix("Linux version ")?;
    let release = rest.split([' ', '\t']).next()?;
    if !is_release(release) {
        return None;
    }
    // The compiler's own version may hold a `#`, but never ` #` and a digit.
    let version = rest
        .match_indices(" #")
        .map(|(at, _)| rest.get(at + 1..).unwrap_or_default().trim());
    let version = version
        .filter(|text| text.as_bytes().get(1).is_some_and(u8::is_ascii_digit))
        .last();
    Some((release, version))
}

/// `Hardware name: …, BIOS …` → (hardware, BIOS).
pub fn hardware(body: &str) -> Option<(&str, Option<&str>)> {
    let text = body.trim().strip_prefix("Hardware name: ")?;
    Some(match text.rsplit_once(", BIOS ") {
        Some((hardware, bios)) => (hardware.trim(), Some(bios.trim())),
        None => (text, None),
    })
}

/// A module list, or its continuation on the next line: the modules, and whether it says which was unloaded last (then
/// it is at its end).
pub fn modules(text: &str) -> (Vec<Module>, bool) {
    let (list, ended) = match scan::find(text, "[last unloaded:") {
        Some(at) => (text.get(..at).unwrap_or_default(), true),
        None => (text, false),
    };
    let modules = list.split_ascii_whitespace().filter_map(|word| {
        let (name, taints) = match word.split_once('(') {
            // `(OE)`; `+` and `-` mark a module that is loading or unloading.
            Some((name, flags)) => (
                name,
                flags
                    .trim_end_matches(')')
                    .chars()
                    .filter(char::is_ascii_uppercase)
                    .collect(),
            ),
            None => (word, String::new()),
        };
        let sound = scan::is_module(name) && !name.contains('.');
        sound.then(|| Module {
            name: name.replace('-', "_"),
            taints: Some(taints),
            ..Module::default()
        })
    });
    (modules.collect(), ended)
}

/// The module list that begins on this line.
pub fn module_list(body: &str) -> Option<&str> {
    body.trim_start().strip_prefix("Modules linked in:")
}

/// Whether a line can only be the continuation of a module list: names, taints, `[last unloaded: …]`, nothing else.
pub fn is_module_continuation(body: &str) -> bool {
    let text = body.trim();
    if text.is_empty() || text.len() < 2 {
        return false;
    }
    let list = text
        .find("[last unloaded:")
        .map_or(text, |at| text.get(..at).unwrap_or_default());
    list.split_ascii_whitespace().all(|word| {
        let name = word.split_once('(').map_or(word, |(name, _)| name);
        scan::is_module(name)
            && !name.contains('.')
            && word.bytes().all(|byte| {
                byte.is_ascii_lowercase()
                    || byte.is_ascii_digit()
                    || matches!(byte, b'_' | b'-' | b'(' | b')' | b'+')
                    || byte.is_ascii_uppercase()
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_line_is_taken_apart() {
        let line = task_line(
            "CPU: 1 PID: 173 Comm: lab swapd Kdump: loaded Tainted: G           OE     5.10.0-32-amd64 #1 Debian 5.10.223-1",
        )
        .unwrap();
        assert_eq!(
            (line.cpu, line.pid, line.comm.as_deref()),
            (Some(1), Some(173), Some("lab swapd"))
        );
        assert_eq!(line.taint.as_deref(), Some("G           OE"));
        assert_eq!(line.release.as_deref(), Some("5.10.0-32-amd64"));
        assert_eq!(line.version.as_deref(), Some("#1 Debian 5.10.223-1"));
        let line = task_line("CPU: 1 UID: 0 PID: 18 Comm: rcu_preempt Not tainted 6.12.0 #1").unwrap();
        assert_eq!((line.pid, line.taint.as_deref()), (Some(18), Some("")));
        let line = task_line(
            "CPU: 3 PID: 12737 Comm: docker-runc Tainted: G           OE  ---- -------   3.10.0-327.36.58.4.x86_64 #1",
        )
        .unwrap();
        assert_eq!(line.release.as_deref(), Some("3.10.0-327.36.58.4.x86_64"));
        let line = task_line("Pid: 22, comm: foo Not tainted 2.6.32-431.el6.x86_64 #1 HP ProLiant DL380 G6").unwrap();
        assert_eq!((line.pid, line.comm.as_deref()), (Some(22), Some("foo")));
        assert_eq!(line.hardware.as_deref(), Some("HP ProLiant DL380 G6"));
        let line =
            task_line("CPU: 0 PID: 5959 Comm: syz Not tainted 6.15.0-syzkaller-13743-g8630c59e9936 #0 PREEMPT(full)")
                .unwrap();
        assert_eq!(line.release.as_deref(), Some("6.15.0-syzkaller-13743-g8630c59e9936"));
        assert_eq!(task_line("CPU: Intel(R) Xeon(R)"), None);
    }

    #[test]
    fn g_is_no_taint() {
        assert_eq!(taint_letters("G           OE"), ["O", "E"]);
        assert_eq!(taint_letters("G        W  OE  ------------"), ["W", "O", "E"]);
        assert!(taint_letters("").is_empty());
    }

    #[test]
    fn the_version_line_gives_release_and_version() {
        let line = "Linux version 6.1.0-56-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14) 12.2.0, GNU ld 2.40) #1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16)";
        let (release, version) = linux_version(line).unwrap();
        assert_eq!(release, "6.1.0-56-amd64");
        assert_eq!(version, Some("#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-16)"));
        assert_eq!(linux_version("Linux version"), None);
    }

    #[test]
    fn hardware_and_bios_part() {
        let (hardware, bios) =
            hardware("Hardware name: QEMU Standard PC (i440FX + PIIX, 1996), BIOS 1.16.2 04/01/2014").unwrap();
        assert_eq!(
            (hardware, bios),
            ("QEMU Standard PC (i440FX + PIIX, 1996)", Some("1.16.2 04/01/2014"))
        );
    }

    #[test]
    fn module_lists_keep_their_taints() {
        let (list, ended) = modules(" crashlab(OE) tun loop(+) x-y [last unloaded: foo]");
        let names: Vec<&str> = list.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["crashlab", "tun", "loop", "x_y"]);
        assert_eq!(list.first().and_then(|module| module.taints.as_deref()), Some("OE"));
        assert_eq!(list.get(2).and_then(|module| module.taints.as_deref()), Some(""));
        assert!(ended);
        assert!(is_module_continuation(" jbd2") && is_module_continuation("ip_tables sd_mod [last unloaded: x]"));
        assert!(!is_module_continuation("CPU: 3 PID: 48 Comm: kswapd0") && !is_module_continuation("Call Trace:"));
    }

    proptest::proptest! {
        #[test]
        fn any_line_is_read(line in "(CPU: |Pid: |Linux version |Hardware name: |)\\PC{0,120}") {
            task_line(&line);
            linux_version(&line);
            hardware(&line);
            modules(&line);
            is_module_continuation(&line);
        }
    }
}
