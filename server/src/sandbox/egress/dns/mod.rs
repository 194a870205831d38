//! The DNS server at the gateway's address: names are resolved as the host resolves them, under the policy.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use simple_dns::rdata::{A, AAAA, OPT, RData};
use simple_dns::{CLASS, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE};
use simple_dns::{Name, header_buffer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::policy::Policy;

/// Long enough for the connections that one program makes in a row, short enough to follow a change.
const TTL: u32 = 5;
/// How many names a sandbox may look up at once.
const LOOKUPS: usize = 16;
/// How many names all sandboxes may look up at once: a lookup holds a thread until it ends, and the threads are shared
/// with everything that blocks.
static ALL_LOOKUPS: Semaphore = Semaphore::const_new(128);
/// Resolvers ask again after five seconds and give up after some more.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(15);
/// What every resolver takes over UDP (RFC 1035, 4.2.1).
const SMALLEST_DATAGRAM: usize = 512;
const MAX_NAME: usize = 253;
const MAX_ANSWERS: usize = 64;
/// A query has at most its extensions and a signature.
const MAX_ADDITIONAL: u16 = 2;

/// The host's resolver, as one sandbox may use it.
pub(super) struct Resolver {
    policy: Arc<Policy>,
    lookups: Arc<Semaphore>,
}

/// What became of a name.
enum Lookup {
    Addresses(BTreeSet<IpAddr>),
    NoSuchName,
    Failed,
}

impl Resolver {
    pub fn new(policy: Arc<Policy>) -> Self {
        Self {
            policy,
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
        }
    }

    async fn lookup(&self, name: String) -> Lookup {
        timeout(LOOKUP_TIMEOUT, self.lookup_without_end(name))
            .await
            .unwrap_or(Lookup::Failed)
    }

    async fn lookup_without_end(&self, name: String) -> Lookup {
        let (Ok(own), Ok(all)) = (
            Arc::clone(&self.lookups).acquire_owned().await,
            ALL_LOOKUPS.acquire().await,
        ) else {
            return Lookup::Failed;
        };
        // Nothing can stop getaddrinfo, so the permits go with the thread and not with who waits for it.
        let resolving = tokio::task::spawn_blocking(move || {
            let _permits = (own, all);
            (name.as_str(), 0)
                .to_socket_addrs()
                .map(|addresses| addresses.map(|address| address.ip()).collect())
        });
        match resolving.await {
            Ok(Ok(addresses)) => Lookup::Addresses(addresses),
            Ok(Err(error)) => classify(&error),
            Err(_) => Lookup::Failed,
        }
    }

    async fn answer(&self, question: &Question<'_>) -> (RCODE, Vec<IpAddr>) {
        let wanted = match question.qtype {
            QTYPE::TYPE(TYPE::A) => IpAddr::is_ipv4,
            QTYPE::TYPE(TYPE::AAAA) => IpAddr::is_ipv6,
            // The host's resolver has no more to give. An empty answer would say that the name has no such record,
            // which nobody knows.
            _ => return (RCODE::NotImplemented, Vec::new()),
        };
        if question.qclass != QCLASS::CLASS(CLASS::IN) {
            return (RCODE::NotImplemented, Vec::new());
        }
        let Some(name) = host_name(&question.qname) else {
            return (RCODE::NameError, Vec::new());
        };
        match self.lookup(name.clone()).await {
            Lookup::Addresses(addresses) => self.filter(&name, addresses, wanted),
            Lookup::NoSuchName => (RCODE::NameError, Vec::new()),
            Lookup::Failed => (RCODE::ServerFailure, Vec::new()),
        }
    }

    /// Leaves of a name's addresses those that are wanted and can be reached. A name is refused only as a whole: were
    /// one family refused while the other has an address, resolvers would take the name for broken.
    fn filter(&self, name: &str, addresses: BTreeSet<IpAddr>, wanted: fn(&IpAddr) -> bool) -> (RCODE, Vec<IpAddr>) {
        let none = addresses.is_empty();
        let allowed: Vec<_> = addresses
            .into_iter()
            .filter(|ip| self.policy.allows_host(*ip))
            .collect();
        if allowed.is_empty() && !none {
            tracing::debug!(name, "egress refused: none of the name's addresses is allowed");
            return (RCODE::Refused, Vec::new());
        }
        let reachable = |ip: &IpAddr| match ip {
            IpAddr::V4(_) => true,
            IpAddr::V6(v6) => has_route(*v6),
        };
        (
            RCODE::NoError,
            allowed
                .into_iter()
                .filter(wanted)
                .filter(reachable)
                .take(MAX_ANSWERS)
                .collect(),
        )
    }
}

/// The standard library keeps of getaddrinfo's code only its text, which both C libraries give in English alone.
fn classify(error: &io::Error) -> Lookup {
    const NO_SUCH_NAME: [&str; 2] = ["Name or service not known", "Name does not resolve"];
    const NO_ADDRESS: [&str; 2] = ["No address associated with hostname", "Name has no usable address"];
    let text = error.to_string();
    if NO_SUCH_NAME.iter().any(|reason| text.contains(reason)) {
        Lookup::NoSuchName
    } else if NO_ADDRESS.iter().any(|reason| text.contains(reason)) {
        Lookup::Addresses(BTreeSet::new())
    } else {
        Lookup::Failed
    }
}

/// A connected datagram socket sends nothing, but it needs a route: without one, programs would try IPv6 in vain.
fn has_route(to: Ipv6Addr) -> bool {
    UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))
        .and_then(|socket| socket.connect(SocketAddr::from((to, 9))))
        .is_ok()
}

