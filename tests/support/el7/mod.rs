//! The machine of the first case, rebuilt: a RHEL 7 host whose kswapd0 took the lock of a freed anon_vma's root.
//!
//! It is no dump of that host, which nobody has: what `crash` printed of it (the shared folder's `seed-case`) is put
//! where a kernel of its line keeps it, by the layouts measured on real kernels of that line (`el7-facts.md`). What
//! `crash` did not print is made up, as little as possible: symbols' starts, code that only calls, quiet CPUs.

mod kallsyms;

use std::collections::BTreeMap;

use super::dump_writer::{Abi, CpuState, Machine};
use super::image::{Image, Layout};

/// The choices that kernels of the line differ in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// VMCOREINFO has the address of `phys_base` (7.0 to 7.3) and no KERNELOFFSET, instead of its value (7.8, 7.9).
    pub old_vmcoreinfo: bool,
    /// No VMCOREINFO in the file's headers.
    pub without_vmcoreinfo: bool,
}

const LAYOUT: Layout = Layout {
    phys_base: 0x0e00_0000,
    // Follows from `kmem ffff9c956f7b4231`: physical 202f7b4000.
    page_offset_base: 0xffff_9c75_4000_0000,
    // Follows from `kmem ffffe7f22a9b0000`: physical aa6c00000.
    vmemmap_base: 0xffff_e7f2_0000_0000,
    vmemmap_pages_at: 0x20_0000_0000,
    tables_at: 0x3000_0000,
};

const RELEASE: &str = "3.10.0-862.14.4.el7.x86_64";
const VERSION: &str = "#1 SMP Wed Sep 26 15:12:11 UTC 2018";
const STEXT: u64 = 0xffff_ffff_9c00_0000;
const KERNEL_OFFSET: u64 = 0x1b00_0000;
const RODATA: u64 = 0xffff_ffff_9c80_0000;
const DATA: u64 = 0xffff_ffff_9d00_0000;
const CPUS: u64 = 48;
const CPU: u64 = 22;
/// 05:52:53 on 15 July 2019.
pub const CRASHED_AT: u64 = 1_563_169_973;
/// 232 days, 05:23:55.
const UPTIME: u64 = 20_064_235;
const TASK: u64 = 0xffff_9c95_7bc3_cf10;
const STACK: u64 = 0xffff_9c85_7ba3_c000;
const PAGE_STRUCT: u64 = 0xffff_e7f2_2a9b_0000;
const ANON_VMA: u64 = 0xffff_9c95_6f7b_4230;
/// Where CPU n's variables lie.
const PER_CPU: u64 = 0xffff_9c94_bf80_0000;
const PER_CPU_STEP: u64 = 0x4_0000;
/// The idle tasks' records.
const IDLE: u64 = 0xffff_9c94_7000_0000;

