use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, Object, OneOf, Type};

/// The body of every answer that is not a success.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct Problem {
    /// What is wrong: a sentence, or for status 422 the list of faults.
    pub detail: Detail,
    /// The same for a program, in `snake_case`. Absent for status 422.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// What is wrong with a request.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Detail {
    /// A sentence for a person.
    Sentence(String),
    /// Every place where the request breaks the schema.
    Faults(Vec<Fault>),
}

/// One place where a body, query or path breaks the schema.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Fault {
    /// `body`, `query` or `path`, then the field, then an index where there is one.
    #[schema(schema_with = loc)]
    pub loc: Vec<Value>,
    /// What is wrong there, for a person.
    pub msg: String,
    /// The kind of fault, by pydantic v1's name, such as `value_error.missing`.
    pub r#type: String,
}

/// A list of names and indexes.
fn loc() -> Array {
    let step = OneOf::builder()
        .item(Object::with_type(Type::String))
        .item(Object::with_type(Type::Integer));
    Array::new(step)
}

impl std::fmt::Display for Detail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sentence(sentence) => f.write_str(sentence),
            Self::Faults(faults) => {
                for (index, fault) in faults.iter().enumerate() {
                    if index > 0 {
                        f.write_str("; ")?;
                    }
                    write!(f, "{fault}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for step in self.loc.iter().skip(1) {
            match step {
                Value::String(name) => write!(f, "{name}: ")?,
                other => write!(f, "{other}: ")?,
            }
        }
        f.write_str(&self.msg)
    }
}
