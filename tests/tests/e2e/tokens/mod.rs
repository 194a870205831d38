//! Tokens of an issuer: which are taken, which are not, and how often the issuer is asked for its keys.

mod bad;

use std::fs;
use std::time::{Duration, Instant};

use castari_tests::issuer::{Reply, key_set, keys, now};
use castari_tests::{Answer, Castari, Issuer, Options, run};
use futures::future::join_all;
use reqwest::Method;
use serde_json::Value;

/// Asserts that a token is refused as the contract wants, with nothing of the token in the answer.
async fn assert_refused(castari: &Castari, what: &str, token: &str, code: &str) {
    let answer = show(castari, token).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, code),
        "{what}: {answer:?}"
    );
    assert_eq!(answer.header("www-authenticate"), "Bearer", "{what}");
    assert!(answer.json()["detail"].is_string(), "{what}: {answer:?}");
    for part in token.split('.').filter(|part| part.len() > 8) {
        assert!(!answer.text.contains(part), "{what}: {answer:?}");
    }
}

async fn assert_taken(castari: &Castari, what: &str, token: &str) -> Value {
    let answer = show(castari, token).await;
    assert_eq!(answer.status, 200, "{what}: {answer:?}");
    answer.json()
}

async fn show(castari: &Castari, token: &str) -> Answer {
    let request = castari.anonymous(Method::GET, "/api/v1/auth/me");
    castari.send(request.bearer_auth(token)).await
}

fn with(mut object: Value, name: &str, value: impl Into<Value>) -> Value {
    object[name] = value.into();
    object
}

fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().unwrap().remove(name);
    object
}

#[tokio::test]
async fn a_good_token_names_its_user() {
    let mut castari = Castari::with_users().await;
    let claims = castari.issuer().claims("alice");
    let (rsa, ec) = (&keys().rsa, &keys().ec);
    let me = assert_taken(&castari, "RS256", &rsa.token(&claims)).await;
    assert!(me["id"].as_str().unwrap().starts_with("usr_"), "{me}");
    assert_eq!(me["email"], "alice@example.com");
    assert_eq!(me["api_key_prefix"], Value::Null);
    assert_ne!(me["id"], castari.get("/auth/me").await.json()["id"]);
    let anonymous = without(ec.header(), "kid");
    let padded = with(claims.clone(), "filler", "x".repeat(4000));
    for (what, token) in [
        ("ES256", ec.token(&claims)),
        ("no kid", ec.token_with(&anonymous, &claims)),
        ("just expired", ec.token(&with(claims.clone(), "exp", now() - 30))),
        ("soon valid", ec.token(&with(claims.clone(), "nbf", now() + 30))),
        ("a long one", ec.token(&padded)),
        (
            "an audience that nobody asked for",
            ec.token(&with(claims.clone(), "aud", 7)),
        ),
        ("no email", ec.token(&without(claims.clone(), "email"))),
        ("email null", ec.token(&with(claims.clone(), "email", Value::Null))),
    ] {
        assert_eq!(assert_taken(&castari, what, &token).await, me, "{what}");
        assert_eq!(assert_taken(&castari, what, &token).await, me, "{what}, again");
    }
    assert_eq!(castari.issuer().fetches(), 1);

    let moved = rsa.token(&with(claims.clone(), "email", "alice@elsewhere.example"));
    let changed = assert_taken(&castari, "another email", &moved).await;
    assert_eq!(changed["email"], "alice@elsewhere.example");
    assert_eq!(without(changed.clone(), "email"), without(me, "email"));
    castari.restart().await;
    assert_eq!(assert_taken(&castari, "restarted", &moved).await, changed);

    let nameless = rsa.token(&without(castari.issuer().claims("auth0|b0b"), "email"));
    assert_eq!(
        assert_taken(&castari, "never an email", &nameless).await["email"],
        "auth0|b0b"
    );
    let longest = rsa.token(&castari.issuer().claims(&"ü".repeat(255)));
    assert_taken(&castari, "the longest subject", &longest).await;
}

