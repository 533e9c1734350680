//! Scans that are killed, workers that break, catalogues that are asked: nothing is lost, nothing comes twice.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::vmcoroner;
use serde_json::Value;

/// The corpus' cases under `times` names each, and some that are none.
fn archive(times: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut cases: Vec<PathBuf> = fs::read_dir(corpus)
        .unwrap()
        .flatten()
        .filter(|rule| rule.path().is_dir())
        .flat_map(|rule| fs::read_dir(rule.path()).unwrap().flatten().map(|case| case.path()))
        .collect();
    cases.sort();
    for (number, case) in cases.iter().step_by(5).enumerate() {
        for time in 0..times {
            let crash = folder.path().join(format!("h{}/c{number}-{time}", number % 7));
            fs::create_dir_all(&crash).unwrap();
            match number % 10 {
                3 => {
                    let bytes = fs::read(case).unwrap();
                    fs::write(crash.join("cut"), &bytes[..bytes.len() / 2]).unwrap();
                }
                _ => drop(fs::copy(case, crash.join(case.file_name().unwrap())).unwrap()),
            }
        }
    }
    fs::write(folder.path().join("noise"), [0x9d, 0x81, 0x02, 0xff].repeat(500)).unwrap();
    folder
}

fn output(arguments: &[&str]) -> (i32, String) {
    let output = vmcoroner().args(arguments).output().expect("the binary runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8(output.stdout).expect("output is UTF-8"),
    )
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Rows are long: the first that differs is told by its start.
fn same(one: &str, other: &str) {
    assert_eq!(one.lines().count(), other.lines().count());
    for (one, other) in one.lines().zip(other.lines()) {
        assert!(
            one == other,
            "rows differ:\n{}\n{}",
            one.get(..300).unwrap_or(one),
            other.get(..300).unwrap_or(other)
        );
    }
}

#[test]
fn a_scan_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let archive = archive(3);
    let folder = tempfile::tempdir().unwrap();
    let catalog = folder.path().join("catalogue.db");
    let (_, whole) = output(&["scan", "--quiet", text(archive.path())]);
    let mut killed = 0;
    for round in 0..20u64 {
        let mut scan = Command::new(assert_cmd::cargo::cargo_bin("vmcoroner"))
            .args(["scan", "--quiet", "--catalog", text(&catalog), text(archive.path())])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(5 + round.wrapping_mul(2_654_435_761) % 120));
        killed += u32::from(scan.try_wait().unwrap().is_none());
        scan.kill().unwrap();
        scan.wait().unwrap();
    }
    assert!(killed > 0, "every scan ended before it could be killed");
    let (_, rows) = output(&["scan", "--quiet", "--catalog", text(&catalog), text(archive.path())]);
    same(&rows, &whole);
    let (_, rows) = output(&["scan", "--quiet", "--catalog", text(&catalog), text(archive.path())]);
    same(&rows, &whole);
}

#[test]
fn workers_give_the_same_rows_and_one_that_wants_too_much_costs_its_own() {
    let archive = archive(1);
    let (_, whole) = output(&["scan", "--quiet", text(archive.path())]);
    let (_, isolated) = output(&["scan", "--quiet", "--isolate", "--timeout", "50s", text(archive.path())]);
    same(&isolated, &whole);
    // A text of which all must be kept, as far as texts are kept: some hundred MiB.
    let large = fs::File::create(archive.path().join("h1/large.txt")).unwrap();
    std::io::Write::write_all(
        &mut &large,
        b"[    1.000000] Linux version 6.1.0\n[    2.000000] BUG: soft lockup\n",
    )
    .unwrap();
    // Written, and no hole: holes are not read.
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), 180 << 20), &mut &large).unwrap();
    let (code, rows) = output(&["scan", "--quiet", "--max-memory", "160M", text(archive.path())]);
    assert_eq!(code, 2);
    let (lost, others): (Vec<&str>, Vec<&str>) = rows.lines().partition(|row| row.contains("large.txt\""));
    assert_eq!(lost.len(), 1);
    let row: Value = serde_json::from_str(lost[0]).unwrap();
    assert_eq!(row["status"], "failed");
    assert!(row["error"].as_str().unwrap().contains("memory"), "{row}");
    same(&(others.join("\n") + "\n"), &whole);
}

