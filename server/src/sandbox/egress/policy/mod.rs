//! Which destinations an agent may reach.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nix::ifaddrs::getifaddrs;

/// How long a list of the machine's own addresses is believed.
const OWN_ADDRESSES_FOR: Duration = Duration::from_secs(1);

/// What lies outside the public IPv4 internet. The documentation ranges are missing on purpose: nothing private lives
/// there, and the package mirrors of closed networks do.
const REFUSED_V4: [Ipv4Net; 11] = [
    Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 8), // "this network"; 0.0.0.0 connects to the machine itself
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8), // RFC 1918
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10), // carrier-grade NAT
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8), // loopback
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16), // link-local, and the metadata service of most clouds
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12), // RFC 1918
    Ipv4Net::new_assert(Ipv4Addr::new(192, 0, 0, 0), 24), // IETF protocol assignments
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16), // RFC 1918
    Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15), // benchmarking
    Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4), // multicast
    Ipv4Net::new_assert(Ipv4Addr::new(240, 0, 0, 0), 4), // reserved, and broadcast
];

/// All that was ever handed out for the public IPv6 internet. Naming what is public rather than what is not refuses
/// loopback, link-local, site-local, unique local, multicast and IPv4-compatible addresses together with all that is
/// yet to be invented.
const GLOBAL_V6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Parts of [`GLOBAL_V6`] that tunnel to an IPv4 address, or are not of the internet.
const REFUSED_V6: [Ipv6Net; 2] = [
    Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments, Teredo among them
    Ipv6Net::new_assert(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4
];

/// The well-known prefix of NAT64, by which a machine without IPv4 reaches IPv4. The local-use prefix `64:ff9b:1::/48`
/// stays refused.
const NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

type OwnAddresses = Arc<HashSet<IpAddr>>;

/// Decides where an agent may connect: to public addresses, and to what the operator made an exception of.
///
/// One policy serves every sandbox of a server.
pub struct Policy {
    exceptions: Vec<Exception>,
    list_own: fn() -> nix::Result<HashSet<IpAddr>>,
    own: Mutex<Option<(Instant, OwnAddresses)>>,
}

impl Policy {
    /// Public addresses, and `exceptions`.
    pub fn new(exceptions: Vec<Exception>) -> Self {
        Self::with_own_addresses(exceptions, list_own_addresses)
    }

    pub(super) fn with_own_addresses(
        exceptions: Vec<Exception>,
        list_own: fn() -> nix::Result<HashSet<IpAddr>>,
    ) -> Self {
        Self {
            exceptions,
            list_own,
            own: Mutex::new(None),
        }
    }

    /// Whether an agent may send to `to`, over TCP or UDP.
    ///
    /// Unspecified, multicast and broadcast addresses and port 0 are no destinations, and no exception makes them one.
    pub fn allows(&self, to: SocketAddr) -> bool {
        let ip = to.ip().to_canonical();
        to.port() != 0 && is_unicast(ip) && (self.excepts(ip, Some(to.port())) || self.is_public(ip))
    }

    /// Whether any port of `ip` may be reached, and so whether a name may resolve to it.
    pub(super) fn allows_host(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        is_unicast(ip) && (self.excepts(ip, None) || self.is_public(ip))
    }

    /// Whether `to` is allowed by an exception, rather than for being public.
    pub(super) fn allows_by_exception(&self, to: SocketAddr) -> bool {
        self.excepts(to.ip().to_canonical(), Some(to.port()))
    }

    fn excepts(&self, ip: IpAddr, port: Option<u16>) -> bool {
        self.exceptions.iter().any(|exception| {
            let port_fits = port.is_none() || exception.port.is_none() || exception.port == port;
            port_fits && exception.net.contains(&ip)
        })
    }

    fn is_public(&self, ip: IpAddr) -> bool {
        let embedded = match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => nat64_destination(v6),
        };
        let ip = embedded.map_or(ip, IpAddr::V4);
        let public = match ip {
            IpAddr::V4(v4) => !REFUSED_V4.iter().any(|net| net.contains(&v4)),
            IpAddr::V6(v6) => GLOBAL_V6.contains(&v6) && !REFUSED_V6.iter().any(|net| net.contains(&v6)),
        };
        // Without a list, any address could be the machine's own.
        public && self.own_addresses().is_some_and(|own| !own.contains(&ip))
    }

    fn own_addresses(&self) -> Option<OwnAddresses> {
        let mut cached = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, own)) = &*cached
            && since.elapsed() < OWN_ADDRESSES_FOR
        {
            return Some(Arc::clone(own));
        }
        match (self.list_own)() {
            Ok(own) => {
                let own = Arc::new(own);
                *cached = Some((Instant::now(), Arc::clone(&own)));
                Some(own)
            }
            Err(error) => {
                tracing::warn!(%error, "cannot list the machine's own addresses: refusing every public destination");
                None
            }
        }
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("exceptions", &self.exceptions)
            .finish_non_exhaustive()
    }
}