/// A line of `bt`: the stack slot, the function, the return address in it, and how far into the function that is.
pub const FRAMES: [(u64, &str, u64, u64); 19] = [
    (0xffff_9c85_7ba3_f718, "machine_kexec", 0xffff_ffff_9c06_2a0a, 0x1ba),
    (0xffff_9c85_7ba3_f778, "__crash_kexec", 0xffff_ffff_9c11_66c2, 0x72),
    (0xffff_9c85_7ba3_f848, "crash_kexec", 0xffff_ffff_9c11_67b0, 0x30),
    (0xffff_9c85_7ba3_f860, "oops_end", 0xffff_ffff_9c71_d728, 0xa8),
    (0xffff_9c85_7ba3_f888, "no_context", 0xffff_ffff_9c70_c84d, 0x280),
    (
        0xffff_9c85_7ba3_f8d8,
        "__bad_area_nosemaphore",
        0xffff_ffff_9c70_c8e4,
        0x74,
    ),
    (
        0xffff_9c85_7ba3_f928,
        "bad_area_nosemaphore",
        0xffff_ffff_9c70_ca55,
        0x15,
    ),
    (0xffff_9c85_7ba3_f938, "__do_page_fault", 0xffff_ffff_9c72_06e0, 0x330),
    (0xffff_9c85_7ba3_f9a0, "do_page_fault", 0xffff_ffff_9c72_08d5, 0x35),
    (0xffff_9c85_7ba3_f9d0, "page_fault", 0xffff_ffff_9c71_c758, 0x28),
    (
        0xffff_9c85_7ba3_fa88,
        "page_lock_anon_vma_read",
        0xffff_ffff_9c1d_72a5,
        0x55,
    ),
    (0xffff_9c85_7ba3_fab8, "page_referenced", 0xffff_ffff_9c1d_754a, 0x1aa),
    (
        0xffff_9c85_7ba3_fb38,
        "shrink_active_list",
        0xffff_ffff_9c1a_c0e4,
        0x1e4,
    ),
    (0xffff_9c85_7ba3_fbf0, "shrink_lruvec", 0xffff_ffff_9c1a_c651, 0x381),
    (0xffff_9c85_7ba3_fcf0, "shrink_zone", 0xffff_ffff_9c1a_ca06, 0xa6),
    (0xffff_9c85_7ba3_fd48, "balance_pgdat", 0xffff_ffff_9c1a_dcfc, 0x34c),
    (0xffff_9c85_7ba3_fe20, "kswapd", 0xffff_ffff_9c1a_dfc3, 0x173),
    (0xffff_9c85_7ba3_fec8, "kthread", 0xffff_ffff_9c0b_df21, 0xd1),
    (
        0xffff_9c85_7ba3_ff50,
        "ret_from_fork_nospec_begin",
        0xffff_ffff_9c72_55dd,
        0x21,
    ),
];

/// The place that the page fault stopped.
const FAULT: (&str, u64, u64) = ("down_read_trylock", 0xffff_ffff_9c0c_2e80, 0x50);

/// `struct pt_regs` from r15 to ss, as `bt` printed it.
const REGISTERS: [u64; 21] = [
    0xffff_e7f2_2a9b_0000, // r15
    0x8,
    0xffff_e7f2_2a9b_0000,
    0xffff_9c95_6f7b_4231,
    0xffff_9c85_7ba3_fa80, // rbp
    0xffff_9c95_6f7b_4230, // rbx
    0x3c,
    0,
    0x10_3578_f000,
    0xffff_e7f2_2a9b_0020, // r8
    0,                     // rax
    0,
    0,
    0,
    0x8,      // rdi
    u64::MAX, // orig_rax
    0xffff_ffff_9c0c_2e89,
    0x10,
    0x1_0202,
    0xffff_9c85_7ba3_fa80,
    0x18, // ss
];

/// The end of the log, which is where it was cut off: times in microseconds, and text.
const LOG: [(u64, &str); 6] = [
    (20_016_417_140_552, "docker0: port 3(veth7c) entered forwarding state"),
    (20_016_417_175_972, "device eth0 entered promiscuous mode"),
    (
        20_016_472_284_421,
        "BUG: unable to handle kernel NULL pointer dereference at 0000000000000008",
    ),
    (
        20_016_472_285_758,
        "IP: [<ffffffff9c0c2e89>] down_read_trylock+0x9/0x50",
    ),
    (20_016_472_287_034, "PGD 8000002039a98067 PUD 202cf00067 PMD 0 "),
    (20_016_472_288_293, "Oops: 0000 [#1] SMP "),
];

