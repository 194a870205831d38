//! The packets that the door reads and writes itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use smoltcp::phy::{Checksum, ChecksumCapabilities};
use smoltcp::wire::{
    Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, Icmpv6DstUnreachable, Icmpv6Packet, Icmpv6Repr, IpAddress,
    IpProtocol, IpRepr, IpVersion, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, TcpControl, TcpPacket, TcpRepr,
    TcpSeqNumber, UdpPacket, UdpRepr,
};

use super::link::{DNS_PORT, GATEWAY_V4, GATEWAY_V6, GUEST_V4, GUEST_V6, MTU};

const HOP_LIMIT: u8 = 64;
const UDP_HEADER: u8 = 8;
const IPV6_HEADER: usize = 40;

/// What identifies a packet's flow: all but the sandbox's address, of which there is one in either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Flow {
    pub protocol: Protocol,
    pub guest_port: u16,
    pub to: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

impl Flow {
    pub fn is_dns(&self) -> bool {
        let gateway = self.to.ip() == IpAddr::V4(GATEWAY_V4) || self.to.ip() == IpAddr::V6(GATEWAY_V6);
        gateway && self.to.port() == DNS_PORT
    }

    fn guest_ip(&self) -> IpAddr {
        match self.to {
            SocketAddr::V4(_) => GUEST_V4.into(),
            SocketAddr::V6(_) => GUEST_V6.into(),
        }
    }
}

/// A packet from the sandbox that is whole, and of a protocol that the door serves.
pub(super) struct Received<'a> {
    pub flow: Flow,
    pub transport: Transport<'a>,
}

pub(super) enum Transport<'a> {
    Tcp(TcpPacket<&'a [u8]>),
    Udp(&'a [u8]),
}

/// Checksums are written and never read: between the sandbox's kernel and the door lies no medium that could garble.
pub(super) fn checksums() -> ChecksumCapabilities {
    let mut checksums = ChecksumCapabilities::default();
    checksums.ipv4 = Checksum::Tx;
    checksums.tcp = Checksum::Tx;
    checksums.udp = Checksum::Tx;
    checksums.icmpv4 = Checksum::Tx;
    checksums.icmpv6 = Checksum::Tx;
    checksums
}

/// Reads a packet; `None` is what the door drops in silence: malformed packets, fragments, other protocols than TCP
/// and UDP, and every source but the sandbox's own addresses.
pub(super) fn parse(packet: &[u8]) -> Option<Received<'_>> {
    let (to, protocol, payload) = match IpVersion::of_packet(packet).ok()? {
        IpVersion::Ipv4 => parse_v4(packet)?,
        IpVersion::Ipv6 => parse_v6(packet)?,
    };
    let (protocol, guest_port, port, transport) = match protocol {
        IpProtocol::Tcp => {
            let tcp = TcpPacket::new_checked(payload).ok()?;
            (Protocol::Tcp, tcp.src_port(), tcp.dst_port(), Transport::Tcp(tcp))
        }
        IpProtocol::Udp => {
            let udp = UdpPacket::new_checked(payload).ok()?;
            (
                Protocol::Udp,
                udp.src_port(),
                udp.dst_port(),
                Transport::Udp(udp.payload()),
            )
        }
        _ => return None,
    };
    let flow = Flow {
        protocol,
        guest_port,
        to: SocketAddr::new(to, port),
    };
    (guest_port != 0 && port != 0).then_some(Received { flow, transport })
}

fn parse_v4(packet: &[u8]) -> Option<(IpAddr, IpProtocol, &[u8])> {
    let ip = Ipv4Packet::new_checked(packet).ok()?;
    let whole = !ip.more_frags() && ip.frag_offset() == 0;
    (whole && ip.src_addr() == GUEST_V4).then(|| (ip.dst_addr().into(), ip.next_header(), ip.payload()))
}

fn parse_v6(packet: &[u8]) -> Option<(IpAddr, IpProtocol, &[u8])> {
    let ip = Ipv6Packet::new_checked(packet).ok()?;
    (ip.src_addr() == GUEST_V6).then(|| (ip.dst_addr().into(), ip.next_header(), ip.payload()))
}

/// Whether a segment asks for a new connection.
pub(super) fn opens(segment: &TcpPacket<&[u8]>) -> bool {
    segment.syn() && !segment.ack() && !segment.rst() && !segment.fin()
}

