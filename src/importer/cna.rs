//! The CVE records of the kernel's own numbering authority (CVE record format 5): which commits and releases brought a
//! bug and which fixed it, and the fix's message, which may quote the crash.

use serde_json::Value;

use super::bug::{Bug, area_of, is_commit};
use super::message;

/// Reads a record. `None`: it is none, or another authority's, or its message quotes no crash.
pub fn read(source: &str, record: &Value) -> Option<Bug> {
    let metadata = record.get("cveMetadata")?;
    let cve = metadata.get("cveId")?.as_str()?.to_owned();
    // A collection holds everybody's records: what others say of versions is not of the kernel's releases.
    let assigner = metadata.get("assignerShortName").and_then(Value::as_str);
    assigner.is_none_or(|name| name == "Linux").then_some(())?;
    let cna = record.get("containers")?.get("cna")?;
    let texts = cna.get("descriptions")?.as_array()?;
    let text = texts.iter().find_map(|text| text.get("value")?.as_str())?;
    let mut bug = message::one(source, text, None)?;
    bug.source = format!("kernel CNA record {cve}");
    bug.cves = vec![cve];
    if let Some(title) = cna.get("title").and_then(Value::as_str) {
        bug.about = super::bug::About::of(title);
    }
    let products = cna.get("affected").and_then(Value::as_array).into_iter().flatten();
    let mut files = Vec::new();
    for product in products {
        files.extend(
            product
                .get("programFiles")
                .and_then(Value::as_array)
                .into_iter()
                .flatten(),
        );
        for version in product.get("versions").and_then(Value::as_array).into_iter().flatten() {
            versions(&mut bug, version);
        }
    }
    if let Some(file) = files.into_iter().find_map(Value::as_str) {
        bug.area = Some(area_of(file).to_owned());
    }
    Some(bug)
}

/// One range of a record: of commits, or of releases.
fn versions(bug: &mut Bug, version: &Value) {
    let word = |key: &str| version.get(key).and_then(Value::as_str);
    let Some(start) = word("version") else { return };
    match (word("versionType"), word("status")) {
        (Some("git"), Some("affected")) => {
            // Branches come oldest first; mainline's own commit is the last.
            if let Some(fix) = word("lessThan").filter(|fix| is_commit(fix)) {
                bug.commit = Some(fix.to_owned());
            }
            if is_commit(start) && !start.starts_with("1da177e4c3f4") {
                bug.introduced_by = Some(start.to_owned());
            }
        }
        (_, Some("affected")) if is_release(start) && start != "2.6.12" => bug.introduced_in = Some(start.to_owned()),
        (_, Some("unaffected")) if is_release(start) && start != "0" => bug.fixed_in.push(start.to_owned()),
        _ => {}
    }
}

fn is_release(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('.') && !text.contains("rc")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_gives_commits_and_releases() {
        let record = serde_json::json!({
            "dataType": "CVE_RECORD",
            "cveMetadata": {"cveId": "CVE-2099-1234", "assignerShortName": "Linux"},
            "containers": {"cna": {
                "title": "pump: fix use-after-free",
                "descriptions": [{"lang": "en", "value": "In the Linux kernel …\n\npump: fix\n\n BUG: kernel NULL pointer dereference, address: 0000000000000010\n RIP: 0010:pump_water+0x13/0x60\n Call Trace:\n  fill_tank+0x2d/0x90\n"}],
                "affected": [
                    {"programFiles": ["net/core/pump.c"], "versions": [
                        {"version": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "lessThan": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "status": "affected", "versionType": "git"},
                        {"version": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "lessThan": "cccccccccccccccccccccccccccccccccccccccc", "status": "affected", "versionType": "git"}]},
                    {"versions": [
                        {"version": "5.14", "status": "affected"},
                        {"version": "0", "lessThan": "5.14", "status": "unaffected", "versionType": "semver"},
                        {"version": "6.1.9", "lessThanOrEqual": "6.1.*", "status": "unaffected", "versionType": "semver"},
                        {"version": "6.2", "lessThanOrEqual": "*", "status": "unaffected", "versionType": "original_commit_for_fix"}]}
                ]
            }}
        });
        let bug = read("a.json", &record).unwrap();
        assert_eq!(bug.commit.as_deref(), Some("cccccccccccccccccccccccccccccccccccccccc"));
        assert_eq!(bug.introduced_in.as_deref(), Some("5.14"));
        assert_eq!(bug.fixed_in, ["6.1.9", "6.2"]);
        assert_eq!(bug.area.as_deref(), Some("net"));
        let mut others = record;
        others["cveMetadata"]["assignerShortName"] = "somebody".into();
        assert_eq!(read("a.json", &others), None);
    }
}