/// A canonical address is an IPv4 one wherever it can be, so that none escapes by another spelling.
fn is_unicast(canonical: IpAddr) -> bool {
    let broadcast = matches!(canonical, IpAddr::V4(v4) if v4.is_broadcast());
    !broadcast && !canonical.is_unspecified() && !canonical.is_multicast()
}

fn nat64_destination(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let [.., a, b, c, d] = ip.octets();
    NAT64.contains(&ip).then_some(Ipv4Addr::new(a, b, c, d))
}

fn list_own_addresses() -> nix::Result<HashSet<IpAddr>> {
    let mut own = HashSet::new();
    for interface in getifaddrs()? {
        for address in [interface.address, interface.broadcast].into_iter().flatten() {
            own.extend(address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip())));
            own.extend(address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())));
        }
    }
    Ok(own)
}

/// A network, or one port of it, that agents may reach although it is not public.
///
/// Written `address/prefix`, `address/prefix:port`, `address` or `address:port`. A colon after a bare IPv6 address
/// would be part of it, so an IPv6 port wants brackets: `[fd00::/8]:443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    net: IpNet,
    port: Option<u16>,
}

/// Why a text is no [`Exception`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not an egress exception: {reason}; write `address/prefix[:port]`, IPv6 as `[address/prefix]:port`"
)]
pub struct ExceptionError {
    text: String,
    reason: String,
}

impl Exception {
    /// Every port of `net`, or only `port`.
    #[must_use]
    pub fn new(net: IpNet, port: Option<u16>) -> Self {
        Self { net: net.trunc(), port }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let (net, port) = split_port(text)?;
        let port = port.map(parse_port).transpose()?;
        let net = match net.split_once('/') {
            Some((address, prefix)) => parse_net(address, prefix)?,
            None => IpNet::from(parse_address(net)?),
        };
        Ok(Self { net, port })
    }
}

impl FromStr for Exception {
    type Err = ExceptionError;

    fn from_str(text: &str) -> Result<Self, ExceptionError> {
        Self::parse(text.trim()).map_err(|reason| ExceptionError {
            text: text.to_owned(),
            reason,
        })
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.net, self.port) {
            (net, None) => write!(f, "{net}"),
            (IpNet::V4(net), Some(port)) => write!(f, "{net}:{port}"),
            (IpNet::V6(net), Some(port)) => write!(f, "[{net}]:{port}"),
        }
    }
}

fn split_port(text: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (net, port) = rest.split_once(']').ok_or("the bracket is not closed")?;
        return match port.strip_prefix(':') {
            Some(port) => Ok((net, Some(port))),
            None if port.is_empty() => Ok((net, None)),
            None => Err(format!("`{port}` after the bracket is not a port")),
        };
    }
    let is_v6_address = text.matches(':').count() > 1 && !text.contains('/');
    match text.rsplit_once(':') {
        Some((net, port)) if !is_v6_address && !port.contains('/') => Ok((net, Some(port))),
        _ => Ok((text, None)),
    }
}

fn parse_port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("`{text}` is not a port from 1 to 65535")),
    }
}

fn parse_address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| format!("`{text}` is not an IP address"))?;
    if address.to_canonical() == address {
        Ok(address)
    } else {
        Err(format!("write the IPv4 address as `{}`", address.to_canonical()))
    }
}

fn parse_net(address: &str, prefix: &str) -> Result<IpNet, String> {
    let address = parse_address(address)?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let wrong_prefix = || format!("`{prefix}` is not a prefix length from 0 to {width}");
    let net = IpNet::new(address, prefix.parse().map_err(|_| wrong_prefix())?).map_err(|_| wrong_prefix())?;
    if net.trunc() == net {
        Ok(net)
    } else {
        Err(format!("the network of that address and prefix is `{}`", net.trunc()))
    }
}

#[cfg(test)]
mod tests;
