use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures::StreamExt;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::*;
use crate::invocations::Invoke;

/// What a server does with one request.
#[derive(Clone)]
enum Reply {
    Answer(String),
    /// Closes the connection without an answer.
    Close,
}

/// A server that replies as it is told, the last time for ever, and notes what it was asked.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn replying(replies: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, replies)
    }

    fn on(listener: TcpListener, replies: &[Reply]) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (noted, replies) = (Arc::clone(&asked), replies.to_vec());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let request = read(&mut stream).await;
                let count = {
                    let mut asked = noted.lock().unwrap();
                    asked.push(request);
                    asked.len()
                };
                if let Reply::Answer(answer) = &replies[count.min(replies.len()) - 1] {
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        Self { url, asked }
    }

    fn client(&self) -> Client {
        Client::new(&self.url, "cast_12345678_x").unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Reads a request; yields its first line and its body.
async fn read(stream: &mut BufReader<TcpStream>) -> String {
    let (mut request, mut length) = (String::new(), 0);
    stream.read_line(&mut request).await.unwrap();
    let mut line = String::new();
    while stream.read_line(&mut line).await.unwrap() > 2 {
        if let Some(text) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    format!(
        "{} {}",
        request.trim_end_matches(" HTTP/1.1\r\n"),
        String::from_utf8(body).unwrap()
    )
}

fn answer(status: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Answer(format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    ))
}

fn me() -> Reply {
    let me = r#"{"id": "usr_1", "email": "a@b.c", "api_key_prefix": null, "created_at": "2026-01-01T00:00:00Z"}"#;
    answer("200 OK", "", me)
}

fn limited(seconds: u64) -> Reply {
    let body = r#"{"detail": "Rate limit exceeded.", "code": "rate_limited"}"#;
    answer("429 Too Many Requests", &format!("Retry-After: {seconds}\r\n"), body)
}

fn ending() -> Reply {
    let body = r#"{"detail": "The server is shutting down", "code": "shutting_down"}"#;
    answer("503 Service Unavailable", "", body)
}

/// An answer that breaks off.
fn half() -> Reply {
    Reply::Answer("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"id\": ".into())
}

fn hello() -> Invoke {
    Invoke {
        prompt: "hello".into(),
        session_id: None,
    }
}

#[tokio::test]
async fn a_call_over_the_limit_is_made_again_when_the_server_says() {
    let server = Server::replying(&[limited(1), limited(0), me()]).await;
    let start = Instant::now();
    assert_eq!(server.client().me().await.unwrap().id, "usr_1");
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn an_invocation_over_the_limit_was_not_carried_out() {
    let server = Server::replying(&[limited(0), answer("418 I'm a teapot", "", "")]).await;
    let refused = server.client().invoke("agent", &hello()).await.unwrap_err();
    assert_eq!(refused.refusal().unwrap().status, 418, "{refused}");
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0], asked[1]);
    assert!(asked[1].starts_with("POST") && asked[1].contains("hello"), "{asked:?}");
}

#[tokio::test]
async fn a_refusal_that_outlasts_the_patience_is_returned_at_once() {
    let server = Server::replying(&[limited(11), me()]).await;
    let start = Instant::now();
    let refused = server.client().me().await.unwrap_err();
    let refusal = refused.refusal().unwrap();
    assert_eq!(
        (refusal.status, refusal.retry_after),
        (429, Some(Duration::from_secs(11)))
    );
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(server.asked().len(), 1);

    // What was waited for already counts.
    let server = Server::replying(&[limited(1)]).await;
    let client = server.client().with_patience(Duration::from_millis(1500));
    assert_eq!(client.me().await.unwrap_err().refusal().unwrap().status, 429);
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn without_patience_every_call_is_made_once() {
    for reply in [limited(0), ending(), half(), Reply::Close] {
        let server = Server::replying(&[reply, me()]).await;
        server.client().with_patience(Duration::ZERO).me().await.unwrap_err();
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn what_reads_is_repeated_after_the_connection_broke() {
    let server = Server::replying(&[Reply::Close, half(), ending(), me()]).await;
    assert_eq!(server.client().me().await.unwrap().id, "usr_1");
    assert_eq!(server.asked().len(), 4);

    let server = Server::replying(&[half()]).await;
    let error = server.client().me().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable(_)), "{error:?}");
    assert_eq!(server.asked().len(), 5, "a few times, not for ever");
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_again() {
    for reply in [Reply::Close, half(), ending()] {
        let server = Server::replying(&[reply, me()]).await;
        let client = server.client();
        client.invoke("agent", &hello()).await.unwrap_err();
        assert_eq!(server.asked().len(), 1, "{:?}", server.asked());
        let started = client.stream("agent", &hello()).await;
        drop(started);
        assert_eq!(server.asked().len(), 2);
    }
    let server = Server::replying(&[Reply::Close]).await;
    server.client().delete_agent("agent").await.unwrap_err();
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn other_refusals_are_final() {
    for status in [
        "401 Unauthorized",
        "404 Not Found",
        "500 Internal Server Error",
        "503 Service Unavailable",
    ] {
        let server = Server::replying(&[answer(status, "", "{}"), me()]).await;
        server.client().me().await.unwrap_err();
        assert_eq!(server.asked().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_stream_of_events_does_not_go_on_by_itself() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 1000\r\n\r\n";
    let event = "data: {\"kind\": \"agent\", \"slug\": null, \"id\": null}\n\n";
    let server = Server::replying(&[Reply::Answer(format!("{head}{event}"))]).await;
    let events = server.client().events(None).await.unwrap();
    let told: Vec<_> = events.collect().await;
    assert!(told[0].is_ok() && told[1].is_err() && told.len() == 2, "{told:?}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_waited_for() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let client = Client::new(&format!("http://{}", socket.local_addr().unwrap()), "cast_12345678_x").unwrap();
    let (call, invoke) = (client.me(), hello());
    let mut invocation = std::pin::pin!(client.invoke("agent", &invoke));
    // Nobody listens on the socket yet: the first try is refused, and the pause after it is longer than this.
    let early = tokio::time::timeout(Duration::from_millis(30), invocation.as_mut()).await;
    early.unwrap_err();
    let server = Server::on(socket.listen(8).unwrap(), &[answer("418 I'm a teapot", "", ""), me()]);
    assert_eq!(invocation.await.unwrap_err().refusal().unwrap().status, 418);
    assert_eq!(call.await.unwrap().id, "usr_1");
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_server_that_never_comes_is_not_waited_for_for_long() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let client = Client::new(&format!("http://{}", socket.local_addr().unwrap()), "cast_12345678_x").unwrap();
    let start = Instant::now();
    let error = client.me().await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable(_)), "{error:?}");
    let pauses = Duration::from_millis(75 + 150 + 300 + 600);
    assert!(
        start.elapsed() >= pauses && start.elapsed() < Duration::from_secs(8),
        "{:?}",
        start.elapsed()
    );
}
