//! One kernel made by hand, with everything that leads to it taken away piece by piece.

use super::*;
use crate::addr::VirtAddr;
use crate::dump::{ByteOrder, QemuCpu, Segment};
use crate::kernel::VirtualMemory;
use crate::kernel::testing::Machine;
use crate::kernel::utsname;

const RELEASE: &str = "6.1.0-test";
const PHYS_BASE: u64 = 0x300_0000;
/// Where the image lies in physical and in virtual memory, in bytes; it has 8 MiB.
const IMAGE: u64 = 0x600_0000;
const IMAGE_AT: u64 = 0xffff_ffff_8300_0000;
const BANNER: u64 = 0x620_0200;
const TABLES: u64 = 0x640_0000;
const UTS_NS: u64 = 0x650_0000;
const POINTER: u64 = 0x660_0008;
const INFO: u64 = 0x123_4000;
const DIRECT_MAP: u64 = 0xffff_8880_0000_0000;

fn info(release: &str, phys_base: Option<i64>) -> String {
    let symbol = |physical: u64| physical - IMAGE + IMAGE_AT;
    let mut text = format!(
        "OSRELEASE={release}\nPAGESIZE=4096\nSYMBOL(init_uts_ns)={:x}\nSYMBOL(swapper_pg_dir)={:x}\n\
         SYMBOL(_stext)={IMAGE_AT:x}\nKERNELOFFSET=2000000\n",
        symbol(UTS_NS),
        symbol(TABLES)
    );
    if let Some(value) = phys_base {
        text.push_str(&format!("NUMBER(phys_base)={value}\n"));
    }
    text
}

/// A kernel of 5.10's shape: a reference count before the utsname, VMCOREINFO behind a pointer.
fn machine() -> Machine {
    let mut machine = Machine::new(TABLES);
    for page in 0..4 {
        let offset = page << 21;
        machine.map(IMAGE_AT + offset, IMAGE + offset, 2 << 20);
    }
    machine.map(DIRECT_MAP, 0, 1 << 30);
    machine.write(
        UTS_NS + 4,
        &utsname::encode("Linux", "db1", RELEASE, "#1 SMP", "x86_64"),
    );
    machine.write(
        BANNER,
        format!("Linux version {RELEASE} (builder@host) (gcc) #1 SMP\n\0").as_bytes(),
    );
    machine.write(POINTER, &(DIRECT_MAP + INFO).to_le_bytes());
    machine.write(INFO, info(RELEASE, Some(PHYS_BASE as i64)).as_bytes());
    machine
}

fn header(vmcoreinfo: Option<String>) -> Header {
    Header {
        format: "elf",
        byte_order: ByteOrder::Little,
        is_64bit: true,
        machine: Some("x86_64".to_owned()),
        page_size: 4096,
        utsname: None,
        timestamp: None,
        phys_base: None,
        vmcoreinfo: vmcoreinfo.map(String::into_bytes),
        prstatus: Vec::new(),
        qemu_cpus: Vec::new(),
        segments: Vec::new(),
        partial: None,
        truncated: false,
        notes: Vec::new(),
        capsule: None,
        remarks: Vec::new(),
    }
}

fn cpu(cr3: u64) -> QemuCpu {
    QemuCpu {
        registers: [0; 18],
        control: [0, 0, 0, cr3, 0],
        idt_base: 0,
        gs_base: 0,
        kernel_gs_base: None,
    }
}

fn try_find(machine: &Machine, header: &Header, budget: u64) -> Result<Located, String> {
    let memory: Arc<dyn PhysicalMemory> = Arc::new(machine.memory.clone());
    locate(&memory, header, budget)
}

fn find(machine: &Machine, header: &Header) -> Located {
    try_find(machine, header, SEARCH_BUDGET).unwrap_or_else(|why| panic!("{why}"))
}

/// The whole way: names, and memory by the image's and by the direct map's addresses.
fn assert_found(found: &Located) {
    assert!(
        matches!(found.self_check, SelfCheck::Confirmed(_)),
        "{:?}",
        found.self_check
    );
    assert_eq!(found.space.maps().phys_base, Some(PHYS_BASE));
    assert_eq!(
        found.utsname.as_ref().map(|utsname| utsname.nodename.as_str()),
        Some("db1")
    );
    assert_eq!(found.vmcoreinfo.as_ref().and_then(Vmcoreinfo::osrelease), Some(RELEASE));
    for at in [DIRECT_MAP + UTS_NS, IMAGE_AT + (UTS_NS - IMAGE)] {
        let mut bytes = [0; 9];
        found.space.read(VirtAddr(at), &mut bytes).unwrap();
        assert_eq!(&bytes[4..], b"Linux");
    }
}

#[test]
fn vmcoreinfo_leads_to_everything() {
    let found = find(&machine(), &header(Some(info(RELEASE, Some(PHYS_BASE as i64)))));
    assert_found(&found);
    assert!(found.problems.is_empty(), "{:?}", found.problems);
}

