use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};
use smoltcp::socket::tcp::State;

use super::super::link::{DNS_PORT, GATEWAY_V4, GATEWAY_V6};
use super::guest::{Guest, open};

const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(GATEWAY_V4), DNS_PORT);
const LOCALHOST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80);

fn query(id: u16, name: &str, kind: TYPE) -> Vec<u8> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).unwrap();
    packet
        .questions
        .push(Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
    packet.build_bytes_vec().unwrap()
}

fn read(answer: &[u8], id: u16) -> (RCODE, Vec<IpAddr>) {
    let answer = Packet::parse(answer).unwrap();
    assert_eq!(answer.id(), id);
    assert!(answer.has_flags(PacketFlag::RESPONSE | PacketFlag::RECURSION_DESIRED | PacketFlag::RECURSION_AVAILABLE));
    let addresses = answer.answers.iter().map(|record| match &record.rdata {
        RData::A(a) => IpAddr::from(Ipv4Addr::from_bits(a.address)),
        RData::AAAA(aaaa) => Ipv6Addr::from_bits(aaaa.address).into(),
        other => panic!("{other:?}"),
    });
    (answer.rcode(), addresses.collect())
}

async fn ask(guest: &mut Guest, name: &str, kind: TYPE) -> (RCODE, Vec<IpAddr>) {
    guest.send_datagram(6000, SERVER, &query(77, name, kind)).await;
    let (from, port, answer) = guest.receive_datagram().await;
    assert_eq!((from, port), (SERVER, 6000));
    read(&answer, 77)
}

#[tokio::test]
async fn a_name_with_only_refused_addresses_is_refused() {
    let (_door, mut guest) = open(&[]);
    for kind in [TYPE::A, TYPE::AAAA] {
        assert_eq!(ask(&mut guest, "localhost", kind).await, (RCODE::Refused, Vec::new()));
    }
}

#[tokio::test]
async fn an_exception_for_any_port_lets_a_name_resolve() {
    let (_door, mut guest) = open(&[LOCALHOST]);
    assert_eq!(
        ask(&mut guest, "localhost", TYPE::A).await,
        (RCODE::NoError, vec![LOCALHOST.ip()])
    );
    assert_eq!(
        ask(&mut guest, "LocalHost", TYPE::A).await,
        (RCODE::NoError, vec![LOCALHOST.ip()])
    );
    assert_eq!(
        ask(&mut guest, "localhost", TYPE::AAAA).await,
        (RCODE::NoError, Vec::new())
    );
}

#[tokio::test]
async fn addresses_and_odd_names_are_not_left_to_the_host_to_interpret() {
    let (_door, mut guest) = open(&[]);
    for (name, code) in [
        ("127.0.0.1", RCODE::Refused),
        ("0x7f.1", RCODE::Refused),
        ("fe80::1%lo", RCODE::NameError),
        ("a b", RCODE::NameError),
        ("a/../b", RCODE::NameError),
    ] {
        assert_eq!(ask(&mut guest, name, TYPE::A).await, (code, Vec::new()), "{name}");
    }
}

#[tokio::test]
async fn other_questions_are_not_implemented() {
    let (_door, mut guest) = open(&[]);
    for kind in [TYPE::MX, TYPE::TXT, TYPE::PTR] {
        assert_eq!(
            ask(&mut guest, "localhost", kind).await,
            (RCODE::NotImplemented, Vec::new())
        );
    }
}

#[tokio::test]
async fn what_is_no_query_gets_no_answer() {
    let (_door, mut guest) = open(&[LOCALHOST]);
    let good = query(1, "localhost", TYPE::A);
    let mut response = good.clone();
    response[2] |= 0x80;
    let mut two_questions = good.clone();
    two_questions[5] = 2;
    let mut many_records = good.clone();
    many_records[6..12].fill(0xff);
    let mut endless_name = good[..12].to_vec();
    endless_name.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
    for bad in [
        &response,
        &two_questions,
        &many_records,
        &endless_name,
        &good[..11].to_vec(),
        &Vec::new(),
    ] {
        guest.send_datagram(6001, SERVER, bad).await;
    }
    // Were any of them answered, the answer would come first: all of them are judged before anything is looked up.
    assert_eq!(
        ask(&mut guest, "localhost", TYPE::A).await,
        (RCODE::NoError, vec![LOCALHOST.ip()])
    );
}

#[tokio::test]
async fn answers_over_ipv6_and_repeats_the_askers_extension() {
    let (_door, mut guest) = open(&[LOCALHOST]);
    let server = SocketAddr::new(GATEWAY_V6.into(), DNS_PORT);
    let bytes = query(5, "localhost", TYPE::A);
    let mut extended = Packet::parse(&bytes).unwrap();
    *extended.opt_mut() = Some(OPT {
        opt_codes: Vec::new(),
        udp_packet_size: 1232,
        version: 0,
    });
    guest
        .send_datagram(6002, server, &extended.build_bytes_vec().unwrap())
        .await;
    let (from, _, answer) = guest.receive_datagram().await;
    assert_eq!(from, server);
    assert_eq!(read(&answer, 5), (RCODE::NoError, vec![LOCALHOST.ip()]));
    assert!(Packet::parse(&answer).unwrap().opt().is_some());
}

#[tokio::test]
async fn answers_over_tcp_one_query_after_the_other() {
    let (_door, mut guest) = open(&[LOCALHOST]);
    let (socket, state) = guest.connected(SERVER).await;
    assert_eq!(state, State::Established);
    let mut both = Vec::new();
    for (id, kind) in [(1, TYPE::A), (2, TYPE::AAAA)] {
        let query = query(id, "localhost", kind);
        both.extend_from_slice(&u16::try_from(query.len()).unwrap().to_be_bytes());
        both.extend_from_slice(&query);
    }
    guest.send(socket, &both).await;
    for (id, addresses) in [(1, vec![LOCALHOST.ip()]), (2, Vec::new())] {
        let length = guest.receive(socket, 2).await;
        let answer = guest
            .receive(socket, u16::from_be_bytes([length[0], length[1]]).into())
            .await;
        assert_eq!(read(&answer, id), (RCODE::NoError, addresses));
    }
    guest.tcp(socket).close();
    guest
        .until(|guest| matches!(guest.tcp(socket).state(), State::TimeWait | State::Closed).then_some(()))
        .await;
}
