//! HTTP as no well-behaved client speaks it, over bare sockets: answered with a reason, and nothing is left of it.

use std::time::{Duration, Instant};

use castari_tests::{Castari, within};
use futures::future::join_all;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// An answer, read off the wire.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Asserts that this is a refusal as the contract wants it.
    fn assert_problem(&self, what: &str, status: u16) {
        assert_eq!(self.status, status, "{what}: {self:?}");
        let json = self.json();
        let is_explained = if status == 422 {
            json["detail"].as_array().is_some_and(|faults| !faults.is_empty())
        } else {
            json["detail"].is_string() && json["code"].is_string()
        };
        assert!(is_explained, "{what}: {self:?}");
        assert!(self.head.contains("x-ratelimit-limit"), "{what}: {self:?}");
    }
}

/// Sends bytes and reads all that comes until the server closes. Where `ends`, no more bytes will come, and the server
/// is told so.
async fn exchange(castari: &Castari, bytes: &[u8], ends: bool) -> Vec<Reply> {
    let mut stream = TcpStream::connect(castari.address()).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let mut answer = Vec::new();
    let talk = async {
        let write = async {
            // A server that has refused already may not read the rest.
            let _ = writing.write_all(bytes).await;
            if ends {
                let _ = writing.shutdown().await;
            }
        };
        // What was answered before a reset counts.
        let read = async { drop(reading.read_to_end(&mut answer).await) };
        tokio::join!(write, read)
    };
    within("an answer", PATIENCE, talk).await;
    replies(&answer)
}

/// The only answer to bytes after which the connection is closed.
async fn reply(castari: &Castari, bytes: &[u8]) -> Reply {
    let mut replies = exchange(castari, bytes, false).await;
    assert_eq!(replies.len(), 1, "{replies:?}");
    replies.remove(0)
}

/// Takes answers apart, each of which says its length or has no body.
fn replies(mut bytes: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let rest = &bytes[end + 4..];
        let body = String::from_utf8(rest[..length].to_vec()).unwrap();
        replies.push(Reply { status, head, body });
        bytes = &rest[length..];
    }
    assert!(bytes.is_empty(), "{replies:?} and {}", String::from_utf8_lossy(bytes));
    replies
}

/// The head of a request with the owner's key, after whose answer the connection is to be closed.
fn head(castari: &Castari, start: &str, headers: &str) -> String {
    let key = castari.key();
    format!("{start} HTTP/1.1\r\nHost: castari\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n{headers}\r\n")
}

/// A request with a body of JSON.
fn post(castari: &Castari, path: &str, body: &[u8]) -> Vec<u8> {
    let headers = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    let head = head(castari, &format!("POST /api/v1{path}"), &headers);
    [head.as_bytes(), body].concat()
}

