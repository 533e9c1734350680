//! The rule format as types: what a rule file may say. Knows nothing of files, crashes or answers.

mod form;
mod names;
mod predicates;
mod rule;
mod symbol;
mod text;
mod value;

pub use form::{OneOrMany, TwoForms};
pub use names::{Operand, REGISTERS, Register, StreamName, SysctlName, TaintLetter};
pub use predicates::{
    Block, CmdlineTest, CountRange, Deref, FaultLong, FaultTest, FrameChoice, FrameItem, FramesLong, FramesTest,
    HardwareLong, HardwareTest, HasNot, LogLong, LogTest, MemoryTest, ModulesLong, ModulesTest, NumberRange,
    RegistersTest, SettingTest, SettingWord, SpanRange, SysctlsTest, TaintTest, VersionRange,
};
pub use rule::{
    Affected, Bound, Effect, Mitigation, Number, Reference, Release, Rule, Scope, Setting, Status, Upgrade,
};
pub use symbol::{Fit, FrameSymbol, Symbol};
pub(super) use text::glob;
pub use text::{Date, Fault, Glob, Pattern, Slug, Span, Title, Word, check_format};
pub use value::{Condition, Hex, PoisonKind, ShortValue, SignedHex, Value, ValueClass};

use serde_json::Value as Json;

/// The JSON Schema of a rule file (draft 2020-12), made from the types of this module.
///
/// `format` names the forms of words that [`check_format`] knows. A key without a value is nowhere allowed, although
/// the types could hold its absence.
pub fn json_schema() -> Json {
    let mut schema = schemars::schema_for!(Rule).to_value();
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".to_owned(), Json::from("vmcoroner rule"));
    }
    without_null(&mut schema);
    schema
}

/// Takes `null` out of every type, choice and default.
fn without_null(schema: &mut Json) {
    match schema {
        Json::Object(object) => {
            if let Some(Json::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Json::Array(choices)) = object.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
                if let [Json::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    object.remove("anyOf");
                    for (key, value) in only {
                        object.entry(key).or_insert(value);
                    }
                }
            }
            if object.get("default").is_some_and(Json::is_null) {
                object.remove("default");
            }
            object.values_mut().for_each(without_null);
        }
        Json::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_schema_refuses_unknown_keys_everywhere_and_allows_no_null() {
        fn walk(schema: &Json, path: &str) {
            match schema {
                Json::Object(object) => {
                    if object.contains_key("properties") && !path.ends_with("/properties") {
                        assert_eq!(object.get("additionalProperties"), Some(&Json::from(false)), "{path}");
                    }
                    assert_ne!(object.get("type"), Some(&Json::from("null")), "{path}");
                    for (key, value) in object {
                        walk(value, &format!("{path}/{key}"));
                    }
                }
                Json::Array(items) => items.iter().for_each(|item| walk(item, path)),
                Json::Null => panic!("null at {path}"),
                _ => {}
            }
        }
        walk(&json_schema(), "");
    }
}