#[test]
fn a_wrong_phys_base_yields_to_any_that_reads_back() {
    let mut by_header = header(Some(info(RELEASE, Some(0x700_0000))));
    by_header.phys_base = Some(PHYS_BASE);
    let mut by_segment = header(Some(info(RELEASE, None)));
    by_segment.segments.push(Segment {
        virtual_address: IMAGE_AT,
        physical_address: IMAGE,
        size: 8 << 20,
    });
    let mut by_cpu = header(Some(info(RELEASE, Some(-4096))));
    by_cpu.qemu_cpus.push(cpu(TABLES));
    let by_search = header(Some(info(RELEASE, None)));
    for (header, problems) in [(by_header, 1), (by_segment, 0), (by_cpu, 1), (by_search, 1)] {
        let found = find(&machine(), &header);
        assert_found(&found);
        assert_eq!(found.problems.len(), problems, "{:?}", found.problems);
    }
}

#[test]
fn a_page_that_the_dump_lost_is_no_contradiction() {
    let mut machine = machine();
    machine.memory.remove(UTS_NS);
    let found = find(&machine, &header(Some(info(RELEASE, Some(PHYS_BASE as i64)))));
    assert!(
        matches!(found.self_check, SelfCheck::NotChecked(_)),
        "{:?}",
        found.self_check
    );
    assert_eq!(found.space.maps().phys_base, Some(PHYS_BASE));
}

#[test]
fn another_kernels_vmcoreinfo_does_not_pass() {
    let found = find(&machine(), &header(Some(info("4.4.0-other", Some(PHYS_BASE as i64)))));
    assert!(
        matches!(found.self_check, SelfCheck::Failed(_)),
        "{:?}",
        found.self_check
    );
}

#[test]
fn without_vmcoreinfo_a_cpu_leads_to_it() {
    // With its context's number below, and in user mode on an isolated table.
    for cr3 in [TABLES | 6, TABLES | 0x1000 | 0x806] {
        let mut header = header(None);
        header.qemu_cpus = vec![cpu(0), cpu(cr3)];
        let found = find(&machine(), &header);
        assert_found(&found);
        assert!(found.banner.is_some_and(|banner| banner.ends_with("#1 SMP")));
    }
}

#[test]
fn without_vmcoreinfo_and_cpus_the_banner_leads_to_it() {
    let found = try_find(&machine(), &header(None), 0);
    assert_found(&found.unwrap_or_else(|why| panic!("{why}")));
}

#[test]
fn the_text_is_searched_for_when_the_image_does_not_lead_to_it() {
    let mut machine = machine();
    machine.memory.remove(POINTER);
    let found = find(&machine, &header(None));
    assert_found(&found);
    assert!(found.banner.is_some());
}

#[test]
fn the_image_alone_still_gives_the_names() {
    let mut machine = machine();
    machine.memory.remove(INFO);
    let found = try_find(&machine, &header(None), 0).unwrap_or_else(|why| panic!("{why}"));
    assert!(
        matches!(found.self_check, SelfCheck::Confirmed(_)),
        "{:?}",
        found.self_check
    );
    assert!(found.vmcoreinfo.is_none());
    assert_eq!(found.utsname.map(|utsname| utsname.nodename), Some("db1".to_owned()));
}

#[test]
fn the_last_resort_is_to_search_for_the_text() {
    let mut machine = machine();
    machine.memory.remove(BANNER);
    // The text of a kernel that ran before, lower in memory: nothing confirms it.
    machine.write(0x10_0000, info("4.4.0-before", Some(0)).as_bytes());
    let found = find(&machine, &header(None));
    assert_found(&found);
    // Within the first MiB there is nothing but that, and it does not prove right.
    let found = try_find(&machine, &header(None), 1 << 20).unwrap_or_else(|why| panic!("{why}"));
    assert!(
        !matches!(found.self_check, SelfCheck::Confirmed(_)),
        "{:?}",
        found.self_check
    );
    machine.memory.remove(0x10_0000);
    let refused = try_find(&machine, &header(None), 1 << 20).err().unwrap();
    assert!(refused.contains("1048576 bytes"), "{refused}");
}

#[test]
fn another_machine_is_named() {
    let mut header = header(Some(info(RELEASE, None)));
    header.machine = Some("ppc64le".to_owned());
    let found = find(&machine(), &header);
    assert!(found.problems[0].contains("ppc64"), "{:?}", found.problems);
    let mut bytes = [0];
    assert!(found.space.read(VirtAddr(IMAGE_AT), &mut bytes).is_err());
}

#[test]
fn an_empty_dump_ends_at_once() {
    let machine = Machine::new(0);
    assert!(try_find(&machine, &header(None), SEARCH_BUDGET).is_err());
    let found = find(&machine, &header(Some(info(RELEASE, Some(-1)))));
    assert!(!matches!(found.self_check, SelfCheck::Confirmed(_)));
}
