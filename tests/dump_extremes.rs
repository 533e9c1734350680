//! Dumps that no machine at hand can make, written by the dump writer and read through the binary: a kernel of 2.6.32
//! with its log in a plain buffer, and memory at 16 TiB.

mod common;
mod support;

use std::fs::File;
use std::path::{Path, PathBuf};

use support::dump_writer::elf::{self, Elf};
use support::dump_writer::flat::{self, Flat};
use support::dump_writer::kdump::{self, Compression, Kdump};
use support::dump_writer::{Abi, Machine};
use support::image::{Image, Layout};

const RELEASE: &str = "2.6.32-754.el6.x86_64";
const TEXT: u64 = 0xffff_ffff_8100_0000;
const ROOT: u64 = 0xffff_ffff_81a8_d000;
const VARIABLES: u64 = 0xffff_ffff_81a9_0000;
const NAMES: u64 = VARIABLES + 0x1000;
const BUFFER: u64 = 0xffff_ffff_81ab_0000;
/// `CONFIG_LOG_BUF_SHIFT` could be as small as this.
const BUFFER_LEN: u64 = 1 << 12;

/// What is logged: more than the buffer holds, so that the start is overwritten.
fn said() -> Vec<String> {
    let mut lines: Vec<String> = (0..200)
        .map(|number| format!("<6>eth0: link is up, {number} Mbps"))
        .collect();
    let oops = [
        "<1>BUG: unable to handle kernel NULL pointer dereference at 0000000000000018",
        "<1>IP: [<ffffffff81001013>] pump_water+0x13/0x60",
        "<4>PGD 0 ",
        "<0>Oops: 0000 [#1] SMP ",
        "<4>CPU 3 ",
        "<4>Pid: 77, comm: plumber Not tainted 2.6.32-754.el6.x86_64 #1 Example",
        "<4>RIP: 0010:[<ffffffff81001013>]  [<ffffffff81001013>] pump_water+0x13/0x60",
        "<4>RAX: 0000000000000000 RBX: ffff880003a1b000 RCX: 0000000000000000",
        "<4>Call Trace:",
        "<4> [<ffffffff8100202d>] fill_tank+0x2d/0x90",
        "<0>Kernel panic - not syncing: Fatal exception",
    ];
    lines.extend(oops.map(str::to_owned));
    lines
}

/// A machine of 2.6.32, its kernel at `phys_base`.
fn machine(phys_base: u64) -> Machine {
    let mut image = Image::new(Layout {
        phys_base,
        page_offset_base: 0xffff_8800_0000_0000,
        vmemmap_base: 0xffff_ea00_0000_0000,
        vmemmap_pages_at: phys_base + 0x2000_0000,
        tables_at: phys_base + 0x3000_0000,
    });
    image.write(TEXT, &[0x90; 0x3000]);
    image.write(BUFFER, &[0; BUFFER_LEN as usize]);
    let text = said().join("\n") + "\n";
    for (at, byte) in text.bytes().enumerate() {
        image.write(BUFFER + at as u64 % BUFFER_LEN, &[byte]);
    }
    // The variables are int-sized, but for the pointer to the buffer.
    image.u64(VARIABLES, BUFFER);
    image.u32(VARIABLES + 8, BUFFER_LEN as u32);
    image.u32(VARIABLES + 16, text.len() as u32);
    image.u32(VARIABLES + 24, BUFFER_LEN as u32);
    image.u64(VARIABLES + 32, phys_base);
    // struct uts_namespace: a counter, then the names of 65 bytes.
    let names = ["Linux", "old", RELEASE, "#1 SMP Example", "x86_64", "(none)"];
    image.write(NAMES, &[0; 4 + 6 * 65]);
    for (at, name) in (NAMES + 4..).step_by(65).zip(names) {
        image.write(at, name.as_bytes());
    }
    let symbols = [
        ("_stext", TEXT),
        ("swapper_pg_dir", ROOT),
        ("phys_base", VARIABLES + 32),
        ("init_uts_ns", NAMES),
        ("log_buf", VARIABLES),
        ("log_buf_len", VARIABLES + 8),
        ("log_end", VARIABLES + 16),
        ("logged_chars", VARIABLES + 24),
    ];
    let mut info = format!("OSRELEASE={RELEASE}\nPAGESIZE=4096\n");
    for (name, at) in symbols {
        info += &format!("SYMBOL({name})={at:x}\n");
    }
    info += "CRASHTIME=1300000000\n";

    let mut machine = Machine::new(Abi::X86_64);
    machine.utsname = names.map(str::to_owned);
    machine.timestamp = 1_300_000_000;
    machine.phys_base = phys_base;
    machine.vmcoreinfo = Some(info.into_bytes());
    image.into_pages(&mut machine, ROOT);
    machine
}

