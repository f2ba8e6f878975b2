//! A group: one state machine on several nodes, kept equal by Raft (Ongaro, 2014).
//!
//! ```text
//! propose ──> log of the leader ──> logs of a majority ──> apply, everywhere in the same order
//!                                                            └─> reply, at the leader
//! read barrier ──> a majority confirms the leader ──> applied up to what was committed ──> read
//! ```
//!
//! [`Group`] is all that others see of it. [`RaftGroup`] implements it with the crate `openraft`,
//! none of whose types leave this module. [`replace`] puts a new node into a dead one's place.
//!
//! # Memory is the log
//!
//! Nothing is written to disk. A process that starts again has forgotten what it voted and what it
//! acknowledged, which Raft forbids a member; therefore it comes back as another member, under a
//! [`NodeId`] that never was before, with an empty log, and its predecessor is replaced. What is
//! sent to the predecessor is refused by it (that is the transport's duty).
//!
//! # Invariants
//!
//! - At most one leader a term.
//! - Replicas that have applied the same index are equal.
//! - A reply means that a majority has the command, and it is lost only if a majority of the voters
//!   ends within the time of one replacement.
//! - [`ProposeError::not_committed`] means that no replica will ever apply the command.
//! - After [`Group::read_barrier`] the state holds all that was acknowledged before it was called.
//! - The log is bounded: [`LOG_BYTES_MAX`] bytes of entries, then proposals are refused.
//! - The voters change one replacement at a time, never by removing first. A change that a leader
//!   leaves half done is finished by its successor.
//!
//! Tests: beside each module; `tests/simulation` has whole groups in a simulated network, and one
//! file for each of the first five invariants.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    identity::NodeId,
    transport::{Address, Refusal, Request},
};

mod error;
mod raft;
mod replace;
mod state_machine;
mod status;

pub use error::{ChangeError, ProposeError, ReadError};
pub use raft::{LOG_BYTES_MAX, Leadership, RaftGroup, Settings};
pub use replace::{LAG_MAX, replace};
pub use state_machine::StateMachine;
pub use status::{Membership, Position, Role, Status};

/// A replica of a state machine, one of a group.
///
/// Every method may be called at any replica; most succeed at the leader alone.
pub trait Group: Send + Sync + 'static {
    /// What is replicated.
    type Machine: StateMachine;

    /// Orders a command, and returns what it did when it has been applied here.
    ///
    /// # Errors
    ///
    /// [`ProposeError::not_committed`] says whether the command is known to have no effect.
    fn propose(
        &self,
        command: <Self::Machine as StateMachine>::Command,
        deadline: Instant,
    ) -> impl Future<Output = Result<<Self::Machine as StateMachine>::Reply, ProposeError>> + Send;

    /// Waits until [`read_with`](Self::read_with) sees all that was acknowledged before this was
    /// called, by whatever leader.
    ///
    /// # Errors
    ///
    /// What would be read may be old.
    fn read_barrier(&self, deadline: Instant)
    -> impl Future<Output = Result<(), ReadError>> + Send;

    /// Looks at what this replica has applied. As new as the last barrier at least; without one
    /// it may be old. No command is applied meanwhile: be short.
    fn read_with<R>(&self, read: impl FnOnce(&Self::Machine) -> R) -> R;

    /// Who leads, as this replica believes.
    fn leader(&self) -> Option<Address>;

    /// What this replica knows about the group.
    fn status(&self) -> Status;

    /// Waits until [`status`](Self::status) may say something else.
    ///
    /// # Errors
    ///
    /// The replica has ended.
    fn changed(&self) -> impl Future<Output = Result<(), ReadError>> + Send;

    /// Founds the group with these voters. By each of them before it answers any other, or by one
    /// alone; once in the life of the group.
    ///
    /// # Errors
    ///
    /// This replica has been founded already, or is no founder.
    fn initialize(
        &self,
        founders: BTreeMap<NodeId, String>,
    ) -> impl Future<Output = Result<(), ChangeError>> + Send;

    /// Makes a node a member without a vote, to which the log is sent from now on.
    ///
    /// # Errors
    ///
    /// It may be one all the same if [`ChangeError::Unknown`].
    fn add_learner(
        &self,
        learner: Address,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), ChangeError>> + Send;

    /// Takes votes away and gives them to learners, in one joint change. Who is removed, learners
    /// too, is no member any more.
    ///
    /// `expected` is the [position](Membership::position) of the membership that the change was
    /// made for.
    ///
    /// # Errors
    ///
    /// The change may have happened all the same, or half of it, if [`ChangeError::Unknown`].
    fn swap_voters(
        &self,
        expected: Option<Position>,
        remove: BTreeSet<NodeId>,
        add: BTreeSet<NodeId>,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), ChangeError>> + Send;

    /// Asks another voter to lead. Whether it does is seen in the [`status`](Self::status).
    ///
    /// # Errors
    ///
    /// The replica has ended.
    fn transfer_leadership(
        &self,
        to: NodeId,
    ) -> impl Future<Output = Result<(), ChangeError>> + Send;

    /// Drops from the log what is applied and whoever needs it can get as a snapshot. The group
    /// does so by itself when the log has grown large.
    ///
    /// # Errors
    ///
    /// The replica has ended.
    fn snapshot(&self) -> impl Future<Output = Result<(), ChangeError>> + Send;

    /// Does what another replica of the group asks, and returns its answer.
    ///
    /// # Errors
    ///
    /// Nothing was done.
    fn handle(
        &self,
        from: NodeId,
        request: Request,
    ) -> impl Future<Output = Result<Bytes, Refusal>> + Send;

    /// Ends this replica. The others elect another leader if it led.
    fn shutdown(&self) -> impl Future<Output = ()> + Send;
}