/// `vmstat_text` as far as it names `vm_stat`.
const STATISTICS: [&str; 38] = [
    "nr_free_pages",
    "nr_alloc_batch",
    "nr_inactive_anon",
    "nr_active_anon",
    "nr_inactive_file",
    "nr_active_file",
    "nr_unevictable",
    "nr_mlock",
    "nr_anon_pages",
    "nr_mapped",
    "nr_file_pages",
    "nr_dirty",
    "nr_writeback",
    "nr_slab_reclaimable",
    "nr_slab_unreclaimable",
    "nr_page_table_pages",
    "nr_kernel_stack",
    "nr_unstable",
    "nr_bounce",
    "nr_vmscan_write",
    "nr_vmscan_immediate_reclaim",
    "nr_writeback_temp",
    "nr_isolated_anon",
    "nr_isolated_file",
    "nr_shmem",
    "nr_dirtied",
    "nr_written",
    "numa_hit",
    "numa_miss",
    "numa_foreign",
    "numa_interleave",
    "numa_local",
    "numa_other",
    "workingset_refault",
    "workingset_activate",
    "workingset_nodereclaim",
    "nr_anon_transparent_hugepages",
    "nr_free_cma",
];

/// The kernel's memory with its symbols.
struct Kernel {
    image: Image,
    symbols: BTreeMap<u64, Vec<(char, String)>>,
    /// Where the next variable goes.
    next: u64,
}

impl Kernel {
    fn name(&mut self, kind: char, name: &str, at: u64) {
        self.symbols.entry(at).or_default().push((kind, name.to_owned()));
    }

    /// Room for a variable.
    fn variable(&mut self, name: &str, size: u64) -> u64 {
        let at = self.next;
        self.next += size.next_multiple_of(64);
        self.image.write(at, &vec![0; size as usize]);
        self.name('D', name, at);
        at
    }

    fn int(&mut self, name: &str, value: u32) {
        let at = self.variable(name, 4);
        self.image.u32(at, value);
    }

    fn long(&mut self, name: &str, value: u64) -> u64 {
        let at = self.variable(name, 8);
        self.image.u64(at, value);
        at
    }

    /// A function of code that does nothing but keep a frame.
    fn function(&mut self, name: &str, start: u64, size: u64) {
        self.name('T', name, start);
        self.image.write(start, &vec![0x90; size as usize]);
        self.image
            .write(start, &[0x0f, 0x1f, 0x44, 0, 0, 0x55, 0x48, 0x89, 0xe5]);
    }

    fn text(&mut self, bytes: &[u8]) -> u64 {
        let at = self.next;
        self.next += (bytes.len() as u64 + 1).next_multiple_of(64);
        self.image.write(at, bytes);
        self.image.write(at + bytes.len() as u64, &[0]);
        at
    }
}

/// The machine, ready to be dumped in any format.
pub fn machine(options: Options) -> Machine {
    let mut kernel = Kernel {
        image: Image::new(LAYOUT),
        symbols: BTreeMap::new(),
        next: DATA,
    };
    code(&mut kernel);
    stack(&mut kernel);
    tasks(&mut kernel);
    objects(&mut kernel);
    figures(&mut kernel);
    settings(&mut kernel);
    let log = log(&mut kernel);
    let names = names(&mut kernel);
    let root = kernel.next.next_multiple_of(4096);
    kernel.name('D', "init_level4_pgt", root);
    kernel.name('B', "_end", root + 4096);
    let table = kallsyms::encode(&kernel.symbols);
    kernel.image.write(RODATA + 0x1000, &table);

    let info = vmcoreinfo(&kernel.symbols, &log, options);
    kernel.image.write(names.vmcoreinfo, info.as_bytes());
    let mut machine = Machine::new(Abi::X86_64);
    machine.utsname = ["Linux", "cz", RELEASE, VERSION, "x86_64", "(none)"].map(str::to_owned);
    machine.timestamp = CRASHED_AT;
    machine.phys_base = LAYOUT.phys_base;
    machine.page_frames = 0x207_ffff;
    machine.vmcoreinfo = (!options.without_vmcoreinfo).then(|| info.into_bytes());
    machine.cpus = (0..CPUS).map(note).collect();
    kernel.image.into_pages(&mut machine, root);
    machine
}

