//! A schema's violations under the names that pydantic v1 has for them.

use castari_common::Fault;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::LocationSegment;
use jsonschema::{ValidationError, Validator};
use serde_json::{Value, json};

/// Everything that breaks the schema, one fault a place. `place` is where the value came from.
pub(super) fn find(validator: &Validator, value: &Value, place: &str) -> Vec<Fault> {
    let mut faults: Vec<(u8, Fault)> = validator
        .iter_errors(value)
        .map(|error| describe(&error, place))
        .collect();
    // The most telling fault of a place first: an empty text is too short before it fails a pattern.
    faults.sort_by_key(|(rank, _)| *rank);
    let mut told: Vec<Fault> = Vec::with_capacity(faults.len());
    for (_, fault) in faults {
        if !told.iter().any(|other| other.loc == fault.loc) {
            told.push(fault);
        }
    }
    told.sort_by_key(|fault| order(value, fault));
    told
}

/// A field that is needed.
pub(super) fn missing(loc: Vec<Value>) -> Fault {
    fault(loc, "field required", "value_error.missing")
}

/// A text of the body that is longer than allowed.
pub(super) fn too_many_bytes(field: &str, most: usize) -> Fault {
    let msg = format!("ensure this value has at most {most} bytes");
    fault(vec![json!("body"), json!(field)], msg, "value_error.any_str.max_length")
}

/// A fault that has no name of its own.
pub(super) fn other(place: &str, msg: &str) -> Fault {
    fault(vec![json!(place)], msg, "value_error")
}

fn fault(loc: Vec<Value>, msg: impl Into<String>, kind: &str) -> Fault {
    Fault {
        loc,
        msg: msg.into(),
        r#type: kind.into(),
    }
}

/// Faults stand in the order of the request's fields; what is missing comes first.
fn order(value: &Value, fault: &Fault) -> usize {
    let field = fault.loc.get(1).and_then(Value::as_str).unwrap_or_default();
    let position = value
        .as_object()
        .and_then(|fields| fields.keys().position(|key| key == field));
    position.map_or(0, |position| position + 1)
}

fn describe(error: &ValidationError<'_>, place: &str) -> (u8, Fault) {
    let mut loc = vec![json!(place)];
    loc.extend(error.instance_path().iter().map(|segment| match segment {
        LocationSegment::Property(name) => json!(name),
        LocationSegment::Index(index) => json!(index),
    }));
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            loc.push(property.clone());
            (0, missing(loc))
        }
        ValidationErrorKind::Type { kind } => (1, wrong_type(loc, kind, error.instance())),
        ValidationErrorKind::MinLength { limit } => {
            let msg = format!("ensure this value has at least {limit} characters");
            (2, fault(loc, msg, "value_error.any_str.min_length"))
        }
        ValidationErrorKind::MaxLength { limit } => {
            let msg = format!("ensure this value has at most {limit} characters");
            (2, fault(loc, msg, "value_error.any_str.max_length"))
        }
        ValidationErrorKind::Minimum { limit } => {
            let msg = format!("ensure this value is greater than or equal to {limit}");
            (2, fault(loc, msg, "value_error.number.not_ge"))
        }
        ValidationErrorKind::Maximum { limit } => {
            let msg = format!("ensure this value is less than or equal to {limit}");
            (2, fault(loc, msg, "value_error.number.not_le"))
        }
        ValidationErrorKind::Pattern { pattern } => (
            3,
            fault(
                loc,
                format!("string does not match regex \"{pattern}\""),
                "value_error.str.regex",
            ),
        ),
        ValidationErrorKind::Enum { options } => (3, wrong_choice(loc, options)),
        ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context } => {
            // A choice that may also be null: the choice is what matters.
            let choice = context.iter().flatten().find_map(|error| match error.kind() {
                ValidationErrorKind::Enum { options } => Some(options),
                _ => None,
            });
            let fault = choice.map_or_else(
                || fault(loc.clone(), "value is not valid", "value_error"),
                |options| wrong_choice(loc.clone(), options),
            );
            (3, fault)
        }
        _ => (4, fault(loc, "value is not valid", "value_error")),
    }
}

fn wrong_type(loc: Vec<Value>, wanted: &TypeKind, found: &Value) -> Fault {
    let wanted: Vec<String> = match wanted {
        TypeKind::Single(one) => vec![one.to_string()],
        TypeKind::Multiple(several) => several.iter().map(|one| one.to_string()).collect(),
    };
    if found.is_null() {
        return fault(loc, "none is not an allowed value", "type_error.none.not_allowed");
    }
    let (msg, kind) = match wanted.iter().map(String::as_str).find(|kind| *kind != "null") {
        Some("integer") => ("value is not a valid integer", "type_error.integer"),
        Some("number") => ("value is not a valid float", "type_error.float"),
        Some("string") => ("str type expected", "type_error.str"),
        Some("boolean") => ("value could not be parsed to a boolean", "type_error.bool"),
        Some("array") => ("value is not a valid list", "type_error.list"),
        _ => ("value is not a valid dict", "type_error.dict"),
    };
    fault(loc, msg, kind)
}

fn wrong_choice(loc: Vec<Value>, options: &Value) -> Fault {
    let options = options.as_array().into_iter().flatten().filter_map(Value::as_str);
    let permitted: Vec<String> = options.map(|option| format!("'{option}'")).collect();
    let msg = format!(
        "value is not a valid enumeration member; permitted: {}",
        permitted.join(", ")
    );
    fault(loc, msg, "type_error.enum")
}
