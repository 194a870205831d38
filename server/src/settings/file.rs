//! The settings file.

use std::fs;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::TABLE;

/// A line of the settings file.
pub(super) struct Entry {
    pub key: String,
    pub text: String,
    pub line: usize,
}

pub(super) fn read(file: &Path, is_needed: bool) -> Result<Vec<Entry>, String> {
    let source = match fs::read_to_string(file) {
        Ok(source) => source,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_needed => return Ok(Vec::new()),
        Err(error) => return Err(format!("{}: {error}", file.display())),
    };
    let line_of = |offset: usize| source[..offset.min(source.len())].matches('\n').count() + 1;
    let at = |offset: usize, fault: &str| format!("{}:{}: {fault}", file.display(), line_of(offset));
    let table =
        DeTable::parse(&source).map_err(|error| at(error.span().map_or(0, |span| span.start), error.message()))?;
    let mut entries = Vec::new();
    for (key, value) in table.get_ref() {
        let offset = key.span().start;
        if !TABLE.iter().any(|setting| setting.key() == key.get_ref().as_ref()) {
            return Err(at(offset, &format!("there is no setting `{}`", key.get_ref())));
        }
        let text =
            text_of(value.get_ref()).ok_or_else(|| at(offset, "must be a string, a number, or a list of strings"))?;
        let (key, line) = (key.get_ref().to_string(), line_of(offset));
        entries.push(Entry { key, text, line });
    }
    Ok(entries)
}

fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().replace('_', "")),
        DeValue::Array(items) => {
            let texts: Option<Vec<String>> = items.iter().map(|item| text_of(item.get_ref())).collect();
            Some(texts?.join(","))
        }
        _ => None,
    }
}
