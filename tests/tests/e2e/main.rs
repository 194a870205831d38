//! The server from outside: the real program, over HTTP, and what it leaves on the machine.

mod agents;
mod api;
mod crash;
mod crowd;
mod deploy;
mod events;
mod git;
mod hostile;
mod invoke;
mod isolation;
mod ordinary;
mod start;
