use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use super::*;

fn policy(exceptions: &[&str]) -> Policy {
    Policy::with_own_addresses(exceptions.iter().map(|text| text.parse().unwrap()).collect(), || {
        Ok(HashSet::new())
    })
}

fn to(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), 443)
}

#[test]
fn refuses_all_that_is_not_public() {
    let policy = policy(&[]);
    for ip in [
        // The first and the last of every IPv4 range.
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.0",
        "127.0.0.1",
        "127.255.255.255",
        "169.254.0.0",
        "169.254.169.254",
        "169.254.255.255",
        "172.16.0.0",
        "172.31.255.255",
        "192.0.0.0",
        "192.0.0.255",
        "192.168.0.0",
        "192.168.255.255",
        "198.18.0.0",
        "198.19.255.255",
        "224.0.0.0",
        "239.255.255.255",
        "240.0.0.0",
        "255.255.255.254",
        "255.255.255.255",
        // IPv6 of the same kinds.
        "::",
        "::1",
        "fe80::",
        "fe80::1",
        "febf:ffff::1",
        "fec0::",
        "feff:ffff::1",
        "fc00::",
        "fd00::1",
        "fdff:ffff::1",
        "ff00::",
        "ff02::1",
        "ffff::1",
        "100::1",
        "1fff:ffff::1",
        "4000::1",
        "5f00::1",
        // IPv4 in IPv6 clothes: mapped, compatible, NAT64, 6to4, Teredo.
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "::ffff:0.0.0.0",
        "::ffff:224.0.0.1",
        "::127.0.0.1",
        "::10.0.0.1",
        "::8.8.8.8",
        "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::192.168.1.1",
        "64:ff9b::224.0.0.1",
        "64:ff9b::0.0.0.0",
        "64:ff9b:1::8.8.8.8",
        "64:ff9b:1::1",
        "64:ff9b:0:1::8.8.8.8",
        "2002:7f00:1::1",
        "2002:a00:1::",
        "2002:808:808::1",
        "2001::1",
        "2001:0:7f00:1::80ff:fffe",
        "2001:2::1",
        "2001:20::1",
    ] {
        assert!(!policy.allows(to(ip)), "{ip} was allowed");
        assert!(!policy.allows_host(ip.parse().unwrap()), "a name may resolve to {ip}");
    }
}

#[test]
fn allows_what_is_public_and_the_documentation_ranges() {
    let policy = policy(&[]);
    for ip in [
        "1.0.0.0",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.1",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "192.0.2.80",
        "198.51.100.80",
        "203.0.113.80",
        "::ffff:8.8.8.8",
        "2000::1",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2003::1",
        "2606:4700::1111",
        "3fff:ffff::1",
        "64:ff9b::8.8.8.8",
    ] {
        assert!(policy.allows(to(ip)), "{ip} was refused");
    }
    assert!(
        !policy.allows(SocketAddr::new("8.8.8.8".parse().unwrap(), 0)),
        "port 0 was allowed"
    );
}

/// The same verdict is reached by the standard library's own classification of addresses.
#[test]
fn random_addresses_get_the_same_verdict_in_every_spelling() {
    let policy = policy(&[]);
    let random = RandomState::new();
    let mut allowed = 0;
    for round in 0..100_000_u32 {
        let v4 = Ipv4Addr::from_bits(u32::try_from(random.hash_one(round) >> 32).unwrap());
        let octets = v4.octets();
        let special = v4.is_private()
            || v4.is_loopback()
            || v4.is_link_local()
            || v4.is_multicast()
            || octets[0] == 0
            || octets[0] >= 240
            || (octets[0] == 100 && octets[1] & 0xc0 == 64)
            || (octets[0] == 198 && octets[1] & 0xfe == 18)
            || (octets[..3] == [192, 0, 0]);
        let verdict = policy.allows(SocketAddr::new(v4.into(), 80));
        assert_eq!(verdict, !special, "{v4}");
        allowed += u32::from(verdict);
        let [a, b, c, d] = octets.map(u16::from);
        let (high, low) = (a << 8 | b, c << 8 | d);
        for same in [v4.to_ipv6_mapped(), Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low)] {
            assert_eq!(policy.allows(SocketAddr::new(same.into(), 80)), verdict, "{same}");
        }
        for refused in [
            Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
        ] {
            assert!(!policy.allows(SocketAddr::new(refused.into(), 80)), "{refused}");
        }
    }
    assert!(allowed > 50_000, "hardly anything was allowed");
}

#[test]
fn refuses_the_machines_own_addresses_in_every_spelling() {
    let list = || {
        Ok(HashSet::from([
            "192.0.2.2".parse().unwrap(),
            "2606:4700::2".parse().unwrap(),
        ]))
    };
    let policy = Policy::with_own_addresses(Vec::new(), list);
    for own in ["192.0.2.2", "::ffff:192.0.2.2", "64:ff9b::192.0.2.2", "2606:4700::2"] {
        assert!(!policy.allows(to(own)), "{own} was allowed");
        assert!(!policy.allows_host(own.parse().unwrap()), "a name may resolve to {own}");
    }
    assert!(policy.allows(to("192.0.2.3")));
    assert!(policy.allows(to("2606:4700::3")));
}

