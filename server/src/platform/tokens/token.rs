use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::BadToken;

/// How long a token may be; issuers stay below what browsers keep in a cookie.
const MAX_BYTES: usize = 16 << 10;

/// How a token may be signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Algorithm {
    Rs256,
    Es256,
}

/// A token, taken apart. Nothing of it is to be believed yet.
pub(super) struct Token<'a> {
    pub algorithm: Algorithm,
    pub key_id: Option<String>,
    pub payload: Map<String, Value>,
    /// What was signed.
    pub signed: &'a str,
    pub signature: Vec<u8>,
}

impl<'a> Token<'a> {
    pub fn parse(text: &'a str) -> Result<Self, BadToken> {
        if text.len() > MAX_BYTES {
            return Err(BadToken::Malformed);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(BadToken::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(BadToken::Malformed)?;
        let header = object(header)?;
        let algorithm = match header.get("alg").and_then(Value::as_str) {
            Some("RS256") => Algorithm::Rs256,
            Some("ES256") => Algorithm::Es256,
            _ => return Err(BadToken::Algorithm),
        };
        if header.contains_key("crit") {
            return Err(BadToken::Critical);
        }
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(BadToken::Malformed),
        };
        Ok(Self {
            algorithm,
            key_id,
            payload: object(payload)?,
            signed,
            signature: decode(signature)?,
        })
    }
}

fn object(part: &str) -> Result<Map<String, Value>, BadToken> {
    serde_json::from_slice(&decode(part)?).map_err(|_| BadToken::Malformed)
}

/// A second dot too many ends up in a part, where it is no character of base64.
fn decode(part: &str) -> Result<Vec<u8>, BadToken> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| BadToken::Malformed)
}
