//! `rules import` as a user meets it, over messages of our own.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::vmcoroner;
use serde_json::{Value, json};

/// Runs an import of `sources` into a folder: exit code, what it says, what went wrong.
fn import(folder: &Path, sources: &[&str]) -> (i32, Value, String) {
    let mut arguments = vec!["rules", "import", "--no-builtin", "--format", "json"];
    arguments.extend(sources);
    let output = vmcoroner().current_dir(folder).args(arguments).output().unwrap();
    (
        output.status.code().unwrap_or(-1),
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn write(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The message of a fix of a crash in `function`, called by `callers`, as a patch.
fn patch(commit: char, function: &str, callers: &[&str]) -> String {
    let commit: String = std::iter::repeat_n(commit, 40).collect();
    let calls: String = callers.iter().map(|caller| format!("  {caller}+0x2d/0x90\n")).collect();
    format!(
        "From {commit} Mon Sep 17 00:00:00 2001\n\
         From: Somebody <some@body>\n\
         Subject: [PATCH] pump: fix use-after-free when the tank runs dry\n\n\
         Whoever reads this sentence in a rule has found a bug of the importer.\n\n\
         \x20BUG: kernel NULL pointer dereference, address: 0000000000000010\n\
         \x20#PF: supervisor read access in kernel mode\n\
         \x20Oops: 0000 [#1] PREEMPT SMP NOPTI\n\
         \x20CPU: 0 PID: 77 Comm: plumber Not tainted 6.1.7 #1\n\
         \x20RIP: 0010:{function}+0x13/0x60\n\
         \x20Call Trace:\n\
         \x20 <TASK>\n{calls}  </TASK>\n\n\
         Fixes: eeeeeeeeeeee (\"pump: new driver\")\n\
         Cc: stable@vger.kernel.org # 5.10+\n\
         ---\n drivers/pump/core.c | 2 +-\n\n\
         diff --git a/drivers/pump/core.c b/drivers/pump/core.c\n"
    )
}

fn rules(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.join("rules")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_patch_becomes_a_rule_that_is_in_order_and_proven() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(
        folder,
        "patches/a.patch",
        &patch('a', "pump_water", &["fill_tank", "open_tap", "plumb"]),
    );
    write(folder, "patches/readme", "nothing of interest");
    let (code, said, err) = import(folder, &["patches"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(said["rules"]["new"], json!(["caaaaaaaaaaaa-pump-water"]));
    let path = folder.join("rules/upstream/drivers/caaaaaaaaaaaa-pump-water.yaml");
    let text = fs::read_to_string(&path).unwrap();
    for part in [
        "status: test",
        "fault: pump_water",
        "fill_tank",
        "aaaaaaaaaaaa",
        "introduced: \"5.10\"",
        "eeeeeeeeeeee",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Facts carry over, sentences do not.
    let case = fs::read_to_string(folder.join("corpus/caaaaaaaaaaaa-pump-water/match-fix-message.json")).unwrap();
    for words in ["Whoever reads", "runs dry", "Somebody"] {
        assert!(!text.contains(words) && !case.contains(words), "{words}");
    }
    let check = vmcoroner()
        .current_dir(folder)
        .args(["rules", "check", "rules", "--no-builtin"])
        .output()
        .unwrap();
    let said = String::from_utf8(check.stdout).unwrap();
    assert!(
        check.status.success() && said.contains("0 errors, 0 warnings"),
        "{said}"
    );
    let test = ["rules", "test", "--no-builtin", "--rules", "rules"];
    let test = vmcoroner().current_dir(folder).args(test).output().unwrap();
    assert!(test.status.success(), "{}", String::from_utf8_lossy(&test.stdout));
}

#[test]
fn what_is_edited_by_hand_is_kept_and_the_rest_follows_its_source() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "a.patch", &patch('a', "pump_water", &["fill_tank", "open_tap"]));
    write(folder, "b.patch", &patch('b', "drain_water", &["close_tap", "unplumb"]));
    import(folder, &["a.patch", "b.patch"]);
    let [a, b] = rules(folder).try_into().unwrap();
    let edited = fs::read_to_string(&a)
        .unwrap()
        .replace("status: test", "status: stable");
    fs::write(&a, &edited).unwrap();
    let (_, said, _) = import(folder, &["a.patch", "b.patch"]);
    assert_eq!(
        said["rules"]["edited by hand, kept"],
        json!(["caaaaaaaaaaaa-pump-water"])
    );
    assert_eq!(said["rules"]["unchanged"], json!(["cbbbbbbbbbbbb-drain-water"]));
    write(
        folder,
        "b.patch",
        &patch('b', "drain_water", &["close_tap", "unplumb"]).replace("5.10+", "5.15+"),
    );
    let (_, said, _) = import(folder, &["a.patch", "b.patch"]);
    assert_eq!(said["rules"]["updated"], json!(["cbbbbbbbbbbbb-drain-water"]));
    assert!(fs::read_to_string(&b).unwrap().contains("5.15"));
    assert_eq!(fs::read_to_string(&a).unwrap(), edited);
    // Another fix of what looks the same: neither can be named now.
    write(folder, "c.patch", &patch('c', "drain_water", &["close_tap", "unplumb"]));
    let (_, said, _) = import(folder, &["a.patch", "b.patch", "c.patch"]);
    assert_eq!(said["rules"]["removed"], json!(["cbbbbbbbbbbbb-drain-water"]), "{said}");
    assert!(!b.exists() && !folder.join("corpus/cbbbbbbbbbbbb-drain-water").exists());
    assert_eq!(fs::read_to_string(&a).unwrap(), edited);
}

#[test]
fn bugs_that_cannot_be_told_apart_get_no_rule_and_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder, "a.patch", &patch('a', "pump_water", &["fill_tank", "open_tap"]));
    write(folder, "b.patch", &patch('b', "pump_water", &["fill_tank", "open_tap"]));
    write(folder, "c.patch", &patch('c', "kfree", &["kthread"]));
    write(
        folder,
        "d.patch",
        &patch('d', "turn_wheel", &["grind_corn", "sell_flour"]),
    );
    let (code, said, _) = import(folder, &["a.patch", "b.patch", "c.patch", "d.patch"]);
    assert_eq!(code, 0);
    assert_eq!(said["rules"]["new"], json!(["cdddddddddddd-turn-wheel"]));
    let list = fs::read_to_string(folder.join("rules/upstream/left-out.md")).unwrap();
    assert!(
        list.contains("caaaaaaaaaaaa-pump-water: `cbbbbbbbbbbbb-pump-water`"),
        "{list}"
    );
    assert!(list.contains("- cccccccccccc: `kfree`"), "{list}");
}

#[test]
fn a_callers_crash_needs_its_caller_where_the_place_is_everybodys() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(
        folder,
        "a.patch",
        &patch('a', "mutex_lock", &["pump_water", "fill_tank", "open_tap"]),
    );
    let (_, said, err) = import(folder, &["a.patch"]);
    assert_eq!(said["rules"]["new"], json!(["caaaaaaaaaaaa-pump-water"]), "{err}");
    let text = fs::read_to_string(&rules(folder)[0]).unwrap();
    assert!(text.contains("frames: {ordered: [pump_water"), "{text}");
}

#[test]
fn a_git_history_and_a_cve_record_are_sources_too() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git")
            .current_dir(folder)
            .args([
                "-c",
                "user.name=x",
                "-c",
                "user.email=x@y",
                "-c",
                "commit.gpgsign=false",
            ])
            .args(arguments)
            .output();
        output.is_ok_and(|output| output.status.success())
    };
    let message = patch('a', "pump_water", &["fill_tank", "open_tap"]);
    let (_, message) = message.split_once("Subject: [PATCH] ").unwrap();
    let (message, _) = message
        .split_once("---\n diff")
        .or(message.split_once("---\n"))
        .unwrap();
    if git(&["init", "-q", "history"]) {
        let ran = git(&["-C", "history", "commit", "-q", "--allow-empty", "-m", message]);
        assert!(ran);
        let (code, said, err) = import(folder, &["history"]);
        assert_eq!(code, 0, "{err}");
        let new = said["rules"]["new"][0].as_str().unwrap();
        assert!(new.ends_with("-pump-water") && new.starts_with('c'), "{new}");
        fs::remove_dir_all(folder.join("rules")).unwrap();
        fs::remove_dir_all(folder.join("corpus")).unwrap();
    }
    let record = json!({
        "dataType": "CVE_RECORD",
        "cveMetadata": {"cveId": "CVE-2099-1234"},
        "containers": {"cna": {
            "title": "pump: fix",
            "descriptions": [{"lang": "en", "value": format!("In the Linux kernel:\n\n{message}")}],
            "affected": [{"programFiles": ["net/core/pump.c"], "versions": [
                {"version": "5.14", "status": "affected"},
                {"version": "6.1.9", "lessThanOrEqual": "6.1.*", "status": "unaffected", "versionType": "semver"},
            ]}],
        }},
    });
    write(folder, "cve/a.json", &record.to_string());
    let (code, said, err) = import(folder, &["cve"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(said["rules"]["new"], json!(["cve-2099-1234-pump-water"]));
    let text = fs::read_to_string(folder.join("rules/upstream/net/cve-2099-1234-pump-water.yaml")).unwrap();
    assert!(text.contains("introduced: \"5.14\", fixed: [\"6.1.9\"]"), "{text}");
    let (code, ..) = import(folder, &["nowhere"]);
    assert_eq!(code, 2);
}

/// Crashes as people put them into messages: cut, indented, stamped, of every machine. What each rule must ask for.
const SHAPES: &[(&str, &str, &[&str])] = &[
    (
        "[  312.123456] BUG: kernel NULL pointer dereference, address: 0000000000000048\n\
         [  312.123470] Oops: 0000 [#1] PREEMPT SMP PTI\n\
         [  312.123480] CPU: 3 PID: 2211 Comm: ethtool Not tainted 5.14.0-70.el9.x86_64 #1\n\
         [  312.123490] RIP: 0010:acme_ring_drain+0x2a/0x110 [acme]\n\
         [  312.123520] Call Trace:\n\
         [  312.123530]  <TASK>\n\
         [  312.123540]  acme_ring_free+0x44/0xa0 [acme]\n\
         [  312.123550]  acme_rings_resize+0x1f2/0x3c0 [acme]\n\
         [  312.123600]  </TASK>\n",
        "acme-ring-drain",
        &[
            "null-pointer-dereference",
            "fault: acme_ring_drain",
            "acme_ring_free?",
            "acme_rings_resize?",
        ],
    ),
    (
        "    general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] SMP NOPTI\n\
         \x20   CPU: 12 PID: 881 Comm: kworker/12:1H Not tainted 6.1.12 #5\n\
         \x20   <snip>\n\
         \x20   RIP: 0010:acme_put_req+0x31/0x90 [acme_scsi]\n\
         \x20   [...]\n\
         \x20   Call Trace:\n\
         \x20    acme_eh_done+0x5d/0xe0 [acme_scsi]\n\
         \x20    acme_isr_thread+0x1a4/0x2b0 [acme_scsi]\n\
         \x20    irq_thread_fn+0x20/0x60\n\
         \x20    <snip>\n",
        "acme-put-req",
        &["general-protection", "acme_eh_done?", "acme_isr_thread?"],
    ),
    (
        "BUG: unable to handle kernel paging request at ffffffffc0a81234\n\
         RIP: 0010:acme_crtc_flip+0x7e/0x1c0\n\
         Call Trace:\n acme_atomic_tail+0x210/0x540\n acme_commit_tail+0x94/0x130\n",
        "acme-crtc-flip",
        &["bad-page-fault", "acme_atomic_tail?", "acme_commit_tail?"],
    ),
    (
        "  Unable to handle kernel NULL pointer dereference at virtual address 0000000000000058\n\
         \x20 Internal error: Oops: 0000000096000004 [#1] PREEMPT SMP\n\
         \x20 CPU: 2 PID: 54 Comm: kworker/2:1 Not tainted 6.6.3 #1\n\
         \x20 pc : acme_spi_read+0x28/0xb4 [acme_spi]\n\
         \x20 lr : acme_spi_work+0x9c/0x1f0 [acme_spi]\n\
         \x20 Call trace:\n\
         \x20  acme_spi_read+0x28/0xb4 [acme_spi]\n\
         \x20  acme_spi_work+0x9c/0x1f0 [acme_spi]\n\
         \x20  acme_spi_pump+0x40/0x88 [acme_spi]\n\
         \x20  process_one_work+0x1f4/0x4a0\n\
         \x20 Code: f9400260 b4000040 (f9402c00)\n",
        "acme-spi-read",
        &["null-pointer-dereference", "acme_spi_work?", "acme_spi_pump?"],
    ),
    (
        "BUG: Kernel NULL pointer dereference on read at 0x00000010\n\
         Faulting instruction address: 0xc00000000008a2f4\n\
         Oops: Kernel access of bad area, sig: 11 [#1]\n\
         CPU: 40 PID: 1 Comm: swapper/40 Not tainted 6.2.0 #14\n\
         NIP:  c00000000008a2f4 LR: c00000000008a2c0 CTR: 0000000000000000\n\
         NIP [c00000000008a2f4] acme_phb_setup+0x84/0x1f0\n\
         LR [c00000000008a2c0] acme_phb_setup+0x50/0x1f0\n\
         Call Trace:\n\
         [c000000002c9f850] [c00000000008a2c0] acme_phb_setup+0x50/0x1f0 (unreliable)\n\
         [c000000002c9f8e0] [c00000000008b3a4] acme_phb_scan+0x134/0x2c0\n\
         [c000000002c9f9a0] [c000000002012344] acme_pci_init+0x80/0x120\n",
        "acme-phb-setup",
        &["null-pointer-dereference", "acme_phb_scan?", "acme_pci_init?"],
    ),
    (
        "Unable to handle kernel pointer dereference in virtual kernel address space\n\
         Failing address: 5a5a5a5a5a5a5000 TEID: 5a5a5a5a5a5a5803\n\
         Oops: 0038 ilc:3 [#1] SMP\n\
         CPU: 5 PID: 1290 Comm: chccwdev Not tainted 5.19.0 #3\n\
         Krnl PSW : 0704c00180000000 000003ff8013a5be (acme_ccw_offline+0x3e/0x140 [acme_ccw])\n\
         Krnl GPRS: 0000000000000000 0000000000000001 0000000000000000 0000000000000000\n\
         Call Trace:\n\
         \x20[<000003ff8013a5be>] acme_ccw_offline+0x3e/0x140 [acme_ccw]\n\
         \x20[<000003ff8013b012>] acme_ccw_state+0x72/0xd0 [acme_ccw]\n\
         \x20[<00000000a1c8f3e2>] acme_group_offline+0x112/0x2d0\n",
        "acme-ccw-offline",
        &[
            "bad-page-fault",
            "' in acme_ccw_offline(",
            "acme_ccw_state?",
            "acme_group_offline?",
        ],
    ),
    (
        "BUG: KASAN: slab-use-after-free in acme_ref fs/acme/dir.c:88 [inline]\n\
         BUG: KASAN: slab-use-after-free in acme_lookup+0x1d2/0x240 fs/acme/dir.c:131\n\
         Read of size 8 at addr ffff88801f0a2c40 by task syz-executor.3/6011\n\n\
         CPU: 1 PID: 6011 Comm: syz-executor.3 Not tainted 6.9.0-rc1-syzkaller #0\n\
         Call Trace:\n\
         \x20<TASK>\n\
         \x20__dump_stack lib/dump_stack.c:88 [inline]\n\
         \x20dump_stack_lvl+0x116/0x1f0 lib/dump_stack.c:114\n\
         \x20print_report+0xc3/0x620 mm/kasan/report.c:488\n\
         \x20kasan_report+0xd9/0x110 mm/kasan/report.c:601\n\
         \x20acme_ref fs/acme/dir.c:88 [inline]\n\
         \x20acme_lookup+0x1d2/0x240 fs/acme/dir.c:131\n\
         \x20acme_revalidate+0x9e/0x330 fs/acme/dir.c:402\n\
         \x20acme_walk+0x2a6/0x540 fs/acme/namei.c:1666\n\
         \x20</TASK>\n",
        "acme-lookup",
        // The helper is in many functions: the one that it is inlined into is asked for beside it.
        &["use-after-free", "ordered: [acme_lookup, ", "acme_revalidate?"],
    ),
    (
        "watchdog: BUG: soft lockup - CPU#7 stuck for 26s! [acme_resync:1817]\n\
         CPU: 7 PID: 1817 Comm: acme_resync Tainted: G             L     6.4.0 #1\n\
         RIP: 0010:acme_next_chunk+0x61/0xc0 [acme_md]\n\
         Call Trace:\n\
         \x20acme_resync_range+0x13b/0x3d0 [acme_md]\n\
         \x20acme_sync_thread+0x2e0/0x880 [acme_md]\n\
         \x20md_thread+0xab/0x190\n\
         \x20kthread+0xe5/0x120\n",
        "acme-resync-range",
        &["soft-lockup", "acme_resync_range, \"acme_sync_thread?\""],
    ),
    (
        "  BUG: unable to handle kernel NULL pointer dereference at 0000000000000018\n\
         \x20 IP: [<ffffffffa02b1c3a>] acme_bond_xmit+0x2a/0x1f0 [acme_bond]\n\
         \x20 PGD 0\n\
         \x20 Oops: 0000 [#1] SMP\n\
         \x20 RIP: 0010:[<ffffffffa02b1c3a>]  [<ffffffffa02b1c3a>] acme_bond_xmit+0x2a/0x1f0 [acme_bond]\n\
         \x20 Call Trace:\n\
         \x20  <IRQ>\n\
         \x20  [<ffffffff8151b7b6>] acme_bond_queue+0x316/0x4f0 [acme_bond]\n\
         \x20  [<ffffffffa02a1234>] acme_vlan_xmit+0x64/0x120 [acme_vlan]\n",
        "acme-bond-xmit",
        &["null-pointer-dereference", "acme_bond_queue?", "acme_vlan_xmit?"],
    ),
    (
        "Unable to handle kernel NULL pointer dereference at virtual address 0000001c\n\
         Internal error: Oops: 5 [#1] SMP ARM\n\
         PC is at acme_mmc_finish+0x18/0x9c\n\
         LR is at acme_mmc_tasklet+0x40/0x7c\n\
         [<c05a1c20>] (acme_mmc_finish) from [<c05a1f10>] (acme_mmc_tasklet+0x40/0x7c)\n\
         [<c05a1f10>] (acme_mmc_tasklet) from [<c05a2000>] (acme_mmc_run+0x50/0x90)\n\
         [<c05a2000>] (acme_mmc_run) from [<c0123456>] (tasklet_action_common+0x60/0x110)\n",
        "acme-mmc-finish",
        &["null-pointer-dereference", "acme_mmc_tasklet?", "acme_mmc_run?"],
    ),
    (
        "Unable to handle kernel paging request at virtual address ffffffd8002a1000\n\
         Oops [#1]\n\
         epc : acme_tlb_fill+0x3a/0x90\n\
         \x20ra : acme_tlb_walk+0x66/0x1a4\n\
         [<ffffffff80123456>] acme_tlb_fill+0x3a/0x90\n\
         [<ffffffff80123abc>] acme_tlb_walk+0x66/0x1a4\n\
         [<ffffffff80124000>] acme_tlb_sync+0x20/0x50\n",
        "acme-tlb-fill",
        &["bad-page-fault", "acme_tlb_walk?", "acme_tlb_sync?"],
    ),
    (
        " kernel BUG at fs/acme/btree.c:1402!\n\
         \x20invalid opcode: 0000 [#1] SMP\n\
         \x20RIP: 0010:acme_btree_split+0x44e/0x460\n\
         \x20Call Trace:\n\
         \x20 acme_btree_insert+0x120/0x2a0\n\
         \x20 acme_extent_add+0x7a/0x150\n\
         \x20 acme_writepage_done+0x4c/0xc0\n",
        "acme-btree-split",
        // Whoever spoilt the tree, the same line complains: all of the way is asked for.
        &[
            "kind: bug",
            "[\"acme_btree_insert?\", \"acme_extent_add?\", \"acme_writepage_done?\"]",
        ],
    ),
];

#[test]
fn crashes_of_every_shape_become_rules() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (index, (crash, ..)) in SHAPES.iter().enumerate() {
        let commit = format!("{:02x}", index + 16).repeat(20);
        let text = format!(
            "From {commit} Mon Sep 17 00:00:00 2001\nSubject: [PATCH] acme: fix it\n\nWe saw:\n\n{crash}\nSo look first.\n\n\
             Fixes: eeeeeeeeeeee (\"acme: new\")\n---\n drivers/acme/core.c | 2 +-\n"
        );
        write(folder, &format!("patches/{index}.patch"), &text);
    }
    let (code, said, err) = import(folder, &["patches"]);
    assert_eq!(code, 0, "{err}");
    let rules = rules(folder);
    assert_eq!(rules.len(), SHAPES.len(), "{said:#}");
    for (_, function, parts) in SHAPES {
        let path = rules
            .iter()
            .find(|path| path.to_string_lossy().contains(function))
            .unwrap();
        let text = fs::read_to_string(path).unwrap();
        for part in *parts {
            assert!(text.contains(part), "{function}: {part}:\n{text}");
        }
    }
    let test = ["rules", "test", "--no-builtin", "--rules", "rules"];
    let test = vmcoroner().current_dir(folder).args(test).output().unwrap();
    assert!(test.status.success(), "{}", String::from_utf8_lossy(&test.stdout));
}

