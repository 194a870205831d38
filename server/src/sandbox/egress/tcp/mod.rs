//! Carries one TCP connection: the sandbox's end runs against a stack of its own, the far end is a socket of the host.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::dns;
use super::door::{OpenConnection, Queued, Shared};
use super::policy::Policy;
use super::wire::{self, Flow, Received, Transport};

mod bridge;
mod link;

use bridge::{Bridge, End};

/// A sandbox's kernel itself gives up only after two minutes, which is long for a program to wait.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const DNS_BUFFER: usize = 4096;
/// Large enough for a few of the largest packets to be under way in either direction.
const BUFFER: usize = 512 * 1024;
const SMALL_BUFFER: usize = 32 * 1024;
/// How many connections get large buffers. The others make do with small ones, so that a sandbox cannot take much of
/// the server's memory by opening all that it may.
const LARGE_BUFFERS: usize = 32;

/// Serves the connection that `syn` asks for. The handshake is held until the far end has answered, so that the
/// sandbox sees a refusal as a refusal. Gives back the SYN of the flow's next connection, if it has come already.
pub(super) async fn serve(
    shared: &Shared,
    flow: Flow,
    syn: Vec<u8>,
    mut packets: mpsc::Receiver<Queued>,
) -> Option<Vec<u8>> {
    if flow.is_dns() {
        serve_dns(shared, flow, &syn, &mut packets).await;
    } else {
        serve_public(shared, flow, syn, &mut packets).await;
    }
    packets.close();
    std::iter::from_fn(|| packets.try_recv().ok())
        .map(|queued| queued.packet)
        .find(|packet| is_syn(packet))
}

async fn serve_public(shared: &Shared, flow: Flow, syn: Vec<u8>, packets: &mut mpsc::Receiver<Queued>) {
    let Some((connected, syn)) = connect_while_wanted(shared, flow, syn, packets).await else {
        return;
    };
    match connected {
        Ok(stream) => {
            let mut far = FarEnd {
                stream,
                finished: false,
            };
            far.finished = matches!(carry(shared, flow, &syn, packets, &mut far.stream).await, End::Finished);
        }
        Err(error) => {
            tracing::debug!(to = %flow.to, %error, "cannot connect");
            refuse(shared, flow, &syn);
        }
    }
}

fn is_syn(packet: &[u8]) -> bool {
    matches!(wire::parse(packet), Some(Received { transport: Transport::Tcp(segment), .. }) if wire::opens(&segment))
}

async fn serve_dns(shared: &Shared, flow: Flow, syn: &[u8], packets: &mut mpsc::Receiver<Queued>) {
    let (mut near, far): (DuplexStream, DuplexStream) = tokio::io::duplex(DNS_BUFFER);
    let answering = async {
        dns::answer_stream(&shared.resolver, far).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = carry(shared, flow, syn, packets, &mut near) => {}
        () = answering => {}
    }
}

async fn carry<S>(shared: &Shared, flow: Flow, syn: &[u8], packets: &mut mpsc::Receiver<Queued>, far: &mut S) -> End
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let open = OpenConnection::new(&shared.open_connections);
    let buffer = if open.others < LARGE_BUFFERS {
        BUFFER
    } else {
        SMALL_BUFFER
    };
    match Bridge::new(&shared.tun, flow, packets, buffer) {
        Ok(bridge) => bridge.run(syn, far).await,
        Err(error) => {
            tracing::error!(%error, "cannot make a TCP stack");
            refuse(shared, flow, syn);
            End::Reset
        }
    }
}

/// Connects, unless the sandbox loses interest first. Gives back the newest SYN: the sandbox may have opened a new
/// connection in place of the old.
async fn connect_while_wanted(
    shared: &Shared,
    flow: Flow,
    mut syn: Vec<u8>,
    packets: &mut mpsc::Receiver<Queued>,
) -> Option<(io::Result<TcpStream>, Vec<u8>)> {
    let mut connecting = pin!(connect(flow.to, &shared.policy));
    loop {
        tokio::select! {
            connected = &mut connecting => return Some((connected, syn)),
            packet = packets.recv() => {
                let packet = packet?.packet;
                match wire::parse(&packet)?.transport {
                    Transport::Tcp(segment) if segment.rst() => return None,
                    Transport::Tcp(segment) if wire::opens(&segment) => syn = packet,
                    _ => {}
                }
            }
        }
    }
}

async fn connect(to: SocketAddr, policy: &Policy) -> io::Result<TcpStream> {
    let to = SocketAddr::new(to.ip().to_canonical(), to.port());
    let socket = if to.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_nodelay(true)?;
    let stream = timeout(CONNECT_TIMEOUT, socket.connect(to)).await??;
    super::refuse_self(stream.local_addr()?.ip(), to, policy)?;
    Ok(stream)
}

fn refuse(shared: &Shared, flow: Flow, syn: &[u8]) {
    if let Some(Transport::Tcp(segment)) = wire::parse(syn).map(|received| received.transport) {
        shared.tun.write_or_drop(&wire::reset(flow, &segment));
    }
}

/// Ends a connection that was not finished with a reset, however it comes to be dropped: an orderly end would tell
/// the far end that it has got all there was.
struct FarEnd {
    stream: TcpStream,
    finished: bool,
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        if !self.finished {
            // Without it the end is merely orderly.
            let _ = self.stream.set_zero_linger();
        }
    }
}
