//! VMCOREINFO: what the crashed kernel says of itself for those who read its dump. Text of `KEY=value` lines.
//!
//! Knows the text's grammar only (kernel/crash_core.c and include/linux/crash_core.h, earlier kernel/kexec.c): reading
//! memory at the addresses it names is for others.
//!
//! Never trusted to be whole: before 2.6.3x the last line has no newline, an old kernel cuts the text silently at the
//! end of its page, and a dump may hold only the beginning.

use std::collections::HashMap;

use crate::addr::VirtAddr;

/// Longer texts are cut: mainline's is two pages at most, an architecture with 64 KiB pages allows one such page.
const MAX_TEXT: usize = 1 << 20;

/// The kernel fills a page of this size (`VMCOREINFO_BYTES`) and drops what does not fit.
const PAGE: usize = 4096;

/// The parsed text. Every accessor is `None` when the key is absent or its value does not parse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vmcoreinfo {
    /// By whole key, as in `SYMBOL(prb)`.
    values: HashMap<String, String>,
    cut: bool,
}

impl Vmcoreinfo {
    /// Reads the text up to its first NUL. Lines that are not `KEY=value` are passed over; of a repeated key the last
    /// value counts (`CRASHTIME` is appended again when a crash is saved twice).
    pub fn parse(text: &[u8]) -> Vmcoreinfo {
        let text = text.get(..MAX_TEXT).unwrap_or(text);
        let end = text.iter().position(|&byte| byte == 0).unwrap_or(text.len());
        let text = text.get(..end).unwrap_or_default();
        // The kernel keeps one byte of its page for the NUL, so a full page holds 4095 or 4096 bytes of text.
        let full = !text.is_empty() && (text.len() + 1) % PAGE <= 1;
        let cut = full && !text.ends_with(b"\n");
        let mut values = HashMap::new();
        let mut lines = text.split(|&byte| byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            if cut && lines.peek().is_none() {
                break;
            }
            let Ok(line) = std::str::from_utf8(line) else { continue };
            let Some((key, value)) = line.trim_ascii().split_once('=') else {
                continue;
            };
            if !key.is_empty() {
                values.insert(key.to_owned(), value.to_owned());
            }
        }
        Vmcoreinfo { values, cut }
    }

    /// Whether this is the text of a Linux kernel rather than something that looks like it: a release, a page size that
    /// is a power of two, and at least one symbol.
    pub fn is_plausible(&self) -> bool {
        self.osrelease().is_some()
            && self.pagesize().is_some()
            && self.values.keys().any(|key| key.starts_with("SYMBOL("))
    }

