//! Carries the datagrams of one flow between the sandbox and a socket that is connected to the flow's destination.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::door::{Queued, Shared};
use super::policy::Policy;
use super::wire::{self, Flow, Transport};

/// How long a flow lives after its last datagram; QUIC's keep-alives come more often.
const IDLE: Duration = Duration::from_secs(60);
/// As large as a datagram can be.
const LARGEST: usize = 65535;
const BATCH: usize = 64;

pub(super) async fn serve(shared: &Shared, flow: Flow, mut packets: mpsc::Receiver<Queued>) {
    let socket = match connect(flow.to, &shared.policy).await {
        Ok(socket) => socket,
        Err(error) => {
            tracing::debug!(to = %flow.to, %error, "cannot send datagrams");
            return shared.tun.write_or_drop(&wire::port_unreachable(flow));
        }
    };
    let mut ends = Instant::now() + IDLE;
    loop {
        tokio::select! {
            packet = packets.recv() => match packet {
                Some(packet) => send(shared, &socket, flow, &packet.packet).await,
                None => return,
            },
            ready = socket.ready(Interest::READABLE | Interest::ERROR) => match ready {
                Ok(ready) => {
                    if ready.is_error() {
                        take_error(shared, &socket, flow);
                    }
                    receive(shared, &socket, flow);
                }
                Err(_) => return,
            },
            () = sleep_until(ends) => return,
        }
        ends = Instant::now() + IDLE;
    }
}

/// A socket that sends to `to` and receives from nobody else.
async fn connect(to: SocketAddr, policy: &Policy) -> io::Result<UdpSocket> {
    let to = SocketAddr::new(to.ip().to_canonical(), to.port());
    let any = match to {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(to).await?;
    super::refuse_self(socket.local_addr()?.ip(), to, policy)?;
    Ok(socket)
}

async fn send(shared: &Shared, socket: &UdpSocket, flow: Flow, packet: &[u8]) {
    let Some(Transport::Udp(payload)) = wire::parse(packet).map(|received| received.transport) else {
        return;
    };
    if let Err(error) = socket.send(payload).await {
        report(shared, flow, &error);
    }
}

fn receive(shared: &Shared, socket: &UdpSocket, flow: Flow) {
    let mut payload = Vec::with_capacity(LARGEST);
    // The sandbox's own datagrams have to get their turn.
    for _ in 0..BATCH {
        payload.clear();
        match socket.try_recv_buf_from(&mut payload) {
            // A stranger's datagram can have come between the socket's binding and its connecting.
            Ok((_, from)) if from.ip() != flow.to.ip().to_canonical() || from.port() != flow.to.port() => {}
            Ok(_) => {
                if let Some(packet) = wire::datagram(flow, &payload) {
                    shared.tun.write_or_drop(&packet);
                }
            }
            Err(error) => return report(shared, flow, &error),
        }
    }
}

/// An ICMP error from the destination, without a datagram to read.
fn take_error(shared: &Shared, socket: &UdpSocket, flow: Flow) {
    let _ = socket.try_io(Interest::ERROR, || -> io::Result<()> {
        if let Some(error) = socket.take_error()? {
            report(shared, flow, &error);
        }
        // Only this makes the next wait for an error wait for a new one.
        Err(io::ErrorKind::WouldBlock.into())
    });
}

fn report(shared: &Shared, flow: Flow, error: &io::Error) {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        shared.tun.write_or_drop(&wire::port_unreachable(flow));
    }
}
