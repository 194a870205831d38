//! Answers with what differs from run to run taken out, for comparison with a snapshot.

use serde_json::Value;

const PREFIXES: [&str; 12] = [
    "usr_", "agt_", "sbx_", "inv_", "sess_", "ak_", "dep_", "err_", "bkt_", "mnt_", "file_", "att_",
];

/// A value with ids, times and durations replaced by what they are.
#[must_use]
pub fn shape(mut value: Value) -> Value {
    replace(&mut value);
    value
}

fn replace(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match (name.as_str(), &field) {
                    ("duration_ms", Value::Number(number)) if number.is_u64() => *field = "[milliseconds]".into(),
                    ("email", _) => {}
                    ("api_key_prefix", Value::String(prefix)) if prefix.len() == 13 => *field = "[prefix]".into(),
                    _ => replace(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(replace),
        Value::String(text) => {
            if let Some(prefix) = PREFIXES.iter().find(|prefix| is_id(text, prefix)) {
                *text = format!("[{}]", prefix.trim_end_matches('_'));
            } else if is_time(text) {
                *text = "[time]".into();
            } else if is_hash(text) {
                *text = "[hash]".into();
            }
        }
        _ => {}
    }
}

fn is_id(text: &str, prefix: &str) -> bool {
    let rest = text.strip_prefix(prefix).unwrap_or_default();
    rest.len() >= 12 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// RFC 3339 in UTC, ending in `Z`.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20
        && text.ends_with('Z')
        && bytes[..19]
            .iter()
            .zip(b"0000-00-00T00:00:00")
            .all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                form => byte == form,
            })
}

fn is_hash(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
