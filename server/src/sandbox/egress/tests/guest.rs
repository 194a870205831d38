//! A sandbox's network as far as the door can tell.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr, IpProtocol, IpRepr, Ipv4Packet, TcpPacket, UdpPacket, UdpRepr};
use tokio::time::{Instant as Clock, timeout};

use super::super::link::{GATEWAY_V4, GATEWAY_V6, GUEST_V4, GUEST_V6, MTU, PREFIX_V4, PREFIX_V6};
use super::super::tun::Tun;
use super::super::{Egress, Policy};

const PATIENCE: Duration = Duration::from_secs(60);
const BUFFER: usize = 256 * 1024;

pub struct Guest {
    interface: Interface,
    pub sockets: SocketSet<'static>,
    card: Card,
    started: Clock,
    next_port: u16,
    buffer: usize,
}

/// The sandbox's side of the device. What is not TCP is kept for the test to look at.
struct Card {
    tun: Tun,
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
    others: VecDeque<Vec<u8>>,
    /// The flags of every TCP segment received: SYN, RST.
    segments: Vec<(bool, bool)>,
}

/// Only what is named: no test sends anything off this machine, whatever it writes into its packets.
pub fn only(allowed: &[SocketAddr]) -> Arc<Policy> {
    let exceptions = allowed
        .iter()
        .map(|address| address.to_string().parse().unwrap())
        .collect();
    Arc::new(Policy::with_own_addresses(exceptions, || Err(nix::Error::ENOBUFS)))
}

/// A door that lets through to `allowed`, and a guest behind it.
pub fn open(allowed: &[SocketAddr]) -> (Egress, Guest) {
    let (near, far) = wire();
    (Egress::open(far, only(allowed)).unwrap(), Guest::new(near))
}

fn wire() -> (OwnedFd, OwnedFd) {
    let pair = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
    for end in [&pair.0, &pair.1] {
        setsockopt(end, sockopt::SndBuf, &(8 * MTU)).unwrap();
    }
    pair
}

