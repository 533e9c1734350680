//! Layouts of Red Hat Enterprise Linux 7's kernels (3.10.0-N), which carry no types of their own.
//!
//! The kABI freeze kept these structures still from 7.0 to 7.9 but for what `Since` marks; measured in the debuginfo
//! of builds 123, 229, 514, 1127 and 1160. A rebuilt kernel can differ: without MODULE_SIG or without
//! PREEMPT_NOTIFIERS two structures lose 8 bytes in the middle. So the table is held against the dump before it is used:
//! `init_task.comm` must read "swapper", and a module's record must lie in the memory that it describes.

use super::path::steps;
use super::{Kind, Member, Source, Types};
use crate::addr::VirtAddr;
use crate::kernel::access::KernelMemory;

/// What a member holds.
#[derive(Clone, Copy)]
enum Is {
    /// An unsigned integer of so many bytes.
    U(u64),
    /// A signed one.
    S(u64),
    /// A pointer to what is named.
    P(&'static str),
    /// An array: how many elements of how many bytes.
    A(u64, u64),
    /// A structure: its name and size.
    R(&'static str, u64),
}

use Is::{A, P, R, S, U};

/// Builds from `.0` on, below `.1`.
type Builds = (u32, u32);

const ALL: Builds = (0, u32::MAX);
const TO_7_0: Builds = (0, 229);
const FROM_7_1: Builds = (229, u32::MAX);
/// 7.2 (327) was not measured.
const TO_7_1: Builds = (0, 327);
const FROM_7_3: Builds = (514, u32::MAX);
const FROM_7_8: Builds = (1127, u32::MAX);

/// A structure in some builds: its name, its size where that is the same in all of them, its members.
struct Record(Builds, &'static str, Option<u64>, &'static [(&'static str, u64, Is)]);

#[rustfmt::skip]
const RECORDS: &[Record] = &[
    Record(ALL, "task_struct", None, &[
        ("state", 0, S(8)), ("stack", 8, P("thread_info")), ("usage", 16, S(4)), ("flags", 20, U(4)), ("ptrace", 24, U(4)), ("on_cpu", 40, S(4)),
        ("prio", 80, S(4)), ("static_prio", 84, S(4)), ("sched_class", 96, P("sched_class")), ("se", 104, R("sched_entity", 0)),
        ("policy", 392, U(4)), ("nr_cpus_allowed", 396, S(4)), ("sched_info", 1040, R("sched_info", 32)),
        ("tasks", 1072, R("list_head", 16)), ("mm", 1128, P("mm_struct")), ("active_mm", 1136, P("mm_struct")), ("exit_state", 1160, S(4)), ("exit_code", 1164, S(4)),
        ("pid", 1188, S(4)), ("tgid", 1192, S(4)), ("stack_canary", 1200, U(8)), ("real_parent", 1208, P("task_struct")), ("parent", 1216, P("task_struct")),
        ("children", 1224, R("list_head", 16)), ("sibling", 1240, R("list_head", 16)), ("group_leader", 1256, P("task_struct")), ("thread_group", 1368, R("list_head", 16)),
        ("utime", 1424, U(8)), ("stime", 1432, U(8)), ("real_cred", 1640, P("cred")), ("cred", 1648, P("cred")), ("comm", 1656, A(16, 1)),
        ("thread", 1688, R("thread_struct", 0)), ("fs", 1872, P("fs_struct")), ("files", 1880, P("files_struct")), ("nsproxy", 1888, P("nsproxy")), ("signal", 1896, P("signal_struct")),
        ("sighand", 1904, P("sighand_struct")), ("journal_info", 2080, P("void")), ("io_context", 2120, P("io_context")),
    ]),
    Record(ALL, "sched_entity", None, &[("on_rq", 56, U(4)), ("exec_start", 64, U(8))]),
    Record(ALL, "sched_info", Some(32), &[("last_arrival", 16, U(8)), ("last_queued", 24, U(8))]),
    Record(ALL, "thread_struct", None, &[("sp0", 24, U(8)), ("sp", 32, U(8)), ("fs", 56, U(8)), ("gs", 64, U(8)), ("cr2", 120, U(8)), ("trap_nr", 128, U(8)), ("error_code", 136, U(8))]),
    Record(ALL, "thread_info", Some(104), &[
        ("task", 0, P("task_struct")), ("exec_domain", 8, P("exec_domain")), ("flags", 16, U(4)), ("status", 20, U(4)), ("cpu", 24, U(4)), ("preempt_count", 28, S(4)), ("addr_limit", 32, U(8)),
    ]),
    Record(ALL, "module", Some(568), &[
        ("state", 0, U(4)), ("list", 8, R("list_head", 16)), ("name", 24, A(56, 1)), ("version", 176, P("char")), ("srcversion", 184, P("char")),
        ("init", 296, P("")), ("module_init", 304, P("void")), ("module_core", 312, P("void")), ("init_size", 320, U(4)), ("core_size", 324, U(4)),
        ("init_text_size", 328, U(4)), ("core_text_size", 332, U(4)), ("init_ro_size", 336, U(4)), ("core_ro_size", 340, U(4)), ("taints", 344, U(4)), ("num_bugs", 348, U(4)),
        ("bug_list", 352, R("list_head", 16)), ("symtab", 376, P("elf64_sym")), ("core_symtab", 384, P("elf64_sym")), ("num_symtab", 392, U(4)), ("core_num_syms", 396, U(4)),
        ("strtab", 400, P("char")), ("core_strtab", 408, P("char")), ("args", 432, P("char")), ("percpu", 440, P("void")), ("percpu_size", 448, U(4)),
        ("source_list", 512, R("list_head", 16)), ("target_list", 528, R("list_head", 16)), ("exit", 552, P("")),
    ]),
    Record(ALL, "list_head", Some(16), &[("next", 0, P("list_head")), ("prev", 8, P("list_head"))]),
    Record(ALL, "page", Some(64), &[
        ("flags", 0, U(8)), ("mapping", 8, P("address_space")), ("index", 16, U(8)), ("freelist", 16, P("void")), ("_mapcount", 24, S(4)), ("_count", 28, S(4)), ("lru", 32, R("list_head", 16)),
        ("private", 48, U(8)), ("slab_cache", 48, P("kmem_cache")), ("first_page", 48, P("page")),
    ]),
    Record(TO_7_1, "anon_vma", Some(56), &[("root", 0, P("anon_vma")), ("rwsem", 8, R("rw_semaphore", 32)), ("refcount", 40, S(4)), ("rb_root", 48, R("rb_root", 8))]),
    Record(FROM_7_3, "anon_vma", Some(72), &[
        ("root", 0, P("anon_vma")), ("rwsem", 8, R("rw_semaphore", 32)), ("refcount", 40, S(4)), ("rb_root", 48, R("rb_root", 8)), ("degree", 56, U(4)), ("parent", 64, P("anon_vma")),
    ]),
    Record(ALL, "anon_vma", None, &[("root", 0, P("anon_vma")), ("rwsem", 8, R("rw_semaphore", 32)), ("refcount", 40, S(4)), ("rb_root", 48, R("rb_root", 8))]),
    Record(ALL, "anon_vma_chain", Some(64), &[("vma", 0, P("vm_area_struct")), ("anon_vma", 8, P("anon_vma")), ("same_vma", 16, R("list_head", 16)), ("rb", 32, R("rb_node", 24))]),
    Record(FROM_7_8, "rw_semaphore", Some(32), &[("count", 0, S(8)), ("wait_lock", 8, U(4)), ("osq", 12, U(4)), ("wait_list", 16, R("list_head", 16)), ("owner", 24, P("task_struct"))]),
    Record(ALL, "rw_semaphore", Some(32), &[("count", 0, S(8)), ("wait_lock", 8, U(4)), ("wait_list", 16, R("list_head", 16))]),
    Record(ALL, "mutex", Some(40), &[("count", 0, S(4)), ("wait_lock", 4, U(4)), ("wait_list", 8, R("list_head", 16)), ("owner", 24, P("task_struct"))]),
    Record(ALL, "pt_regs", Some(168), &[
        ("r15", 0, U(8)), ("r14", 8, U(8)), ("r13", 16, U(8)), ("r12", 24, U(8)), ("bp", 32, U(8)), ("bx", 40, U(8)), ("r11", 48, U(8)), ("r10", 56, U(8)), ("r9", 64, U(8)), ("r8", 72, U(8)),
        ("ax", 80, U(8)), ("cx", 88, U(8)), ("dx", 96, U(8)), ("si", 104, U(8)), ("di", 112, U(8)), ("orig_ax", 120, U(8)), ("ip", 128, U(8)), ("cs", 136, U(8)), ("flags", 144, U(8)), ("sp", 152, U(8)), ("ss", 160, U(8)),
    ]),
    Record(ALL, "elf_prstatus", Some(336), &[("pr_pid", 32, S(4)), ("pr_reg", 112, A(27, 8))]),
    Record(TO_7_0, "zone", Some(1856), &[
        ("watermark", 0, A(3, 8)), ("lowmem_reserve", 32, A(4, 8)), ("node", 72, S(4)), ("pageset", 96, P("per_cpu_pageset")), ("free_area", 144, A(11, 104)), ("flags", 1296, U(8)), ("vm_stat", 1304, A(38, 8)),
        ("zone_pgdat", 1688, P("pglist_data")), ("zone_start_pfn", 1696, U(8)), ("spanned_pages", 1704, U(8)), ("present_pages", 1712, U(8)), ("managed_pages", 1720, U(8)), ("name", 1736, P("char")),
    ]),
    Record(FROM_7_1, "zone", Some(2048), &[
        ("watermark", 0, A(3, 8)), ("lowmem_reserve", 32, A(4, 8)), ("node", 72, S(4)), ("pageset", 96, P("per_cpu_pageset")), ("free_area", 144, A(11, 104)), ("pages_scanned", 1480, U(8)), ("flags", 1488, U(8)),
        ("vm_stat", 1496, A(38, 8)), ("zone_pgdat", 1880, P("pglist_data")), ("zone_start_pfn", 1888, U(8)), ("spanned_pages", 1896, U(8)), ("present_pages", 1904, U(8)), ("managed_pages", 1912, U(8)), ("name", 1928, P("char")),
    ]),
    Record(TO_7_0, "pglist_data", Some(156288), &[
        ("node_zones", 0, A(4, 1856)), ("nr_zones", 155968, S(4)), ("node_start_pfn", 155976, U(8)), ("node_present_pages", 155984, U(8)), ("node_spanned_pages", 155992, U(8)), ("node_id", 156000, S(4)), ("kswapd", 156184, P("task_struct")),
    ]),
    Record(FROM_7_1, "pglist_data", Some(157056), &[
        ("node_zones", 0, A(4, 2048)), ("nr_zones", 156736, S(4)), ("node_start_pfn", 156744, U(8)), ("node_present_pages", 156752, U(8)), ("node_spanned_pages", 156760, U(8)), ("node_id", 156768, S(4)), ("kswapd", 156952, P("task_struct")),
    ]),
    Record(TO_7_1, "timekeeper", None, &[("xtime_sec", 56, U(8)), ("xtime_nsec", 64, U(8)), ("wall_to_monotonic", 88, R("timespec", 16)), ("offs_real", 104, S(8)), ("total_sleep_time", 112, R("timespec", 16))]),
    Record(FROM_7_3, "timekeeper", Some(248), &[("xtime_sec", 80, U(8)), ("wall_to_monotonic", 88, R("timespec", 16)), ("offs_real", 104, S(8)), ("offs_boot", 112, S(8)), ("total_sleep_time", 232, R("timespec", 16))]),
    Record(ALL, "timespec", Some(16), &[("tv_sec", 0, S(8)), ("tv_nsec", 8, S(8))]),
    Record(ALL, "swap_info_struct", None, &[
        ("flags", 0, U(8)), ("prio", 8, S(2)), ("max", 12, U(4)), ("swap_map", 16, P("char")), ("pages", 32, U(4)), ("inuse_pages", 36, U(4)), ("bdev", 104, P("block_device")), ("swap_file", 112, P("file")),
    ]),
    Record(ALL, "mm_struct", Some(1576), &[
        ("mmap", 0, P("vm_area_struct")), ("mm_rb", 8, R("rb_root", 8)), ("pgd", 88, P("pgd_t")), ("mm_users", 96, S(4)), ("mm_count", 100, S(4)), ("map_count", 112, S(4)), ("mmap_sem", 120, R("rw_semaphore", 32)),
        ("total_vm", 184, U(8)), ("start_code", 240, U(8)), ("start_brk", 272, U(8)), ("brk", 280, U(8)), ("start_stack", 288, U(8)), ("arg_start", 296, U(8)), ("arg_end", 304, U(8)), ("owner", 816, P("task_struct")), ("exe_file", 824, P("file")),
    ]),
    Record(ALL, "vm_area_struct", Some(216), &[
        ("vm_start", 0, U(8)), ("vm_end", 8, U(8)), ("vm_next", 16, P("vm_area_struct")), ("vm_mm", 64, P("mm_struct")), ("vm_flags", 80, U(8)), ("anon_vma_chain", 120, R("list_head", 16)), ("anon_vma", 136, P("anon_vma")),
        ("vm_ops", 144, P("vm_operations_struct")), ("vm_pgoff", 152, U(8)), ("vm_file", 160, P("file")),
    ]),
    Record(ALL, "kmem_cache", None, &[
        ("cpu_slab", 0, P("kmem_cache_cpu")), ("flags", 8, U(8)), ("min_partial", 16, U(8)), ("size", 24, S(4)), ("object_size", 28, S(4)), ("offset", 32, S(4)), ("name", 96, P("char")), ("list", 104, R("list_head", 16)),
        ("node", 200, A(1024, 8)),
    ]),
    Record(ALL, "cred", None, &[("uid", 4, U(4)), ("gid", 8, U(4)), ("euid", 20, U(4))]),
    Record(ALL, "dentry", None, &[("d_parent", 24, P("dentry")), ("d_name", 32, R("qstr", 16)), ("d_inode", 48, P("inode")), ("d_iname", 56, A(32, 1))]),
    Record(ALL, "file", None, &[("f_path", 16, R("path", 16)), ("f_op", 40, P("file_operations"))]),
    Record(ALL, "signal_struct", None, &[("nr_threads", 8, S(4)), ("thread_head", 16, R("list_head", 16)), ("oom_score_adj", 1044, S(2))]),
    Record(ALL, "uts_namespace", None, &[("name", 4, R("new_utsname", 390))]),
    Record(ALL, "new_utsname", Some(390), &[("sysname", 0, A(65, 1)), ("nodename", 65, A(65, 1)), ("release", 130, A(65, 1)), ("version", 195, A(65, 1)), ("machine", 260, A(65, 1)), ("domainname", 325, A(65, 1))]),
    Record(ALL, "hstate", Some(29792), &[("order", 8, U(4)), ("nr_huge_pages", 32, U(8)), ("free_huge_pages", 40, U(8)), ("resv_huge_pages", 48, U(8)), ("name", 29760, A(32, 1))]),
    Record(FROM_7_8, "rq", None, &[("nr_running", 4, U(4)), ("curr", 2208, P("task_struct")), ("idle", 2216, P("task_struct")), ("clock", 2248, U(8))]),
    Record(ALL, "bug_entry", Some(12), &[("bug_addr_disp", 0, S(4)), ("file_disp", 4, S(4)), ("line", 8, U(2)), ("flags", 10, U(2))]),
    Record(ALL, "vmap_area", Some(104), &[("va_start", 0, U(8)), ("list", 48, R("list_head", 16))]),
];

/// 8 bytes are missing from this member on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Missing8 {
    structure: &'static str,
    from: u64,
}

/// `module` without MODULE_SIG lacks `sig_ok` and the padding behind it.
const WITHOUT_MODULE_SIG: Missing8 = Missing8 {
    structure: "module",
    from: 256,
};
/// `task_struct` without PREEMPT_NOTIFIERS lacks the list of notifiers.
const WITHOUT_PREEMPT_NOTIFIERS: Missing8 = Missing8 {
    structure: "task_struct",
    from: 392,
};

/// The table, as far as it holds for one dump.
#[derive(Debug)]
pub struct El7Table {
    build: u32,
    missing: Vec<Missing8>,
}

impl El7Table {
    /// The table for a kernel of release `3.10.0-…`, if the dump bears it out. `symbol` gives a symbol's address.
    pub fn open(memory: &KernelMemory, release: &str, symbol: &dyn Fn(&str) -> Option<VirtAddr>) -> Option<El7Table> {
        let mut table = El7Table {
            build: build(release)?,
            missing: Vec::new(),
        };
        let init_task = symbol("init_task")?;
        let is_swapper = |table: &El7Table| {
            let comm = table
                .offset_of("task_struct", "comm")
                .and_then(|comm| init_task.checked_add(comm));
            let comm = comm.and_then(|comm| memory.c_string(comm, 16).ok());
            comm.is_some_and(|comm| comm.starts_with(b"swapper"))
        };
        if !is_swapper(&table) {
            table.missing.push(WITHOUT_PREEMPT_NOTIFIERS);
            if !is_swapper(&table) {
                return None;
            }
        }
        if let Some(module) = symbol("modules").and_then(|head| first_module(memory, head))
            && !table.holds_itself(memory, module)
        {
            table.missing.push(WITHOUT_MODULE_SIG);
            if !table.holds_itself(memory, module) {
                // Neither fits: then nothing is known of this structure.
                table.missing.push(Missing8 {
                    structure: "module",
                    from: 0,
                });
            }
        }
        Some(table)
    }

    /// Whether the record of `module` lies in the memory that it describes.
    fn holds_itself(&self, memory: &KernelMemory, module: VirtAddr) -> bool {
        let at = |path: &str| module.checked_add(self.offset_of("module", path)?);
        let core = at("module_core").and_then(|at| memory.u64(at).ok());
        let size = at("core_size").and_then(|at| memory.u32(at).ok());
        core.zip(size)
            .is_some_and(|(core, size)| (core..core.saturating_add(u64::from(size))).contains(&module.0))
    }

    fn record(&self, name: &str) -> Option<&'static Record> {
        let name = name.strip_prefix("struct ").unwrap_or(name);
        let unknown = self
            .missing
            .iter()
            .any(|missing| missing.structure == name && missing.from == 0);
        RECORDS
            .iter()
            .find(|Record((from, below), found, ..)| *found == name && (*from..*below).contains(&self.build))
            .filter(|_| !unknown)
    }

    /// How much lower than in the table `offset` lies in this kernel's `structure`.
    fn shift(&self, structure: &str, offset: u64) -> u64 {
        let missing = self
            .missing
            .iter()
            .filter(|missing| missing.structure == structure && offset >= missing.from);
        8 * missing.count() as u64
    }
}

impl Types for El7Table {
    fn source(&self) -> Option<Source> {
        Some(Source::Table)
    }

    fn member(&self, structure: &str, path: &str) -> Option<Member> {
        let mut offset = 0;
        let mut record = self.record(structure);
        let mut found = None;
        for step in steps(path)? {
            let Record(_, structure, _, members) = record?;
            let (_, at, is) = members.iter().find(|(name, ..)| *name == step.name)?;
            offset += at - self.shift(structure, *at);
            let mut is = *is;
            for index in step.indices {
                let A(count, size) = is else { return None };
                offset += size * Some(index).filter(|index| *index < count)?;
                is = U(size);
            }
            record = match is {
                R(name, _) => self.record(name),
                _ => None,
            };
            found = Some(is);
        }
        let (size, kind) = match found? {
            U(size) => (size, Kind::Unsigned),
            S(size) => (size, Kind::Signed),
            P(to) => {
                let to = Some(to.to_owned()).filter(|to| !to.is_empty());
                (8, Kind::Pointer { to })
            }
            A(count, size) => {
                let element = Box::new(Kind::Unsigned);
                (count * size, Kind::Array { count, size, element })
            }
            R(name, size) => {
                let name = Some(name.to_owned());
                (size, Kind::Struct { name })
            }
        };
        Some(Member {
            offset,
            size,
            bits: None,
            kind,
        })
    }

    fn size_of(&self, name: &str) -> Option<u64> {
        let Record(_, name, size, _) = self.record(name)?;
        Some((*size)? - self.shift(name, u64::MAX))
    }

    fn enum_value(&self, _: &str) -> Option<i64> {
        None
    }
}

/// N of `3.10.0-N…`.
fn build(release: &str) -> Option<u32> {
    let rest = release.strip_prefix("3.10.0-")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..digits)?.parse().ok()
}

fn first_module(memory: &KernelMemory, head: VirtAddr) -> Option<VirtAddr> {
    let first = memory.pointer(head).ok()?;
    // `list` lies 8 bytes into the record; an empty list leads to its head.
    (first != head).then(|| VirtAddr(first.0.wrapping_sub(8)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::access::test_memory::TestMemory;

    const TASK: u64 = 0xffff_ffff_81a0_0000;
    const HEAD: u64 = 0xffff_ffff_81b0_0000;
    const CORE: u64 = 0xffff_ffff_a000_0000;
    const MODULE: u64 = CORE + 0x2000;

    fn open(release: &str, comm: usize, core: usize) -> Option<El7Table> {
        let mut task = vec![0; 4096];
        task[comm..comm + 9].copy_from_slice(b"swapper/0");
        let mut module = vec![0; 4096];
        module[core..core + 8].copy_from_slice(&CORE.to_le_bytes());
        module[core + 12..core + 16].copy_from_slice(&0x4000_u32.to_le_bytes());
        let memory = TestMemory {
            parts: vec![
                (TASK, task),
                (HEAD, (MODULE + 8).to_le_bytes().to_vec()),
                (MODULE, module),
            ],
        };
        El7Table::open(&memory.reader(), release, &|name| match name {
            "init_task" => Some(VirtAddr(TASK)),
            "modules" => Some(VirtAddr(HEAD)),
            _ => None,
        })
    }

    #[test]
    fn a_distribution_kernel_has_the_table_as_it_stands() {
        let table = open("3.10.0-862.14.4.el7.x86_64", 1656, 312).unwrap();
        assert_eq!(table.offset_of("task_struct", "pid"), Some(1188));
        assert_eq!(table.offset_of("task_struct", "thread.sp"), Some(1720));
        assert_eq!(table.offset_of("module", "taints"), Some(344));
        assert_eq!(table.size_of("module"), Some(568));
        assert_eq!(table.offset_of("zone", "vm_stat[1]"), Some(1504));
        assert_eq!(table.offset_of("zone", "vm_stat[38]"), None);
        assert_eq!(table.offset_of("timekeeper", "xtime_sec"), Some(80));
        assert_eq!(table.member("task_struct", "comm").map(|comm| comm.size), Some(16));
        assert_eq!(table.member("task_struct", "pid.x"), None);
        assert_eq!(table.enum_value("NR_FREE_PAGES"), None);
    }

    #[test]
    fn rebuilt_kernels_are_told_by_the_dump() {
        let table = open("3.10.0-1127.el7.x86_64", 1648, 304).unwrap();
        assert_eq!(table.offset_of("task_struct", "pid"), Some(1180));
        assert_eq!(table.offset_of("task_struct", "state"), Some(0));
        assert_eq!(table.offset_of("task_struct", "thread.sp"), Some(1712));
        assert_eq!(table.offset_of("module", "module_core"), Some(304));
        assert_eq!(table.offset_of("module", "name"), Some(24));
        assert_eq!(table.size_of("module"), Some(560));
    }

    #[test]
    fn what_does_not_fit_is_not_known() {
        assert!(open("3.10.0-1127.el7.x86_64", 1640, 312).is_none());
        assert!(open("3.10.108-1-lts", 1656, 312).is_none());
        assert!(open("5.10.0-32-amd64", 1656, 312).is_none());
        let table = open("3.10.0-123.el7.x86_64", 1656, 400).unwrap();
        assert_eq!(table.offset_of("module", "name"), None);
        assert_eq!(table.offset_of("zone", "vm_stat"), Some(1304));
        // 7.2 lies between two measured builds that differ.
        let table = open("3.10.0-327.el7.x86_64", 1656, 312).unwrap();
        assert_eq!(table.offset_of("timekeeper", "xtime_sec"), None);
        assert_eq!(table.size_of("anon_vma"), None);
        assert_eq!(table.offset_of("anon_vma", "root"), Some(0));
    }
}
