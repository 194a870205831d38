use std::net::Ipv4Addr;

use super::*;

fn query(opt: Option<OPT<'static>>) -> Packet<'static> {
    let mut query = Packet::new_query(9);
    let name = Name::new("many.example").unwrap();
    query.questions.push(Question::new(
        name,
        QTYPE::TYPE(TYPE::A),
        QCLASS::CLASS(CLASS::IN),
        false,
    ));
    *query.opt_mut() = opt;
    query
}

#[test]
fn a_long_answer_is_cut_to_what_the_asker_takes() {
    let addresses: Vec<_> = (0..64)
        .map(|last| IpAddr::V4(Ipv4Addr::new(203, 0, 113, last)))
        .collect();
    let query = query(None);
    let whole = reply(&query, &query.questions[0], RCODE::NoError, &addresses).unwrap();
    assert!(whole.len() > SMALLEST_DATAGRAM);
    let cut = fit(whole.clone(), SMALLEST_DATAGRAM).unwrap();
    assert!(cut.len() <= SMALLEST_DATAGRAM);
    let cut = Packet::parse(&cut).unwrap();
    assert!(cut.has_flags(PacketFlag::TRUNCATION | PacketFlag::RESPONSE));
    assert_eq!((cut.id(), cut.questions.len(), cut.answers.len()), (9, 1, 0));
    let whole = fit(whole.clone(), whole.len()).unwrap();
    let whole = Packet::parse(&whole).unwrap();
    assert!(!whole.has_flags(PacketFlag::TRUNCATION));
    let read: Vec<_> = whole
        .answers
        .iter()
        .map(|record| (record.name.to_string(), record.ttl, &record.rdata))
        .collect();
    for (last, (name, ttl, data)) in read.into_iter().enumerate() {
        let address = u32::from_be_bytes([203, 0, 113, u8::try_from(last).unwrap()]);
        assert_eq!(
            (name.as_str(), ttl, data),
            ("many.example", TTL, &RData::A(A { address }))
        );
    }
}

#[tokio::test]
async fn the_asker_says_how_long_an_answer_may_be() {
    let resolver = Resolver::new(Arc::new(Policy::with_own_addresses(Vec::new(), || {
        Err(nix::Error::ENOBUFS)
    })));
    for (announced, limit) in [(None, 512), (Some(100), 512), (Some(1232), 1232), (Some(65535), 65535)] {
        let opt = announced.map(|udp_packet_size| OPT {
            opt_codes: Vec::new(),
            udp_packet_size,
            version: 0,
        });
        let mut query = query(opt);
        query.questions[0].qtype = QTYPE::ANY;
        let query = query.build_bytes_vec().unwrap();
        assert_eq!(answer(&resolver, &query).await.unwrap().1, limit);
    }
}

#[test]
fn a_missing_name_differs_from_a_failed_lookup() {
    let error = |reason| {
        classify(&io::Error::other(format!(
            "failed to lookup address information: {reason}"
        )))
    };
    assert!(matches!(error("Name or service not known"), Lookup::NoSuchName));
    assert!(matches!(error("Name does not resolve"), Lookup::NoSuchName));
    assert!(matches!(error("No address associated with hostname"), Lookup::Addresses(none) if none.is_empty()));
    assert!(matches!(error("Temporary failure in name resolution"), Lookup::Failed));
    assert!(matches!(error("Try again"), Lookup::Failed));
}

#[test]
fn one_refused_family_does_not_refuse_the_other() {
    let resolver = Resolver::new(Arc::new(Policy::with_own_addresses(Vec::new(), || {
        Ok(std::collections::HashSet::new())
    })));
    let addresses = || {
        BTreeSet::from([
            "203.0.113.80".parse().unwrap(),
            "10.0.0.1".parse().unwrap(),
            "::1".parse().unwrap(),
        ])
    };
    let v4 = resolver.filter("mixed", addresses(), IpAddr::is_ipv4);
    assert_eq!(v4, (RCODE::NoError, vec!["203.0.113.80".parse().unwrap()]));
    assert_eq!(
        resolver.filter("mixed", addresses(), IpAddr::is_ipv6),
        (RCODE::NoError, Vec::new())
    );
    let private = BTreeSet::from(["10.0.0.1".parse().unwrap()]);
    assert_eq!(
        resolver.filter("private", private, IpAddr::is_ipv6),
        (RCODE::Refused, Vec::new())
    );
    assert_eq!(
        resolver.filter("empty", BTreeSet::new(), IpAddr::is_ipv4),
        (RCODE::NoError, Vec::new())
    );
}
