//! JSON objects read key by key: every key is looked for by name, checked for type and range, and the keys that nobody
//! looked for are collected as warnings.

use std::ops::RangeInclusive;
use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// One object of the configuration; remembers which of its keys were asked for.
pub(crate) struct Keys<'a> {
    pub file: &'a Path,
    /// The keys that lead here, each followed by a dot.
    prefix: String,
    pub map: &'a Map<String, Value>,
    asked: Vec<&'static str>,
}

impl<'a> Keys<'a> {
    /// Of a whole file.
    pub fn new(file: &'a Path, map: &'a Map<String, Value>) -> Self {
        Keys { file, prefix: String::new(), map, asked: Vec::new() }
    }

    /// Takes note of a key that is read elsewhere, or means nothing here.
    pub fn pass(&mut self, key: &'static str) {
        self.asked.push(key);
    }

    /// The error that `key` has the value `found`.
    pub fn bad(&self, key: &str, found: Option<&Value>, wanted: impl ToString) -> Error {
        let found = match found {
            None => "no such key".to_string(),
            Some(value) => {
                let text = value.to_string();
                match text.char_indices().nth(60) {
                    Some((end, _)) => format!("{}…", &text[..end]),
                    None => text,
                }
            }
        };
        let what = format!("{}{key}", self.prefix);
        Error::file(self.file, what, found, wanted.to_string())
    }

    /// The value of a key that must be there, as `read` understands it.
    pub fn get<T>(
        &mut self,
        key: &'static str,
        wanted: impl ToString,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<T> {
        self.asked.push(key);
        let found = self.map.get(key);
        found.and_then(read).ok_or_else(|| self.bad(key, found, wanted))
    }

    /// The same for a key that may be absent or null.
    pub fn maybe<T>(
        &mut self,
        key: &'static str,
        wanted: impl ToString,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        match self.map.get(key) {
            None | Some(Value::Null) => {
                self.asked.push(key);
                Ok(None)
            }
            Some(_) => self.get(key, wanted, read).map(Some),
        }
    }

    /// A whole number of a range.
    pub fn size(&mut self, key: &'static str, range: RangeInclusive<usize>) -> Result<usize> {
        let wanted = whole(&range);
        self.get(key, wanted, |v| size_in(v, &range))
    }

    /// A number; `usual` where there is none.
    pub fn number(&mut self, key: &'static str, usual: Option<f64>) -> Result<f64> {
        match usual {
            None => self.get(key, "a number", Value::as_f64),
            Some(usual) => Ok(self.maybe(key, "a number", Value::as_f64)?.unwrap_or(usual)),
        }
    }

    /// What one of the names stands for.
    pub fn choice<T: Copy>(&mut self, key: &'static str, names: &[(&str, T)]) -> Result<T> {
        let list: Vec<String> = names.iter().map(|(name, _)| format!("{name:?}")).collect();
        self.get(key, format!("one of {}", list.join(", ")), |v| {
            let text = v.as_str()?;
            let (_, value) = names.iter().find(|(name, _)| *name == text)?;
            Some(*value)
        })
    }

    /// An object within.
    pub fn object(&mut self, key: &'static str) -> Result<Keys<'a>> {
        let map = self.get(key, "an object", Value::as_object)?;
        Ok(self.under(key, map))
    }

    /// The object within that stands under `key`.
    pub fn under(&self, key: &str, map: &'a Map<String, Value>) -> Keys<'a> {
        Keys { file: self.file, prefix: format!("{}{key}.", self.prefix), map, asked: Vec::new() }
    }

    /// Adds a warning for every key that nobody asked for.
    pub fn done(self, warnings: &mut Vec<String>) {
        for key in self.map.keys() {
            if !self.asked.contains(&key.as_str()) {
                let file = self.file.display();
                let key = format!("{}{key}", self.prefix).escape_debug().to_string();
                warnings.push(format!("{file}: the key {key} is not known, and ignored"));
            }
        }
    }
}

/// How a range is told.
pub(crate) fn whole(range: &RangeInclusive<usize>) -> String {
    format!("a whole number in {} to {}", range.start(), range.end())
}

/// A whole number of a range.
pub(crate) fn size_in(value: &Value, range: &RangeInclusive<usize>) -> Option<usize> {
    let n = usize::try_from(value.as_u64()?).ok()?;
    range.contains(&n).then_some(n)
}

/// The object that `text` says; `file` names it in errors.
pub(crate) fn read_object(file: &Path, text: &str) -> Result<Map<String, Value>> {
    let bad = |found: String| Error::file(file, "the text", found, "a JSON object");
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(bad("JSON of another kind".to_string())),
        Err(e) => Err(bad(format!("text that is not JSON ({e})"))),
    }
}