#[test]
fn a_folder_that_is_known_is_seen_to_change() {
    let archive = archive(1);
    let root = archive.path();
    let folder = tempfile::tempdir().unwrap();
    let catalog = folder.path().join("catalogue.db");
    // What changed just now may change once more without a sign: only what is older is not listed again.
    std::thread::sleep(Duration::from_millis(3_500));
    let scan = || output(&["scan", "--quiet", "--catalog", text(&catalog), text(root)]).1;
    let (first, second) = (scan(), scan());
    same(&first, &second);
    fs::write(root.join("h1/late"), "kernel BUG at mm/slub.c:1!\n").unwrap();
    fs::create_dir(root.join("h2/new")).unwrap();
    fs::rename(root.join("noise"), root.join("h2/new/noise")).unwrap();
    fs::remove_dir_all(root.join("h3")).unwrap();
    let changed = scan();
    same(&changed, &output(&["scan", "--quiet", text(root)]).1);
    assert!(changed.contains("h1/late") && changed.contains("new/noise") && !changed.contains("/h3/"));
}

#[test]
fn a_catalogue_is_asked_and_shared() {
    let archive = archive(1);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (whole, place) = (path("whole.db"), text(archive.path()));
    let (_, rows) = output(&["scan", "--quiet", "--catalog", &whole, place]);
    let known = rows.lines().filter(|row| row.contains("\"status\":\"known\"")).count();
    // Figures.
    let (code, figures) = output(&["stats", &whole, "--format", "json"]);
    let figures: Value = serde_json::from_str(&figures).unwrap();
    assert_eq!((code, figures["rows"].as_u64()), (0, Some(rows.lines().count() as u64)));
    assert_eq!(figures["status"]["known"].as_u64(), Some(known as u64));
    for format in ["human", "csv", "prometheus"] {
        let (code, text) = output(&["stats", &whole, "--format", format]);
        assert!(code == 0 && text.lines().count() > 5, "{format}: {text}");
    }
    // Other rules, and back.
    let (code, changes) = output(&["relabel", "--no-builtin", "--format", "jsonl", &whole]);
    assert_eq!((code, changes.lines().count()), (0, known));
    let (_, bare) = output(&["scan", "--quiet", "--no-builtin", place]);
    same(
        &output(&["scan", "--quiet", "--no-builtin", "--catalog", &whole, place]).1,
        &bare,
    );
    output(&["relabel", &whole]);
    same(&output(&["scan", "--quiet", "--catalog", &whole, place]).1, &rows);
    // Shares, merged as rows and as catalogues.
    let mut parts = Vec::new();
    for number in ["0", "1", "2"] {
        let share = format!("{number}/3");
        let part = path(&format!("part-{number}"));
        let (_, rows) = output(&[
            "scan",
            "--quiet",
            "--shard",
            &share,
            "--catalog",
            &format!("{part}.db"),
            place,
        ]);
        fs::write(format!("{part}.jsonl"), rows).unwrap();
        parts.push(part);
    }
    let files: Vec<String> = parts.iter().map(|part| format!("{part}.jsonl")).collect();
    let mut arguments = vec!["merge"];
    arguments.extend(files.iter().map(String::as_str));
    same(&output(&arguments).1, &rows);
    let merged = path("merged.db");
    let catalogues: Vec<String> = parts.iter().map(|part| format!("{part}.db")).collect();
    let mut arguments = vec!["merge", "--catalog", &merged];
    arguments.extend(catalogues.iter().map(String::as_str));
    assert_eq!(output(&arguments).0, 0);
    let (_, figures) = output(&["scan", "--quiet", "--format", "prometheus", "--catalog", &merged, place]);
    assert!(figures.contains("vmcoroner_scan_inputs_read 0\n"), "{figures}");
    same(&output(&["scan", "--quiet", "--catalog", &merged, place]).1, &rows);
}