/// Asserts that the server lives, and that nothing came of anything.
async fn assert_untouched(castari: &Castari) {
    let agents = castari.get("/agents").await.json();
    assert_eq!(agents["meta"]["total"], 0, "{agents}");
    castari.keeps(&[]).await;
    let log = castari.log();
    assert!(!log.contains("ERROR") && !log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn heads_that_are_too_large_are_refused() {
    let castari = Castari::start().await;
    let million = "x".repeat(1_000_000);
    for (what, start, headers) in [
        ("a header", "GET /api/v1/auth/me", format!("X-Long: {million}\r\n")),
        (
            "a header's name",
            "GET /api/v1/auth/me",
            format!("X-{}: 1\r\n", &million[..65_500]),
        ),
        (
            "many headers",
            "GET /healthz",
            format!("X-Some: {}\r\n", &million[..1000]).repeat(80),
        ),
        (
            "a query",
            &*format!("GET /api/v1/agents?search={}", &million[..65_480]),
            String::new(),
        ),
    ] {
        let answer = reply(&castari, head(&castari, start, &headers).as_bytes()).await;
        answer.assert_problem(what, 431);
    }
    // What is beyond all bounds is not even read to its end.
    let endless = head(&castari, "GET /healthz", &format!("X-Long: {}\r\n", million.repeat(3)));
    for answer in exchange(&castari, endless.as_bytes(), false).await {
        assert!((400..500).contains(&answer.status), "{answer:?}");
    }
    assert_untouched(&castari).await;
}

#[tokio::test]
async fn control_characters_are_refused_wherever_they_stand() {
    let castari = Castari::start().await;
    // These are no HTTP: the connection is closed, with a bare status.
    for (start, headers) in [
        ("GET /api/v1/agents/a\u{0}b", ""),
        ("GET /api/v1/agents/a\u{1}b", ""),
        ("GET /api/v1/agents/a b", ""),
        ("G\u{0}T /api/v1/agents", ""),
        ("GET /api/v1/agents", "X-Some: a\u{0}b\r\n"),
        ("GET /api/v1/agents", "X-Some\u{1}: a\r\n"),
        ("GET /api/v1/agents", "X Some: a\r\n"),
        ("GET /api/v1/agents", "no header\r\n"),
    ] {
        let answer = reply(&castari, head(&castari, start, headers).as_bytes()).await;
        assert_eq!(answer.status, 400, "{start:?} {headers:?}: {answer:?}");
    }
    for (path, status) in [
        ("/agents/a%00b", 404),
        ("/agents/a%0d%0ab", 404),
        ("/agents/%ff%fe", 404),
        ("/agents/%c3%28", 404),
        ("/agents/%", 404),
        ("/agents/%zz", 404),
        ("/agents/..%2f..%2fetc", 404),
        ("/agents/a/deployments/%00/logs", 404),
        ("/invocations/%00", 404),
        ("/agents?status=%00", 422),
        ("/agents?limit=%ff", 422),
        ("/agents?limit=%00", 422),
    ] {
        let start = format!("GET /api/v1{path}");
        let answer = reply(&castari, head(&castari, &start, "").as_bytes()).await;
        answer.assert_problem(path, status);
    }
    // What is searched for may be anything, and is not found.
    for search in ["%00", "%ff", "%c3%28", "%25", "'%20OR%201=1--"] {
        let start = format!("GET /api/v1/agents?search={search}");
        let answer = reply(&castari, head(&castari, &start, "").as_bytes()).await;
        assert!(matches!(answer.status, 200 | 422), "{search}: {answer:?}");
    }
    for body in [
        r#"{"name": "a\u0000b"}"#,
        r#"{"name": "a\nb"}"#,
        r#"{"name": "a", "slug": "a\u0000"}"#,
        r#"{"name": "a", "git_branch": "a\u0000"}"#,
        r#"{"name": "a", "git_repo_url": "https://example.com/\u0000"}"#,
    ] {
        let answer = reply(&castari, &post(&castari, "/agents", body.as_bytes())).await;
        answer.assert_problem(body, 422);
    }
    assert_untouched(&castari).await;
}

#[tokio::test]
async fn bodies_that_are_no_json_are_refused() {
    let castari = Castari::start().await;
    let deep_list = format!("{{\"name\": {}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let deep_object = "{\"name\":".repeat(10_000);
    for (what, body, status) in [
        ("not UTF-8", &b"{\"name\": \"\xff\xfe\"}"[..], 400),
        ("half a character", b"{\"name\": \"\xc3\"}", 400),
        ("UTF-16", b"\xff\xfe{\x00}\x00", 400),
        ("half a surrogate", br#"{"name": "\ud800"}"#, 400),
        ("a raw NUL", b"{\"name\": \"a\x00b\"}", 400),
        ("a number without end", b"{\"name\": 1e999999}", 400),
        ("NaN", b"{\"name\": NaN}", 400),
        ("a comment", b"{\"name\": \"a\" /* b */}", 400),
        ("deep lists", deep_list.as_bytes(), 400),
        ("deep objects", deep_object.as_bytes(), 400),
        (
            "a number out of range",
            br#"{"name": "a", "max_turns": 99999999999999999999}"#,
            422,
        ),
        (
            "a negative number",
            br#"{"name": "a", "timeout_seconds": -9223372036854775808}"#,
            422,
        ),
        ("a fraction", br#"{"name": "a", "max_turns": 1.5}"#, 422),
    ] {
        reply(&castari, &post(&castari, "/agents", body))
            .await
            .assert_problem(what, status);
    }
    assert_untouched(&castari).await;
    // As everywhere, the last of several counts.
    let twice = br#"{"name": 7, "name": "last", "slug": "first", "slug": "last"}"#;
    let answer = reply(&castari, &post(&castari, "/agents", twice)).await;
    assert_eq!(
        (answer.status, &answer.json()["slug"]),
        (201, &json!("last")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn offsets_may_be_huge_but_not_beyond_numbers() {
    let castari = Castari::start().await;
    for (offset, status) in [
        ("9223372036854775807", 200),
        ("9223372036854775808", 422),
        ("18446744073709551615", 422),
        ("99999999999999999999999", 422),
        ("1e3", 422),
        ("0x10", 422),
        ("-0", 200),
        ("%2B1", 200),
        ("%EF%BC%91", 422),
    ] {
        for path in ["/agents", "/invocations"] {
            let answer = castari.get(&format!("{path}?offset={offset}")).await;
            assert_eq!(answer.status, status, "{path} {offset}: {answer:?}");
        }
    }
    assert_untouched(&castari).await;
}

#[tokio::test]
async fn bodies_that_are_too_long_are_refused() {
    let castari = Castari::start().await;
    let json = "Content-Type: application/json\r\n";
    let announced = head(
        &castari,
        "POST /api/v1/agents",
        &format!("{json}Content-Length: 99999999999\r\n"),
    );
    let body = format!("{announced}{}", " ".repeat(9 << 20));
    reply(&castari, body.as_bytes()).await.assert_problem("announced", 413);

    let chunked = head(
        &castari,
        "POST /api/v1/agents",
        &format!("{json}Transfer-Encoding: chunked\r\n"),
    );
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x10000));
    let body = format!("{chunked}{}0\r\n\r\n", chunk.repeat(9 << 4));
    reply(&castari, body.as_bytes()).await.assert_problem("in chunks", 413);
    assert_untouched(&castari).await;
}

#[tokio::test]
async fn lengths_that_cannot_be_are_refused() {
    let castari = Castari::start().await;
    let json = "Content-Type: application/json\r\n";
    let good = "10\r\n{\"name\": \"good\"}\r\n0\r\n\r\n";
    for (what, headers, body) in [
        ("no number", "Transfer-Encoding: chunked\r\n", "ZZ\r\n{}\r\n0\r\n\r\n"),
        (
            "a negative number",
            "Transfer-Encoding: chunked\r\n",
            "-1\r\n{}\r\n0\r\n\r\n",
        ),
        (
            "a huge number",
            "Transfer-Encoding: chunked\r\n",
            "ffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        ),
        ("no line ends", "Transfer-Encoding: chunked\r\n", "2\r\n{}xx0\r\n\r\n"),
        ("it breaks off", "Transfer-Encoding: chunked\r\n", "10\r\n{\"name\""),
        ("no last chunk", "Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n"),
        ("fewer bytes than said", "Content-Length: 100\r\n", "{\"name\": \"a\"}"),
        (
            "two lengths",
            "Content-Length: 2\r\nContent-Length: 13\r\n",
            "{\"name\": \"a\"}",
        ),
        ("a length that is none", "Content-Length: many\r\n", "{}"),
        ("a negative length", "Content-Length: -1\r\n", "{}"),
        ("another encoding", "Transfer-Encoding: gzip\r\n", good),
        ("chunks within chunks", "Transfer-Encoding: chunked, gzip\r\n", good),
    ] {
        let head = head(&castari, "POST /api/v1/agents", &format!("{json}{headers}"));
        let replies = exchange(&castari, format!("{head}{body}").as_bytes(), true).await;
        for answer in replies {
            assert!((400..500).contains(&answer.status), "{what}: {answer:?}");
        }
    }
    assert_untouched(&castari).await;
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let castari = Castari::start().await;
    castari.create("agent").await;
    let kind = "Content-Type: multipart/form-data; boundary=edge\r\n";
    let part = "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.tar.gz\"\r\n\r\n";
    for body in [
        "",
        "--ed",
        "--edge\r\nContent-Disp",
        part,
        &format!("{part}{}", "x".repeat(100_000)),
    ] {
        for length in [
            format!("Content-Length: {}\r\n", body.len() + 1000),
            "Transfer-Encoding: chunked\r\n".into(),
        ] {
            let head = head(
                &castari,
                "POST /api/v1/agents/agent/upload-code",
                &format!("{kind}{length}"),
            );
            let chunk = if length.starts_with('T') {
                format!("{:x}\r\n", body.len() + 1000)
            } else {
                String::new()
            };
            let request = format!("{head}{chunk}{body}");
            // Half closed: it may still say what is wrong. Closed: there is nobody to say it to.
            for answer in exchange(&castari, request.as_bytes(), true).await {
                assert!((400..500).contains(&answer.status), "{answer:?}");
            }
            let mut stream = TcpStream::connect(castari.address()).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
        }
    }
    castari.client().delete_agent("agent").await.unwrap();
    assert_untouched(&castari).await;
}

#[tokio::test]
async fn older_and_odder_http_is_answered() {
    let castari = Castari::start().await;
    let old = reply(&castari, b"GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.status, 200, "{old:?}");
    let hosts = b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n";
    reply(&castari, hosts).await.assert_problem("two hosts", 400);
    let hostless = b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n";
    reply(&castari, hostless).await.assert_problem("no host", 400);
    let absolute = reply(&castari, head(&castari, "GET http://castari/healthz", "").as_bytes()).await;
    assert_eq!(absolute.status, 200, "{absolute:?}");
    for start in [
        "GET healthz",
        "CONNECT castari:80",
        "OPTIONS *",
        "TRACE /healthz",
        "BREW /healthz",
        "get /healthz",
    ] {
        let answer = reply(&castari, head(&castari, start, "").as_bytes()).await;
        assert!((400..500).contains(&answer.status), "{start}: {answer:?}");
    }
    for bytes in [
        &b"nonsense\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        for answer in exchange(&castari, bytes, true).await {
            assert!(
                (400..500).contains(&answer.status) || answer.status == 505,
                "{answer:?}"
            );
        }
    }
    assert_untouched(&castari).await;
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_their_order() {
    let castari = Castari::start().await;
    let open = |path: &str| head(&castari, &format!("GET {path}"), "").replace("Connection: close\r\n", "");
    let body = br#"{"name": "third"}"#;
    let third = String::from_utf8(post(&castari, "/agents", body))
        .unwrap()
        .replace("Connection: close\r\n", "");
    let last = head(&castari, "GET /api/v1/agents/third", "");
    let row = [open("/healthz"), open("/api/v1/agents/missing"), third, last].concat();
    let answers = exchange(&castari, row.as_bytes(), false).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 404, 201, 200], "{answers:?}");
}

#[tokio::test]
async fn slow_clients_do_not_slow_others_down() {
    const SLOW: usize = 1000;
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    }
    let castari = Castari::start().await;
    median(&castari).await;
    let alone = median(&castari).await;
    let slow = join_all((0..SLOW).map(|_| TcpStream::connect(castari.address()))).await;
    let slow: Vec<TcpStream> = slow.into_iter().map(Result::unwrap).collect();
    let dripping = tokio::spawn(async move {
        let mut slow = slow;
        let request = b"POST /api/v1/agents HTTP/1.1\r\nHost: castari\r\nContent-Type: application/json\r\n";
        for byte in request {
            for stream in &mut slow {
                let _ = stream.write_all(&[*byte]).await;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let mut among = Vec::new();
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        among.push(median(&castari).await);
    }
    among.sort();
    let among = among[among.len() / 2];
    assert!(
        among < alone * 5 + Duration::from_millis(2),
        "{among:?} among {SLOW}, {alone:?} alone"
    );
    assert!(!dripping.is_finished());
    dripping.abort();
    assert_untouched(&castari).await;
}

/// How long an answer takes, half of the times.
async fn median(castari: &Castari) -> Duration {
    let mut took = Vec::new();
    for _ in 0..51 {
        let start = Instant::now();
        let answer = castari.send(castari.request(Method::GET, "/agents")).await;
        assert!(answer.status < 500);
        took.push(start.elapsed());
    }
    took.sort();
    took[25]
}