/// The registers that a CPU left in its note: those of the fault, or of waiting for something to do.
fn note(cpu: u64) -> CpuState {
    let mut registers = vec![0; 27];
    if cpu == CPU {
        registers[..21].copy_from_slice(&REGISTERS);
        return CpuState { pid: 269, registers };
    }
    registers[16] = 0xffff_ffff_9c71_a806; // native_safe_halt
    registers[17] = 0x10;
    registers[18] = 0x246;
    registers[19] = IDLE + cpu * 0x1_0000 + 0x8000 + 0x3eb0;
    registers[20] = 0x18;
    CpuState { pid: 0, registers }
}

fn code(kernel: &mut Kernel) {
    kernel.name('T', "_stext", STEXT);
    for (index, name) in ["panic", "schedule", "vfs_read", "do_exit", "kfree"]
        .into_iter()
        .enumerate()
    {
        kernel.function(name, STEXT + 0x1000 + 0x400 * index as u64, 0x200);
    }
    // Most symbols of a kernel are of no interest.
    for number in 0..20_000 {
        kernel.name('t', &format!("other_{number:05}"), STEXT + 0x20_0000 + number * 0xd0);
    }
    for (_, name, address, offset) in FRAMES {
        let entry = matches!(name, "page_fault" | "ret_from_fork_nospec_begin");
        let start = address - offset;
        if entry {
            kernel.name('T', name, start);
            kernel.image.write(start, &vec![0x90; offset as usize + 16]);
        } else {
            kernel.function(name, start, offset + 16);
        }
        kernel.name('t', &format!("behind_{name}"), address + 0x10);
        // A call, so that the address behind it can be one to return to.
        kernel.image.write(address - 5, &[0xe8, 0, 0, 0, 0]);
    }
    let (name, start, size) = FAULT;
    kernel.function(name, start, size);
    // mov (%rdi),%rax; test %rax,%rax
    kernel.image.write(start + 9, &[0x48, 0x8b, 0x07, 0x48, 0x85, 0xc0]);
    kernel.name('T', "up_read", start + size);
    kernel.function("native_safe_halt", 0xffff_ffff_9c71_a800, 0x10);
    kernel.name('T', "_etext", STEXT + 0x73_0000);
    kernel.name('T', "_sinittext", STEXT + 0xd0_0000);
    kernel.name('T', "_einittext", STEXT + 0xd8_0000);
}

fn stack(kernel: &mut Kernel) {
    let image = &mut kernel.image;
    image.write(STACK, &[0; 0x4000]);
    for (index, (slot, name, address, _)) in FRAMES.into_iter().enumerate() {
        image.u64(slot, address);
        let saved = match FRAMES.get(index + 1) {
            // What entry code found, and saved by what it called.
            _ if name == "page_fault" => REGISTERS[4],
            Some((next, ..)) => next - 8,
            None => 0,
        };
        image.u64(slot - 8, saved);
        if name == "page_fault" {
            for (register, value) in (0..).zip(REGISTERS) {
                image.u64(slot + 8 + 8 * register, value);
            }
        }
    }
    // What the faulting function pushed.
    image.u64(REGISTERS[19], FRAMES[11].0 - 8);
    // struct thread_info, and the mark behind it.
    image.u64(STACK, TASK);
    image.u32(STACK + 24, CPU as u32);
    image.u64(STACK + 104, 0x57ac_6e9d);
}

/// A `task_struct`.
fn task(image: &mut Image, at: u64, pid: u32, comm: &str, stack: u64) {
    image.write(at, &vec![0; 4200]);
    image.u64(at + 8, stack);
    image.u32(at + 1188, pid);
    image.u32(at + 1192, pid);
    image.list_head(at + 1368);
    image.write(at + 1656, comm.as_bytes());
    image.u64(at + 1720, stack + 0x3e00);
}

