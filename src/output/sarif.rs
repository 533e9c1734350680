//! Findings as SARIF 2.1.0, which code hosts show beside the changed lines.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::rules::codes;
use crate::rules::diagnostic::{Diagnostic, Severity};

/// The whole log of one run.
pub fn log(findings: &[Diagnostic]) -> Value {
    let used: BTreeSet<&str> = findings.iter().map(|finding| finding.code).collect();
    let rules: Vec<Value> = used
        .iter()
        .map(|code| {
            let page = codes::page(code).unwrap_or_default();
            let first = page.split("\n\n").next().unwrap_or_default().replace('\n', " ");
            json!({"id": code, "shortDescription": {"text": first}, "help": {"text": page, "markdown": page}})
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "vmcoroner", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": findings.iter().map(result).collect::<Vec<Value>>(),
        }],
    })
}

fn result(finding: &Diagnostic) -> Value {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let text = match &finding.help {
        Some(help) => format!("{}: {help}", finding.message),
        None => finding.message.clone(),
    };
    let mut place = json!({"artifactLocation": {"uri": uri(&finding.file)}});
    if let (Some(line), Some(object)) = (finding.line, place.as_object_mut()) {
        let region = json!({"startLine": line, "startColumn": finding.column.unwrap_or(1)});
        object.insert("region".to_owned(), region);
    }
    json!({
        "ruleId": finding.code,
        "level": level,
        "message": {"text": text},
        "locations": [{"physicalLocation": place}],
    })
}

/// A path as a relative reference: what an address may not hold is written in hex.
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_has_its_level_place_and_page() {
        let mut finding = Diagnostic::warning("file-name", "a b/é.yaml", None, "not named so").with_help("rename it");
        (finding.line, finding.column) = (Some(3), Some(1));
        let log = log(&[finding]);
        let run = &log["runs"][0];
        assert_eq!(run["tool"]["driver"]["rules"][0]["id"], "file-name");
        let result = &run["results"][0];
        assert_eq!(result["level"], "warning");
        assert_eq!(result["message"]["text"], "not named so: rename it");
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "a%20b/%C3%A9.yaml");
        assert_eq!(place["region"]["startLine"], 3);
    }
}
