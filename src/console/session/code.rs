//! `dis` of the `crash` utility: the instruction at an address, and its source line.

use crate::addr::VirtAddr;

use super::super::scan;

/// What one `dis` command printed.
#[derive(Debug)]
pub struct Disassembly<'a> {
    target: &'a str,
    /// The last instruction printed: with `-r` the one asked for.
    last: Option<(VirtAddr, String)>,
    /// The last line of the function's own file before it, and of any file.
    own: Option<String>,
    any: Option<String>,
    reverse: bool,
}

/// The output that a command begins, if it is a `dis`.
pub fn begin(command: &str) -> Option<Disassembly<'_>> {
    let mut words = command.split_ascii_whitespace();
    if words.next() != Some("dis") {
        return None;
    }
    let (mut target, mut reverse) = ("", false);
    for word in words {
        match word.strip_prefix('-') {
            Some(flags) => reverse |= flags.contains('r'),
            None => {
                target = word;
                break;
            }
        }
    }
    Some(Disassembly {
        target,
        last: None,
        own: None,
        any: None,
        reverse,
    })
}

impl<'a> Disassembly<'a> {
    /// Reads a line of the output.
    pub fn take(&mut self, text: &'a str) {
        if let Some(source) = source_line(text) {
            // A header's line is of something inlined; the function is in a file of its own.
            if !source.contains(".h:") {
                self.own = Some(source.clone());
            }
            self.any = Some(source);
            return;
        }
        // `0xffffffff9c0c2e89 <down_read_trylock+9>:       mov    (%rdi),%rax`
        let Some((address, rest)) = text.strip_prefix("0x").and_then(scan::leading_hex) else {
            return;
        };
        let Some((_, instruction)) = rest.split_once(">:") else {
            return;
        };
        // `nopl   0x0(%rax,%rax,1) [FTRACE NOP]`
        let words = instruction
            .split_ascii_whitespace()
            .take_while(|word| !word.starts_with('['));
        self.last = Some((VirtAddr(address), words.collect::<Vec<_>>().join(" ")));
    }

    /// The instruction that was asked for, and where it is.
    pub fn last_instruction(&self) -> Option<(VirtAddr, &str)> {
        // Without -r the output goes on behind the place: the last line is any.
        let (address, instruction) = self.last.as_ref()?;
        (self.reverse && self.is_target(*address)).then_some((*address, instruction))
    }

    /// A cut-off listing ends before the place that was asked for.
    fn is_target(&self, address: VirtAddr) -> bool {
        match scan::hex(self.target) {
            Some(target) => target == address.0,
            None => true,
        }
    }

    /// The address that the command named.
    pub fn address(&self) -> Option<VirtAddr> {
        scan::hex(self.target).map(VirtAddr)
    }

    /// Whether the command named a place inside of a function: `down_read_trylock+9`.
    pub fn asks_for_a_place(&self) -> bool {
        self.reverse && self.offset().is_some()
    }

    /// The function that the command named.
    pub fn symbol(&self) -> Option<&'a str> {
        scan::symbol_ref(self.target).map(|symbol| symbol.symbol)
    }

    /// The offset that the command named.
    pub fn offset(&self) -> Option<u64> {
        scan::symbol_ref(self.target).and_then(|symbol| symbol.offset)
    }

    /// The function's source line: `kernel/rwsem.c:34`.
    pub fn source(&self) -> Option<String> {
        self.own.clone().or_else(|| self.any.clone())
    }
}

/// `/usr/src/debug/kernel-…/linux-…/kernel/rwsem.c: 34` → `kernel/rwsem.c:34`.
pub fn source_line(text: &str) -> Option<String> {
    let (file, line) = text.trim().rsplit_once(": ")?;
    let number: u64 = line.trim().parse().ok()?;
    if !file.contains('/') || file.contains(' ') || !file.rsplit('/').next()?.contains('.') {
        return None;
    }
    Some(format!("{}:{number}", in_tree(file)))
}

/// A path inside of the kernel's tree: what follows the directory that names the release, or the tree's own top.
fn in_tree(file: &str) -> &str {
    const TOPS: [&str; 18] = [
        "arch", "block", "certs", "crypto", "drivers", "fs", "include", "init", "io_uring", "ipc", "kernel", "lib",
        "mm", "net", "rust", "security", "sound", "virt",
    ];
    let mut rest = file;
    let mut best = None;
    while let Some((directory, after)) = rest.split_once('/') {
        if directory.starts_with("linux-") {
            best = Some(after);
        }
        rest = after;
    }
    if let Some(best) = best {
        return best;
    }
    let mut rest = file;
    while let Some((directory, after)) = rest.split_once('/') {
        if TOPS.contains(&directory) {
            return rest;
        }
        rest = after;
    }
    file
}

/// The release that a debuginfo source path names: `…/linux-3.10.0-862.14.4.el7.x86_64/…`.
pub fn release_of_source(text: &str) -> Option<&str> {
    let rest = scan::after(text, "/linux-")?;
    let (release, _) = rest.split_once('/')?;
    super::super::banner::is_release(release).then_some(release)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_asked_for_is_the_last_line() {
        let mut code = begin("dis -rl down_read_trylock+9").unwrap();
        for line in [
            "/usr/src/debug/kernel-3.10/linux-3.10.0-862.el7.x86_64/kernel/rwsem.c: 34",
            "0xffffffff9c0c2e80 <down_read_trylock>: nopl   0x0(%rax,%rax,1) [FTRACE NOP]",
            "/usr/src/debug/kernel-3.10/linux-3.10.0-862.el7.x86_64/arch/x86/include/asm/rwsem.h: 83",
            "0xffffffff9c0c2e89 <down_read_trylock+9>:       mov    (%rdi),%rax",
        ] {
            code.take(line);
        }
        assert_eq!(
            code.last_instruction(),
            Some((VirtAddr(0xffff_ffff_9c0c_2e89), "mov (%rdi),%rax"))
        );
        assert_eq!(code.source().as_deref(), Some("kernel/rwsem.c:34"));
        assert!(code.asks_for_a_place());
    }

    #[test]
    fn paths_are_the_trees() {
        assert_eq!(
            source_line("/build/linux-5.10/mm/rmap.c: 501").as_deref(),
            Some("mm/rmap.c:501")
        );
        assert_eq!(
            source_line("/home/me/src/mm/rmap.c: 501").as_deref(),
            Some("mm/rmap.c:501")
        );
        assert_eq!(source_line("DATE: 12"), None);
    }
}
