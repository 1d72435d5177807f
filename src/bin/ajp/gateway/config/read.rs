//! Reads the tables of the file. A value that cannot be read is left out and the rest is read
//! again, until every fault is known.

use super::deserializer::Source;
use super::error::Faults;
use super::file::File;
use serde::Deserialize;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// The tables, without what is wrong in them; nothing where the text is no TOML.
pub(super) fn read(text: &str, faults: &mut Faults) -> Option<File> {
    let (mut tables, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            faults.add(error.into());
        }
        return None;
    }
    loop {
        let mut fault = match File::deserialize(Source::File(tables.get_ref())) {
            Ok(file) => return Some(file),
            Err(fault) => fault,
        };
        let span = fault.span.clone();
        let missing = fault.take_missing();
        if !missing.is_some_and(|key| faults.is_unread(key)) {
            faults.add(fault);
        }
        let mut removed = Vec::new();
        // Each round takes something away, so there is a last one.
        if !span.is_some_and(|span| remove(tables.get_mut(), &span, &mut removed)) {
            return None;
        }
        for key in removed {
            faults.unread(key);
        }
    }
}

/// Takes away the innermost value, or element of an array, that `span` is a part of. Its key and
/// those within it are noted.
fn remove(table: &mut DeTable<'_>, span: &Range<usize>, removed: &mut Vec<String>) -> bool {
    for (key, value) in table.iter_mut() {
        let found = match value.get_mut() {
            DeValue::Table(inner) => remove(inner, span, removed),
            DeValue::Array(array) => {
                let inner = array
                    .iter_mut()
                    .find_map(|element| match element.get_mut() {
                        DeValue::Table(inner) => remove(inner, span, removed).then_some(()),
                        _ => None,
                    });
                let element = array
                    .iter()
                    .position(|element| contains(&element.span(), span));
                match (inner, element) {
                    (Some(()), _) => true,
                    (None, Some(index)) => {
                        if let Some(DeValue::Table(table)) = array.get(index).map(Spanned::get_ref)
                        {
                            removed.extend(table.keys().map(|key| key.get_ref().to_string()));
                        }
                        let rest = std::mem::replace(array, DeArray::new())
                            .into_iter()
                            .enumerate();
                        let rest = rest.filter(|(at, _)| *at != index);
                        *array = rest.map(|(_, element)| element).collect();
                        removed.push(key.get_ref().to_string());
                        true
                    }
                    (None, None) => false,
                }
            }
            _ => false,
        };
        if found {
            return true;
        }
    }
    let here = table
        .iter()
        .find(|(key, value)| contains(&key.span(), span) || contains(&value.span(), span));
    let Some(key) = here.map(|(key, _)| key.clone()) else {
        return false;
    };
    removed.push(key.get_ref().to_string());
    table.remove(&key).is_some()
}

fn contains(whole: &Range<usize>, part: &Range<usize>) -> bool {
    whole.start <= part.start && part.end <= whole.end
}
