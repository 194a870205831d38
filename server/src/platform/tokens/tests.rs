use std::fs;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

const ISSUER: &str = "https://id.example";

/// The time that tests count from.
const START: i64 = 1_700_000_000;

struct Signer {
    id: &'static str,
    pair: EcdsaKeyPair,
}

impl Signer {
    fn new(id: &'static str) -> Self {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random).unwrap();
        Self { id, pair }
    }

    fn public(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        json!({"kty": "EC", "crv": "P-256", "kid": self.id, "x": x, "y": y})
    }

    fn token(&self, claims: &Value) -> String {
        self.signed(&json!({"alg": "ES256", "kid": self.id}), claims)
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Tokens whose keys are in a file, at a time.
struct Place {
    dir: TempDir,
    tokens: Tokens,
}

impl Place {
    async fn publishing(keys: &[&Signer]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        publish(&dir, keys);
        let source = KeySource::File(dir.path().join("keys.json"));
        let tokens = Tokens {
            expected: Expected {
                issuer: ISSUER.into(),
                audience: None,
            },
            published: Arc::new(Published::start(source).await.unwrap()),
            good: Mutex::default(),
        };
        Self { dir, tokens }
    }

    fn publish(&self, keys: &[&Signer]) {
        publish(&self.dir, keys);
    }

    /// What comes of a token so many milliseconds after the start.
    async fn check(&self, token: &str, after: i64) -> Result<(), BadToken> {
        let world = World::new(
            move || Timestamp::from_millisecond(START * 1000 + after).unwrap(),
            |bytes| bytes.fill(7),
        );
        self.tokens.check(&world, token).await.map(drop)
    }
}

fn publish(dir: &TempDir, keys: &[&Signer]) {
    let keys: Vec<Value> = keys.iter().map(|key| key.public()).collect();
    fs::write(dir.path().join("keys.json"), json!({"keys": keys}).to_string()).unwrap();
}

/// Claims that hold for a day.
fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "alice", "exp": START + 86400})
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

#[tokio::test]
async fn clocks_may_differ_by_a_minute_both_ways() {
    let signer = Signer::new("one");
    let place = Place::publishing(&[&signer]).await;
    let old = signer.token(&with("exp", START));
    let young = signer.token(&with("nbf", START + 60));
    assert_eq!(place.check(&old, 59_999).await, Ok(()));
    assert_eq!(
        place.check(&old, 60_000).await,
        Err(BadToken::Expired),
        "also one that was good"
    );
    assert_eq!(place.check(&young, -1).await, Err(BadToken::NotYet));
    assert_eq!(place.check(&young, 0).await, Ok(()));
    let never_seen = signer.token(&with("exp", f64::from(1_700_000_000) - 0.5));
    assert_eq!(place.check(&never_seen, 59_500).await, Err(BadToken::Expired));
    assert_eq!(
        place.check(&never_seen, 59_499).await,
        Ok(()),
        "a time may have a fraction"
    );
}

