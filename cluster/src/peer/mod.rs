//! Calls between nodes over TCP.
//!
//! ```text
//!  Peers (the caller)                                    Listener
//!    | ---- Hello {version, cluster, from, to} ------------> |   is it me who is meant?
//!    | <--- Hello {version, cluster, from, to}, or Refused - |
//!    |                                                       |
//!    | ---- Request 1 {to, group, epoch, time left} body --> |   each checked again
//!    | ---- Request 2 ... ---------------------------------> |
//!    | ---- Ping 3 ----------------------------------------> |   while something is unanswered
//!    | <--- Answer 2 body ---------------------------------- |   in any order
//!    | <--- Pong 3 ----------------------------------------- |
//!    | <--- Failure 1 {refusal, or none} ------------------- |
//!
//!  before it has joined: a call to GroupId::BOOTSTRAP, and nothing else
//!    | ---- Hello {cluster none, from nobody, to nobody} --> |   whoever listens at a seed's address
//!    | <--- Hello {cluster, from, to nobody} --------------- |
//!    | ---- Request 1 {to nobody, BOOTSTRAP, ...} body ----> |
//! ```
//!
//! One connection for each pair of nodes and direction: a node calls over those that it makes, and
//! answers over those that are made to it. All groups share it.
//!
//! [`Peers`] is the [`Transport`](crate::transport::Transport), [`Listener`] hands requests to the
//! [`Handler`](crate::transport::Handler). Both read in an [`Identity`] who they are.
//!
//! ```text
//! frame      messages as bytes
//! hello      who may speak to whom
//! outbox     what goes out next
//!   stream     messages over a connection
//!     link       the calls to one node, and their connection
//!     listener   the connections of others
//!   network    TCP, or a simulation of it
//! ```
//!
//! # Invariants
//!
//! - Nothing but the node with the number that was meant takes a request, or answers it.
//! - A request is sent at most once, and its handler runs at most once.
//! - An error that says "did not arrive" means that no handler will ever see the request, or that
//!   the handler itself refused.
//! - A call ends at its deadline at the latest, and its handler soon after.
//! - A short message waits for no more than one turn of others (about 128 KiB), however large they
//!   are; what the operating system has taken already is before it all the same.
//! - What waits is bounded, in number and in bytes, on both sides.
//!
//! What is not here: authentication and encryption (the ports of peers belong into a network of
//! their own), sending again, discovery, what bodies mean, and telling the other side that a call
//! was given up before its deadline: its handler works on, and counts, until then.
//!
//! Tests: beside each module what is pure; `tests/peer_frames.rs`; `tests/peer_calls` over the
//! loopback interface and in simulated networks.

pub mod frame;
mod hello;
mod link;
mod listener;
pub mod network;
mod outbox;
mod peers;
mod stream;

use std::time::Duration;

pub use self::{
    hello::{Identity, Member},
    listener::Listener,
    peers::Peers,
};

/// Most calls to one node that wait for their answers; also what one connection may ask of a node
/// at once.
pub const CALLS_MAX: usize = 4096;

/// Bytes that may wait to be sent to one node; also bodies that one connection makes a node hold.
/// At least three of the largest.
pub const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Most nodes that are called at once, and attempts to reach others.
pub const PEERS_MAX: usize = 1024;

/// Most connections that are taken.
pub const INCOMING_MAX: usize = 256;

/// For a connection to be made, before it is tried anew.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// For the Hello that follows.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(1);

/// Between two attempts to make a connection: doubles up to the second. No jitter: the callers of
/// one node are few.
pub const RECONNECT_DELAY_MIN: Duration = Duration::from_millis(20);
/// See [`RECONNECT_DELAY_MIN`].
pub const RECONNECT_DELAY_MAX: Duration = Duration::from_millis(500);

/// How often a node that owes answers is asked for a sign of life.
pub const PING_EVERY: Duration = Duration::from_millis(250);

/// A node that owes answers and says nothing for so long is not connected any more.
pub const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Without progress in sending to a peer.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection without calls is closed after so long.
pub const IDLE: Duration = Duration::from_mins(1);

const _: () = assert!(QUEUE_BYTES_MAX >= 3 * trandb_common::limits::PEER_BODY_BYTES_MAX);
const _: () = assert!(PING_EVERY.as_millis() * 4 < SILENCE_MAX.as_millis());