#[test]
fn what_tells_too_little_gets_no_rule() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let bodies = [
        // No caller is told.
        "BUG: kernel NULL pointer dereference, address: 0000000000000010\nRIP: 0010:acme_alone+0x5/0x40 [acme]\n",
        // A check, and one caller.
        "kernel BUG at fs/acme/a.c:12!\nRIP: 0010:acme_check+0x5/0x40\nCall Trace:\n acme_caller+0x10/0x20\n",
        // Everybody's work.
        "BUG: kernel NULL pointer dereference, address: 0000000000000008\nRIP: 0010:__list_del_entry_valid+0x2a/0x90\n\
         Call Trace:\n process_one_work+0x1f4/0x4a0\n worker_thread+0x6c/0x420\n kthread+0x118/0x11c\n",
    ];
    for (index, body) in bodies.iter().enumerate() {
        let commit = char::from_digit(index as u32 + 1, 10).unwrap().to_string().repeat(40);
        let head = format!("From {commit} Mon Sep 17 00:00:00 2001\nSubject: [PATCH] acme: fix it\n\n");
        write(
            folder,
            &format!("patches/{index}.patch"),
            &format!("{head}{body}\n---\n"),
        );
    }
    let (_, said, _) = import(folder, &["patches"]);
    assert_eq!(said["rules"], json!({}), "{said:#}");
    assert_eq!(said["left_out"].as_array().unwrap().len(), bodies.len(), "{said:#}");
}

