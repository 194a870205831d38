//! Servers of the test's own, which agents try to reach.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The address by which this machine is known to others; `None` where it has none but the loopback's.
#[must_use]
pub fn own_address() -> Option<IpAddr> {
    // Nothing is sent: the kernel only looks up which address it would send from.
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.88.99.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// Says that a test is left out, and why.
pub fn skip(reason: &str) {
    eprintln!("SKIPPED: {reason}");
}

/// Whether sandboxes of a server that runs as this user have a network.
#[must_use]
pub fn has_tun() -> bool {
    std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .is_ok()
}

/// A listener that counts who comes.
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    count: Arc<AtomicUsize>,
}

impl Listener {
    /// Listens on a free port.
    pub async fn on(address: IpAddr) -> Self {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
                    .await;
            }
        });
        Self { address, count }
    }

    /// How many came.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

/// A listener that lets nobody go on until it is told to.
pub struct Gate(TcpListener);

impl Gate {
    /// Listens on a free port.
    pub async fn on(address: IpAddr) -> Self {
        Self(TcpListener::bind((address, 0)).await.unwrap())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Waits until so many stand before it. They go on when the answer is dropped.
    pub async fn wait_for(&self, count: usize) -> Vec<TcpStream> {
        let mut waiting = Vec::new();
        while waiting.len() < count {
            waiting.push(self.0.accept().await.unwrap().0);
        }
        waiting
    }
}

/// Serves a directory's files over HTTP, as any web server would; yields where.
pub async fn serve_files(address: IpAddr, root: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_file(stream, root.clone()));
        }
    });
    address
}

async fn serve_file(stream: TcpStream, root: PathBuf) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    stream.read_line(&mut request).await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 2 {
        line.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default().trim_start_matches('/');
    let answer = match tokio::fs::read(root.join(path)).await {
        Ok(content) => {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                content.len()
            );
            [head.into_bytes(), content].concat()
        }
        Err(_) => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
    };
    stream.write_all(&answer).await?;
    stream.shutdown().await
}
