//! What every call has in common: who asks, how often, and how a request is refused.

use castari_tests::shape::shape;
use castari_tests::{Answer, Castari, Options};
use reqwest::Method;
use serde_json::{Value, json};

/// Asserts that an answer is an error in the contract's shape, with the headers that every answer has.
fn assert_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
    assert!(
        answer.json()["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty()),
        "{answer:?}"
    );
    assert_limits(answer);
}

fn assert_limits(answer: &Answer) {
    assert!(
        answer.header("content-type").starts_with("application/json"),
        "{answer:?}"
    );
    for name in ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"] {
        assert!(answer.header(name).parse::<u64>().is_ok(), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn probes_need_no_credential() {
    let castari = Castari::start().await;
    for path in ["/healthz", "/readyz"] {
        let answer = castari.send(castari.anonymous(Method::GET, path)).await;
        assert_eq!(answer.status, 200);
        let health = json!({"status": "ok", "service": "castari", "version": env!("CARGO_PKG_VERSION")});
        assert_eq!(answer.json(), health);
    }
    assert_eq!(castari.client().health().await.unwrap().status, "ok");
}

#[tokio::test]
async fn the_account_is_who_asks() {
    let castari = Castari::start().await;
    let answer = castari.get("/auth/me").await;
    assert_eq!(answer.status, 200);
    insta::assert_json_snapshot!("me", shape(answer.json()));
    assert_limits(&answer);
}

#[tokio::test]
async fn who_shows_no_good_credential_is_refused() {
    let castari = Castari::start().await;
    let secret = "x".repeat(40);
    let unknown = format!("Bearer cast_abcdefgh_{secret}");
    let changed = format!("Bearer {}x", castari.key());
    let long = format!("Bearer cast_{}", "a".repeat(5000));
    let cases = [
        (None, "not_authenticated"),
        (Some("Bearer"), "invalid_credentials"),
        (Some("Bearer "), "invalid_credentials"),
        (Some("Basic b3duZXI6b3duZXI="), "invalid_credentials"),
        (Some(castari.key()), "invalid_credentials"),
        (Some("Bearer nonsense"), "invalid_credentials"),
        (Some(unknown.as_str()), "invalid_credentials"),
        (Some(changed.as_str()), "invalid_credentials"),
        (Some(long.as_str()), "invalid_credentials"),
    ];
    for (authorization, code) in cases {
        for (method, path) in [
            (Method::GET, "/api/v1/auth/me"),
            (Method::POST, "/api/v1/agents/some/invoke"),
            (Method::GET, "/api/v1/events"),
            (Method::POST, "/api/v1/agents/some/upload-code"),
        ] {
            let mut request = castari.anonymous(method, path);
            if let Some(authorization) = authorization {
                request = request.header("Authorization", authorization);
            }
            let answer = castari.send(request).await;
            assert_problem(&answer, 401, code);
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    // The scheme's case does not matter.
    let request = castari.anonymous(Method::GET, "/api/v1/auth/me");
    let answer = castari
        .send(request.header("Authorization", format!("bearer {}", castari.key())))
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn what_is_not_there_is_refused_in_json() {
    let castari = Castari::start().await;
    for path in [
        "/",
        "/nonsense",
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v1/nonsense",
        "/api/v1/agents/a/b/c",
    ] {
        let request = castari.anonymous(Method::GET, path).bearer_auth(castari.key());
        assert_problem(&castari.send(request).await, 404, "not_found");
    }
    for (method, path) in [
        (Method::PUT, "/api/v1/agents"),
        (Method::PATCH, "/api/v1/auth/me"),
        (Method::GET, "/api/v1/agents/a/invoke"),
        (Method::POST, "/healthz"),
    ] {
        let request = castari.anonymous(method, path).bearer_auth(castari.key());
        let answer = castari.send(request).await;
        assert_problem(&answer, 405, "method_not_allowed");
        assert!(!answer.header("allow").is_empty(), "{answer:?}");
    }
    for (method, path) in [
        (Method::GET, "/agents/missing"),
        (Method::PATCH, "/agents/missing"),
        (Method::DELETE, "/agents/missing"),
        (Method::POST, "/agents/missing/deploy"),
        (Method::POST, "/agents/missing/redeploy"),
        (Method::POST, "/agents/missing/upload-code"),
        (Method::DELETE, "/agents/missing/sandbox"),
        (Method::DELETE, "/missing/sandbox"),
        (Method::POST, "/agents/missing/invoke"),
        (Method::POST, "/agents/missing/stream"),
        (Method::GET, "/agents/missing/deployments"),
        (Method::GET, "/agents/missing/invocations"),
    ] {
        let mut request = castari.request(method.clone(), path);
        if method == Method::PATCH || path.ends_with("invoke") || path.ends_with("stream") {
            request = request.json(&json!({"prompt": "hello"}));
        }
        assert_problem(&castari.send(request).await, 404, "agent_not_found");
    }
    for path in ["/invocations/inv_missing", "/invocations/inv_missing/logs"] {
        assert_problem(&castari.get(path).await, 404, "invocation_not_found");
    }
    castari.create("there").await;
    for slug in ["there", "missing"] {
        let answer = castari
            .get(&format!("/agents/{slug}/deployments/dep_missing/logs"))
            .await;
        assert_problem(&answer, 404, "deployment_not_found");
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_refused() {
    let castari = Castari::start().await;
    let post = |path: &str, kind: &str, body: Vec<u8>| {
        let request = castari.request(Method::POST, path);
        castari.send(request.header("Content-Type", kind).body(body))
    };
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "nonsense",
    ] {
        let answer = post("/agents", kind, br#"{"name": "a"}"#.to_vec()).await;
        assert_problem(&answer, 415, "unsupported_media_type");
    }
    for body in [
        &b"{"[..],
        b"{\"name\": }",
        b"\xff\xfe",
        b"nonsense",
        b"{\"name\": \"a\"} trailing",
    ] {
        assert_problem(
            &post("/agents", "application/json", body.to_vec()).await,
            400,
            "malformed_json",
        );
    }
    let deep = "[".repeat(10_000).into_bytes();
    assert_problem(&post("/agents", "application/json", deep).await, 400, "malformed_json");

    let answer = post("/agents", "application/json", Vec::new()).await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.json(),
        json!({"detail": [{"loc": ["body"], "msg": "field required", "type": "value_error.missing"}]})
    );
    assert_limits(&answer);
    for body in ["[]", "null", "7", "\"text\""] {
        let answer = post("/agents", "application/json", body.into()).await;
        assert_eq!(answer.status, 422, "{body}");
        assert_eq!(answer.json()["detail"][0]["loc"], json!(["body"]), "{body}");
    }
    for path in ["/agents", "/agents/some/invoke"] {
        let answer = post(path, "application/json", vec![b' '; (8 << 20) + 1]).await;
        assert_problem(&answer, 413, "too_large");
    }
    let answer = post(
        "/agents",
        "application/json; charset=utf-8",
        br#"{"name": "a"}"#.to_vec(),
    )
    .await;
    assert_eq!(answer.status, 201);
    assert_eq!(
        castari
            .client()
            .agents(&<_>::default(), <_>::default())
            .await
            .unwrap()
            .meta
            .total,
        1
    );
}

#[tokio::test]
async fn an_upload_that_is_no_form_is_refused() {
    let castari = Castari::start().await;
    castari.create("one").await;
    let request = castari.request(Method::POST, "/agents/one/upload-code");
    assert_problem(
        &castari.send(request.json(&json!({}))).await,
        415,
        "unsupported_media_type",
    );
    let request = castari.request(Method::POST, "/agents/one/upload-code");
    let answer = castari
        .send(request.multipart(reqwest::multipart::Form::new().text("other", "x")))
        .await;
    assert_eq!(answer.status, 422);
    assert_eq!(
        answer.json(),
        json!({"detail": [{"loc": ["body", "file"], "msg": "field required", "type": "value_error.missing"}]})
    );
    let request = castari.request(Method::POST, "/agents/one/upload-code");
    let request = request
        .header("Content-Type", "multipart/form-data; boundary=x")
        .body("nonsense");
    assert_problem(&castari.send(request).await, 400, "malformed_multipart");
    let request = castari.request(Method::POST, "/agents/one/upload-code?auto_deploy=perhaps");
    let answer = castari
        .send(request.multipart(reqwest::multipart::Form::new().text("file", "x")))
        .await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.json()["detail"][0]["type"], "type_error.bool");
    assert!(castari.files().is_empty());
}

#[tokio::test]
async fn an_upload_over_the_limit_is_refused() {
    let castari = Castari::with(Options::default().env("CASTARI_MAX_UPLOAD_MIB", "1")).await;
    castari.create("one").await;
    let refusal = castari.upload_refused("one", vec![0; (1 << 20) + 1]).await;
    assert_eq!((refusal.status, refusal.code.as_deref()), (413, Some("too_large")));
    assert!(castari.files().is_empty());
}

#[tokio::test]
async fn crud_requests_are_limited() {
    let options = Options::default()
        .env("CASTARI_RATE_LIMIT_CRUD", "3")
        .env("CASTARI_RATE_LIMIT_INVOKE", "2");
    let castari = Castari::with(options).await;
    for left in [2, 1, 0] {
        let answer = castari.get("/auth/me").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("x-ratelimit-limit"), "3");
        assert_eq!(answer.header("x-ratelimit-remaining"), left.to_string());
    }
    let answer = castari.get("/agents").await;
    assert_problem(&answer, 429, "rate_limited");
    assert_eq!(answer.header("x-ratelimit-remaining"), "0");
    let wait: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    let detail = format!("Rate limit exceeded. Try again in {wait} seconds.");
    assert_eq!(answer.json(), json!({"detail": detail, "code": "rate_limited"}));
    // An unknown route counts as well.
    assert_problem(&castari.get("/nonsense").await, 429, "rate_limited");

    // Invocations have a window of their own.
    let prompt = json!({"prompt": "hello"});
    for (path, left) in [("/agents/none/invoke", "1"), ("/agents/none/stream", "0")] {
        let answer = castari.post(path, &prompt).await;
        assert_problem(&answer, 404, "agent_not_found");
        assert_eq!(
            (
                answer.header("x-ratelimit-limit"),
                answer.header("x-ratelimit-remaining")
            ),
            ("2", left)
        );
    }
    assert_problem(&castari.post("/agents/none/invoke", &prompt).await, 429, "rate_limited");

    // Who shows no good credential is counted by address, apart from the user.
    for _ in 0..3 {
        let answer = castari.send(castari.anonymous(Method::GET, "/api/v1/auth/me")).await;
        assert_problem(&answer, 401, "not_authenticated");
    }
    let request = castari
        .anonymous(Method::GET, "/api/v1/auth/me")
        .bearer_auth("cast_guess");
    assert_problem(&castari.send(request).await, 429, "rate_limited");

    // Probes and the events do not count.
    for _ in 0..5 {
        let answer = castari.send(castari.anonymous(Method::GET, "/healthz")).await;
        assert_eq!(answer.status, 200);
        assert_limits(&answer);
        assert_eq!(
            castari.send(castari.anonymous(Method::GET, "/readyz")).await.status,
            200
        );
    }
    castari.client().events(None).await.map(drop).unwrap();
}

#[tokio::test]
async fn queries_that_break_the_schema_are_refused_with_every_fault() {
    let castari = Castari::start().await;
    let answer = castari.get("/agents?limit=0&offset=-1&status=nonsense&unknown=1").await;
    assert_eq!(answer.status, 422);
    insta::assert_json_snapshot!("query_faults", answer.json());
    let faults = |answer: Answer| -> Vec<(Value, Value)> {
        let json = answer.json();
        let faults = json["detail"].as_array().unwrap().iter();
        faults
            .map(|fault| (fault["loc"].clone(), fault["type"].clone()))
            .collect()
    };
    for (path, field, kind) in [
        ("/agents?limit=101", "limit", "value_error.number.not_le"),
        ("/agents?limit=many", "limit", "type_error.integer"),
        ("/agents?limit=", "limit", "type_error.integer"),
        ("/agents?limit=1.5", "limit", "type_error.integer"),
        ("/invocations?status=stopped", "status", "type_error.enum"),
        ("/invocations?limit=1000", "limit", "value_error.number.not_le"),
    ] {
        let answer = castari.get(path).await;
        assert_eq!(answer.status, 422, "{path}: {answer:?}");
        assert_eq!(faults(answer), [(json!(["query", field]), json!(kind))], "{path}");
    }
    castari.create("one").await;
    let request = castari.request(Method::POST, "/agents/one/deploy?wait=perhaps");
    let answer = castari.send(request).await;
    assert_eq!(answer.status, 422);
    assert_eq!(faults(answer), [(json!(["query", "wait"]), json!("type_error.bool"))]);
    let huge = castari.get("/agents?offset=99999999999999999999").await;
    assert_eq!(huge.status, 422, "{huge:?}");
}
