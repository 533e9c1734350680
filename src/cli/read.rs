//! `vmcoroner read`: members of the dumped kernel's objects.

use serde::Serialize;
use serde_json::json;

use super::Outcome;
use super::args::{Format, Read};
use super::extract::answers;
use super::sink::Sink;
use crate::addr::VirtAddr;
use crate::extract::{self, Depth, Job, Shared, probe};
use crate::kernel::read::{Expression, Reader, Value};
use crate::output::page::escape;

/// What one expression came to.
#[derive(Serialize)]
struct Answer<'a> {
    expression: &'a str,
    values: Vec<Item>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// One value, and of which object.
#[derive(Serialize)]
struct Item {
    object: VirtAddr,
    value: serde_json::Value,
}

/// A value as the machine formats print it: a number where JSON keeps all its bits, else hex as for addresses.
fn value(value: &Value) -> serde_json::Value {
    const EXACT: u64 = 1 << 53;
    let number = |number: u64| match number {
        0..EXACT => json!(number),
        _ => json!(format!("{number:#x}")),
    };
    match value {
        Value::Unsigned(unsigned) => number(*unsigned),
        Value::Signed(signed) if signed.unsigned_abs() < EXACT => json!(signed),
        Value::Signed(signed) => json!(signed.to_string()),
        Value::Pointer { to, type_name, symbol } => json!({"to": to, "type": type_name, "symbol": symbol}),
        Value::Text(text) => json!(text),
        Value::Numbers(numbers) => numbers.iter().copied().map(number).collect(),
        Value::Object {
            type_name,
            address,
            size,
        } => json!({"at": address, "type": type_name, "size": size}),
    }
}

/// Reads what every expression says out of one dump. Registers are those of the fault.
pub fn run(arguments: &Read, sink: &mut Sink) -> Outcome {
    let mut expressions: Vec<(&str, Expression)> = Vec::new();
    for text in &arguments.expressions {
        match text.parse() {
            Ok(expression) => expressions.push((text, expression)),
            Err(error) => {
                sink.error(&error.to_string());
                return Outcome::Failed;
            }
        }
    }
    let job = Job {
        paths: vec![arguments.vmcore.clone()],
    };
    let files = arguments.debug.files();
    let opened = job
        .open()
        .and_then(|parts| extract::extract_with(&parts, Depth::default(), &files, &Shared::default()));
    let mut extracted = match opened {
        Ok(extracted) => extracted,
        Err(error) => {
            sink.error(&error.to_string());
            return Outcome::Failed;
        }
    };
    let dumped = match extracted.dumped.take() {
        Some(dumped) => dumped,
        None => {
            sink.error(&format!("{}: this is no dump: it holds no memory to read", job.name()));
            return Outcome::Failed;
        }
    };
    let insight = match &dumped.insight {
        Ok(insight) => insight,
        Err(why) => {
            sink.error(&format!("{}: {why}", job.name()));
            return Outcome::Failed;
        }
    };
    let report = extracted.into_first_crash();
    let names = report.as_ref().map(probe::names);
    let name = |name: &str| names.as_ref().and_then(|names| names(name));
    let reader = Reader::new(dumped.kernel.memory(), &insight.symbols, &insight.types);

    let mut printed = answers(arguments.format, expressions.len() > 1);
    let mut outcome = Outcome::Found;
    for (text, expression) in &expressions {
        let (values, error) = match reader.read(expression, &name) {
            Ok(readings) => (readings.values, readings.broken.map(|broken| broken.to_string())),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        if error.is_some() {
            outcome = Outcome::NotFound;
        }
        if arguments.format == Format::Human {
            for reading in &values {
                let object = if expression.list.is_some() {
                    format!("{}: ", reading.object)
                } else {
                    String::new()
                };
                sink.write(&format!("{object}{}\n", escape(&reading.value.to_string())));
            }
            if let Some(error) = error {
                sink.error(&format!("{text}: {error}"));
            }
        } else {
            let values = values
                .iter()
                .map(|reading| Item {
                    object: reading.object,
                    value: value(&reading.value),
                })
                .collect();
            sink.write(&printed.add(&Answer {
                expression: text,
                values,
                error,
            }));
        }
    }
    sink.write(printed.end());
    outcome
}
