//! The machine of the first case, rebuilt (`support::el7`): every question its investigator asked of `crash` and
//! debuginfo, asked of the dump alone.

mod common;
mod support;

use std::path::PathBuf;

use serde_json::{Value, json};
use support::dump_writer::elf::{self, Elf};
use support::dump_writer::flat::{self, Flat};
use support::dump_writer::kdump::{self, Compression, Kdump};
use support::el7::{self, FRAMES, Options};

/// The machine, dumped.
struct Dump {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn dump(bytes: &[u8]) -> Dump {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vmcore");
    std::fs::write(&path, bytes).unwrap();
    Dump { _folder: folder, path }
}

fn usual() -> Dump {
    dump(&kdump::write(&el7::machine(Options::default()), &Kdump::default()))
}

fn report(dump: &Dump) -> Value {
    common::json(&["extract", "--format", "json"], &dump.path, &[]).1
}

#[test]
fn sys_is_answered() {
    let report = report(&usual());
    let system = &report["system"];
    assert_eq!(system["release"], "3.10.0-862.14.4.el7.x86_64");
    assert_eq!(system["version"], "#1 SMP Wed Sep 26 15:12:11 UTC 2018");
    assert_eq!(system["nodename"], "cz");
    assert_eq!(system["machine"], "x86_64");
    assert_eq!(system["cpus"], 48);
    assert_eq!(system["tasks"], 877);
    assert_eq!(system["crashed_at"], "2019-07-15T05:52:53Z");
    assert_eq!(system["uptime_seconds"].as_f64(), Some(20_064_235.0));
    assert_eq!(system["load_average"], json!([11.84, 7.15, 3.51]));
    let gigabytes = system["memory_bytes"].as_f64().unwrap() / f64::from(1 << 30);
    assert!((gigabytes - 127.7).abs() < 0.05, "{gigabytes}");
    assert_eq!(system["stream"], "el7");
    assert_eq!(
        report["panic"]["message"],
        "BUG: unable to handle kernel NULL pointer dereference at 0000000000000008"
    );
    assert_eq!(report["panic"]["kind"], "null-pointer-dereference");
    assert_eq!(report["panic"]["address"], "0x8");
    let task = &report["task"];
    assert_eq!((&task["pid"], &task["cpu"]), (&json!(269), &json!(22)));
    assert_eq!(task["comm"], "kswapd0");
    assert_eq!(task["address"], "0xffff9c957bc3cf10");
    assert_eq!(task["state"], "TASK_RUNNING (PANIC)");
    assert_eq!(report["source"]["partial"], true);
}

#[test]
fn the_log_ends_where_it_was_cut() {
    let report = report(&usual());
    let tail = report["log"]["tail"].as_array().unwrap();
    assert_eq!(tail.last().unwrap(), "Oops: 0000 [#1] SMP");
    assert_eq!(report["log"]["last_seconds"].as_f64(), Some(20_016_472.288_293));
    assert_eq!(report["log"]["complete"], false);
}

#[test]
fn bt_is_answered_frame_by_frame() {
    let report = report(&usual());
    let frames = report["frames"].as_array().unwrap();
    assert_eq!(frames.len(), FRAMES.len() + 1);
    let (stopped, called): (Vec<&Value>, Vec<&Value>) = frames.iter().partition(|frame| frame["interrupted"] == true);
    for (frame, (slot, name, address, offset)) in called.into_iter().zip(FRAMES) {
        assert_eq!(frame["symbol"], name);
        assert_eq!(frame["stack_address"], format!("{slot:#x}"), "{name}");
        assert_eq!(frame["address"], format!("{address:#x}"), "{name}");
        assert_eq!(frame["offset"], offset, "{name}");
        assert_ne!(frame["reliable"], false, "{name}");
    }
    assert_eq!(stopped.len(), 1);
    assert_eq!(frames[10]["symbol"], "down_read_trylock");
    assert_eq!((&frames[10]["offset"], &frames[10]["size"]), (&json!(9), &json!(0x50)));
    assert_eq!(report["stack"]["source"], "unwound");
    assert_eq!(report["stack"]["complete"], true);
    let registers = &report["fault"]["registers"];
    for (name, value) in [
        ("rip", "0xffffffff9c0c2e89"),
        ("rsp", "0xffff9c857ba3fa80"),
        ("rflags", "0x10202"),
        ("rax", "0x0"),
        ("rbx", "0xffff9c956f7b4230"),
        ("rdi", "0x8"),
        ("rbp", "0xffff9c857ba3fa80"),
        ("r8", "0xffffe7f22a9b0020"),
        ("r9", "0x103578f000"),
        ("r11", "0x3c"),
        ("r12", "0xffff9c956f7b4231"),
        ("r13", "0xffffe7f22a9b0000"),
        ("r14", "0x8"),
        ("r15", "0xffffe7f22a9b0000"),
        ("orig_rax", "0xffffffffffffffff"),
    ] {
        assert_eq!(registers[name], value, "{name}");
    }
}

#[test]
fn the_instruction_is_explained() {
    let report = report(&usual());
    let fault = &report["fault"];
    assert_eq!(fault["role"], "faulted");
    let instruction = fault["instruction"].as_str().unwrap();
    assert!(instruction.contains("mov (%rdi),%rax"), "{instruction}");
    let explanation = fault["explanation"].as_str().unwrap();
    assert!(
        explanation.contains("rdi") && explanation.contains("NULL"),
        "{explanation}"
    );
}

#[test]
fn kmem_i_is_answered() {
    let report = report(&usual());
    assert_eq!(
        report["memory"],
        json!({
            "page_size": 4096,
            "total_pages": 32_871_402,
            "free_pages": 92_978,
            "cached_pages": 6_046_066,
            "slab_pages": 242_491,
            "swap_total_pages": 16_773_867,
            "swap_free_pages": 16_761_374,
            "committed_pages": 27_373_280,
            "commit_limit_pages": 33_209_568,
        })
    );
    let settings = &report["settings"];
    assert_eq!(settings["vm.min_free_kbytes"], 90_112);
    assert_eq!(settings["vm.lowmem_reserve_ratio"], json!([256, 256, 32]));
    assert_eq!(settings["thp.enabled"], "always");
}

#[test]
fn the_objects_can_be_read() {
    let dump = usual();
    let read = |expression: &str| {
        let output = common::vmcoroner()
            .arg("read")
            .arg(&dump.path)
            .arg(expression)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(
        read("page@r13.mapping").contains("0xffff9c956f7b4231"),
        "{}",
        read("page@r13.mapping")
    );
    assert!(read("page@r13._count").contains('2'));
    assert!(
        read("page@r13.flags").contains("0x2fffff00084048"),
        "{}",
        read("page@r13.flags")
    );
    let root = read("anon_vma@rbx.root");
    assert!(root.contains("0x0") || root.contains("NULL"), "{root}");
}

/// Exit code 0, the rule exact, and the crashed machine's own values beside the advice.
fn is_named(dump: &Dump, what: &str) {
    let (code, answer) = common::json(&["identify", "--format", "json"], &dump.path, &[]);
    let first = &answer["matches"][0];
    assert_eq!(first["rule"], "el7-page-lock-anon-vma-read-thp", "{what}: {answer}");
    assert_eq!(first["tier"], "exact", "{what}: {first}");
    assert_eq!(code, 0, "{what}");
    let asked_memory = first["evidence"].as_array().unwrap().iter().any(|row| {
        let found = row["found"].as_str().unwrap_or_default();
        row["part"] == "confirm" && found.contains("page@r13.mapping") && found.contains("anon_vma@rbx.root")
    });
    assert!(asked_memory, "{what}: {first}");
}

#[test]
fn the_bug_is_named_in_every_form_of_the_dump() {
    let machine = el7::machine(Options::default());
    for compression in [
        Compression::Raw,
        Compression::Lzo,
        Compression::Snappy,
        Compression::Zstd,
    ] {
        let options = Kdump {
            compression,
            ..Kdump::default()
        };
        is_named(&dump(&kdump::write(&machine, &options)), &format!("{compression:?}"));
    }
    let plain = kdump::write(&machine, &Kdump::default());
    is_named(&dump(&flat::write(&plain, &Flat::default())), "flattened");
    is_named(&dump(&elf::write(&machine, &Elf::default())), "elf");
}

#[test]
fn the_bug_is_named_whatever_the_minor_release_says_of_itself() {
    for options in [
        Options {
            old_vmcoreinfo: true,
            ..Options::default()
        },
        Options {
            without_vmcoreinfo: true,
            ..Options::default()
        },
    ] {
        let machine = el7::machine(options);
        is_named(
            &dump(&kdump::write(&machine, &Kdump::default())),
            &format!("{options:?}"),
        );
    }
}

#[test]
fn the_answer_shows_the_settings_beside_the_advice() {
    let output = common::vmcoroner().arg("identify").arg(&usual().path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in ["2779851", "1305620", "always", "90112", "256 256 32", "kswapd0"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn its_capsule_is_named_too() {
    let dump = usual();
    let capsule = dump.path.with_file_name("capsule");
    let made = common::vmcoroner()
        .args(["capsule", "-o"])
        .arg(&capsule)
        .arg(&dump.path)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // 127.7 GB of machine.
    assert!(capsule.metadata().unwrap().len() < 256 << 10);
    let whole = Dump {
        path: capsule,
        ..usual()
    };
    is_named(&whole, "capsule");
}