fn tasks(kernel: &mut Kernel) {
    let init = kernel.variable("init_task", 4200);
    let image = &mut kernel.image;
    task(image, init, 0, "swapper/0", IDLE + 0x8000);
    task(image, TASK, 269, "kswapd0", STACK);
    for (from, to) in [(init, TASK), (TASK, init)] {
        image.u64(from + 1072, to + 1072);
        image.u64(to + 1080, from + 1072);
    }
    for (name, at) in [
        ("irq_stack_union", 0),
        ("current_task", 0xc700),
        ("cpu_number", 0xc708),
        ("committed_parts", 0xc710),
        ("__per_cpu_end", 0x1_d000),
    ] {
        kernel.name('A', name, at);
    }
    let table = kernel.variable("__per_cpu_offset", 8 * CPUS);
    for cpu in 0..CPUS {
        let base = PER_CPU + cpu * PER_CPU_STEP;
        kernel.image.u64(table + 8 * cpu, base);
        let running = match cpu {
            0 => init,
            CPU => TASK,
            _ => {
                let at = IDLE + cpu * 0x1_0000;
                task(&mut kernel.image, at, 0, &format!("swapper/{cpu}"), at + 0x8000);
                at
            }
        };
        kernel.image.u64(base + 0xc700, running);
        kernel.image.u32(base + 0xc708, cpu as u32);
    }
    for name in [
        "cpu_online_bits",
        "cpu_present_bits",
        "cpu_possible_bits",
        "cpu_active_bits",
    ] {
        let at = kernel.variable(name, 640);
        kernel.image.u64(at, (1 << CPUS) - 1);
    }
    kernel.int("nr_cpu_ids", CPUS as u32);
    kernel.int("panic_cpu", CPU as u32);
    kernel.int("crashing_cpu", CPU as u32);
    // With the idle tasks 877.
    kernel.int("nr_threads", 877 - CPUS as u32);
}

/// The page whose owner was looked for, and what was found.
fn objects(kernel: &mut Kernel) {
    let image = &mut kernel.image;
    image.u64(PAGE_STRUCT, 0x2f_ffff_0008_4048);
    image.u64(PAGE_STRUCT + 8, ANON_VMA + 1);
    image.u64(PAGE_STRUCT + 16, 0x7_fe79_3e00);
    image.u32(PAGE_STRUCT + 24, u32::MAX);
    image.u32(PAGE_STRUCT + 28, 2);
    image.write(ANON_VMA, &[0; 72]);
    let modules = kernel.variable("modules", 16);
    kernel.image.list_head(modules);
}

fn figures(kernel: &mut Kernel) {
    const SWAP_CACHE: u64 = 1234;
    kernel.long("totalram_pages", 32_871_402);
    kernel.long("total_swap_pages", 16_773_867);
    kernel.long("nr_swap_pages", 16_761_374);
    let statistics = kernel.variable("vm_stat", 8 * STATISTICS.len() as u64);
    let texts = kernel.variable("vmstat_text", 8 * (STATISTICS.len() as u64 + 1));
    for (index, name) in (0..).zip(STATISTICS) {
        let value = match name {
            "nr_free_pages" => 92_978,
            "nr_file_pages" => 6_046_066 + SWAP_CACHE,
            "nr_slab_reclaimable" => 150_000,
            "nr_slab_unreclaimable" => 92_491,
            "nr_anon_transparent_hugepages" => 41_007,
            _ => 0,
        };
        kernel.image.u64(statistics + 8 * index, value);
        let text = kernel.text(name.as_bytes());
        kernel.image.u64(texts + 8 * index, text);
    }
    let devices = kernel.variable("all_bdevs", 16);
    kernel.image.list_head(devices);
    let operations = kernel.variable("swap_aops", 64);
    let spaces = kernel.variable("swapper_spaces", 4 * 168);
    kernel.name('D', "swapper_spaces_end", spaces + 4 * 168);
    for space in 0..4 {
        let at = spaces + 168 * space;
        kernel.image.u64(at + 12 * 8, if space == 0 { SWAP_CACHE } else { 0 });
        kernel.image.u64(at + 14 * 8, operations);
    }
    // struct percpu_counter: a sum, a place in the list of all counters, a part for every CPU.
    let counters = kernel.variable("percpu_counters", 16);
    let committed = kernel.variable("vm_committed_as", 40);
    for (from, to) in [(counters, committed + 16), (committed + 16, counters)] {
        kernel.image.u64(from, to);
        kernel.image.u64(to + 8, from);
    }
    kernel.image.u64(committed + 8, 27_373_280 - 100 * CPUS);
    kernel.image.u64(committed + 32, 0xc710);
    for cpu in 0..CPUS {
        kernel.image.u32(PER_CPU + cpu * PER_CPU_STEP + 0xc710, 100);
    }
    let sizes = kernel.variable("hstates", 29_792);
    kernel.image.u32(sizes + 8, 9);
    kernel.image.u64(sizes + 16, u64::MAX << 21);
    kernel.int("hugetlb_max_hstate", 1);
    let table = kernel.variable("node_data", 8 * 1024);
    for node in 0..2 {
        let at = PER_CPU - (node + 1) * 0x40_0000;
        kernel.image.u64(table + 8 * node, at);
        kernel.image.u64(at + 156_752, 16_737_920);
    }
    let load = kernel.variable("avenrun", 24);
    for (index, hundredths) in (0..).zip([1184_u64, 715, 351]) {
        // The least that /proc/loadavg prints so.
        kernel
            .image
            .u64(load + 8 * index, (hundredths * 2048).div_ceil(100) - 10);
    }
    let clock = kernel.variable("timekeeper", 248);
    kernel.image.u64(clock + 80, CRASHED_AT);
    kernel.image.u64(clock + 88, UPTIME.wrapping_sub(CRASHED_AT));
}

