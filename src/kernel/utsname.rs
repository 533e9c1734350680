//! `struct new_utsname` (include/uapi/linux/utsname.h) out of memory.

use crate::dump::Utsname;

/// Bytes of one member, with its NUL.
const FIELD: usize = 65;

/// The size of the structure in bytes: sysname, nodename, release, version, machine, domainname.
pub const SIZE: usize = 6 * FIELD;

/// Where `release` starts, in bytes.
pub const RELEASE: usize = 2 * FIELD;

/// Decodes the structure; `None` when `bytes` are not one of Linux: every member but the domain name must be text.
pub fn decode(bytes: &[u8]) -> Option<Utsname> {
    let field = |number: usize| text(bytes.get(number * FIELD..(number + 1) * FIELD)?);
    let utsname = Utsname {
        sysname: field(0)?,
        nodename: field(1)?,
        release: field(2)?,
        version: field(3)?,
        machine: field(4)?,
    };
    let named = [&utsname.sysname, &utsname.release, &utsname.machine]
        .iter()
        .all(|name| !name.is_empty());
    (named && is_release(&utsname.release)).then_some(utsname)
}

/// Whether this can be a kernel's release: it starts with a version. (QEMU's kdump headers say "Unknown".)
pub fn is_release(release: &str) -> bool {
    release.starts_with(|first: char| first.is_ascii_digit())
}

fn text(field: &[u8]) -> Option<String> {
    let end = field.iter().position(|&byte| byte == 0)?;
    let text = std::str::from_utf8(field.get(..end)?).ok()?;
    text.chars().all(|c| !c.is_control()).then(|| text.to_owned())
}

#[cfg(test)]
pub(crate) fn encode(sysname: &str, nodename: &str, release: &str, version: &str, machine: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in [sysname, nodename, release, version, machine, "(none)"] {
        bytes.extend(field.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(FIELD), 0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_is_taken() {
        let bytes = encode("Linux", "db1", "6.1.0-56-amd64", "#1 SMP", "x86_64");
        assert_eq!(bytes.len(), SIZE);
        let found = decode(&bytes).unwrap();
        assert_eq!(
            (found.nodename.as_str(), found.release.as_str()),
            ("db1", "6.1.0-56-amd64")
        );
        assert_eq!(decode(&bytes[..SIZE - 66]), None);
        assert_eq!(decode(&[0xff; SIZE]), None);
        assert_eq!(decode(&[0; SIZE]), None);
    }
}
