//! `journalctl -o json`: one object a line → its messages.

use serde_json::Value;

/// The messages of a journal's export, each behind its time or its sender; `None` for any other text.
pub fn messages(text: &str) -> Option<String> {
    if !text.trim_start().starts_with('{') || !text.contains("\"MESSAGE\"") {
        return None;
    }
    let mut out = String::with_capacity(text.len() / 2);
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let Ok(Value::Object(entry)) = serde_json::from_str(line) else {
            // Cut off, or somebody's words between.
            out.push_str(line);
            out.push('\n');
            continue;
        };
        let field = |name: &str| entry.get(name).and_then(Value::as_str);
        let sender = field("SYSLOG_IDENTIFIER").unwrap_or("kernel");
        let host = field("_HOSTNAME").unwrap_or("-");
        // Microseconds since the machine's start, as a number in a string.
        let since_start = field("_SOURCE_MONOTONIC_TIMESTAMP")
            .or_else(|| field("__MONOTONIC_TIMESTAMP"))
            .and_then(|time| time.parse::<u64>().ok());
        let message = match entry.get("MESSAGE") {
            Some(Value::String(message)) => message.clone(),
            // What is no UTF-8 comes as its bytes.
            Some(Value::Array(bytes)) => {
                let bytes: Vec<u8> = bytes
                    .iter()
                    .filter_map(|byte| u8::try_from(byte.as_u64()?).ok())
                    .collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            _ => continue,
        };
        for message in message.lines() {
            if let Some(time) = since_start {
                out.push_str(&format!("[{:>5}.{:06}] ", time / 1_000_000, time % 1_000_000));
            }
            out.push_str(&format!("{host} {sender}: {message}\n"));
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journals_export_gives_its_messages() {
        let text = concat!(
            r#"{"_HOSTNAME":"cz","SYSLOG_IDENTIFIER":"kernel","_SOURCE_MONOTONIC_TIMESTAMP":"12000003","MESSAGE":"a \"b\""}"#,
            "\n",
            r#"{"_HOSTNAME":"cz","SYSLOG_IDENTIFIER":"kernel","MESSAGE":[99,255]}"#,
            "\n{\"cut\": \n",
        );
        let messages = messages(text).unwrap();
        assert_eq!(
            messages,
            "[   12.000003] cz kernel: a \"b\"\ncz kernel: c\u{fffd}\n{\"cut\": \n"
        );
        assert_eq!(super::messages("{ 17} (t=15001 jiffies)"), None);
    }
}
