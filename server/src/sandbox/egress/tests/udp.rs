use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use smoltcp::wire::{Icmpv4DstUnreachable, Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet, IpProtocol};
use smoltcp::wire::{Ipv4Packet, Ipv6Packet, UdpPacket};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::super::link::{GATEWAY_V4, GATEWAY_V6, GUEST_V4, GUEST_V6};
use super::guest::{open, split};

const PATIENCE: Duration = Duration::from_secs(30);

async fn bind(ip: impl Into<IpAddr>) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((ip.into(), 0)).await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65535];
    let (length, from) = timeout(PATIENCE, socket.recv_from(&mut buffer)).await.unwrap().unwrap();
    buffer.truncate(length);
    (buffer, from)
}

#[tokio::test]
async fn carries_datagrams_of_every_size_both_ways() {
    for ip in [IpAddr::from([127, 0, 0, 1]), Ipv6Addr::LOCALHOST.into()] {
        let (far, address) = bind(ip).await;
        let (_door, mut guest) = open(&[address]);
        let mut flow = None;
        for length in [0, 1, 1500, 9000, 65_000] {
            let payload: Vec<_> = (0..length).map(|at: u32| at.to_le_bytes()[0]).collect();
            guest.send_datagram(5000, address, &payload).await;
            let (received, from) = receive(&far).await;
            assert!(received == payload, "{length} bytes were garbled on their way out");
            assert_eq!(*flow.get_or_insert(from), from, "one flow has one port");
            far.send_to(&received, from).await.unwrap();
            assert!(
                guest.receive_datagram().await == (address, 5000, payload),
                "{length} bytes on their way in"
            );
        }
    }
}

#[tokio::test]
async fn flows_are_kept_apart_and_strangers_are_not_heard() {
    let (far, address) = bind([127, 0, 0, 1]).await;
    let (stranger, _) = bind([127, 0, 0, 1]).await;
    let (_door, mut guest) = open(&[address]);
    guest.send_datagram(5001, address, b"one").await;
    let (_, one) = receive(&far).await;
    guest.send_datagram(5002, address, b"two").await;
    let (_, two) = receive(&far).await;
    assert_ne!(one, two);
    // Refused by the kernel, as the socket is connected; the answer shows that nothing was queued before it.
    let _ = stranger.send_to(b"psst", two).await;
    far.send_to(b"to two", two).await.unwrap();
    assert_eq!(guest.receive_datagram().await, (address, 5002, b"to two".to_vec()));
    far.send_to(b"to one", one).await.unwrap();
    assert_eq!(guest.receive_datagram().await, (address, 5001, b"to one".to_vec()));
}

#[tokio::test]
async fn a_refused_datagram_is_answered_at_once() {
    let (far, address) = bind([127, 0, 0, 1]).await;
    let (_door, mut guest) = open(&[]);
    guest.send_datagram(5003, address, b"x").await;
    assert_unreachable_v4(&guest.receive_packet().await, 5003, address);
    guest.send_datagram(5004, "[fd00::1]:53".parse().unwrap(), b"x").await;
    assert_unreachable_v6(&guest.receive_packet().await, 5004, 53);
    assert!(far.try_recv(&mut [0; 1]).is_err(), "a refused datagram arrived");
}

#[tokio::test]
async fn a_closed_port_outside_is_a_closed_port_inside() {
    let (far, address) = bind([127, 0, 0, 1]).await;
    drop(far);
    let (_door, mut guest) = open(&[address]);
    guest.send_datagram(5005, address, b"x").await;
    assert_unreachable_v4(&guest.receive_packet().await, 5005, address);
}

fn assert_unreachable_v4(packet: &[u8], guest_port: u16, to: SocketAddr) {
    let (from, guest, protocol, payload) = split(packet);
    assert_eq!(
        (from, guest, protocol),
        (GATEWAY_V4.into(), GUEST_V4.into(), IpProtocol::Icmp)
    );
    let icmp = Icmpv4Packet::new_checked(payload).unwrap();
    assert!(icmp.verify_checksum());
    assert_eq!(icmp.msg_type(), Icmpv4Message::DstUnreachable);
    assert_eq!(icmp.msg_code(), u8::from(Icmpv4DstUnreachable::PortUnreachable));
    let quoted = Ipv4Packet::new_unchecked(icmp.data());
    let udp = UdpPacket::new_unchecked(&icmp.data()[usize::from(quoted.header_len())..]);
    assert_eq!((quoted.src_addr(), udp.src_port()), (GUEST_V4, guest_port));
    assert_eq!(SocketAddr::new(quoted.dst_addr().into(), udp.dst_port()), to);
}

fn assert_unreachable_v6(packet: &[u8], guest_port: u16, port: u16) {
    let (from, guest, protocol, payload) = split(packet);
    assert_eq!(
        (from, guest, protocol),
        (GATEWAY_V6.into(), GUEST_V6.into(), IpProtocol::Icmpv6)
    );
    let icmp = Icmpv6Packet::new_checked(payload).unwrap();
    assert!(icmp.verify_checksum(&GATEWAY_V6, &GUEST_V6));
    assert_eq!((icmp.msg_type(), icmp.msg_code()), (Icmpv6Message::DstUnreachable, 4));
    let quoted = Ipv6Packet::new_unchecked(icmp.payload());
    let udp = UdpPacket::new_unchecked(&icmp.payload()[quoted.header_len()..]);
    assert_eq!(
        (quoted.src_addr(), udp.src_port(), udp.dst_port()),
        (GUEST_V6, guest_port, port)
    );
}
