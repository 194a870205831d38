//! Requests a second: `GET /agents/{slug}` with a key, against a bare axum handler that answers the same bytes.
//!
//! The bare server is this program again, as a process of its own, on the same kind of runtime as the real one. Both are
//! asked by the same client, in turns, so that whatever else the machine does hits them alike.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName};
use axum::routing::get;
use castari_common::BASE_PATH;
use castari_tests::Castari;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The argument that makes this program the bare server. A file to answer follows.
pub const BARE_ARGUMENT: &str = "bare-server";

/// How many connections ask at once, each for one answer at a time.
const CONNECTIONS: usize = 32;

/// How long a server is asked before the other is.
const TURN: Duration = Duration::from_secs(2);

/// How many turns each server has; a first one comes before and does not count.
const TURNS: usize = 5;

/// What the server says of each answer anew: the bare server's own does it alike.
const SAID_ANEW: [&str; 2] = ["content-length", "date"];

/// Measures both servers and prints what came of it.
pub async fn compare() {
    let castari = Castari::start().await;
    let slug = "bench";
    castari.create(slug).await;
    let path = format!("{BASE_PATH}/agents/{slug}");
    let answer = castari.get(&format!("/agents/{slug}")).await;
    assert_eq!(answer.status, 200);
    let bare = Bare::start(&answer);
    let key = castari.key();
    let subjects = [
        ("castari", request(castari.address(), &path, key)),
        ("bare axum", request(&bare.address, &path, key)),
    ];
    let mut turns = [Vec::new(), Vec::new()];
    for turn in 0..=TURNS {
        for (subject, turns) in subjects.iter().zip(&mut turns) {
            let load = Load::of(&subject.1);
            if turn > 0 {
                turns.push(load);
            }
        }
    }
    println!(
        "GET {path}, {CONNECTIONS} connections, answers of {} bytes",
        answer.text.len()
    );
    println!("{:<12} {:>12} {:>9} {:>9}", "subject", "requests/s", "p50 ms", "p99 ms");
    let rates = turns.each_ref().map(|turns| median(turns, |load| load.rate));
    for ((name, _), turns) in subjects.iter().zip(&turns) {
        println!(
            "{name:<12} {:>12.0} {:>9.3} {:>9.3}",
            median(turns, |load| load.rate),
            median(turns, |load| load.half),
            median(turns, |load| load.most)
        );
    }
    println!("\ncastari / bare axum: {:.3}", rates[0] / rates[1]);
}

fn median(loads: &[Load], of: impl Fn(&Load) -> f64) -> f64 {
    let mut values: Vec<f64> = loads.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Where to ask, and what.
pub struct Asked {
    address: String,
    pub request: Vec<u8>,
}

/// A request with a key.
pub fn request(address: &str, path: &str, key: &str) -> Asked {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\r\n");
    Asked {
        address: address.into(),
        request: request.into_bytes(),
    }
}

/// What a server did in one turn.
struct Load {
    /// Answers a second.
    rate: f64,
    /// Milliseconds that half of the answers took at the most.
    half: f64,
    /// The same of 99 in a hundred.
    most: f64,
}

impl Load {
    /// Asks on all connections until the turn is over, from a thread of its own.
    fn of(asked: &Asked) -> Self {
        let (times, took) = std::thread::scope(|scope| scope.spawn(|| run(asked)).join()).unwrap();
        let mut times = times;
        times.sort_unstable();
        let quantile = |per_cent: usize| times[(times.len() - 1) * per_cent / 100].as_secs_f64() * 1000.0;
        #[expect(clippy::cast_precision_loss, reason = "a count that a float holds exactly")]
        let count = times.len() as f64;
        Self {
            rate: count / took.as_secs_f64(),
            half: quantile(50),
            most: quantile(99),
        }
    }
}

/// How long each answer took, and all of them together.
fn run(asked: &Asked) -> (Vec<Duration>, Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Connection::open(&asked.address).await);
        }
        let start = Instant::now();
        let asking = connections
            .into_iter()
            .map(|connection| connection.ask(&asked.request, start + TURN));
        let times = futures::future::join_all(asking).await.concat();
        (times, start.elapsed())
    })
}

/// A connection that is kept. It costs as little as can be: what is sent is made before, what comes is looked at only
/// for where it ends.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            buffer: Vec::with_capacity(16 * 1024),
        }
    }

    async fn ask(mut self, request: &[u8], until: Instant) -> Vec<Duration> {
        let mut times = Vec::with_capacity(1 << 16);
        while Instant::now() < until {
            times.push(self.time(request).await);
        }
        times
    }

    /// Asks once; answers how long that took.
    pub async fn time(&mut self, request: &[u8]) -> Duration {
        let start = Instant::now();
        self.stream.write_all(request).await.unwrap();
        self.answer().await;
        start.elapsed()
    }

    /// Reads an answer to its end.
    async fn answer(&mut self) {
        self.buffer.clear();
        let mut length = None;
        while length.is_none_or(|length| self.buffer.len() < length) {
            let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert!(read > 0, "the server closed a connection");
            length = length.or_else(|| length_of(&self.buffer));
        }
        assert!(self.buffer.starts_with(b"HTTP/1.1 200 "), "a request was refused");
    }
}

/// The length of an answer, once its head is whole.
fn length_of(answer: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length: ";
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let length = answer[..head]
        .split(|byte| *byte == b'\n')
        .find_map(|line| line.strip_prefix(NAME))
        .unwrap();
    let length: usize = std::str::from_utf8(length).unwrap().trim_end().parse().unwrap();
    Some(head + length)
}

/// The bare server's process.
struct Bare {
    child: Child,
    address: String,
    _answer: tempfile::NamedTempFile,
}

impl Bare {
    /// Starts one that answers what was answered, heads included.
    fn start(answer: &castari_tests::Answer) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let heads: Vec<(&str, &str)> = answer
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .filter(|(name, _)| !SAID_ANEW.contains(name))
            .collect();
        std::fs::write(file.path(), serde_json::json!([heads, answer.text]).to_string()).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(BARE_ARGUMENT)
            .arg(file.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut address)
            .unwrap();
        Self {
            child,
            address: address.trim_end().into(),
            _answer: file,
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bare server: one route that answers what the file holds.
pub fn serve_bare(file: &str) {
    let (heads, body): (Vec<(String, String)>, String) = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let heads: HeaderMap = heads
        .into_iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()))
        .collect();
    let body = Bytes::from(body);
    let handler = get(move || std::future::ready((heads.clone(), body.clone())));
    let router = Router::new().route(&format!("{BASE_PATH}/agents/{{slug}}"), handler);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        axum::serve(listener, router).await.unwrap();
    });
}