fn settings(kernel: &mut Kernel) {
    for (name, value) in [
        ("min_free_kbytes", 90_112),
        ("sysctl_overcommit_memory", 0),
        ("sysctl_overcommit_ratio", 50),
        ("panic_on_oops", 1),
        ("panic_timeout", 0),
        ("vm_swappiness", 30),
        ("sysctl_hung_task_panic", 0),
        ("softlockup_panic", 0),
    ] {
        kernel.int(name, value);
    }
    kernel.long("sysctl_overcommit_kbytes", 0);
    kernel.long("transparent_hugepage_flags", 0x35);
    let ratios = kernel.variable("sysctl_lowmem_reserve_ratio", 12);
    kernel.name('D', "behind_ratios", ratios + 12);
    for (index, ratio) in (0..).zip([256, 256, 32]) {
        kernel.image.u32(ratios + 4 * index, ratio);
    }
    let zones = kernel.variable("zone_names", 32);
    kernel.name('r', "behind_zone_names", zones + 32);
    for (index, name) in (0..).zip(["DMA", "DMA32", "Normal", "Movable"]) {
        let text = kernel.text(name.as_bytes());
        kernel.image.u64(zones + 8 * index, text);
    }
    kernel.long("tainted_mask", 0);
    let flags = kernel.variable("taint_flags", 96);
    kernel.name('D', "behind_taint_flags", flags + 96);
    for (index, pair) in [
        "PG", "F ", "S ", "R ", "M ", "B ", "U ", "D ", "A ", "W ", "C ", "I ", "O ", "E ", "L ", "K ",
    ]
    .into_iter()
    .enumerate()
    {
        kernel.image.write(flags + 3 * index as u64, pair.as_bytes());
    }
    let line = kernel.text(b"BOOT_IMAGE=/vmlinuz-3.10.0-862.14.4.el7.x86_64 root=/dev/sda2 ro crashkernel=auto quiet");
    kernel.long("saved_command_line", line);
}