#[test]
fn a_draft_is_tried_over_everything() {
    let archive = archive(1);
    let folder = tempfile::tempdir().unwrap();
    let catalog = folder.path().join("c.db");
    output(&["scan", "--quiet", "--catalog", text(&catalog), text(archive.path())]);
    let (_, unknown) = output(&["stats", text(&catalog), "--format", "json"]);
    let unknown: Value = serde_json::from_str(&unknown).unwrap();
    let group = &unknown["unknown_groups"][0];
    let example = group["example"].as_str().unwrap();
    let (code, draft) = output(&["rules", "new", "--from", example]);
    assert_eq!(code, 0);
    let file = folder.path().join("draft.yaml");
    fs::write(&file, &draft).unwrap();
    let (code, found) = output(&[
        "rules",
        "backtest",
        text(&file),
        "--catalog",
        text(&catalog),
        "--format",
        "json",
    ]);
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(code, 0, "{found}\n{draft}");
    assert!(
        found["claims"].as_object().unwrap().values().any(|crashes| {
            crashes["examples"]
                .as_array()
                .unwrap()
                .iter()
                .any(|input| input == example)
        }),
        "{found}\n{draft}"
    );
    let (_, human) = output(&["rules", "backtest", text(&file), "--catalog", text(&catalog)]);
    assert!(human.contains("claims"), "{human}");
    // Days that no calendar has make no trend.
    for days in ["0", "4294967295"] {
        assert_eq!(output(&["stats", text(&catalog), "--days", days]).0, 2);
    }
}

/// What a catalogue says, apart from the merges that made it.
fn told(catalog: &str) -> Vec<String> {
    let catalog = rusqlite::Connection::open(catalog).unwrap();
    let ask = |query: &str| {
        let mut select = catalog.prepare(query).unwrap();
        let rows = select.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.collect::<Result<Vec<_>, _>>().unwrap()
    };
    let mut told = ask(
        "SELECT concat_ws(' ', i.path, i.stamp, r.started_at, l.status, l.rule, l.first_seen, p.report) FROM input AS i \
         JOIN run AS r ON r.id = i.run JOIN label AS l ON l.input = i.id JOIN report AS p ON p.label = l.id ORDER BY 1",
    );
    told.extend(ask(
        "SELECT concat_ws(' ', l.name, r.started_at, r.command, h.status, h.rule) FROM history AS h \
         JOIN label AS l ON l.id = h.label JOIN run AS r ON r.id = h.run ORDER BY l.name, h.rowid",
    ));
    told.extend(ask(
        "SELECT concat_ws(' ', command, started_at) FROM run WHERE command <> 'merge' ORDER BY 1",
    ));
    told
}

#[test]
fn merged_catalogues_keep_what_is_later_in_whatever_order_and_however_often() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let place = folder.path().join("place");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("same"), "kernel BUG at mm/slub.c:1!\n").unwrap();
    fs::write(place.join("goes"), "kernel BUG at mm/slub.c:2!\n").unwrap();
    fs::write(place.join("changes"), "nothing to see here, but text it is\n").unwrap();
    let (old, new, relabelled) = (path("old.db"), path("new.db"), path("relabelled.db"));
    // Runs are told apart by the second.
    let pause = || std::thread::sleep(Duration::from_millis(1_100));
    output(&["scan", "--quiet", "--catalog", &old, text(&place)]);
    pause();
    fs::remove_file(place.join("goes")).unwrap();
    fs::write(place.join("changes"), "kernel BUG at mm/slab.c:333!\n").unwrap();
    let (_, rows) = output(&["scan", "--quiet", "--catalog", &new, text(&place)]);
    fs::copy(&new, &relabelled).unwrap();
    pause();
    output(&["relabel", "--no-builtin", &relabelled]);
    let merged = |name: &str, parts: &[&str]| {
        let catalog = path(name);
        let mut arguments = vec!["merge", "--catalog", &catalog];
        arguments.extend(parts);
        assert_eq!(output(&arguments).0, 0);
        catalog
    };
    let one = merged("one.db", &[&old, &new]);
    let expected = told(&one);
    assert_eq!(
        expected.iter().filter(|line| line.contains("changes ")).count(),
        3,
        "{expected:#?}"
    );
    assert_eq!(told(&merged("other.db", &[&new, &old])), expected);
    assert_eq!(told(&merged("again.db", &[&new, &old, &new, &old, &old])), expected);
    assert_eq!(told(&merged("again.db", &[&one, &old])), expected);
    same(&output(&["scan", "--quiet", "--catalog", &one, text(&place)]).1, &rows);
    // Rules that were asked later, too, are a later run.
    let rules = told(&merged("rules.db", &[&relabelled, &old, &new]));
    assert_eq!(told(&merged("rules.db", &[&new, &relabelled, &new])), rules);
    assert_eq!(told(&merged("turned.db", &[&old, &new, &relabelled])), rules);
    assert_ne!(rules, expected);
}