impl Guest {
    fn new(fd: OwnedFd) -> Self {
        let (incoming, outgoing, others) = Default::default();
        let mut card = Card {
            tun: Tun::new(fd).unwrap(),
            incoming,
            outgoing,
            others,
            segments: Vec::new(),
        };
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = 7;
        let mut interface = Interface::new(config, &mut card, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(GUEST_V4.into(), PREFIX_V4)).unwrap();
            addresses.push(IpCidr::new(GUEST_V6.into(), PREFIX_V6)).unwrap();
        });
        interface.routes_mut().add_default_ipv4_route(GATEWAY_V4).unwrap();
        interface.routes_mut().add_default_ipv6_route(GATEWAY_V6).unwrap();
        Self {
            interface,
            sockets: SocketSet::new(Vec::new()),
            card,
            started: Clock::now(),
            next_port: 40_000,
            buffer: BUFFER,
        }
    }

    /// Starts to connect, without waiting for an answer.
    pub fn connect(&mut self, to: SocketAddr) -> SocketHandle {
        let size = self.buffer;
        let buffer = || SocketBuffer::new(vec![0; size]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        self.next_port += 1;
        let from = (guest_ip(to), self.next_port);
        socket.connect(self.interface.context(), to, from).unwrap();
        self.sockets.add(socket)
    }

    /// Connects, and waits for the handshake to end in one way or the other.
    pub async fn connected(&mut self, to: SocketAddr) -> (SocketHandle, State) {
        let handle = self.connect(to);
        let state = self
            .until(|guest| match guest.tcp(handle).state() {
                State::SynSent => None,
                state => Some(state),
            })
            .await;
        (handle, state)
    }

    /// Gives the next connection the port of the last.
    pub fn rewind_ports(&mut self) {
        self.next_port = 40_000;
    }

    pub fn use_small_buffers(&mut self) {
        self.buffer = 1024;
    }

    pub fn tcp(&mut self, handle: SocketHandle) -> &mut Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Sends all of `bytes`.
    pub async fn send(&mut self, handle: SocketHandle, bytes: &[u8]) {
        let mut sent = 0;
        self.until(|guest| {
            sent += guest.tcp(handle).send_slice(&bytes[sent..]).unwrap();
            (sent == bytes.len()).then_some(())
        })
        .await;
    }

    /// Receives until the other side closes.
    pub async fn receive_all(&mut self, handle: SocketHandle) -> Vec<u8> {
        let mut received = Vec::new();
        self.until(|guest| {
            let socket = guest.tcp(handle);
            while socket.can_recv() {
                socket
                    .recv(|bytes| (bytes.len(), received.extend_from_slice(bytes)))
                    .unwrap();
            }
            (!socket.may_recv()).then_some(())
        })
        .await;
        received
    }

    /// Receives `length` bytes.
    pub async fn receive(&mut self, handle: SocketHandle, length: usize) -> Vec<u8> {
        let mut received = vec![0; length];
        let mut got = 0;
        self.until(|guest| {
            let socket = guest.tcp(handle);
            assert!(socket.may_recv(), "the connection ended after {got} of {length} bytes");
            got += socket.recv_slice(&mut received[got..]).unwrap();
            (got == length).then_some(())
        })
        .await;
        received
    }

    /// Sends a packet as it is.
    pub async fn send_packet(&mut self, packet: Vec<u8>) {
        self.card.outgoing.push_back(packet);
        self.until(|guest| guest.card.outgoing.is_empty().then_some(())).await;
    }

    pub async fn send_datagram(&mut self, from_port: u16, to: SocketAddr, payload: &[u8]) {
        let datagram = datagram(from_port, to, payload);
        self.send_packet(datagram).await;
    }

    /// Waits for a packet that is not TCP.
    pub async fn receive_packet(&mut self) -> Vec<u8> {
        self.until(|guest| guest.card.others.pop_front()).await
    }

    /// Waits for a datagram: who sent it, to which port, and what.
    pub async fn receive_datagram(&mut self) -> (SocketAddr, u16, Vec<u8>) {
        let packet = self.receive_packet().await;
        let (from, to, protocol, payload) = split(&packet);
        assert_eq!(protocol, IpProtocol::Udp);
        let udp = UdpPacket::new_checked(payload).unwrap();
        assert!(udp.verify_checksum(&from.into(), &to.into()), "the checksum is wrong");
        (
            SocketAddr::new(from, udp.src_port()),
            udp.dst_port(),
            udp.payload().to_vec(),
        )
    }

    /// Whether any SYN has arrived since the last call, and whether any RST.
    pub fn seen_syn_and_rst(&mut self) -> (bool, bool) {
        let segments = std::mem::take(&mut self.card.segments);
        (
            segments.iter().any(|(syn, _)| *syn),
            segments.iter().any(|(_, rst)| *rst),
        )
    }

    /// Runs the stack until `done` gives a value.
    pub async fn until<T>(&mut self, mut done: impl FnMut(&mut Self) -> Option<T>) -> T {
        let ended = timeout(PATIENCE, async {
            loop {
                self.poll();
                if let Some(value) = done(self) {
                    // What `done` did may have to be told to the other side.
                    self.poll();
                    return value;
                }
                self.poll();
                self.wait().await;
            }
        });
        ended.await.unwrap_or_else(|_| panic!("nothing came of it"))
    }

    fn poll(&mut self) {
        let now = self.now();
        self.card.flush();
        self.interface.poll(now, &mut self.card, &mut self.sockets);
        self.card.flush();
    }

    async fn wait(&mut self) {
        let delay = self
            .interface
            .poll_delay(self.now(), &self.sockets)
            .map_or(PATIENCE, Into::into);
        if !self.card.incoming.is_empty() {
            return;
        }
        let mut buffer = vec![0; MTU];
        let full = !self.card.outgoing.is_empty();
        tokio::select! {
            read = self.card.tun.read(&mut buffer) => {
                let length = read.unwrap();
                assert!(length > 0, "the door closed the device");
                self.card.sort(&buffer[..length]);
            }
            () = self.card.tun.writable(), if full => {}
            () = tokio::time::sleep(delay.max(Duration::from_millis(1))) => {}
        }
    }

    /// Waits for the door to close the device.
    pub async fn until_closed(mut self) {
        let mut buffer = vec![0; MTU];
        let closed = async {
            loop {
                self.card.flush();
                match self.card.tun.read(&mut buffer).await {
                    Ok(0) => return,
                    Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                    read => assert!(read.is_ok(), "{read:?}"),
                }
            }
        };
        timeout(PATIENCE, closed).await.unwrap();
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.started.elapsed().into()
    }
}