/// The log's lines as they are printed, without what was overwritten and without levels.
fn expected() -> Vec<String> {
    let mut room = BUFFER_LEN as usize;
    let mut lines: Vec<String> = said()
        .iter()
        .rev()
        .map_while(|line| {
            room = room.checked_sub(line.len() + 1)?;
            Some(line[3..].trim_end().to_owned())
        })
        .collect();
    lines.reverse();
    lines
}

fn check(path: &Path, what: &str) {
    let output = common::vmcoroner().arg("log").arg(path).output().unwrap();
    assert!(output.status.success(), "{what}: {output:?}");
    let out = String::from_utf8(output.stdout).unwrap();
    let said: Vec<&str> = out.lines().map(str::trim_end).collect();
    let expected = expected();
    assert!(expected.len() > 30, "the buffer holds the oops and lines before it");
    assert!(
        said.len() == expected.len() || said.len() == expected.len() + 1,
        "{what}: {out}"
    );
    // The line that was overwritten in its midst may be there.
    assert_eq!(said[said.len() - expected.len()..], expected, "{what}");

    let (_, report) = common::json(&["extract", "--format", "json"], path, &[]);
    assert_eq!(report["panic"]["kind"], "null-pointer-dereference", "{what}");
    assert_eq!(report["fault"]["symbol"], "pump_water", "{what}");
    assert_eq!(report["task"]["comm"], "plumber", "{what}");
    assert_eq!(report["system"]["release"], RELEASE, "{what}");
    assert_eq!(report["system"]["nodename"], "old", "{what}");
    assert_eq!(report["system"]["stream"], "el6", "{what}");
    assert_eq!(report["log"]["complete"], false, "{what}");
}

/// As `/proc/vmcore` has it: the segment of the kernel's image says where that is mapped.
fn elf_of(machine: &Machine) -> Vec<u8> {
    let image = TEXT - 0xffff_ffff_8000_0000 + machine.phys_base;
    let mut loads = elf::loads(machine);
    for load in &mut loads {
        if load.physical_address == image {
            load.virtual_address = TEXT;
        }
    }
    elf::write_segments(machine, &loads, &Elf::default())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_log_that_is_a_plain_buffer_is_read_in_every_form_of_the_dump() {
    let folder = tempfile::tempdir().unwrap();
    let machine = machine(0);
    for version in [3, 4, 5, 6] {
        for compression in [Compression::Raw, Compression::Zlib] {
            let options = Kdump {
                version,
                compression,
                ..Kdump::default()
            };
            let path = write(folder.path(), "kdump", &kdump::write(&machine, &options));
            check(&path, &format!("header version {version}, {compression:?}"));
        }
    }
    let plain = kdump::write(&machine, &Kdump::default());
    check(
        &write(folder.path(), "flat", &flat::write(&plain, &Flat::default())),
        "flattened",
    );
    check(&write(folder.path(), "elf", &elf_of(&machine)), "elf");
}

#[test]
fn memory_at_16_tib_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let machine = machine(1 << 44);
    check(&write(folder.path(), "elf", &elf_of(&machine)), "elf");
    // Two bitmaps of half a gigabyte, of which a few blocks are written.
    let path = folder.path().join("kdump");
    let mut file = File::create(&path).unwrap();
    kdump::write_to(&machine, &Kdump::default(), &mut file).unwrap();
    drop(file);
    assert!(std::fs::metadata(&path).unwrap().len() > 1 << 30);
    check(&path, "kdump");
}
