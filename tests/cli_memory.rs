//! `sym` and `read` as a user types them, on the real dumps of the shared test data folder.

mod common;

use common::{json, shared, truths, vmcoroner};
fn lines(arguments: &[&str]) -> (i32, Vec<String>) {
    let output = vmcoroner().args(arguments).output().expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (
        output.status.code().unwrap_or(-1),
        text.lines().map(str::to_owned).collect(),
    )
}

#[test]
fn symbols_are_found_both_ways() {
    let Some(folder) = shared("vmcores") else { return };
    for case in truths(&folder) {
        let dump = case.dump.to_str().expect("a plain path");
        let (code, found) = lines(&["sym", dump, "panic", "panic+0x10"]);
        assert_eq!(code, 0, "{}: {found:?}", case.name);
        let [start, inside] = found.as_slice() else {
            panic!("{}: {found:?}", case.name)
        };
        let (address, name) = start.split_once(' ').expect("address and name");
        assert_eq!(name, "(T) panic", "{}", case.name);
        let at = inside.split(' ').next().expect("an address");
        let (_, back) = lines(&["sym", dump, address, at]);
        assert_eq!(back, found, "{}", case.name);
    }
}

#[test]
fn what_no_symbol_covers_is_said() {
    let Some(folder) = shared("vmcores") else { return };
    let dump = folder.join("v01-anonvma-5.10.vmcore");
    let dump = dump.to_str().expect("a plain path");
    for query in [
        "no_such_function",
        "0x1001",
        "no_such_variable:0",
        "panic+zz",
        "runqueues:4096",
    ] {
        let (code, found) = lines(&["sym", dump, query]);
        assert_eq!((code, found.len()), (1, 0), "{query}: {found:?}");
    }
}

#[test]
fn members_are_read_through_registers_and_the_current_task() {
    let Some(folder) = shared("vmcores") else { return };
    for case in truths(&folder) {
        let (code, answer) = json(
            &["read", "--format", "json"],
            &case.dump,
            &["current.comm", "current.pid"],
        );
        let answers = answer.as_array().expect("two expressions give an array");
        let task = &case.truth["panic_task"];
        for (answer, expected) in answers.iter().zip([&task["comm"], &task["pid"]]) {
            match answer["error"].as_str() {
                None => assert_eq!((code, &answer["values"][0]["value"]), (0, expected), "{}", case.name),
                Some(why) => {
                    // The task, or which one it was, may lie behind the end of a truncated dump.
                    assert!(case.name.contains("-trunc-") && code == 1, "{}: {why}", case.name);
                }
            }
        }
    }
}

#[test]
fn a_member_that_is_not_there_is_named() {
    let Some(folder) = shared("vmcores") else { return };
    let dump = folder.join("v01-anonvma-5.10.vmcore");
    let (code, answer) = json(
        &["read", "--format", "json"],
        &dump,
        &["task_struct@current.no_such_member"],
    );
    assert_eq!(code, 1);
    assert!(
        answer["error"]
            .as_str()
            .is_some_and(|why| why.contains("no_such_member")),
        "{answer}"
    );
}

#[test]
fn a_malformed_expression_is_an_error_with_its_column() {
    let output = vmcoroner()
        .args(["read", "nowhere", "page@"])
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("column 6"), "{error}");
}
