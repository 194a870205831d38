//! Which addresses a store may have.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;
use url::{Host, Url};

use super::BucketError;

/// Where one cloud answers for the machine's own credentials outside the link-local range.
const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Whether no store has such an address. Loopback and private addresses are good: many a store runs at home. What is
/// link-local never is one, but in a cloud it is where the machine's own credentials are handed out.
fn is_refused(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local() || v6 == METADATA || embedded(v6).is_some_and(|v4| v4.is_link_local())
        }
    }
}

/// The IPv4 address that an IPv4-compatible or NAT64 address leads to.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = address.octets();
    let is_compatible = octets[..12] == [0; 12];
    let is_nat64 = octets[..12] == [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0];
    (is_compatible || is_nat64).then(|| Ipv4Addr::new(octets[12], octets[13], octets[14], octets[15]))
}

/// The base that a store's paths follow, from the address that its owner gave.
///
/// # Errors
/// Why it cannot be one, for a person.
pub fn base(endpoint_url: &str) -> Result<String, &'static str> {
    let url = Url::parse(endpoint_url).map_err(|_| "it is not a URL")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it must start with http:// or https://");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it must not hold a user name or password");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it must end with its host or path");
    }
    if literal(&url).is_some_and(is_refused) {
        return Err("link-local addresses are not allowed");
    }
    let base = url.as_str().trim_end_matches('/');
    // What the client is built on knows fewer characters than a URL does.
    let is_plain = base.parse::<hyper::Uri>().is_ok();
    if is_plain {
        Ok(base.into())
    } else {
        Err("it holds characters that no address has")
    }
}

/// The address that a URL names without a name.
fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(v4) => Some(v4.into()),
        Host::Ipv6(v6) => Some(v6.into()),
        Host::Domain(_) => None,
    }
}

/// Checks where a URL leads, as far as this machine can tell: behind a proxy, the proxy may know names that we do not.
pub(super) async fn check(url: &Url) -> Result<(), BucketError> {
    let addresses = match url.host() {
        Some(Host::Domain(name)) => match lookup_host((name, 0)).await {
            Ok(found) => found.map(|address| address.ip()).collect(),
            Err(_) => Vec::new(),
        },
        _ => literal(url).into_iter().collect(),
    };
    if addresses.into_iter().any(is_refused) {
        return Err(BucketError::LinkLocal);
    }
    Ok(())
}

/// Resolves names, and refuses those that lead where no store is. Connections are made to what it answers, so that a
/// name cannot lead elsewhere between check and use.
pub(super) struct Guard;

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = lookup_host((name.as_str(), 0)).await?.collect();
            if addresses.iter().any(|address| is_refused(address.ip())) {
                return Err(BucketError::LinkLocal.into());
            }
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_is_refused_however_it_is_written() {
        for url in [
            "http://169.254.169.254",
            "http://169.254.0.1:9000/path",
            "http://2852039166",
            "http://0xa9fea9fe/",
            "http://169.254.43518",
            "http://169.254.169.254./",
            "http://[::ffff:169.254.169.254]",
            "http://[::ffff:a9fe:a9fe]:80",
            "http://[::a9fe:a9fe]",
            "http://[64:ff9b::a9fe:a9fe]",
            "https://[fe80::1]",
            "https://[febf::1]",
            "http://[fd00:ec2::254]",
        ] {
            assert_eq!(base(url), Err("link-local addresses are not allowed"), "{url}");
        }
    }

    #[test]
    fn a_base_has_no_slash_at_its_end() {
        for (url, expected) in [
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
            ("http://127.0.0.1:9000/", "http://127.0.0.1:9000"),
            ("http://10.0.0.1", "http://10.0.0.1"),
            ("http://[::1]:9000", "http://[::1]:9000"),
            (
                "HTTPS://Example.COM:443/storage/v1/s3/",
                "https://example.com/storage/v1/s3",
            ),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(base(url).as_deref(), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in [
            "",
            "nonsense",
            "ftp://example.com",
            "http://",
            "http://user@example.com",
            "http://:secret@example.com",
            "http://example.com?x=1",
            "http://example.com/#x",
            "http://exa mple.com",
            "http://example.com:99999",
        ] {
            assert!(base(url).is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn names_are_checked_by_where_they_lead() {
        check(&Url::parse("http://localhost:9000").unwrap()).await.unwrap();
        let refused = check(&Url::parse("http://169.254.169.254/x").unwrap()).await;
        assert!(matches!(refused, Err(BucketError::LinkLocal)));
    }
}
