//! Tokens that are not to be taken.

use castari_tests::issuer::{Key, keys, now, token};
use castari_tests::{Castari, Issuer, Options};
use ring::hmac;
use serde_json::{Value, json};

use super::{assert_refused, assert_taken, with, without};

/// What is wrong with a token, and the token.
type Bad = (&'static str, String);

/// A server that takes tokens for `castari`, whose issuer publishes much that is not to be used.
async fn castari() -> Castari {
    let issuer = Issuer::start().await;
    let encrypting = with(with(keys().other_rsa.published(), "use", "enc"), "kid", "enc");
    issuer.publish(&[
        json!({"kty": "oct", "kid": "hmac", "k": "c2VjcmV0"}),
        keys().rsa.published(),
        keys().small_rsa.published(),
        encrypting,
        json!("nonsense"),
        keys().ec.published(),
    ]);
    let options = Options::default().env("CASTARI_JWT_AUDIENCE", "castari");
    Castari::with_issuer(issuer, options).await
}

/// Claims that are fine.
fn good(issuer: &Issuer) -> Value {
    with(issuer.claims("mallory"), "aud", "castari")
}

/// A good token but for something in its header.
fn headed(key: &Key, claims: &Value, name: &str, value: impl Into<Value>) -> String {
    key.token_with(&with(key.header(), name, value), claims)
}

/// A good token that does not say which key signed it.
fn without_kid(key: &Key, claims: &Value) -> String {
    key.token_with(&without(key.header(), "kid"), claims)
}

/// Signed in ways that are not taken.
fn of_other_algorithms(claims: &Value) -> Vec<Bad> {
    let (rsa, ec) = (&keys().rsa, &keys().ec);
    let none = |name: &str| token(&json!({"alg": name}), claims, |_| Vec::new());
    let hs256 = |secret: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        token(&with(rsa.header(), "alg", "HS256"), claims, |signed| {
            hmac::sign(&key, signed.as_bytes()).as_ref().to_vec()
        })
    };
    let public = rsa.published();
    vec![
        ("alg none", none("none")),
        ("alg None", none("None")),
        ("alg nONE", none("nONE")),
        ("alg empty", none("")),
        (
            "HS256 with the modulus",
            hs256(public["n"].as_str().unwrap().as_bytes()),
        ),
        ("HS256 with the public key", hs256(public.to_string().as_bytes())),
        ("HS256 with a published secret", hs256(b"secret")),
        ("RS384", headed(rsa, claims, "alg", "RS384")),
        ("PS256", headed(rsa, claims, "alg", "PS256")),
        ("ES384", headed(ec, claims, "alg", "ES384")),
        ("EdDSA", headed(ec, claims, "alg", "EdDSA")),
        ("alg a list", headed(rsa, claims, "alg", json!(["RS256"]))),
        ("no alg", rsa.token_with(&without(rsa.header(), "alg"), claims)),
    ]
}

/// Signed with keys that are not to be used, or not so.
fn of_other_keys(claims: &Value) -> Vec<Bad> {
    let (rsa, small, other_rsa) = (&keys().rsa, &keys().small_rsa, &keys().other_rsa);
    let (ec, other_ec) = (&keys().ec, &keys().other_ec);
    let own_key = with(other_ec.header(), "jwk", other_ec.published());
    let der = token(&ec.header(), claims, |signed| der(&ec.sign(signed)));
    vec![
        ("the RSA key with ES256", headed(rsa, claims, "alg", "ES256")),
        ("the EC key with RS256", headed(ec, claims, "alg", "RS256")),
        ("kid a number", headed(rsa, claims, "kid", 7)),
        ("unknown kid", headed(rsa, claims, "kid", "nobody")),
        ("another key's kid", headed(other_rsa, claims, "kid", "rsa")),
        ("a key for encryption", headed(other_rsa, claims, "kid", "enc")),
        ("unpublished, without kid", without_kid(other_ec, claims)),
        (
            "a key that the token brings",
            other_ec.token_with(&with(own_key, "kid", "ec"), claims),
        ),
        ("an RSA key of 1024 bits", small.token(claims)),
        ("an RSA key of 1024 bits, without kid", without_kid(small, claims)),
        ("crit", headed(rsa, claims, "crit", json!(["exp"]))),
        ("crit empty", headed(rsa, claims, "crit", json!([]))),
        ("crit null", headed(rsa, claims, "crit", Value::Null)),
        ("DER", der),
    ]
}