#[test]
fn refuses_a_socket_that_is_connected_to_this_machine() {
    let policy = policy(&["192.0.2.2:80"]);
    let (own, other) = ("192.0.2.2".parse().unwrap(), "192.0.2.3".parse().unwrap());
    let refused = |from, to: &str| crate::sandbox::egress::refuse_self(from, to.parse().unwrap(), &policy).is_err();
    assert!(refused(own, "192.0.2.2:443"));
    assert!(!refused(own, "192.0.2.2:80"), "an exception overrides");
    assert!(!refused(other, "192.0.2.2:443"));
}

#[test]
fn refuses_every_address_of_this_machines_interfaces() {
    let own = list_own_addresses().unwrap();
    assert!(
        own.contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)),
        "not even loopback is listed: {own:?}"
    );
    let policy = Policy::new(Vec::new());
    for ip in own {
        assert!(!policy.allows(SocketAddr::new(ip, 80)), "{ip} was allowed");
    }
}

#[test]
fn refuses_all_while_its_own_addresses_are_unknown() {
    let policy = Policy::with_own_addresses(vec!["203.0.113.0/24".parse().unwrap()], || Err(nix::Error::ENOBUFS));
    assert!(!policy.allows(to("8.8.8.8")));
    assert!(policy.allows(to("203.0.113.80")), "an exception needs no list");
}

#[test]
fn exceptions_override_refusals_within_their_net_and_port() {
    let policy = policy(&["10.1.0.0/16", "127.0.0.1:8080", "[fd00::/8]:443", "::1"]);
    let cases = [
        ("10.1.2.3:1", true),
        ("10.2.2.3:1", false),
        ("[::ffff:10.1.2.3]:1", true),
        ("[64:ff9b::10.1.2.3]:1", false),
        ("127.0.0.1:8080", true),
        ("127.0.0.1:8081", false),
        ("127.0.0.2:8080", false),
        ("[fd12::1]:443", true),
        ("[fd12::1]:80", false),
        ("[fc00::1]:443", false),
        ("[::1]:9", true),
        ("[::2]:9", false),
    ];
    for (to, allowed) in cases {
        assert_eq!(policy.allows(to.parse().unwrap()), allowed, "{to}");
        assert_eq!(policy.allows_by_exception(to.parse().unwrap()), allowed, "{to}");
    }
    assert!(
        policy.allows_host("127.0.0.1".parse().unwrap()),
        "some port of it is allowed"
    );
    assert!(!policy.allows_host("127.0.0.2".parse().unwrap()));
    assert!(policy.allows(to("8.8.8.8")) && !policy.allows_by_exception(to("8.8.8.8")));
}

#[test]
fn no_exception_makes_a_destination_of_what_is_none() {
    let policy = policy(&["0.0.0.0/0", "::/0"]);
    for none in [
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "::",
        "ff02::1",
        "::ffff:0.0.0.0",
        "::ffff:224.0.0.1",
    ] {
        assert!(!policy.allows(to(none)), "{none} was allowed");
    }
    assert!(policy.allows(to("127.0.0.1")) && policy.allows(to("fe80::1")));
}

#[test]
fn exceptions_are_read_as_they_are_written() {
    let cases = [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.0.0.0/8:443", "10.0.0.0/8:443"),
        ("10.0.0.1", "10.0.0.1/32"),
        (" 10.0.0.1:22 ", "10.0.0.1/32:22"),
        ("fd00::1/128", "fd00::1/128"),
        ("fd00::/8:443", "[fd00::/8]:443"),
        ("fd00::1", "fd00::1/128"),
        ("[fd00::/8]:443", "[fd00::/8]:443"),
        ("[fd00::1]:65535", "[fd00::1/128]:65535"),
        ("[fd00::1]", "fd00::1/128"),
    ];
    for (text, written) in cases {
        let exception: Exception = text.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(exception.to_string(), written);
        assert_eq!(exception.to_string().parse(), Ok(exception));
    }
}

#[test]
fn a_wrong_exception_says_what_is_wrong() {
    let cases = [
        ("", "`` is not an IP address"),
        ("localhost", "`localhost` is not an IP address"),
        ("10.0.0.0/33", "`33` is not a prefix length from 0 to 32"),
        ("fd00::/129", "`129` is not a prefix length from 0 to 128"),
        ("10.0.0.0/-1", "`-1` is not a prefix length from 0 to 32"),
        ("10.0.0.1/8", "the network of that address and prefix is `10.0.0.0/8`"),
        ("10.0.0.0/8:0", "`0` is not a port from 1 to 65535"),
        ("10.0.0.0/8:65536", "`65536` is not a port from 1 to 65535"),
        ("10.0.0.0/8:", "`` is not a port from 1 to 65535"),
        ("[fd00::/8", "the bracket is not closed"),
        ("[fd00::1]443", "`443` after the bracket is not a port"),
        ("::ffff:10.0.0.1", "write the IPv4 address as `10.0.0.1`"),
    ];
    for (text, reason) in cases {
        let error = text.parse::<Exception>().unwrap_err();
        assert_eq!(error.reason, reason, "{text}");
        assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
    }
}
