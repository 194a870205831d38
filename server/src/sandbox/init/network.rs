//! The network that is seen inside: loopback and, where egress is wanted, one TUN that everything else goes to.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "netlink's fields are narrower than libc's constants for them, and its messages are short"
)]

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use super::super::egress::link;
use super::super::host;

use super::{Failure, Step};

const TUN: &std::ffi::CStr = c"egress";

/// In a fresh network namespace the loopback is always the first interface.
const LOOPBACK_INDEX: u32 = 1;

/// Opens the TUN device, while this process may still be the one that the host's permissions let do so. `None` where
/// the host has none or forbids it: then there is no egress.
pub(super) fn open_tun() -> Option<OwnedFd> {
    host::tun().ok().map(OwnedFd::from)
}

/// Brings the loopback up and, where there is a TUN, makes it the way to everywhere.
pub(super) fn configure(tun: Option<&OwnedFd>) -> Result<(), Failure> {
    let netlink = Netlink::open().step(|| "open netlink".into())?;
    netlink
        .set_up(LOOPBACK_INDEX, None)
        .step(|| "bring the loopback up".into())?;
    let Some(tun) = tun else { return Ok(()) };
    attach(tun).step(|| "make the TUN interface".into())?;
    let index = if_nametoindex(TUN).step(|| "find the TUN interface".into())?;
    netlink
        .set_up(index, Some(link::MTU))
        .step(|| "bring the TUN up".into())?;
    for (address, prefix) in [
        (IpAddr::V4(link::GUEST_V4), link::PREFIX_V4),
        (IpAddr::V6(link::GUEST_V6), link::PREFIX_V6),
    ] {
        // A kernel without IPv6 is no reason to go without IPv4.
        match netlink
            .add_address(index, address, prefix)
            .and_then(|()| netlink.add_default_route(index, address))
        {
            Err(error) if address.is_ipv4() => return Err(error).step(|| format!("give the TUN {address}")),
            _ => {}
        }
    }
    Ok(())
}

/// Makes the descriptor a TUN interface of this network namespace that carries bare IP packets.
fn attach(tun: &OwnedFd) -> io::Result<()> {
    // SAFETY: an all-zero ifreq is valid; name and flags follow.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(TUN.to_bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_TUN | libc::IFF_NO_PI).map_err(io::Error::other)?;
    // SAFETY: TUNSETIFF reads and writes one ifreq, which outlives the call.
    Errno::result(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETIFF, &raw mut request) })?;
    // The interface outlives the descriptor and goes with its network namespace: the kernel takes those apart in the
    // background, many at once, where removing a single interface would hold up every sandbox that is being made.
    // SAFETY: TUNSETPERSIST takes an integer.
    Errno::result(unsafe { libc::ioctl(tun.as_raw_fd(), libc::TUNSETPERSIST, 1) })?;
    Ok(())
}

/// A socket to the kernel's routing tables. Message layouts: rtnetlink(7) and linux/rtnetlink.h.
struct Netlink(OwnedFd);

impl Netlink {
    fn open() -> io::Result<Self> {
        let family = AddressFamily::Netlink;
        let opened = socket(
            family,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkRoute,
        )?;
        Ok(Self(opened))
    }

    fn set_up(&self, index: u32, mtu: Option<usize>) -> io::Result<()> {
        let up = libc::IFF_UP.cast_unsigned().to_ne_bytes();
        // struct ifinfomsg: family and type of any kind, index, flags, which flags change.
        let mut message = Message::new(libc::RTM_NEWLINK, 0, &[&[0; 4], &index.to_ne_bytes(), &up, &up]);
        if let Some(mtu) = mtu.and_then(|mtu| u32::try_from(mtu).ok()) {
            message.attribute(libc::IFLA_MTU, &mtu.to_ne_bytes());
        }
        self.ask(message)
    }

    fn add_address(&self, index: u32, address: IpAddr, prefix: u8) -> io::Result<()> {
        // struct ifaddrmsg: family, prefix length, flags, scope, index. Nobody else is there to hold the address.
        let header = [family(address), prefix, libc::IFA_F_NODAD as u8, 0];
        let mut message = Message::new(libc::RTM_NEWADDR, libc::NLM_F_CREATE, &[&header, &index.to_ne_bytes()]);
        message.attribute(libc::IFA_LOCAL, &octets(address));
        message.attribute(libc::IFA_ADDRESS, &octets(address));
        self.ask(message)
    }

    /// A default route of the address' family.
    fn add_default_route(&self, index: u32, of: IpAddr) -> io::Result<()> {
        // struct rtmsg: family, lengths of destination and source, TOS, table, protocol, scope, type, flags.
        let table = libc::RT_TABLE_MAIN;
        let kind = libc::RTN_UNICAST;
        let header = [
            family(of),
            0,
            0,
            0,
            table,
            libc::RTPROT_STATIC,
            libc::RT_SCOPE_UNIVERSE,
            kind,
            0,
            0,
            0,
            0,
        ];
        let mut message = Message::new(libc::RTM_NEWROUTE, libc::NLM_F_CREATE, &[&header]);
        message.attribute(libc::RTA_OIF, &index.to_ne_bytes());
        self.ask(message)
    }

    /// Sends a message and waits for the kernel's acknowledgement.
    fn ask(&self, message: Message) -> io::Result<()> {
        /// The acknowledgement is a nlmsghdr and, behind it, an errno: 0 or negative.
        const ERRNO: std::ops::Range<usize> = 16..20;
        send(self.0.as_raw_fd(), &message.finish(), MsgFlags::empty())?;
        let mut answer = [0; 1024];
        let length = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        let errno = answer[..length].get(ERRNO).and_then(|bytes| bytes.try_into().ok());
        match errno.map(i32::from_ne_bytes) {
            Some(0) => Ok(()),
            Some(errno) => Err(io::Error::from_raw_os_error(-errno)),
            None => Err(io::Error::other("netlink answered too little")),
        }
    }
}

fn family(address: IpAddr) -> u8 {
    (if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    }) as u8
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// A netlink request while it is put together.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: libc::c_int, body: &[&[u8]]) -> Self {
        let flags = (libc::NLM_F_REQUEST | libc::NLM_F_ACK | flags) as u16;
        // struct nlmsghdr: length (filled in at the end), type, flags, sequence, port.
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(body.concat());
        Self(bytes)
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        // struct rtattr: its own length with the value's, type, value, padded to four bytes.
        let length = (4 + value.len()) as u16;
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        let length = self.0.len() as u32;
        self.0[..4].copy_from_slice(&length.to_ne_bytes());
        self.0
    }
}
