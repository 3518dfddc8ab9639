//! The hub's client against a small hub on this machine.

mod fetch;
mod server;
mod trouble;