    /// Whether the kernel ran out of room, so that a key may be missing or was dropped for being cut.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// The value of a whole key, as in `NUMBER(phys_base)`.
    pub fn raw(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// `SYMBOL(name)`: an address, hex without `0x`.
    pub fn symbol(&self, name: &str) -> Option<VirtAddr> {
        let value = self.kind("SYMBOL", name)?;
        hex(value.strip_prefix("0x").unwrap_or(value)).map(VirtAddr)
    }

    /// Adds a `SYMBOL(name)` that the text lacks.
    pub fn complete(&mut self, name: &str, address: VirtAddr) {
        self.values
            .entry(format!("SYMBOL({name})"))
            .or_insert_with(|| format!("{:x}", address.0));
    }

    /// The text again, in the order of its keys.
    pub fn render(&self) -> String {
        let mut lines: Vec<String> = self
            .values
            .iter()
            .map(|(key, value)| format!("{key}={value}\n"))
            .collect();
        lines.sort_unstable();
        lines.concat()
    }

    /// `NUMBER(name)`: decimal and possibly negative, or hex with `0x`; an unsigned value past 2^63 comes out negative.
    pub fn number(&self, name: &str) -> Option<i64> {
        signed(self.kind("NUMBER", name)?)
    }

    /// `OFFSET(struct.member)`, in bytes.
    pub fn offset(&self, member: &str) -> Option<u64> {
        self.kind("OFFSET", member)?.parse().ok()
    }

    /// `SIZE(type)`, in bytes.
    pub fn size(&self, name: &str) -> Option<u64> {
        self.kind("SIZE", name)?.parse().ok()
    }

    /// `LENGTH(array)`, in elements.
    pub fn length(&self, name: &str) -> Option<u64> {
        self.kind("LENGTH", name)?.parse().ok()
    }

    /// `CONFIG_…`, given with that prefix: few are there (`CONFIG_X86_PAE`, `CONFIG_ARM64_64K_PAGES`, …).
    pub fn config(&self, name: &str) -> Option<&str> {
        name.starts_with("CONFIG_").then(|| self.raw(name)).flatten()
    }

    /// `uname -r`.
    pub fn osrelease(&self) -> Option<&str> {
        self.raw("OSRELEASE").filter(|release| !release.is_empty())
    }

    /// In bytes: a power of two from 4 KiB to 64 KiB, anything else counts as absent.
    pub fn pagesize(&self) -> Option<u64> {
        let size: u64 = self.raw("PAGESIZE")?.parse().ok()?;
        (size.is_power_of_two() && (4096..=65536).contains(&size)).then_some(size)
    }

    /// When the crash was saved: seconds since 1970, UTC. 0 (a clock that was never set) counts as absent.
    pub fn crashtime(&self) -> Option<u64> {
        self.raw("CRASHTIME")?.parse().ok().filter(|&seconds| seconds != 0)
    }

    /// The kernel's build id in hex (5.9+). See [`Vmcoreinfo::build_id_is_reliable`].
    pub fn build_id(&self) -> Option<&str> {
        self.raw("BUILD-ID")
            .filter(|id| id.len() >= 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }

    /// False for the stable releases whose backport printed a wrong build id (5.15.168+, 6.1.113–118, 6.6.55–62,
    /// 6.10.14+, 6.11.3–9): there it must not be used to reject a vmlinux. True when the release is not known.
    pub fn build_id_is_reliable(&self) -> bool {
        let mut parts = self.osrelease().unwrap_or_default().splitn(3, '.').map(leading_number);
        let (Some(Some(major)), Some(Some(minor)), Some(Some(patch))) = (parts.next(), parts.next(), parts.next())
        else {
            return true;
        };
        !matches!(
            (major, minor, patch),
            (5, 15, 168..) | (6, 1, 113..=118) | (6, 6, 55..=62) | (6, 10, 14..) | (6, 11, 3..=9)
        )
    }

    /// How far the kernel was moved from where it was linked (`KERNELOFFSET`, hex without `0x`), in bytes.
    pub fn kernel_offset(&self) -> Option<u64> {
        hex(self.raw("KERNELOFFSET")?)
    }

    fn kind(&self, kind: &str, name: &str) -> Option<&str> {
        self.values
            .get(&format!("{kind}({name})"))
            .map(|value| value.trim_ascii())
    }
}

fn hex(digits: &str) -> Option<u64> {
    // from_str_radix also takes a sign.
    digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| u64::from_str_radix(digits, 16).ok())
        .flatten()
}

fn signed(value: &str) -> Option<i64> {
    match value.strip_prefix("0x") {
        Some(digits) => hex(digits).map(u64::cast_signed),
        None => value
            .parse::<i64>()
            .ok()
            .or_else(|| value.parse::<u64>().ok().map(u64::cast_signed)),
    }
}

fn leading_number(text: &str) -> Option<u32> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.get(..digits)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_kind_of_value_is_read() {
        let info = Vmcoreinfo::parse(
            b"OSRELEASE=6.1.0-56-amd64\nBUILD-ID=eb4fbcd037e7253717950bf2b93bd5566f47c56f\nPAGESIZE=4096\n\
              SYMBOL(prb)=ffffffffa5a643e0\nOFFSET(page.mapping)=24\nSIZE(page)=64\nLENGTH(zone.free_area)=11\n\
              NUMBER(phys_base)=-383778816\nNUMBER(VMALLOC_START)=0xffffc90000000000\nKERNELOFFSET=23000000\n\
              CONFIG_X86_PAE=y\nCRASHTIME=1795408091\n\0garbage=1\n",
        );
        assert!(info.is_plausible() && !info.is_cut());
        assert_eq!(info.osrelease(), Some("6.1.0-56-amd64"));
        assert_eq!(info.pagesize(), Some(4096));
        assert_eq!(info.symbol("prb"), Some(VirtAddr(0xffff_ffff_a5a6_43e0)));
        assert_eq!(info.offset("page.mapping"), Some(24));
        assert_eq!(info.size("page"), Some(64));
        assert_eq!(info.length("zone.free_area"), Some(11));
        assert_eq!(info.number("phys_base"), Some(-383_778_816));
        assert_eq!(
            info.number("VMALLOC_START").map(i64::cast_unsigned),
            Some(0xffff_c900_0000_0000)
        );
        assert_eq!(info.kernel_offset(), Some(0x2300_0000));
        assert_eq!(info.config("CONFIG_X86_PAE"), Some("y"));
        assert_eq!(info.crashtime(), Some(1_795_408_091));
        assert_eq!(info.raw("garbage"), None);
        assert!(info.build_id().is_some());
    }

    #[test]
    fn the_last_line_needs_no_newline() {
        let info = Vmcoreinfo::parse(b"OSRELEASE=2.6.32-754.el6.x86_64\nCRASHTIME=1795408091");
        assert_eq!(info.crashtime(), Some(1_795_408_091));
    }

    #[test]
    fn a_line_cut_at_the_end_of_the_page_is_dropped() {
        let mut text = b"OSRELEASE=4.18.0\n".to_vec();
        while text.len() < 4080 {
            text.extend_from_slice(b"PAD=1\n");
        }
        text.extend_from_slice(b"NUMBER(x)=123456789");
        for length in [4095, 4096] {
            let info = Vmcoreinfo::parse(&text[..length]);
            assert!(info.is_cut());
            assert_eq!(info.number("x"), None);
            assert_eq!(info.osrelease(), Some("4.18.0"));
        }
    }

    #[test]
    fn build_ids_of_the_bad_backport_are_marked() {
        let reliable =
            |release: &str| Vmcoreinfo::parse(format!("OSRELEASE={release}\n").as_bytes()).build_id_is_reliable();
        assert!(!reliable("6.1.115-generic"));
        assert!(!reliable("5.15.170"));
        assert!(reliable("6.1.0-56-amd64"));
        assert!(reliable("6.6.63"));
        assert!(reliable("unknown"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(text in proptest::collection::vec(any::<u8>(), 0..8192)) {
            let info = Vmcoreinfo::parse(&text);
            let _ = (info.is_plausible(), info.crashtime(), info.kernel_offset(), info.build_id_is_reliable());
        }

        #[test]
        fn numbers_survive(value in any::<i64>(), address in any::<u64>()) {
            let text = format!("NUMBER(n)={value}\nNUMBER(h)={address:#x}\nSYMBOL(s)={address:x}\n");
            let info = Vmcoreinfo::parse(text.as_bytes());
            prop_assert_eq!(info.number("n"), Some(value));
            prop_assert_eq!(info.number("h"), Some(address.cast_signed()));
            prop_assert_eq!(info.symbol("s"), Some(VirtAddr(address)));
        }
    }
}
