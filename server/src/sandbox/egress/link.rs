//! The link between a sandbox and the door: what has to be set on the TUN device.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The sandbox's IPv4 address, to be set on its TUN device.
pub const GUEST_V4: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 2);
/// The far end of the TUN device: the IPv4 default route, and the address of the DNS server.
pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);
/// The prefix length of [`GUEST_V4`].
pub const PREFIX_V4: u8 = 30;
/// The sandbox's IPv6 address, to be set on its TUN device. As a unique local address it ranks below IPv4 for public
/// names, so that a program prefers the family which more machines have.
pub const GUEST_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xca57, 0, 0, 0, 0, 0, 2);
/// The far end of the TUN device: the IPv6 default route, and the second address of the DNS server.
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xca57, 0, 0, 0, 0, 0, 1);
/// The prefix length of [`GUEST_V6`].
pub const PREFIX_V6: u8 = 64;
/// The TUN device's MTU: the most that it takes. No link lies behind it, so fewer and larger packets only save work,
/// and no IPv4 datagram ever needs fragments.
pub const MTU: usize = 65535;
/// The port of the DNS server on the gateway's addresses.
pub const DNS_PORT: u16 = 53;
