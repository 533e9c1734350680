//! One or many, short or long: the ways in which a value may be written, through visitors rather than untagged enums,
//! so that an error keeps its cause and the JSON Schema stays plain.

use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserialize, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

/// One value, or a list of at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T> OneOrMany<T> {
    /// The values.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }
}

impl<'a, T> IntoIterator for &'a OneOrMany<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

struct OneOrManyVisitor<T>(PhantomData<T>);

/// The scalar visits of a visitor, each handing its scalar on.
macro_rules! scalars {
    ($one:expr) => {
        fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
            $one(value.into_deserializer())
        }
        fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
            $one(value.into_deserializer())
        }
        fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
            $one(value.into_deserializer())
        }
        fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
            $one(value.into_deserializer())
        }
        fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
            $one(value.into_deserializer())
        }
    };
}

fn one<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<OneOrMany<T>, D::Error> {
    T::deserialize(deserializer).map(|value| OneOrMany(vec![value]))
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or a list of values")
    }

    scalars!(one);

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element()? {
            values.push(value);
        }
        if values.is_empty() {
            return Err(de::Error::custom("an empty list"));
        }
        Ok(OneOrMany(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        one(MapAccessDeserializer::new(map))
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        json_schema!({"anyOf": [item.clone(), {"type": "array", "items": item, "minItems": 1}]})
    }
}

/// A type that is written either as a scalar or list (short) or as a mapping (long).
pub trait TwoForms: Sized {
    /// What stands there when it is no mapping.
    type Short;
    /// What stands there when it is one.
    type Long;

    /// Takes the short form.
    fn from_short(short: Self::Short) -> Self;

    /// Takes the long form.
    fn from_long(long: Self::Long) -> Self;
}

pub(super) struct TwoFormsVisitor<T>(pub PhantomData<T>);

impl<'de, T> Visitor<'de> for TwoFormsVisitor<T>
where
    T: TwoForms,
    T::Short: Deserialize<'de>,
    T::Long: Deserialize<'de>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list of values or a mapping")
    }

    scalars!(|value| T::Short::deserialize(value).map(T::from_short));

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<T, A::Error> {
        T::Short::deserialize(SeqAccessDeserializer::new(items)).map(T::from_short)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::Long::deserialize(MapAccessDeserializer::new(map)).map(T::from_long)
    }
}

/// Implements `Deserialize` and `JsonSchema` for types with two forms.
macro_rules! two_forms {
    ($($name:ident),+ $(,)?) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(crate::rules::schema::form::TwoFormsVisitor(std::marker::PhantomData))
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let short = generator.subschema_for::<<$name as TwoForms>::Short>();
                let long = generator.subschema_for::<<$name as TwoForms>::Long>();
                schemars::json_schema!({"anyOf": [short, long]})
            }
        }
    )+};
}
pub(super) use two_forms;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_a_list_of_one() {
        let read = |text: &str| serde_yaml::from_str::<OneOrMany<String>>(text).map(|list| list.0);
        assert_eq!(read("a").unwrap(), ["a"]);
        assert_eq!(read("[a, b]").unwrap(), ["a", "b"]);
        assert!(read("[]").is_err());
        assert!(read("{a: b}").is_err());
    }
}