/// What VMCOREINFO has to say of the log.
struct Log {
    names: [&'static str; 4],
}

fn log(kernel: &mut Kernel) -> Log {
    let mut records = Vec::new();
    for (microseconds, text) in LOG {
        let start = records.len();
        let len = (16 + text.len()).next_multiple_of(4);
        records.extend((microseconds * 1000).to_le_bytes());
        records.extend((len as u16).to_le_bytes());
        records.extend((text.len() as u16).to_le_bytes());
        // No dictionary; the kernel's own; level 1 of an ended line.
        records.extend([0, 0, 0, 1 << 5 | 6]);
        records.extend(text.bytes());
        records.resize(start + len, 0);
    }
    let buffer = kernel.variable("__log_buf", 1 << 16);
    kernel.image.write(buffer, &records);
    kernel.long("log_buf", buffer);
    kernel.int("log_buf_len", 1 << 16);
    kernel.int("log_first_idx", 0);
    kernel.int("log_next_idx", records.len() as u32);
    kernel.long("log_first_seq", 918_273);
    kernel.long("log_next_seq", 918_273 + LOG.len() as u64);
    Log {
        names: ["log_buf", "log_buf_len", "log_first_idx", "log_next_idx"],
    }
}

/// Where the kernel says who it is.
struct Names {
    vmcoreinfo: u64,
}

fn names(kernel: &mut Kernel) -> Names {
    let uts = kernel.variable("init_uts_ns", 4 + 6 * 65 + 16);
    for (field, text) in (0..).zip(["Linux", "cz", RELEASE, VERSION, "x86_64", "(none)"]) {
        kernel.image.write(uts + 4 + 65 * field, text.as_bytes());
    }
    let banner = format!(
        "Linux version {RELEASE} (mockbuild@kbuilder.bsys.centos.org) (gcc version 4.8.5 20150623 (Red Hat 4.8.5-28) \
         (GCC) ) {VERSION}\n"
    );
    // It opens the constants.
    kernel.name('R', "linux_banner", RODATA);
    kernel.image.write(RODATA, banner.as_bytes());
    kernel.name('R', "behind_linux_banner", RODATA + 0x200);
    kernel.long("phys_base", LAYOUT.phys_base);
    kernel.long("page_offset_base", LAYOUT.page_offset_base);
    kernel.long("vmemmap_base", LAYOUT.vmemmap_base);
    let vmcoreinfo = kernel.variable("vmcoreinfo_data", 4096);
    Names { vmcoreinfo }
}

fn vmcoreinfo(symbols: &BTreeMap<u64, Vec<(char, String)>>, log: &Log, options: Options) -> String {
    let at = |wanted: &str| {
        let found = symbols
            .iter()
            .find(|(_, names)| names.iter().any(|(_, name)| name == wanted));
        *found.unwrap_or_else(|| panic!("no symbol {wanted}")).0
    };
    let mut text = format!("OSRELEASE={RELEASE}\nPAGESIZE=4096\n");
    let mut symbol = |name: &str, of: &str| text += &format!("SYMBOL({name})={:x}\n", at(of));
    symbol("init_uts_ns", "init_uts_ns");
    symbol("swapper_pg_dir", "init_level4_pgt");
    symbol("_stext", "_stext");
    symbol("init_level4_pgt", "init_level4_pgt");
    symbol("node_data", "node_data");
    for name in log.names {
        symbol(name, name);
    }
    if options.old_vmcoreinfo {
        symbol("phys_base", "phys_base");
    }
    text += "SIZE(page)=64\nOFFSET(page.flags)=0\nOFFSET(page._count)=28\nOFFSET(page.mapping)=8\nOFFSET(page.lru)=32\n\
             SIZE(log)=16\nOFFSET(log.ts_nsec)=0\nOFFSET(log.len)=8\nOFFSET(log.text_len)=10\nOFFSET(log.dict_len)=12\n";
    if !options.old_vmcoreinfo {
        text += &format!(
            "NUMBER(phys_base)={}\nKERNELOFFSET={KERNEL_OFFSET:x}\nNUMBER(KERNEL_IMAGE_SIZE)=1073741824\nNUMBER(sme_mask)=0\n",
            LAYOUT.phys_base
        );
    }
    text + &format!("CRASHTIME={CRASHED_AT}\n")
}