/// The answer to a segment that belongs to no connection: a refusal, if the segment was to open one.
pub(super) fn reset(flow: Flow, segment: &TcpPacket<&[u8]>) -> Vec<u8> {
    // RFC 9293, 3.5.2: the reset takes its sequence number from the segment's acknowledgment, if it has one.
    let acknowledges = segment.ack();
    let next = segment.seq_number() + segment.segment_len();
    let reset = TcpRepr {
        src_port: flow.to.port(),
        dst_port: flow.guest_port,
        control: TcpControl::Rst,
        seq_number: if acknowledges {
            segment.ack_number()
        } else {
            TcpSeqNumber(0)
        },
        ack_number: (!acknowledges).then_some(next),
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    packet(
        flow.to.ip(),
        flow.guest_ip(),
        IpProtocol::Tcp,
        reset.buffer_len(),
        |buffer, from, to| {
            reset.emit(&mut TcpPacket::new_unchecked(buffer), from, to, &checksums());
        },
    )
}

/// A datagram from the flow's peer to the sandbox; `None` if it is too large for the device.
pub(super) fn datagram(flow: Flow, payload: &[u8]) -> Option<Vec<u8>> {
    if usize::from(UDP_HEADER) + IPV6_HEADER + payload.len() > MTU {
        return None;
    }
    let udp = UdpRepr {
        src_port: flow.to.port(),
        dst_port: flow.guest_port,
    };
    let length = usize::from(UDP_HEADER) + payload.len();
    Some(packet(
        flow.to.ip(),
        flow.guest_ip(),
        IpProtocol::Udp,
        length,
        |buffer, from, to| {
            let mut datagram = UdpPacket::new_unchecked(buffer);
            udp.emit(
                &mut datagram,
                from,
                to,
                payload.len(),
                |body| body.copy_from_slice(payload),
                &checksums(),
            );
        },
    ))
}

/// Tells the sandbox that nobody takes the datagrams of `flow`, so that its program fails at once rather than after a
/// timeout.
pub(super) fn port_unreachable(flow: Flow) -> Vec<u8> {
    let mut quoted = [0; UDP_HEADER as usize];
    let mut udp = UdpPacket::new_unchecked(&mut quoted[..]);
    udp.set_src_port(flow.guest_port);
    udp.set_dst_port(flow.to.port());
    udp.set_len(UDP_HEADER.into());
    match flow.to.ip() {
        IpAddr::V4(to) => port_unreachable_v4(to, &quoted),
        IpAddr::V6(to) => port_unreachable_v6(to, &quoted),
    }
}

fn port_unreachable_v4(to: Ipv4Addr, quoted: &[u8]) -> Vec<u8> {
    let icmp = Icmpv4Repr::DstUnreachable {
        reason: Icmpv4DstUnreachable::PortUnreachable,
        header: Ipv4Repr {
            src_addr: GUEST_V4,
            dst_addr: to,
            next_header: IpProtocol::Udp,
            payload_len: quoted.len(),
            hop_limit: HOP_LIMIT,
        },
        data: quoted,
    };
    packet(
        GATEWAY_V4.into(),
        GUEST_V4.into(),
        IpProtocol::Icmp,
        icmp.buffer_len(),
        |buffer, _, _| {
            icmp.emit(&mut Icmpv4Packet::new_unchecked(buffer), &checksums());
        },
    )
}

fn port_unreachable_v6(to: Ipv6Addr, quoted: &[u8]) -> Vec<u8> {
    let icmp = Icmpv6Repr::DstUnreachable {
        reason: Icmpv6DstUnreachable::PortUnreachable,
        header: Ipv6Repr {
            src_addr: GUEST_V6,
            dst_addr: to,
            next_header: IpProtocol::Udp,
            payload_len: quoted.len(),
            hop_limit: HOP_LIMIT,
        },
        data: quoted,
    };
    packet(
        GATEWAY_V6.into(),
        GUEST_V6.into(),
        IpProtocol::Icmpv6,
        icmp.buffer_len(),
        |buffer, _, _| {
            icmp.emit(
                &GATEWAY_V6,
                &GUEST_V6,
                &mut Icmpv6Packet::new_unchecked(buffer),
                &checksums(),
            );
        },
    )
}

fn packet(
    from: IpAddr,
    to: IpAddr,
    protocol: IpProtocol,
    payload: usize,
    emit: impl FnOnce(&mut [u8], &IpAddress, &IpAddress),
) -> Vec<u8> {
    let (from, to) = (from.into(), to.into());
    let header = IpRepr::new(from, to, protocol, payload, HOP_LIMIT);
    let mut packet = vec![0; header.header_len() + payload];
    header.emit(&mut packet[..], &checksums());
    emit(&mut packet[header.header_len()..], &from, &to);
    packet
}