#[tokio::test]
async fn keys_are_fetched_once_a_minute_however_many_ask() {
    let castari = Castari::with_users().await;
    let issuer = castari.issuer();
    assert_eq!(issuer.fetches(), 0, "not before a token comes");
    let tokens: Vec<String> = (0..50).map(|number| issuer.token(&format!("user-{number}"))).collect();
    let answers = join_all(tokens.iter().map(|token| show(&castari, token))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(issuer.fetches(), 1);

    let other = &keys().other_rsa;
    issuer.publish(&[other.published()]);
    let burst = (0..50).map(|number| {
        let header = with(other.header(), "kid", format!("unknown-{number}"));
        other.token_with(&header, &issuer.claims("mallory"))
    });
    let mut burst: Vec<String> = burst.collect();
    burst.push(other.token(&issuer.claims("mallory")));
    let answers = join_all(burst.iter().map(|token| show(&castari, token))).await;
    assert!(answers.iter().all(|answer| answer.status == 401), "{answers:?}");
    assert_eq!(issuer.fetches(), 1, "the minute is not over");
    assert_taken(&castari, "a key that is known goes on", &issuer.token("new")).await;
}

#[tokio::test]
async fn keys_come_from_a_file_as_well() {
    let issuer = Issuer::start().await;
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("keys.json");
    fs::write(&file, key_set(&[keys().rsa.published()])).unwrap();
    let options = Options::default().env("CASTARI_JWT_JWKS", file.to_str().unwrap());
    let castari = Castari::with_issuer(issuer, options).await;
    let claims = castari.issuer().claims("alice");
    let (first, second, third) = (&keys().rsa, &keys().other_rsa, &keys().ec);
    assert_taken(&castari, "there at the start", &first.token(&claims)).await;
    fs::write(&file, key_set(&[second.published()])).unwrap();
    assert_taken(&castari, "looked for", &second.token(&claims)).await;
    assert_refused(&castari, "withdrawn", &first.token(&claims), "invalid_credentials").await;
    fs::write(&file, key_set(&[third.published()])).unwrap();
    assert_refused(&castari, "too soon", &third.token(&claims), "invalid_credentials").await;
    assert_eq!(castari.issuer().fetches(), 0);
}

#[tokio::test]
async fn settings_that_cannot_work_stop_the_start() {
    let place = tempfile::tempdir().unwrap();
    let data_dir = place.path().join("data");
    let args = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data-dir",
        data_dir.to_str().unwrap(),
    ];
    let file = place.path().join("keys.json");
    fs::write(&file, "{}").unwrap();
    let (file, missing) = (file.to_str().unwrap(), place.path().join("missing.json"));
    let missing = missing.to_str().unwrap();
    for (set, said) in [
        (
            &[("ISSUER", "https://id.example")][..],
            &["jwt-issuer is set, but jwt-jwks is not"][..],
        ),
        (
            &[("JWKS", "https://id.example/keys")],
            &["jwt-jwks is set, but jwt-issuer is not"],
        ),
        (
            &[("AUDIENCE", "castari")],
            &["jwt-audience is set, but jwt-issuer is not"],
        ),
        (
            &[("ISSUER", "https://id.example"), ("JWKS", "ftp://id.example/keys")],
            &["CASTARI_JWT_JWKS", "ftp://id.example/keys"],
        ),
        (&[("ISSUER", "https://id.example"), ("JWKS", missing)], &[missing]),
        (&[("ISSUER", "https://id.example"), ("JWKS", file)], &[file, "keys"]),
    ] {
        let options = set.iter().fold(Options::default(), |options, (name, value)| {
            options.env(&format!("CASTARI_JWT_{name}"), value)
        });
        let output = run(place.path(), &options, &args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{set:?}");
        assert!(said.iter().all(|said| stderr.contains(said)), "{set:?}: {stderr}");
    }
}

#[tokio::test]
async fn an_issuer_that_is_away_takes_nothing_else_with_it() {
    let issuer = Issuer::start().await;
    issuer.reply(Reply::Body(503, "later".into()));
    let castari = Castari::with_issuer(issuer, Options::default()).await;
    let issuer = castari.issuer();
    let token = issuer.token("alice");
    assert_refused(&castari, "away at the start", &token, "issuer_unavailable").await;
    issuer.publish(&[keys().rsa.published()]);
    assert_refused(&castari, "too soon", &token, "issuer_unavailable").await;
    assert_eq!(issuer.fetches(), 1, "a fetch that failed counts");
    assert_eq!(castari.get("/auth/me").await.status, 200);
    assert!(castari.log().contains("503"), "the log says why");

    let castari = Castari::with_users().await;
    let issuer = castari.issuer();
    assert_taken(&castari, "still there", &issuer.token("alice")).await;
    issuer.reply(Reply::Hang);
    assert_taken(&castari, "known keys go on", &issuer.token("bob")).await;
    let unknown = keys().other_ec.token(&issuer.claims("bob"));
    assert_refused(&castari, "unknown", &unknown, "invalid_credentials").await;
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn nobody_listens_where_the_keys_are_to_be() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    drop(listener);
    let options = Options::default().env("CASTARI_JWT_JWKS", &url);
    let castari = Castari::with_issuer(Issuer::start().await, options).await;
    let token = castari.issuer().token("alice");
    assert_refused(&castari, "nobody there", &token, "issuer_unavailable").await;
    assert_eq!(castari.get("/auth/me").await.status, 200);
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_holds_up_nobody_else() {
    let issuer = Issuer::start().await;
    issuer.reply(Reply::Hang);
    let castari = Castari::with_issuer(issuer, Options::default()).await;
    let issuer = castari.issuer();
    let start = Instant::now();
    // Who asked first and went away does not take the fetch with them.
    let impatient = castari.anonymous(Method::GET, "/api/v1/auth/me");
    let impatient = impatient.bearer_auth(issuer.token("alice"));
    let gone = impatient.timeout(Duration::from_millis(500)).send().await;
    assert!(gone.unwrap_err().is_timeout());
    let tokens: Vec<String> = (0..10).map(|number| issuer.token(&format!("user-{number}"))).collect();
    let waiting = join_all(tokens.iter().map(|token| show(&castari, token)));
    let others = async {
        for _ in 0..20 {
            assert_eq!(castari.get("/agents").await.status, 200);
        }
        start.elapsed()
    };
    let (answers, others) = tokio::join!(waiting, others);
    assert!(
        answers.iter().all(|answer| answer.code() == "issuer_unavailable"),
        "{answers:?}"
    );
    assert!(others < start.elapsed(), "others wait");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn only_a_key_set_of_the_named_host_counts() {
    let elsewhere = Issuer::start().await;
    let published = key_set(&[keys().rsa.published()]);
    let padded = format!("{}{published}", " ".repeat(1 << 20));
    let other_name = elsewhere.name().replace("127.0.0.1", "localhost");
    for (what, reply, code) in [
        ("a key set", Reply::Body(200, published.clone()), 200),
        ("a redirection on the host", Reply::Redirect("/published".into()), 200),
        (
            "a redirection to another",
            Reply::Redirect(format!("{other_name}/published")),
            401,
        ),
        ("a redirection to itself", Reply::Redirect("/keys".into()), 401),
        ("an error with a key set", Reply::Body(500, published), 401),
        ("too much", Reply::Body(200, padded), 401),
        ("nonsense", Reply::Body(200, "<html>".into()), 401),
        (
            "another document",
            Reply::Body(200, "{\"jwks_uri\": \"/published\"}".into()),
            401,
        ),
    ] {
        let issuer = Issuer::start().await;
        issuer.reply(reply);
        let castari = Castari::with_issuer(issuer, Options::default()).await;
        let answer = show(&castari, &castari.issuer().token("alice")).await;
        assert_eq!(answer.status, code, "{what}: {answer:?}\n{}", castari.log());
    }
    assert_eq!(elsewhere.fetches(), 0);
}

#[tokio::test]
async fn a_server_without_an_issuer_takes_no_token() {
    let castari = Castari::start().await;
    let token = Issuer::start().await.token("alice");
    assert_refused(&castari, "no issuer", &token, "invalid_credentials").await;
}