impl Card {
    fn flush(&mut self) {
        while let Some(packet) = self.outgoing.front()
            && self.tun.try_write(packet)
        {
            self.outgoing.pop_front();
        }
    }

    fn sort(&mut self, packet: &[u8]) {
        let (.., protocol, payload) = split(packet);
        if protocol == IpProtocol::Tcp {
            let tcp = TcpPacket::new_checked(payload).unwrap();
            self.segments.push((tcp.syn(), tcp.rst()));
            self.incoming.push_back(packet.to_vec());
        } else {
            self.others.push_back(packet.to_vec());
        }
    }
}

fn guest_ip(to: SocketAddr) -> IpAddr {
    if to.is_ipv4() { GUEST_V4.into() } else { GUEST_V6.into() }
}

pub fn split(packet: &[u8]) -> (IpAddr, IpAddr, IpProtocol, &[u8]) {
    if packet[0] >> 4 == 4 {
        let ip = Ipv4Packet::new_checked(packet).unwrap();
        assert!(ip.verify_checksum(), "the checksum is wrong");
        (
            ip.src_addr().into(),
            ip.dst_addr().into(),
            ip.next_header(),
            ip.payload(),
        )
    } else {
        let ip = smoltcp::wire::Ipv6Packet::new_checked(packet).unwrap();
        (
            ip.src_addr().into(),
            ip.dst_addr().into(),
            ip.next_header(),
            ip.payload(),
        )
    }
}

pub fn datagram(from_port: u16, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = (guest_ip(to).into(), to.ip().into());
    let ip = IpRepr::new(source, destination, IpProtocol::Udp, 8 + payload.len(), 64);
    let mut packet = vec![0; ip.header_len() + 8 + payload.len()];
    let checksums = smoltcp::phy::ChecksumCapabilities::default();
    ip.emit(&mut packet[..], &checksums);
    let mut udp = UdpPacket::new_unchecked(&mut packet[ip.header_len()..]);
    let repr = UdpRepr {
        src_port: from_port,
        dst_port: to.port(),
    };
    repr.emit(
        &mut udp,
        &source,
        &destination,
        payload.len(),
        |body| body.copy_from_slice(payload),
        &checksums,
    );
    packet
}

/// A SYN with `options` as they are, whose length is a multiple of four.
pub fn syn(from_port: u16, to: SocketAddr, options: &[u8]) -> Vec<u8> {
    let mut header = [0; 20];
    header[..2].copy_from_slice(&from_port.to_be_bytes());
    header[2..4].copy_from_slice(&to.port().to_be_bytes());
    header[12] = u8::try_from((20 + options.len()) / 4).unwrap() << 4;
    header[13] = 0x02;
    header[14] = 0xff;
    let (source, destination) = (guest_ip(to).into(), to.ip().into());
    let ip = IpRepr::new(source, destination, IpProtocol::Tcp, header.len() + options.len(), 64);
    let mut packet = vec![0; ip.header_len()];
    ip.emit(&mut packet[..], &smoltcp::phy::ChecksumCapabilities::default());
    packet.extend_from_slice(&header);
    packet.extend_from_slice(options);
    packet
}

impl Device for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        Some((Received(self.incoming.pop_front()?), Sending(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        (self.outgoing.len() < 4).then_some(Sending(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}

pub struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, process: F) -> R {
        process(&self.0)
    }
}

pub struct Sending<'a>(&'a mut VecDeque<Vec<u8>>);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, emit: F) -> R {
        let mut packet = vec![0; length];
        let result = emit(&mut packet);
        self.0.push_back(packet);
        result
    }
}
