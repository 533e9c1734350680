//! Every real dump against what `crash` and the kernel's own log say of it.

mod common;

use std::collections::BTreeSet;

use common::{Truth, json, shared, truths, vmcoroner};
use serde_json::Value;

/// The kind of failure that a crash made in the lab is.
fn kind_of(made: &str) -> &'static str {
    match made {
        "anonvma" | "anonvma_direct" | "null_read" | "null_write" | "null_call" => "null-pointer-dereference",
        "gpf" => "general-protection",
        "bug" => "bug",
        "list_add" | "list_del" => "list-corruption",
        "softlockup" => "soft-lockup",
        "sysrq" => "sysrq",
        other => panic!("the lab's kind {other} has no expectation here yet"),
    }
}

/// A register's value from either side, whatever its spelling.
fn hex(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or_else(|_| panic!("{text:?} is not hex"))
}

/// The kernel prints `EFLAGS` and `R08` where the record says `rflags` and `r8`.
fn register_name(printed: &str) -> String {
    match printed.to_lowercase().as_str() {
        "eflags" => "rflags".to_owned(),
        "r08" => "r8".to_owned(),
        "r09" => "r9".to_owned(),
        other => other.to_owned(),
    }
}

/// The address in "…, address: 0000000000000038".
fn panic_address(oops: &Value) -> Option<u64> {
    let (_, address) = oops["headline"].as_str()?.rsplit_once("address: ")?;
    Some(hex(address))
}

struct Check<'a> {
    name: &'a str,
    wrong: Vec<String>,
}

impl Check<'_> {
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, found: T, expected: T) {
        if found != expected {
            self.wrong
                .push(format!("{}: {what}: found {found:?}, expected {expected:?}", self.name));
        }
    }
}

fn check(case: &Truth) -> Vec<String> {
    let (_, report) = json(&["extract", "--format", "json"], &case.dump, &[]);
    let truth = &case.truth;
    let oops = &truth["oops_text"];
    let mut check = Check {
        name: &case.name,
        wrong: Vec::new(),
    };
    check.same(
        "release",
        report["system"]["release"].as_str(),
        truth["kernel_release"].as_str(),
    );
    check.same(
        "version",
        report["system"]["version"].as_str(),
        truth["kernel_version"].as_str(),
    );
    check.same(
        "nodename",
        report["system"]["nodename"].as_str(),
        truth["nodename"].as_str(),
    );
    check.same(
        "panic.message",
        report["panic"]["message"].as_str(),
        oops["headline"].as_str(),
    );
    let kind = kind_of(case.made["kind"].as_str().unwrap_or_default());
    check.same("panic.kind", report["panic"]["kind"].as_str(), Some(kind));
    check.same(
        "task.pid",
        report["task"]["pid"].as_u64(),
        truth["panic_task"]["pid"].as_u64(),
    );
    check.same(
        "task.comm",
        report["task"]["comm"].as_str(),
        truth["panic_task"]["comm"].as_str(),
    );
    check.same(
        "task.cpu",
        report["task"]["cpu"].as_u64(),
        truth["panic_task"]["cpu"].as_u64(),
    );
    // `crash` calls only the kdump format's dumps partial; makedumpfile's -d filters an ELF one just the same.
    let filtered = case.made["mode"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .any(|mode| mode.contains(" -d "));
    check.same("source.partial", report["source"]["partial"].as_bool(), Some(filtered));
    let letters: String = report["taint"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let expected = truth["taint"]
        .as_str()
        .and_then(|t| t.split_whitespace().nth(2))
        .unwrap_or_default();
    check.same("taint", letters.as_str(), expected);

    let place = format!(
        "{}+{:#x}",
        report["fault"]["symbol"].as_str().unwrap_or("-"),
        report["fault"]["offset"].as_u64().unwrap_or_default()
    );
    match oops["rip"].as_str() {
        Some(rip) => {
            let expected = rip.split('/').next().unwrap_or_default();
            check.same("fault", place.as_str(), expected);
        }
        None => check.same("fault", report["fault"].is_null(), true),
    }
    for (name, value) in oops["regs"].as_object().into_iter().flatten() {
        let name = register_name(name);
        let found = report["fault"]["registers"][&name].as_str().map(hex);
        // Between the fault and the register lines the oops code may fault itself; the oops then ends with the first CR2.
        let expected = match name.as_str() {
            "cr2" => panic_address(oops).or_else(|| value.as_str().map(hex)),
            _ => value.as_str().map(hex),
        };
        check.same(&format!("fault.registers.{name}"), found, expected);
    }

    if let Some(dmesg) = &case.dmesg {
        let text = std::fs::read_to_string(dmesg).expect("the log is text");
        let lines = text.lines().count() as u64;
        check.same("log.lines", report["log"]["lines"].as_u64(), Some(lines));
        let printed = vmcoroner()
            .arg("log")
            .arg(&case.dump)
            .output()
            .expect("the binary runs")
            .stdout;
        check.same("log", String::from_utf8_lossy(&printed) == text, true);
        let linked: BTreeSet<&str> = text
            .lines()
            .filter_map(|line| line.split_once("Modules linked in: "))
            .flat_map(|(_, modules)| modules.split_whitespace())
            .map(|module| module.split('(').next().unwrap_or(module))
            .collect();
        let named: BTreeSet<&str> = report["modules"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|m| m["name"].as_str())
            .collect();
        let lost: Vec<_> = linked.difference(&named).collect();
        check.same("modules that the log names and the report does not", lost, Vec::new());
    } else if let Some(lines) = truth["log_lines"].as_u64() {
        check.same("log.lines", report["log"]["lines"].as_u64(), Some(lines));
    }
    check.wrong
}

#[test]
fn dumps_say_what_crash_and_their_log_say() {
    let Some(folder) = shared("vmcores") else { return };
    let wrong: Vec<String> = truths(&folder).iter().flat_map(check).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
