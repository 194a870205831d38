//! Moves bytes between a connection's stack and its far end.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{RecvError, Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant as Clock, Sleep, sleep};

use super::super::door::Queued;
use super::super::tun::Tun;
use super::super::wire::Flow;
use super::link::Link;

/// How long the sandbox may leave a handshake or a last farewell unanswered.
const UNANSWERED: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(30);
/// The stack is asked again no sooner than this if it has work that it does not do.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// How a connection ended.
pub(super) enum End {
    /// Both directions were closed after all their bytes had arrived.
    Finished,
    /// One of the ends broke it off.
    Reset,
}

pub(super) struct Bridge<'a> {
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    link: Link<'a>,
    packets: &'a mut mpsc::Receiver<Queued>,
    started: Clock,
    timer: Pin<Box<Sleep>>,
    timer_at: Option<Instant>,
    /// The sandbox has closed its direction, and the far end knows.
    upload_done: bool,
    /// The far end has closed its direction, and the stack knows.
    download_done: bool,
    far_end_failed: bool,
}

impl<'a> Bridge<'a> {
    pub fn new(tun: &'a Tun, flow: Flow, packets: &'a mut mpsc::Receiver<Queued>, buffer: usize) -> io::Result<Self> {
        let mut link = Link::new(tun);
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = getrandom::u64()?;
        let mut interface = Interface::new(config, &mut link, Instant::ZERO);
        let address = IpAddress::from(flow.to.ip());
        // To its one connection, the stack is the destination.
        interface.update_ip_addrs(|addresses| addresses.extend([IpCidr::new(address, address_width(address))]));
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(listening(flow, buffer)?);
        Ok(Self {
            interface,
            sockets,
            handle,
            link,
            packets,
            started: Clock::now(),
            timer: Box::pin(sleep(Duration::ZERO)),
            timer_at: None,
            upload_done: false,
            download_done: false,
            far_end_failed: false,
        })
    }

    /// Answers `syn`, and carries bytes until the connection ends.
    pub async fn run<S: AsyncRead + AsyncWrite + Unpin>(mut self, syn: &[u8], far: &mut S) -> End {
        self.ingest(syn.to_vec());
        poll_fn(|cx| self.poll(cx, far)).await
    }

