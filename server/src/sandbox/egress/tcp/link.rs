//! A connection's stack sees the TUN device as a network card that holds one packet in either direction.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use super::super::link::MTU;
use super::super::tun::Tun;
use super::super::wire;

pub(super) struct Link<'a> {
    tun: &'a Tun,
    /// The packet that the stack is to receive next.
    pub incoming: Option<Vec<u8>>,
    outgoing: Vec<u8>,
    /// Set while `outgoing` waits for the device to take packets again.
    full: Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>,
}

impl<'a> Link<'a> {
    pub fn new(tun: &'a Tun) -> Self {
        Self {
            tun,
            incoming: None,
            outgoing: Vec::new(),
            full: None,
        }
    }

    pub fn is_full(&self) -> bool {
        self.full.is_some()
    }

    /// Tries again to send what waits; says whether the stack may go on sending.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> bool {
        while let Some(full) = &mut self.full {
            if full.as_mut().poll(cx).is_pending() {
                return false;
            }
            self.full = None;
            self.send();
        }
        true
    }

    fn send(&mut self) {
        if !self.tun.try_write(&self.outgoing) {
            let tun = self.tun;
            self.full = Some(Box::pin(async move { tun.writable().await }));
        }
    }
}

impl Device for Link<'_> {
    type RxToken<'t>
        = Incoming
    where
        Self: 't;
    type TxToken<'t>
        = &'t mut Self
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(Incoming, &mut Self)> {
        // A packet can cause an answer, for which there must be room.
        if self.is_full() {
            return None;
        }
        let packet = self.incoming.take()?;
        Some((Incoming(packet), self))
    }

    fn transmit(&mut self, _: Instant) -> Option<&mut Self> {
        (!self.is_full()).then_some(self)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities.checksum = wire::checksums();
        capabilities
    }
}

pub(super) struct Incoming(Vec<u8>);

impl RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, process: F) -> R {
        process(&self.0)
    }
}

impl TxToken for &mut Link<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, emit: F) -> R {
        self.outgoing.resize(length, 0);
        let result = emit(&mut self.outgoing);
        self.send();
        result
    }
}
