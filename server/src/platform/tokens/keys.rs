use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::Value;

use super::BadToken;
use super::token::{Algorithm, Token};

/// How many keys of a set are used. A token that names none is tried against all.
const MAX_KEYS: usize = 64;

/// How long an RSA modulus may be, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// How long a coordinate on P-256 is, in bytes.
const COORDINATE: usize = 32;

/// The keys that an issuer publishes, as far as they can be used here.
pub(super) struct KeySet(Vec<Key>);

struct Key {
    id: Option<String>,
    public: Public,
}

enum Public {
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    /// An uncompressed point.
    P256(Vec<u8>),
}

impl KeySet {
    /// Reads a JSON Web Key Set. Entries that cannot be used are left out, as issuers publish keys for other purposes
    /// beside.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let set: Value = serde_json::from_slice(json).map_err(|error| format!("not JSON: {error}"))?;
        let entries = set.get("keys").and_then(Value::as_array);
        let entries = entries.ok_or("not a JSON Web Key Set: it has no list `keys`")?;
        Ok(Self(entries.iter().filter_map(Key::read).take(MAX_KEYS).collect()))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Checks a token's signature with the key that it names, or where it names none, with every key.
    pub fn verify(&self, token: &Token<'_>) -> Result<(), BadToken> {
        let is_named = |key: &&Key| token.key_id.is_none() || key.id == token.key_id;
        let mut named = self.0.iter().filter(is_named).peekable();
        if named.peek().is_none() {
            return Err(BadToken::UnknownKey);
        }
        if named.any(|key| key.public.verifies(token)) {
            Ok(())
        } else {
            Err(BadToken::Signature)
        }
    }
}

impl Key {
    fn read(entry: &Value) -> Option<Self> {
        let text = |name: &str| entry.get(name).map(|value| value.as_str().unwrap_or_default());
        let (public, algorithm) = match text("kty")? {
            "RSA" => (rsa(text("n")?, text("e")?)?, "RS256"),
            "EC" if text("crv")? == "P-256" => (p256(text("x")?, text("y")?)?, "ES256"),
            _ => return None,
        };
        let is_for_signatures = text("use").is_none_or(|purpose| purpose == "sig");
        let is_for_algorithm = text("alg").is_none_or(|named| named == algorithm);
        let is_for_verifying = entry.get("key_ops").is_none_or(|allowed| {
            allowed
                .as_array()
                .is_some_and(|allowed| allowed.iter().any(|operation| operation == "verify"))
        });
        let id = match entry.get("kid") {
            None => None,
            Some(id) => Some(id.as_str()?.to_owned()),
        };
        (is_for_signatures && is_for_algorithm && is_for_verifying).then_some(Self { id, public })
    }
}

impl Public {
    fn verifies(&self, token: &Token<'_>) -> bool {
        let (signed, signature) = (token.signed.as_bytes(), &token.signature);
        let result = match (self, token.algorithm) {
            (Self::Rsa(key), Algorithm::Rs256) => key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature),
            (Self::P256(point), Algorithm::Es256) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature)
            }
            _ => return false,
        };
        result.is_ok()
    }
}

fn rsa(n: &str, e: &str) -> Option<Public> {
    let (n, e) = (number(n)?, number(e)?);
    let bits = n.len() * 8 - usize::try_from(n.first()?.leading_zeros()).ok()?;
    (RSA_BITS.contains(&bits) && !e.is_empty()).then_some(Public::Rsa(RsaPublicKeyComponents { n, e }))
}

fn p256(x: &str, y: &str) -> Option<Public> {
    let (x, y) = (URL_SAFE_NO_PAD.decode(x).ok()?, URL_SAFE_NO_PAD.decode(y).ok()?);
    let point = [&[4][..], &x, &y].concat();
    (x.len() == COORDINATE && y.len() == COORDINATE).then_some(Public::P256(point))
}

/// A number in big-endian bytes. Some issuers put zeros before it, which they should not.
fn number(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
}
