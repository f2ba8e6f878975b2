//! Values as histories write them: keys, elements, lists.
//!
//! In JSON a map's keys are texts. A map with other keys is written as `{"#map": [[key, value], …]}`
//! there, so that whatever was read can be written and read again.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
    ser::SerializeMap as _,
};

/// How deep lists and maps may lie in one another.
pub const DEPTH_MAX: usize = 32;

pub(crate) const TOO_DEEP: &str = "nested deeper than 32";

/// The only key of a map that is written as a list of pairs.
const PAIRS: &str = "#map";

/// A value of a history, compared by its text and structure alone. EDN's keywords and symbols are
/// texts without the colon, so that a history means the same in every format.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Value {
    /// `nil` or `null`.
    #[default]
    Nil,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Text, a keyword or a symbol; numbers that are not whole, as they are written.
    Text(Box<str>),
    /// A list, a vector or a set, in the order written.
    List(Vec<Value>),
    /// A map, in the order written.
    Map(Vec<(Value, Value)>),
}

impl Value {
    /// The value that is written so in EDN: `nil`, `0`, `"text"`, `:text`.
    pub fn from_edn(text: &str) -> Result<Self, String> {
        super::edn::parse(text).map_err(|fault| fault.reason)
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The list's values, if it is one.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(values) => Some(values),
            _ => None,
        }
    }

    /// Whether it is [`Value::Nil`].
    pub fn is_nil(&self) -> bool {
        *self == Self::Nil
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

/// A key that stands more than once among the pairs of a map.
pub(crate) fn key_given_twice(pairs: &[(Value, Value)]) -> Option<&Value> {
    let mut keys: Vec<&Value> = pairs.iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    keys.windows(2)
        .find(|two| two[0] == two[1])
        .map(|two| two[0])
}

/// A number that is written with a point or an exponent, in its shortest form. Beyond the range of
/// whole numbers two different ones could look alike: that is an error.
pub(crate) fn decimal(number: f64) -> Result<Value, ()> {
    const WHOLE_MAX: f64 = 9_223_372_036_854_775_808.0;
    if number.is_finite() && number.abs() < WHOLE_MAX {
        Ok(Value::Text(format!("{number:?}").into()))
    } else {
        Err(())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::List(values) => {
                f.write_str("[")?;
                for (index, value) in values.iter().enumerate() {
                    let space = if index == 0 { "" } else { " " };
                    write!(f, "{space}{value}")?;
                }
                f.write_str("]")
            }
            Self::Map(pairs) => {
                f.write_str("{")?;
                for (index, (key, value)) in pairs.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{key} {value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nil => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(values) => serializer.collect_seq(values),
            Self::Map(pairs) => {
                let is_text = |(key, _): &(Self, Self)| key.as_text().is_some_and(|k| k != PAIRS);
                if pairs.iter().all(is_text) {
                    serializer.collect_map(pairs.iter().map(|(key, value)| (key, value)))
                } else {
                    let mut map = serializer.serialize_map(Some(1))?;
                    map.serialize_entry(PAIRS, pairs)?;
                    map.end()
                }
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Seed { depth: 0 }.deserialize(deserializer)
    }
}

/// Reads a value that lies so deep in others.
#[derive(Clone, Copy)]
struct Seed {
    depth: usize,
}

impl Seed {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > DEPTH_MAX {
            Err(E::custom(TOO_DEEP))
        } else {
            Ok(Self { depth })
        }
    }
}

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        let whole = i64::try_from(value);
        whole
            .map(Value::Int)
            .map_err(|_| E::custom(format!("the number {value} is too large")))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        decimal(value).map_err(|()| E::custom(format!("the number {value:?} is too large")))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = access.next_element_seed(seed)? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let seed = self.deeper()?;
        let mut pairs = Vec::new();
        while let Some(key) = access.next_key::<Box<str>>()? {
            if &*key == PAIRS {
                if !pairs.is_empty() {
                    return Err(A::Error::custom("`#map` stands beside other keys"));
                }
                pairs = access.next_value_seed(Pairs(seed))?;
                if access.next_key::<Box<str>>()?.is_some() {
                    return Err(A::Error::custom("`#map` stands beside other keys"));
                }
                break;
            }
            pairs.push((Value::Text(key), access.next_value_seed(seed)?));
        }
        match key_given_twice(&pairs) {
            Some(key) => Err(A::Error::custom(format!("the key `{key}` is given twice"))),
            None => Ok(Value::Map(pairs)),
        }
    }
}

/// Reads a map that is written as a list of pairs.
struct Pairs(Seed);

impl<'de> DeserializeSeed<'de> for Pairs {
    type Value = Vec<(Value, Value)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Pairs {
    type Value = Vec<(Value, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of pairs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = access.next_element_seed(Pair(self.0))? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

/// Reads a list of a key and a value.
struct Pair(Seed);

impl<'de> DeserializeSeed<'de> for Pair {
    type Value = (Value, Value);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_tuple(2, self)
    }
}

impl<'de> Visitor<'de> for Pair {
    type Value = (Value, Value);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key and a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let key = access.next_element_seed(self.0)?;
        let key = key.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        let value = access.next_element_seed(self.0)?;
        Ok((
            key,
            value.ok_or_else(|| A::Error::invalid_length(1, &self))?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_becomes_a_value_and_json_again() {
        let cases = [
            "null",
            "true",
            "-5",
            "\"a\\n\"",
            "[1,[2,null]]",
            "{\"a\":1,\"b\":{}}",
            "{\"#map\":[[0,100],[[1],null]]}",
            "{\"#map\":[[\"#map\",1]]}",
        ];
        for json in cases {
            let value: Value = serde_json::from_str(json).expect(json);
            assert_eq!(serde_json::to_string(&value).expect("JSON"), json);
        }
    }

    #[test]
    fn what_would_not_be_kept_is_refused() {
        let deep = format!("{}{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1));
        let cases = [
            (
                "9223372036854775808",
                "the number 9223372036854775808 is too large",
            ),
            (
                "123456789012345678901234567890",
                "the number 1.2345678901234568e29 is too large",
            ),
            ("{\"a\":1,\"a\":2}", "the key `a` is given twice"),
            ("{\"#map\":[[0,1],[0,2]]}", "the key `0` is given twice"),
            ("{\"a\":1,\"#map\":[]}", "`#map` stands beside other keys"),
            ("{\"#map\":[],\"a\":1}", "`#map` stands beside other keys"),
            (
                "{\"#map\":[[1]]}",
                "invalid length 1, expected a key and a value",
            ),
            (&deep, "nested deeper than 32"),
        ];
        for (json, reason) in cases {
            let error = serde_json::from_str::<Value>(json)
                .expect_err(json)
                .to_string();
            assert!(error.starts_with(reason), "{json}: {error}");
        }
    }

    #[test]
    fn the_deepest_map_that_edn_may_hold_fits_in_json() {
        let mut value = Value::Int(1);
        for _ in 0..DEPTH_MAX {
            value = Value::Map(vec![(Value::Int(0), value)]);
        }
        let json = serde_json::to_string(&value).expect("JSON");
        assert_eq!(serde_json::from_str::<Value>(&json).expect(&json), value);
    }

    #[test]
    fn numbers_that_are_not_whole_mean_the_same_in_both_notations() {
        for number in ["1.5", "-0.25", "1e3", "1.10"] {
            let json: Value = serde_json::from_str(number).expect(number);
            assert_eq!(Value::from_edn(number), Ok(json));
        }
    }
}
