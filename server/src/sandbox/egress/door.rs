//! Reads the sandbox's packets and hands each to the task that serves its flow.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::dns::Resolver;
use super::link::MTU;
use super::policy::Policy;
use super::tun::Tun;
use super::wire::{self, Flow, Protocol, Transport};
use super::{dns, tcp, udp};

/// How many TCP connections a sandbox may have, those being made among them.
pub(super) const MAX_CONNECTIONS: usize = 1024;
/// How many UDP flows a sandbox may have.
const MAX_UDP_FLOWS: usize = 512;
/// How many DNS queries over UDP may wait for an answer.
const MAX_QUERIES: usize = 256;
/// How many packets may wait for a flow's task. A program that sends faster loses packets, as on any network.
const QUEUE: usize = 256;
/// How many bytes may wait in all queues of a sandbox together.
const QUEUED_BYTES: usize = 16 << 20;

/// What all tasks of one door share.
pub(super) struct Shared {
    pub tun: Tun,
    pub policy: Arc<Policy>,
    pub resolver: Resolver,
    /// How many connections have buffers.
    pub open_connections: AtomicUsize,
}

/// A packet that waits for its flow's task.
pub(super) struct Queued {
    pub packet: Vec<u8>,
    _bytes: OwnedSemaphorePermit,
}

/// What a flow's task leaves behind.
struct Ended {
    flow: Flow,
    /// A packet that came too late for it, and is to be received anew.
    next: Option<Vec<u8>>,
}

pub(super) struct Door {
    shared: Arc<Shared>,
    flows: HashMap<Flow, mpsc::Sender<Queued>>,
    tcp_flows: usize,
    tasks: JoinSet<Ended>,
    queries: JoinSet<()>,
    queue_space: Arc<Semaphore>,
}

impl Door {
    pub fn new(tun: Tun, policy: Arc<Policy>) -> Self {
        let resolver = Resolver::new(Arc::clone(&policy));
        Self {
            shared: Arc::new(Shared {
                tun,
                policy,
                resolver,
                open_connections: AtomicUsize::new(0),
            }),
            flows: HashMap::new(),
            tcp_flows: 0,
            tasks: JoinSet::new(),
            queries: JoinSet::new(),
            queue_space: Arc::new(Semaphore::new(QUEUED_BYTES)),
        }
    }

    /// Serves until the device goes away. All flows are tasks of this one's, so that they end when it does.
    pub async fn serve(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut buffer = vec![0; MTU];
        loop {
            tokio::select! {
                read = shared.tun.read(&mut buffer) => match read {
                    Ok(0) => break,
                    Ok(length) => self.receive(&buffer[..length]),
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(error) => {
                        tracing::debug!(%error, "a sandbox's network device is gone");
                        break;
                    }
                },
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(Ended { flow, next }) => {
                        self.forget(flow);
                        if let Some(packet) = next {
                            self.receive(&packet);
                        }
                    }
                    Err(error) => {
                        tracing::error!(%error, "an egress connection failed within");
                        self.forget_ended();
                    }
                },
                Some(_) = self.queries.join_next() => {}
            }
        }
    }

    fn receive(&mut self, packet: &[u8]) {
        let Some(received) = wire::parse(packet) else { return };
        let flow = received.flow;
        if let Some(queue) = self.flows.get(&flow) {
            let Some(queued) = self.queued(packet) else { return };
            match queue.try_send(queued) {
                Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => return,
                Err(mpsc::error::TrySendError::Closed(_)) => self.forget(flow),
            }
        }
        match received.transport {
            Transport::Tcp(segment)
                if wire::opens(&segment) && self.tcp_flows < MAX_CONNECTIONS && self.allows(flow) =>
            {
                self.start(flow, packet);
            }
            Transport::Tcp(segment) if !segment.rst() => {
                self.shared.tun.write_or_drop(&wire::reset(flow, &segment));
            }
            Transport::Tcp(_) => {}
            Transport::Udp(query) if flow.is_dns() => self.answer(flow, query),
            Transport::Udp(_) if !self.allows(flow) => {
                self.shared.tun.write_or_drop(&wire::port_unreachable(flow));
            }
            Transport::Udp(_) => {
                if self.flows.len() - self.tcp_flows < MAX_UDP_FLOWS {
                    self.start(flow, packet);
                }
            }
        }
    }

    fn allows(&self, flow: Flow) -> bool {
        let allowed = flow.is_dns() || self.shared.policy.allows(flow.to);
        if !allowed {
            tracing::debug!(to = %flow.to, protocol = ?flow.protocol, "egress refused");
        }
        allowed
    }

    fn start(&mut self, flow: Flow, packet: &[u8]) {
        let Some(first) = self.queued(packet) else { return };
        let (queue, packets) = mpsc::channel(QUEUE);
        let shared = Arc::clone(&self.shared);
        match flow.protocol {
            Protocol::Tcp => {
                self.tcp_flows += 1;
                self.tasks.spawn(async move {
                    let next = tcp::serve(&shared, flow, first.packet, packets).await;
                    Ended { flow, next }
                });
            }
            Protocol::Udp => {
                // The queue is empty, so that this cannot fail.
                let _ = queue.try_send(first);
                self.tasks.spawn(async move {
                    udp::serve(&shared, flow, packets).await;
                    Ended { flow, next: None }
                });
            }
        }
        self.flows.insert(flow, queue);
    }

    fn answer(&mut self, flow: Flow, query: &[u8]) {
        if self.queries.len() >= MAX_QUERIES {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let query = query.to_vec();
        self.queries.spawn(async move {
            if let Some(answer) = dns::answer_datagram(&shared.resolver, &query).await
                && let Some(packet) = wire::datagram(flow, &answer)
            {
                shared.tun.write_or_drop(&packet);
            }
        });
    }

    fn queued(&self, packet: &[u8]) -> Option<Queued> {
        let length = u32::try_from(packet.len()).ok()?;
        let bytes = Arc::clone(&self.queue_space).try_acquire_many_owned(length).ok()?;
        Some(Queued {
            packet: packet.to_vec(),
            _bytes: bytes,
        })
    }

    /// Drops what is known of a flow whose task has ended, and leaves alone a newer one between the same ends.
    fn forget(&mut self, flow: Flow) {
        if self.flows.get(&flow).is_some_and(mpsc::Sender::is_closed) {
            self.flows.remove(&flow);
            self.tcp_flows -= usize::from(flow.protocol == Protocol::Tcp);
        }
    }

    fn forget_ended(&mut self) {
        self.flows.retain(|_, queue| !queue.is_closed());
        self.tcp_flows = self.flows.keys().filter(|flow| flow.protocol == Protocol::Tcp).count();
    }
}

/// Counts a connection as one with buffers, while it lives.
pub(super) struct OpenConnection<'a> {
    count: &'a AtomicUsize,
    /// How many there were before it.
    pub others: usize,
}

impl<'a> OpenConnection<'a> {
    pub fn new(count: &'a AtomicUsize) -> Self {
        Self {
            count,
            others: count.fetch_add(1, Ordering::Relaxed),
        }
    }
}

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
