//! The server from outside: the real program, over HTTP, and what it leaves on the machine.

mod agents;
mod api;
mod dashboard;
mod start;