#[tokio::test]
async fn keys_are_looked_for_once_a_minute() {
    let (one, two) = (Signer::new("one"), Signer::new("two"));
    let place = Place::publishing(&[&one]).await;
    let (of_one, of_two) = (one.token(&claims()), two.token(&claims()));
    assert_eq!(place.check(&of_two, 0).await, Err(BadToken::UnknownKey));
    place.publish(&[&two]);
    assert_eq!(place.check(&of_two, 59_999).await, Err(BadToken::UnknownKey));
    assert_eq!(place.check(&of_one, 59_999).await, Ok(()));
    assert_eq!(place.check(&of_two, 60_000).await, Ok(()));
    assert_eq!(
        place.check(&of_one, 60_000).await,
        Err(BadToken::UnknownKey),
        "withdrawn"
    );
    // A look that fails counts as well, and what is known goes on.
    fs::remove_file(place.dir.path().join("keys.json")).unwrap();
    assert_eq!(place.check(&of_one, 120_000).await, Err(BadToken::UnknownKey));
    place.publish(&[&one, &two]);
    assert_eq!(place.check(&of_two, 179_999).await, Ok(()));
    assert_eq!(place.check(&of_one, 179_999).await, Err(BadToken::UnknownKey));
    assert_eq!(place.check(&of_one, 180_000).await, Ok(()));
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_stop_the_looking() {
    let (one, two) = (Signer::new("one"), Signer::new("two"));
    let place = Place::publishing(&[&one]).await;
    let of_two = two.token(&claims());
    assert_eq!(place.check(&of_two, 0).await, Err(BadToken::UnknownKey));
    place.publish(&[&two]);
    assert_eq!(place.check(&of_two, -3_600_000).await, Ok(()));
}

#[tokio::test]
async fn a_key_that_was_withdrawn_does_not_serve_for_ever() {
    let (one, two) = (Signer::new("one"), Signer::new("two"));
    let place = Place::publishing(&[&one]).await;
    let token = one.token(&claims());
    assert_eq!(place.check(&token, 0).await, Ok(()));
    place.publish(&[&two]);
    assert_eq!(place.check(&token, 3_599_999).await, Ok(()));
    // Nobody waits for the look that is due.
    assert_eq!(place.check(&token, 3_600_000).await, Ok(()));
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while place.check(&token, 3_600_001).await != Err(BadToken::UnknownKey) {
        assert!(tokio::time::Instant::now() < deadline, "the keys are not looked at");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_token_that_names_no_key_is_tried_with_each() {
    let (one, two, three) = (Signer::new("one"), Signer::new("two"), Signer::new("three"));
    let place = Place::publishing(&[&one, &two]).await;
    let header = json!({"alg": "ES256"});
    assert_eq!(place.check(&two.signed(&header, &claims()), 0).await, Ok(()));
    place.publish(&[&three]);
    assert_eq!(
        place.check(&three.signed(&header, &claims()), 0).await,
        Ok(()),
        "looked for"
    );
    assert_eq!(
        place.check(&one.signed(&header, &claims()), 1000).await,
        Err(BadToken::Signature)
    );
}

#[tokio::test]
async fn claims_of_a_wrong_type_are_refused() {
    let signer = Signer::new("one");
    let mut place = Place::publishing(&[&signer]).await;
    place.tokens.expected.audience = Some("castari".into());
    for (name, values) in [
        ("iss", json!([null, 7, [ISSUER], {"iss": ISSUER}])),
        (
            "sub",
            json!([null, 7, ["alice"], "", "a\u{0}b", "a\nb", "x".repeat(256)]),
        ),
        ("exp", json!([null, true, "1700086400", [1_700_086_400]])),
        ("nbf", json!([null, true, "1700000000", {}])),
        (
            "aud",
            json!([null, 7, {"castari": true}, ["castari", 7], [["castari"]]]),
        ),
        ("email", json!([7, ["a@example.com"], "a\u{0}b", "x".repeat(321)])),
    ] {
        for value in values.as_array().unwrap() {
            let mut claims = with("aud", "castari");
            claims[name] = value.clone();
            let expected = Err(BadToken::Claim(name));
            assert_eq!(
                place.check(&signer.token(&claims), 0).await,
                expected,
                "{name}: {value}"
            );
        }
    }
    for audience in [json!("castari"), json!(["castari"]), json!(["other", "castari"])] {
        assert_eq!(place.check(&signer.token(&with("aud", audience)), 0).await, Ok(()));
    }
    for audience in [json!("other"), json!(""), json!([]), json!(["other", "castari2"])] {
        let token = signer.token(&with("aud", audience));
        assert_eq!(place.check(&token, 0).await, Err(BadToken::Audience));
    }
    assert_eq!(
        place.check(&signer.token(&claims()), 0).await,
        Err(BadToken::Claim("aud"))
    );
}

#[tokio::test]
async fn what_is_remembered_is_bounded() {
    let signer = Signer::new("one");
    let place = Place::publishing(&[&signer]).await;
    let now = Timestamp::from_second(START).unwrap();
    let keys = place.tokens.published.known(now).unwrap();
    let claims = Claims::read(claims().as_object().unwrap(), &place.tokens.expected).unwrap();
    let claims = Arc::new(claims);
    for number in 0..=2 * REMEMBERED as u64 {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        let (claims, keys) = (Arc::clone(&claims), Arc::clone(&keys));
        place.tokens.remember(hash, claims, keys, now);
        assert!(place.tokens.good.lock().unwrap().len() <= REMEMBERED);
    }
}

#[test]
fn keys_that_cannot_be_used_are_left_out() {
    let good = Signer::new("one").public();
    let change = |name: &str, value: Value| {
        let mut key = good.clone();
        key[name] = value;
        key
    };
    let rsa = |bytes: &[u8], e: &str| json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode(bytes), "e": e});
    for (usable, key) in [
        (true, good.clone()),
        (true, change("use", json!("sig"))),
        (true, change("alg", json!("ES256"))),
        (true, change("key_ops", json!(["verify"]))),
        (false, change("use", json!("enc"))),
        (false, change("use", json!(7))),
        (false, change("alg", json!("ES384"))),
        (false, change("key_ops", json!(["sign"]))),
        (false, change("key_ops", json!("verify"))),
        (false, change("kid", json!(7))),
        (false, change("crv", json!("P-384"))),
        (false, change("kty", json!("OKP"))),
        (false, change("x", json!("AA"))),
        (false, change("y", json!("not base64!"))),
        (false, json!({"kty": "oct", "k": "c2VjcmV0"})),
        (false, json!({"kty": "RSA"})),
        (false, json!("nonsense")),
        (false, json!(null)),
        (true, rsa(&[0xff; 256], "AQAB")),
        (true, rsa(&[&[0, 0][..], &[0xff; 256]].concat(), "AQAB")),
        (true, rsa(&[0xff; 1024], "AQAB")),
        (false, rsa(&[0xff; 128], "AQAB")),
        (false, rsa(&[&[0x7f][..], &[0xff; 255]].concat(), "AQAB")),
        (false, rsa(&[0xff; 1025], "AQAB")),
        (false, rsa(&[0xff; 256], "AA")),
        (false, rsa(&[], "AQAB")),
    ] {
        let set = json!({"keys": [key]});
        let count = KeySet::parse(set.to_string().as_bytes()).unwrap().len();
        assert_eq!(count, usize::from(usable), "{key}");
    }
    for json in ["", "{", "[]", "{}", "{\"keys\": {}}", "\u{0}"] {
        assert!(KeySet::parse(json.as_bytes()).is_err(), "{json}");
    }
    let many = json!({"keys": vec![good; 1000]});
    assert_eq!(KeySet::parse(many.to_string().as_bytes()).unwrap().len(), 64);
}

#[test]
fn a_source_of_keys_shows_no_password() {
    let source: KeySource = "https://user:secret@id.example:444/keys?token=secret".parse().unwrap();
    assert_eq!(source.to_string(), "https://id.example:444/keys");
}
