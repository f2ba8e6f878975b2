//! The image as its users meet it: `trandb:test` in containers of its own, spoken to over HTTP from
//! outside.
//!
//! The contract in full, and what a container adds to it or can take away: no flags, no root,
//! nothing to write to, a memory limit, SIGTERM.
//!
//! Every test is ignored by a plain `cargo test`, since it needs Docker and the image;
//! `just integration-test` builds the one and runs the other. Without them a test fails at once and
//! says what is missing: it never passes by doing nothing. Containers are removed when their test
//! ends, also by a panic or by Ctrl-C. All traffic stays on the loopback interface and is bounded
//! in count and in time.

mod cluster;
mod contract;
mod image;
mod memory;
mod node;
mod shutdown;
