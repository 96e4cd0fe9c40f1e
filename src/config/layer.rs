//! A tree of values from several sources, read as the type that is asked for.
//!
//! A variable is only text, so what it means is decided where it is read: `8080` is a number for a port and a word for a
//! password.

use std::collections::BTreeMap;

use serde::de::value::{Error, MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{self, Deserializer, IntoDeserializer, Visitor};

/// A node of the tree.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// A section.
    Table(BTreeMap<String, Node>),
    /// From the file: typed already.
    Value(toml::Value),
    /// From a variable or a flag.
    Text(String),
}

impl Node {
    pub(super) fn from_toml(value: toml::Value) -> Self {
        match value {
            toml::Value::Table(table) => {
                Self::Table(table.into_iter().map(|(k, v)| (k, Self::from_toml(v))).collect())
            }
            other => Self::Value(other),
        }
    }

    /// Lays `text` over whatever stands at `path`.
    pub(super) fn set(&mut self, path: &[String], text: &str) {
        let Some((first, rest)) = path.split_first() else {
            *self = Self::Text(text.to_owned());
            return;
        };
        if !matches!(self, Self::Table(_)) {
            *self = Self::Table(BTreeMap::new());
        }
        if let Self::Table(table) = self {
            table
                .entry(first.clone())
                .or_insert_with(|| Self::Table(BTreeMap::new()))
                .set(rest, text);
        }
    }

    /// Every leaf with its dotted path.
    pub(super) fn leaves(&self, at: &str, found: &mut dyn FnMut(String)) {
        match self {
            Self::Table(table) => {
                for (key, node) in table {
                    let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                    node.leaves(&path, found);
                }
            }
            Self::Value(_) | Self::Text(_) => found(at.to_owned()),
        }
    }
}

impl IntoDeserializer<'_, Error> for Node {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

fn from_toml<'de, V: Visitor<'de>>(value: toml::Value, visitor: V) -> Result<V::Value, Error> {
    match value {
        toml::Value::String(v) => visitor.visit_string(v),
        toml::Value::Integer(v) => visitor.visit_i64(v),
        toml::Value::Float(v) => visitor.visit_f64(v),
        toml::Value::Boolean(v) => visitor.visit_bool(v),
        toml::Value::Datetime(v) => visitor.visit_string(v.to_string()),
        toml::Value::Array(items) => {
            visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Node::from_toml)))
        }
        toml::Value::Table(_) => Node::from_toml(value).deserialize_any(visitor),
    }
}

/// Reads text as the number or the flag that is asked for.
macro_rules! typed {
    ($($method:ident => $visit:ident, $type:ty, $what:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self {
                Self::Text(text) => match text.trim().parse::<$type>() {
                    Ok(value) => visitor.$visit(value),
                    Err(_) => Err(de::Error::invalid_value(de::Unexpected::Str(&text), &$what)),
                },
                other => other.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Table(table) => visitor.visit_map(MapDeserializer::new(table.into_iter())),
            Self::Value(value) => from_toml(value, visitor),
            Self::Text(text) => visitor.visit_string(text),
        }
    }

    typed! {
        deserialize_bool => visit_bool, bool, "true or false";
        deserialize_i8 => visit_i64, i64, "a whole number";
        deserialize_i16 => visit_i64, i64, "a whole number";
        deserialize_i32 => visit_i64, i64, "a whole number";
        deserialize_i64 => visit_i64, i64, "a whole number";
        deserialize_u8 => visit_u64, u64, "a whole number, not negative";
        deserialize_u16 => visit_u64, u64, "a whole number, not negative";
        deserialize_u32 => visit_u64, u64, "a whole number, not negative";
        deserialize_u64 => visit_u64, u64, "a whole number, not negative";
        deserialize_f32 => visit_f64, f64, "a number";
        deserialize_f64 => visit_f64, f64, "a number";
    }

    /// An empty variable is the way to say "none".
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Text(text) if text.trim().is_empty() => visitor.visit_none(),
            other => visitor.visit_some(other),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Self::Text(text) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                let items: Vec<Self> = items.map(|item| Self::Text(item.to_owned())).collect();
                visitor.visit_seq(SeqDeserializer::new(items.into_iter()))
            }
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let text = match self {
            Self::Text(text) | Self::Value(toml::Value::String(text)) => text,
            other => return other.deserialize_any(visitor),
        };
        StrDeserializer::new(text.trim()).deserialize_enum(name, variants, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct
        identifier ignored_any
    }
}