/// Changed, cut, or no token at all.
fn malformed(claims: &Value) -> Vec<Bad> {
    let (rsa, ec) = (&keys().rsa, &keys().ec);
    let (good, of_ec) = (rsa.token(claims), ec.token(claims));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let other = token(&rsa.header(), &with(claims.clone(), "sub", "owner"), |_| Vec::new());
    let other_payload = other.split('.').nth(1).unwrap();
    let swapped = if signature.starts_with('A') { "B" } else { "A" };
    let deep = format!("{{\"a\": {}1{}}}", "[".repeat(120), "]".repeat(120));
    vec![
        ("signature changed", format!("{signed}.{swapped}{}", &signature[1..])),
        (
            "signature cut",
            format!("{signed}.{}", &signature[..signature.len() - 4]),
        ),
        ("no signature", format!("{signed}.")),
        (
            "another signature",
            format!("{signed}.{}", of_ec.rsplit('.').next().unwrap()),
        ),
        ("claims changed", format!("{header}.{other_payload}.{signature}")),
        ("two parts", signed.into()),
        ("one part", header.into()),
        ("four parts", format!("{good}.{signature}")),
        ("five parts", format!("{good}.{signature}.{signature}")),
        ("three dots", "...".into()),
        ("two dots", "..".into()),
        ("padding", format!("{good}==")),
        ("no base64", format!("{header}.!!!!.{signature}")),
        ("another alphabet", format!("{header}.a+/a.{signature}")),
        ("no JSON", format!("bm9uc2Vuc2U.{payload}.{signature}")),
        ("a list for a header", format!("W10.{payload}.{signature}")),
        ("a list for claims", rsa.token(&json!([claims]))),
        ("a text for claims", rsa.token(&json!("mallory"))),
        ("deep JSON", rsa.token(&serde_json::from_str(&deep).unwrap())),
        ("huge", rsa.token(&with(claims.clone(), "filler", "x".repeat(40_000)))),
    ]
}

/// Well signed, but claiming what does not do.
fn of_other_claims(claims: &Value, issuer: &str) -> Vec<Bad> {
    let changed = |name: &str, value: Value| keys().rsa.token(&with(claims.clone(), name, value));
    let missing = |name: &str| keys().rsa.token(&without(claims.clone(), name));
    vec![
        ("another issuer", changed("iss", json!("https://evil.example"))),
        ("almost the issuer", changed("iss", json!(format!("{issuer}/")))),
        ("issuers", changed("iss", json!([issuer]))),
        ("no issuer", missing("iss")),
        ("another audience", changed("aud", json!("others"))),
        ("other audiences", changed("aud", json!(["others", "castari2"]))),
        ("no audience", missing("aud")),
        ("an audience of a wrong type", changed("aud", json!({"castari": 1}))),
        ("no exp", missing("exp")),
        ("exp a text", changed("exp", json!((now() + 3600).to_string()))),
        ("exp null", changed("exp", Value::Null)),
        ("nbf a text", changed("nbf", json!("0"))),
        ("no sub", missing("sub")),
        ("sub a number", changed("sub", json!(7))),
        ("sub empty", changed("sub", json!(""))),
        ("sub too long", changed("sub", json!("x".repeat(256)))),
        ("sub with NUL", changed("sub", json!("mal\u{0}lory"))),
        ("email a number", changed("email", json!(7))),
    ]
}

/// A signature as X.509 writes it, rather than tokens.
fn der(signature: &[u8]) -> Vec<u8> {
    let integer = |half: &[u8]| {
        let digits: Vec<u8> = half.iter().copied().skip_while(|byte| *byte == 0).collect();
        let zero = if digits[0] >= 0x80 { vec![0] } else { vec![] };
        let digits = [zero, digits].concat();
        [vec![2, u8::try_from(digits.len()).unwrap()], digits].concat()
    };
    let both = [integer(&signature[..32]), integer(&signature[32..])].concat();
    [vec![0x30, u8::try_from(both.len()).unwrap()], both].concat()
}

/// How many users there are.
fn users(castari: &Castari) -> i64 {
    let database = rusqlite::Connection::open(castari.data_dir().join("castari.db")).unwrap();
    database
        .query_row("SELECT count(*) FROM users", [], |row| row.get(0))
        .unwrap()
}

#[tokio::test]
async fn a_bad_token_is_refused_and_leaves_nothing() {
    let castari = castari().await;
    let issuer = castari.issuer();
    let claims = good(issuer);
    let bad = [
        of_other_algorithms(&claims),
        of_other_keys(&claims),
        malformed(&claims),
        of_other_claims(&claims, &issuer.name()),
    ];
    for (what, token) in bad.concat() {
        assert_refused(&castari, what, &token, "invalid_credentials").await;
    }
    let timed = |name: &str, time: i64| keys().rsa.token(&with(claims.clone(), name, time));
    for (what, token, code) in [
        ("expired", timed("exp", now() - 70), "token_expired"),
        ("long expired", timed("exp", -1), "token_expired"),
        ("not yet valid", timed("nbf", now() + 70), "token_not_yet_valid"),
    ] {
        assert_refused(&castari, what, &token, code).await;
    }
    assert_eq!(issuer.fetches(), 1);
    assert_eq!(users(&castari), 1, "only the owner");
}

#[tokio::test]
async fn what_is_good_is_taken_beside_what_is_not() {
    let castari = castari().await;
    let (rsa, claims) = (&keys().rsa, good(castari.issuer()));
    let audiences = with(claims.clone(), "aud", json!(["others", "castari"]));
    let elsewhere = Issuer::start().await;
    for (what, token) in [
        ("good", rsa.token(&claims)),
        ("a list of audiences", keys().ec.token(&audiences)),
        ("an address of keys", headed(rsa, &claims, "jku", elsewhere.keys_url())),
        ("no kid", without_kid(rsa, &claims)),
    ] {
        assert_taken(&castari, what, &token).await;
    }
    assert_eq!(elsewhere.fetches(), 0, "the token does not say where keys are");
    assert_eq!((castari.issuer().fetches(), users(&castari)), (1, 2));
}
