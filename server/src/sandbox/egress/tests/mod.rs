//! The whole door, with a second TCP/IP stack in the sandbox's place and a socket pair in the TUN device's.

mod dns;
mod guest;
mod hostile;
mod tcp;
mod udp;
