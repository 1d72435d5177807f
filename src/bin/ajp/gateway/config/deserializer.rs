//! Gives the values of the file to `serde`. `toml` reads the file, and this stands in place of its deserializers.
//!
//! They are several types with three kinds of maps, and ask every visitor for all that TOML can have, so that each
//! table of the configuration is compiled for each of them. That was a fifth of the code that the compiler
//! was given of the whole program, and 17 of 172 seconds of its time. This is one type, which asks a visitor for what was
//! asked of it. Besides, it knows the place of each element of an array, so that a fault is told at its
//! own column.

use super::error::Fault;
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, Error, Expected, MapAccess, SeqAccess, Unexpected, Visitor};
use std::borrow::Cow;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What is read.
#[derive(Clone, Copy)]
pub(super) enum Source<'de> {
    /// All tables of a file.
    File(&'de DeTable<'de>),
    Value(&'de Spanned<DeValue<'de>>),
    Key(&'de Spanned<Cow<'de, str>>),
    /// What [`Spanned`] calls one of its parts.
    PartOfSpanned(&'static str),
    /// Where a value starts or ends in the file.
    Offset(usize),
}

impl<'de> Source<'de> {
    fn span(self) -> Range<usize> {
        match self {
            Self::Value(value) => value.span(),
            Self::Key(key) => key.span(),
            Self::File(_) | Self::PartOfSpanned(_) | Self::Offset(_) => 0..0,
        }
    }

    fn text(self) -> Option<&'de str> {
        match self {
            Self::Key(key) => Some(key.get_ref()),
            Self::PartOfSpanned(name) => Some(name),
            Self::Value(value) => match value.get_ref() {
                DeValue::String(text) => Some(text),
                _ => None,
            },
            Self::File(_) | Self::Offset(_) => None,
        }
    }

    fn whole_number(self) -> Option<i64> {
        let Self::Value(value) = self else {
            return None;
        };
        match value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        }
    }

    fn elements(self) -> Option<Elements<'de>> {
        let Self::Value(value) = self else {
            return None;
        };
        match value.get_ref() {
            DeValue::Array(array) => Some(Elements(array.iter())),
            _ => None,
        }
    }

    fn entries(self) -> Option<Entries<'de>> {
        let table = match self {
            Self::File(table) => table,
            Self::Value(value) => match value.get_ref() {
                DeValue::Table(table) => table,
                _ => return None,
            },
            _ => return None,
        };
        let entries = table
            .iter()
            .map(|(key, value)| (Self::Key(key), Self::Value(value)));
        Some(Entries::new(entries.collect()))
    }

    /// It is not what `visitor` wants.
    fn refused_by(self, visitor: &dyn Expected) -> Fault {
        let number;
        let unexpected = match self {
            Self::File(_) => Unexpected::Map,
            Self::Offset(_) => Unexpected::Other("offset"),
            Self::Key(key) => Unexpected::Str(key.get_ref()),
            Self::PartOfSpanned(name) => Unexpected::Str(name),
            Self::Value(value) => match value.get_ref() {
                DeValue::String(text) => Unexpected::Str(text),
                DeValue::Integer(digits) => {
                    number = format!("integer `{digits}`");
                    self.whole_number()
                        .map_or(Unexpected::Other(&number), Unexpected::Signed)
                }
                DeValue::Float(number) => {
                    Unexpected::Float(number.as_str().parse().unwrap_or(f64::NAN))
                }
                DeValue::Boolean(value) => Unexpected::Bool(*value),
                DeValue::Datetime(_) => Unexpected::Other("datetime"),
                DeValue::Array(_) => Unexpected::Seq,
                DeValue::Table(_) => Unexpected::Map,
            },
        };
        Fault::invalid_type(unexpected, visitor)
    }
}

impl<'de> serde::Deserializer<'de> for Source<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if let Some(text) = self.text() {
            return visitor.visit_borrowed_str(text);
        }
        if let Some(number) = self.whole_number() {
            return visitor.visit_i64(number);
        }
        if let Some(elements) = self.elements() {
            return visitor.visit_seq(elements);
        }
        if let Some(entries) = self.entries() {
            return visitor.visit_map(entries);
        }
        if let Self::Value(value) = self {
            match value.get_ref() {
                DeValue::Boolean(value) => return visitor.visit_bool(*value),
                DeValue::Float(number) => {
                    if let Ok(number) = number.as_str().parse() {
                        return visitor.visit_f64(number);
                    }
                }
                _ => {}
            }
        }
        Err(self.refused_by(&visitor))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if let Self::Value(value) = self {
            if let DeValue::Boolean(value) = value.get_ref() {
                return visitor.visit_bool(*value);
            }
        }
        Err(self.refused_by(&visitor))
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.whole_number() {
            Some(number) => visitor.visit_i64(number),
            None => Err(self.refused_by(&visitor)),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self {
            Self::Offset(offset) => visitor.visit_u64(offset as u64),
            _ => self.deserialize_i64(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.text() {
            Some(text) => visitor.visit_borrowed_str(text),
            None => Err(self.refused_by(&visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.elements() {
            Some(elements) => visitor.visit_seq(elements),
            None => Err(self.refused_by(&visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.entries() {
            Some(entries) => visitor.visit_map(entries),
            None => Err(self.refused_by(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let entries = if serde_spanned::de::is_spanned(name) {
            Some(self.parts_of_spanned(fields))
        } else {
            self.entries()
        };
        match entries {
            Some(entries) => visitor.visit_map(entries),
            None => Err(self.refused_by(&visitor)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.text() {
            Some(text) => visitor.visit_enum(BorrowedStrDeserializer::new(text)),
            None => Err(self.refused_by(&visitor)),
        }
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u128 f32 f64 char bytes byte_buf unit unit_struct tuple
        tuple_struct ignored_any
    }
}

impl<'de> Source<'de> {
    /// What [`Spanned`] is made of, under its names for start, end and value.
    fn parts_of_spanned(self, names: &'static [&'static str]) -> Entries<'de> {
        let span = self.span();
        let parts = [Self::Offset(span.start), Self::Offset(span.end), self];
        let names = names.iter().map(|&name| Self::PartOfSpanned(name));
        Entries::new(names.zip(parts).collect())
    }
}

/// An array.
struct Elements<'de>(std::slice::Iter<'de, Spanned<DeValue<'de>>>);

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some(element) = self.0.next() else {
            return Ok(None);
        };
        let read = seed.deserialize(Source::Value(element));
        read.map(Some).map_err(|fault| fault.within(element.span()))
    }
}

/// A table, or what [`Spanned`] is made of.
struct Entries<'de> {
    rest: std::vec::IntoIter<(Source<'de>, Source<'de>)>,
    /// Of the key that was read last.
    value: Option<Source<'de>>,
}

impl<'de> Entries<'de> {
    fn new(entries: Vec<(Source<'de>, Source<'de>)>) -> Self {
        Self {
            rest: entries.into_iter(),
            value: None,
        }
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some((key, value)) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        let read = seed.deserialize(key);
        read.map(Some).map_err(|fault| fault.within(key.span()))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let Some(value) = self.value.take() else {
            return Err(Fault::custom("a value was asked for before its key"));
        };
        let read = seed.deserialize(value);
        read.map_err(|fault| fault.within(value.span()))
    }
}