/// The name as text, if it is one that a host can have: anything else is not for getaddrinfo to interpret.
fn host_name(name: &Name<'_>) -> Option<String> {
    let plain = |label: &[u8]| {
        label
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
    };
    if !name.as_bytes().all(plain) {
        return None;
    }
    let labels: Vec<_> = name.as_bytes().map(String::from_utf8_lossy).collect();
    let name = labels.join(".");
    (!name.is_empty() && name.len() <= MAX_NAME).then_some(name)
}

/// The answer to a query that came over UDP; `None` to what is no query.
pub(super) async fn answer_datagram(resolver: &Resolver, query: &[u8]) -> Option<Vec<u8>> {
    let (answer, limit) = answer(resolver, query).await?;
    fit(answer, limit)
}

/// What is too long for a datagram goes without its addresses, and the asker comes again over TCP.
fn fit(answer: Vec<u8>, limit: usize) -> Option<Vec<u8>> {
    if answer.len() <= limit {
        return Some(answer);
    }
    let mut short = Packet::parse(&answer).ok()?;
    short.set_flags(PacketFlag::TRUNCATION);
    short.answers.clear();
    short.build_bytes_vec().ok()
}

/// Answers the queries of one connection, in order, until it ends or sends what is no query.
pub(super) async fn answer_stream(resolver: &Resolver, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    while let Ok(length) = stream.read_u16().await {
        let mut query = vec![0; usize::from(length)];
        if stream.read_exact(&mut query).await.is_err() {
            return;
        }
        let Some((answer, _)) = answer(resolver, &query).await else {
            return;
        };
        let Ok(length) = u16::try_from(answer.len()) else {
            return;
        };
        if stream.write_u16(length).await.is_err() || stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// The answer, and how large a datagram the asker takes.
async fn answer(resolver: &Resolver, query: &[u8]) -> Option<(Vec<u8>, usize)> {
    // The parser makes room for as many records as the header announces, so that is checked first.
    let records = [
        header_buffer::answers(query).ok()?,
        header_buffer::name_servers(query).ok()?,
    ];
    let additional = header_buffer::additional_records(query).ok()?;
    if header_buffer::questions(query).ok()? != 1 || records != [0, 0] || additional > MAX_ADDITIONAL {
        return None;
    }
    let query = Packet::parse(query).ok()?;
    let [question] = &query.questions[..] else { return None };
    if query.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    let (code, addresses) = match query.opcode() {
        OPCODE::StandardQuery => resolver.answer(question).await,
        _ => (RCODE::NotImplemented, Vec::new()),
    };
    let limit = query.opt().map_or(SMALLEST_DATAGRAM, |opt| {
        SMALLEST_DATAGRAM.max(opt.udp_packet_size.into())
    });
    Some((reply(&query, question, code, &addresses)?, limit))
}

fn reply(query: &Packet<'_>, question: &Question<'_>, code: RCODE, addresses: &[IpAddr]) -> Option<Vec<u8>> {
    let mut reply = Packet::new_reply(query.id());
    *reply.opcode_mut() = query.opcode();
    *reply.rcode_mut() = code;
    reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
    if query.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    *reply.opt_mut() = query.opt().map(|_| OPT {
        opt_codes: Vec::new(),
        udp_packet_size: u16::MAX,
        version: 0,
    });
    reply.questions.push(question.clone());
    for address in addresses {
        let data = match *address {
            IpAddr::V4(v4) => RData::A(A { address: v4.to_bits() }),
            IpAddr::V6(v6) => RData::AAAA(AAAA { address: v6.to_bits() }),
        };
        reply
            .answers
            .push(ResourceRecord::new(question.qname.clone(), CLASS::IN, TTL, data));
    }
    reply.build_bytes_vec_compressed().ok()
}

#[cfg(test)]
mod tests;
