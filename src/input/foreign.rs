//! Formats that are recognised and not read, each with what to do instead.
//!
//! Magic numbers: crash's and libkdumpfile's sources for the dump formats, the formats' own descriptions for the rest.

/// A format that is known by name only.
#[derive(Debug, PartialEq, Eq)]
pub struct Foreign {
    /// What it is, with an article: "an sadump dump".
    pub name: &'static str,
    /// What to do, as an imperative.
    pub advice: &'static str,
    magic: &'static [Magic],
}

/// One way to tell: these bytes at that offset.
#[derive(Debug, PartialEq, Eq)]
struct Magic {
    offset: usize,
    bytes: &'static [u8],
}

const fn at_start(bytes: &'static [u8]) -> Magic {
    Magic { offset: 0, bytes }
}

const UNPACK: &str = "unpack it first and give what is inside";

const FORMATS: &[Foreign] = &[
    Foreign {
        name: "an sadump (Fujitsu stand-alone dump)",
        advice: "convert it: makedumpfile -c -d 31 -x VMLINUX SADUMP vmcore",
        magic: &[at_start(b"sadump\0\0"), at_start(b"sadu\x6d\x70\0\0")],
    },
    Foreign {
        name: "an s390 stand-alone dump",
        advice: "convert it: zgetdump -f elf DUMP > vmcore",
        magic: &[at_start(&[0xa8, 0x19, 0x01, 0x73, 0x61, 0x8f, 0x23, 0xfd])],
    },
    Foreign {
        name: "an LKCD dump",
        advice: "read it with crash, and give vmcoroner the text of that session (sys, log, bt)",
        magic: &[
            at_start(&[0xa8, 0x19, 0x01, 0x73, 0x61, 0x8f, 0x23, 0xed]),
            at_start(&[0xed, 0x23, 0x8f, 0x61, 0x73, 0x01, 0x19, 0xa8]),
            at_start(&[0xa8, 0x19, 0x01, 0x73, 0x61, 0x8f, 0x23, 0xcd]),
            at_start(&[0xcd, 0x23, 0x8f, 0x61, 0x73, 0x01, 0x19, 0xa8]),
        ],
    },
    Foreign {
        name: "a VMware suspend or snapshot file (.vmss, .vmsn)",
        advice: "convert it with VMware's vmss2core -N, or read it with crash and give the text of that session",
        magic: &[
            at_start(&[0xd0, 0xbe, 0xd0, 0xbe]),
            at_start(&[0xd1, 0xba, 0xd1, 0xba]),
            at_start(&[0xd2, 0xba, 0xd2, 0xba]),
            at_start(&[0xd2, 0xbe, 0xd2, 0xbe]),
            at_start(&[0xd3, 0xbe, 0xd3, 0xbe]),
        ],
    },
    Foreign {
        name: "a virsh save file (LibvirtQemudSave)",
        advice: "restore the guest and dump its memory: virsh dump --memory-only DOMAIN vmcore",
        magic: &[at_start(b"LibvirtQemudSave"), at_start(b"LibvirtQemudPart")],
    },
    Foreign {
        name: "a QEMU migration or savevm stream (QEVM)",
        advice: "dump the guest's memory instead: dump-guest-memory, or virsh dump --memory-only DOMAIN vmcore",
        magic: &[at_start(b"QEVM")],
    },
    Foreign {
        name: "a Xen core of the time before ELF (xm dump-core)",
        advice: "read it with crash, and give vmcoroner the text of that session (sys, log, bt)",
        magic: &[at_start(&[0xed, 0xeb, 0x0f, 0xf0]), at_start(&[0xee, 0xeb, 0x0f, 0xf0])],
    },
    Foreign {
        name: "a Xen save file (LinuxGuestRecord)",
        advice: "restore the guest and dump it: xl dump-core DOMAIN vmcore",
        magic: &[at_start(b"LinuxGuestRecord")],
    },
    Foreign {
        name: "a Mission Critical Linux dump",
        advice: "read it with a crash of its time, and give vmcoroner the text of that session",
        magic: &[at_start(&[0xdd, 0xcc, 0x8b, 0x9a])],
    },
    Foreign {
        name: "a LiME memory image",
        advice: "take the image again in a core format (avml or kdump), or give the text of the kernel log",
        magic: &[at_start(b"EMiL")],
    },
    Foreign {
        name: "a Windows crash dump",
        advice: "open it with WinDbg: vmcoroner knows Linux kernels only",
        magic: &[at_start(b"PAGEDU64"), at_start(b"PAGEDUMP"), at_start(b"MDMP\x93\xa7")],
    },
    Foreign {
        name: "an ELF file that is no core (a vmlinux or a module?)",
        advice: "give the vmcore; a vmlinux belongs to the option --vmlinux",
        magic: &[at_start(b"\x7fELF")],
    },
    Foreign {
        name: "a bootable kernel image",
        advice: "give the vmcore or the text of the crash",
        magic: &[
            Magic {
                offset: 0x202,
                bytes: b"HdrS",
            },
            Magic {
                offset: 56,
                bytes: b"ARMd",
            },
        ],
    },
    Foreign {
        name: "a systemd journal file",
        advice: "give its text: journalctl --file FILE -k -o short-monotonic > log.txt",
        magic: &[at_start(b"LPKSHHRH")],
    },
    Foreign {
        name: "a tar archive",
        advice: "vmcoroner scan looks into it; or unpack it (tar -xf) and give the dump or the text inside",
        magic: &[Magic {
            offset: 257,
            bytes: b"ustar",
        }],
    },
    Foreign {
        name: "a zip archive",
        advice: UNPACK,
        magic: &[at_start(b"PK\x03\x04"), at_start(b"PK\x05\x06")],
    },
    Foreign {
        name: "a 7z archive",
        advice: UNPACK,
        magic: &[at_start(b"7z\xbc\xaf\x27\x1c")],
    },
    Foreign {
        name: "a RAR archive",
        advice: UNPACK,
        magic: &[at_start(b"Rar!\x1a\x07")],
    },
    Foreign {
        name: "an lz4 file",
        advice: "unpack it first: lz4 -d FILE vmcore",
        magic: &[at_start(&[0x04, 0x22, 0x4d, 0x18]), at_start(&[0x02, 0x21, 0x4c, 0x18])],
    },
    Foreign {
        name: "an lzop file",
        advice: "unpack it first: lzop -d FILE",
        magic: &[at_start(b"\x89LZO\0\r\n\x1a\n")],
    },
    Foreign {
        name: "an lzip or lzma file",
        advice: UNPACK,
        magic: &[
            at_start(b"LZIP\x01"),
            at_start(&[0x5d, 0, 0, 0x80, 0]),
            at_start(&[0x5d, 0, 0, 0, 4]),
        ],
    },
    Foreign {
        name: "a file packed with compress (.Z)",
        advice: "unpack it first: gzip -d FILE",
        magic: &[at_start(&[0x1f, 0x9d])],
    },
    Foreign {
        name: "a cpio, ar, rpm or deb archive",
        advice: UNPACK,
        magic: &[
            at_start(b"070701"),
            at_start(b"070707"),
            at_start(b"!<arch>\n"),
            at_start(&[0xed, 0xab, 0xee, 0xdb]),
        ],
    },
    Foreign {
        name: "a virtual machine's disk image",
        advice: "give the vmcore that lies in it (in /var/crash, as a rule)",
        magic: &[
            at_start(b"QFI\xfb"),
            at_start(b"KDMV"),
            at_start(b"conectix"),
            at_start(b"vhdxfile"),
        ],
    },
    Foreign {
        name: "an SQLite database",
        advice: "give a dump or a text",
        magic: &[at_start(b"SQLite format 3\0")],
    },
    Foreign {
        name: "a picture",
        advice: "type the lines that name the failure and the call trace into a text file",
        magic: &[
            at_start(b"\x89PNG\r\n\x1a\n"),
            at_start(&[0xff, 0xd8, 0xff]),
            at_start(b"GIF8"),
        ],
    },
    Foreign {
        name: "a PDF document",
        advice: "save its text and give that",
        magic: &[at_start(b"%PDF-")],
    },
];

/// The first of the known formats whose magic `head` carries.
pub(super) fn recognise(head: &[u8]) -> Option<&'static Foreign> {
    let carries = |magic: &Magic| {
        head.get(magic.offset..)
            .is_some_and(|rest| rest.starts_with(magic.bytes))
    };
    FORMATS.iter().find(|format| format.magic.iter().any(carries))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_is_found_by_each_of_its_magics() {
        for format in FORMATS {
            for magic in format.magic {
                let mut head = vec![0; magic.offset];
                head.extend(magic.bytes);
                assert_eq!(recognise(&head), Some(format), "{}", format.name);
                assert_eq!(recognise(&head[..head.len() - 1]), None, "{}", format.name);
            }
        }
    }
}
