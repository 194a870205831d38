use std::net::SocketAddr;

use smoltcp::socket::tcp::State;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::dns::{self, Resolver};
use super::super::link::{GATEWAY_V4, GATEWAY_V6};
use super::super::wire;
use super::guest::{datagram, only, open};

struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below).unwrap()
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next(256).to_le_bytes()[0]).collect()
    }
}

/// A packet whose headers are good enough to be looked into, up to a random depth.
fn plausible(random: &mut Random, to: SocketAddr) -> Vec<u8> {
    let length = 20 + random.next(200);
    let body = random.bytes(length);
    let mut packet = datagram(1, to, &body);
    let header = if to.is_ipv4() { 20 } else { 40 };
    let protocol = [6, 6, 6, 6, 17, 1, 58, 0, 44][random.next(9)];
    packet[if to.is_ipv4() { 9 } else { 6 }] = protocol;
    packet[header..header + 2].copy_from_slice(&[156, random.next(4).to_le_bytes()[0]]);
    packet[header + 2..header + 4].copy_from_slice(&to.port().to_be_bytes());
    if protocol == 6 {
        packet[header + 12] = [0x50, 0x50, 0x60, 0x80, 0xf0, 0x40][random.next(6)];
        packet[header + 13] = [0x02, 0x02, 0x10, 0x18, 0x11, 0x04, 0x12, 0xff][random.next(8)];
    }
    for _ in 0..random.next(4) {
        let at = random.next(packet.len() as u64);
        packet[at] = random.next(256).to_le_bytes()[0];
    }
    if random.next(8) == 0 {
        packet.truncate(random.next(packet.len() as u64) + 1);
    }
    packet
}

/// Answers each `ping`; garbage opens connections too, which come to nothing.
async fn answer_pings(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut question = [0; 4];
            if stream.read_exact(&mut question).await.is_ok() && &question == b"ping" {
                stream.write_all(b"pong").await.unwrap();
            }
        });
    }
}

#[tokio::test]
async fn garbage_neither_stops_nor_breaks_the_door() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(answer_pings(listener));
    let (door, mut guest) = open(&[address]);
    let mut random = Random(0x5eed);
    let targets = [
        address,
        SocketAddr::new(GATEWAY_V4.into(), 53),
        SocketAddr::new(GATEWAY_V6.into(), 53),
    ];
    for _ in 0..20_000 {
        let packet = if random.next(4) == 0 {
            let length = 1 + random.next(2000);
            random.bytes(length)
        } else {
            let target = targets[random.next(3)];
            plausible(&mut random, target)
        };
        guest.send_packet(packet).await;
    }
    let (socket, state) = guest.connected(address).await;
    assert_eq!(state, State::Established);
    guest.send(socket, b"ping").await;
    assert_eq!(guest.receive(socket, 4).await, b"pong");
    assert!(!door.is_closed());
}

#[tokio::test]
async fn packets_from_other_addresses_and_fragments_are_not_served() {
    let far = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = far.local_addr().unwrap();
    let (_door, mut guest) = open(&[address]);
    let good = datagram(7000, address, b"good");
    let mut spoofed = good.clone();
    spoofed[12..16].copy_from_slice(&[10, 255, 0, 3]);
    let mut first_fragment = good.clone();
    first_fragment[6] |= 0x20;
    let mut later_fragment = good.clone();
    later_fragment[7] = 1;
    for bad in [spoofed, first_fragment, later_fragment] {
        assert_ne!(bad, good);
        guest.send_packet(bad).await;
    }
    guest.send_packet(good).await;
    let mut buffer = [0; 16];
    let (length, from) = far.recv_from(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..length], b"good");
    far.send_to(b"only one came", from).await.unwrap();
    guest.receive_datagram().await;
    assert!(far.try_recv(&mut buffer).is_err(), "more than the good one came");
}

#[tokio::test]
async fn no_packet_and_no_query_is_too_odd_to_read() {
    let resolver = Resolver::new(only(&[]));
    let mut random = Random(0xdad);
    let mut read = 0;
    for _ in 0..100_000 {
        let packet = plausible(&mut random, SocketAddr::new(GATEWAY_V4.into(), 53));
        read += usize::from(wire::parse(&packet).is_some());
        let mut query = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, random.next(3).to_le_bytes()[0]];
        let length = random.next(64);
        query.extend(random.bytes(length));
        let at = random.next(query.len() as u64);
        query[at] = random.next(256).to_le_bytes()[0];
        // Whatever the name, its type is none for which the host's resolver would be asked.
        if let Some(kind) = query.len().checked_sub(4).filter(|_| query.len() > 16) {
            query[kind] = 0xff;
        }
        dns::answer_datagram(&resolver, &query).await;
    }
    assert!(read > 10_000, "hardly any packet was looked into: {read}");
}