#[test]
fn fixes_of_one_cve_do_not_mix_and_the_teams_mails_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Two fixes of one CVE: each keeps its own commits and crash.
    let cve = |text: String| text.replace("Fixes: eeee", "CVE-2099-1000\nFixes: eeee");
    write(
        folder,
        "two/a.patch",
        &cve(patch('a', "pump_water", &["fill_tank", "open_tap"])),
    );
    let other = cve(patch('b', "drain_water", &["close_tap", "unplumb"]));
    write(folder, "two/b.patch", &other.replace("Fixes: eeeeeeeeeeee", "Nothing:"));
    let (_, said, err) = import(folder, &["two"]);
    assert_eq!(
        said["rules"]["new"],
        json!(["cve-2099-1000-pump-water", "cve-2099-1000-drain-water"]),
        "{err}"
    );
    let second = fs::read_to_string(&rules(folder)[0]).unwrap();
    assert!(
        second.contains("bbbbbbbbbbbb") && !second.contains("eeeeeeeeeeee"),
        "{second}"
    );
    let (_, said, _) = import(folder, &["two"]);
    assert_eq!(said["rules"]["unchanged"].as_array().map(Vec::len), Some(2), "{said:#}");
    // An announcement, in a folder kept in git whose history says nothing.
    let (_, body) = patch('c', "turn_wheel", &["grind_corn", "sell_flour"])
        .split_once("\n\n")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let (body, _) = body.split_once("Fixes:").unwrap();
    let mail = format!(
        "From bippy-1.2.0 Mon Sep 17 00:00:00 2001\nSubject: CVE-2099-2000: mill: mind the wheel\n\n\
         In the Linux kernel, the following vulnerability has been resolved:\n\n{body}\n\
         The Linux kernel CVE team has assigned CVE-2099-2000 to this issue.\n\n\
         \tIssue introduced in 5.2 with commit dddddddddddddddddddddddddddddddddddddddd and fixed in 6.1.30 with commit 1111111111111111111111111111111111111111\n\
         \tIssue introduced in 5.2 with commit dddddddddddddddddddddddddddddddddddddddd and fixed in 6.4 with commit 2222222222222222222222222222222222222222\n\n\
         The file(s) affected by this issue are:\n\tnet/mill/wheel.c\n"
    );
    write(folder, "vulns/2099/CVE-2099-2000.mbox", &mail);
    let (code, said, err) = import(folder, &["vulns"]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(said["rules"]["new"], json!(["cve-2099-2000-turn-wheel"]), "{said:#}");
    let text = fs::read_to_string(folder.join("rules/upstream/net/cve-2099-2000-turn-wheel.yaml")).unwrap();
    for part in [
        "introduced: \"5.2\", fixed: [\"6.1.30\", \"6.4\"]",
        "222222222222",
        "dddddddddddd",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}