    fn poll<S: AsyncRead + AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, far: &mut S) -> Poll<End> {
        loop {
            let mut progress = false;
            if self.link.poll_flush(cx) {
                progress |= self.receive(cx);
            }
            if !self.far_end_failed {
                let moved = self.upload(cx, far).and_then(|up| Ok(self.download(cx, far)? | up));
                progress |= moved.unwrap_or_else(|error| self.fail(&error));
            }
            self.emit();
            if let Some(end) = self.ended() {
                return Poll::Ready(end);
            }
            if !progress && !self.timer_fired(cx) {
                return Poll::Pending;
            }
        }
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.started.elapsed().into()
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    fn ingest(&mut self, packet: Vec<u8>) {
        self.link.incoming = Some(packet);
        let now = self.now();
        self.interface
            .poll_ingress_single(now, &mut self.link, &mut self.sockets);
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> bool {
        let mut received = false;
        // What comes after the end belongs to the next connection between the same ports.
        while !self.link.is_full()
            && self.ended().is_none()
            && let Poll::Ready(Some(queued)) = self.packets.poll_recv(cx)
        {
            self.ingest(queued.packet);
            received = true;
        }
        if received {
            self.limit_silence();
        }
        received
    }

    /// A connection may be silent for ever, a handshake and an end may not.
    fn limit_silence(&mut self) {
        let far_end_done = self.upload_done && self.download_done;
        let socket = self.socket();
        let opening = socket.state() == State::SynReceived;
        socket.set_timeout((opening || far_end_done).then_some(UNANSWERED));
    }

    fn upload<S: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, far: &mut S) -> io::Result<bool> {
        let mut progress = false;
        while !self.upload_done {
            let socket = self.sockets.get_mut::<Socket>(self.handle);
            if socket.can_recv() && socket.may_recv() {
                let written = socket.recv(|bytes| match Pin::new(&mut *far).poll_write(cx, bytes) {
                    Poll::Ready(Ok(length)) => (length, Poll::Ready(Ok(length))),
                    other => (0, other),
                });
                match written {
                    Ok(Poll::Ready(Ok(0))) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(Poll::Ready(Ok(_))) => progress = true,
                    Ok(Poll::Ready(Err(error))) => return Err(error),
                    Ok(Poll::Pending) | Err(_) => break,
                }
            } else if finished(socket) {
                match Pin::new(&mut *far).poll_shutdown(cx) {
                    Poll::Ready(result) => result?,
                    Poll::Pending => break,
                }
                self.upload_done = true;
                self.limit_silence();
                progress = true;
            } else {
                break;
            }
        }
        Ok(progress)
    }

    fn download<S: AsyncRead + Unpin>(&mut self, cx: &mut Context<'_>, far: &mut S) -> io::Result<bool> {
        let mut progress = false;
        while !self.download_done {
            let socket = self.sockets.get_mut::<Socket>(self.handle);
            if !socket.can_send() {
                break;
            }
            let read = socket.send(|space| {
                let mut buffer = ReadBuf::new(space);
                let read = Pin::new(&mut *far).poll_read(cx, &mut buffer);
                let length = buffer.filled().len();
                (length, read.map_ok(|()| length))
            });
            match read {
                Ok(Poll::Ready(Ok(0))) => {
                    socket.close();
                    self.download_done = true;
                    self.limit_silence();
                }
                Ok(Poll::Ready(Ok(_))) => {}
                Ok(Poll::Ready(Err(error))) => return Err(error),
                Ok(Poll::Pending) | Err(_) => break,
            }
            progress = true;
        }
        Ok(progress)
    }

    /// Passes a failure of the far end on to the sandbox.
    fn fail(&mut self, error: &io::Error) -> bool {
        tracing::trace!(%error, "the far end of a connection failed");
        self.far_end_failed = true;
        self.socket().abort();
        true
    }

    fn emit(&mut self) {
        let now = self.now();
        while !self.link.is_full()
            && self.interface.poll_egress(now, &mut self.link, &mut self.sockets) == PollResult::SocketStateChanged
        {
        }
    }

    fn ended(&mut self) -> Option<End> {
        let done = self.upload_done && self.download_done;
        let (failed, download_done) = (self.far_end_failed, self.download_done);
        let socket = self.socket();
        match socket.state() {
            // The sandbox has seen all, and whatever it would still say could only be said again.
            State::TimeWait | State::Closed if done => Some(End::Finished),
            // The SYN was too odd for the stack to answer, or the sandbox took it back during the handshake.
            State::Listen => Some(End::Reset),
            State::Closed if failed || !download_done => Some(End::Reset),
            // What the sandbox had sent before it closed still has to reach the far end.
            State::Closed if !socket.can_recv() && !finished(socket) => Some(End::Reset),
            _ => None,
        }
    }

    /// Whether the stack wants to be asked again already; if not, a timer is set for when it will.
    fn timer_fired(&mut self, cx: &mut Context<'_>) -> bool {
        // When the device takes packets again, that will wake the task.
        if self.link.is_full() {
            return false;
        }
        let now = self.now();
        let Some(at) = self.interface.poll_at(now, &self.sockets) else {
            return false;
        };
        if at <= now {
            self.timer_at = None;
            self.timer.as_mut().reset(Clock::now() + SHORTEST_SLEEP);
        } else if self.timer_at != Some(at) {
            self.timer_at = Some(at);
            self.timer.as_mut().reset(Clock::now() + (at - now).into());
        }
        self.timer.as_mut().poll(cx).is_ready()
    }
}

fn listening(flow: Flow, buffer: usize) -> io::Result<Socket<'static>> {
    let space = || SocketBuffer::new(vec![0; buffer]);
    let mut socket = Socket::new(space(), space());
    socket.set_nagle_enabled(false);
    // All packets that wait are taken in before an acknowledgment is sent, which is all the delay there is use for.
    socket.set_ack_delay(None);
    socket.set_timeout(Some(UNANSWERED));
    socket
        .listen(flow.to)
        .map_err(|error| io::Error::other(error.to_string()))?;
    Ok(socket)
}

/// Whether the sandbox has closed its direction, and all its bytes have been taken.
fn finished(socket: &mut Socket<'_>) -> bool {
    socket.recv(|_| (0, ())) == Err(RecvError::Finished)
}

fn address_width(address: IpAddress) -> u8 {
    match address {
        IpAddress::Ipv4(_) => 32,
        IpAddress::Ipv6(_) => 128,
    }
}
