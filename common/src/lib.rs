//! What crosses a process boundary of TranDB, and nothing else.
//!
//! The server, the client and the tools speak of the same things: a [`Key`], a [`Value`] and its
//! [`Version`], the [`limits`] they obey, the [`ErrorCode`]s an answer may carry and the JSON
//! bodies ([`wire`], [`Problem`]) it comes in, and the [`TransactionBody`] that changes many keys at
//! once. The types cannot hold anything illegal: whoever has
//! a `Key` need not check it again.
//!
//! What is not here: storage, locking, HTTP, configuration, time. This crate depends on nothing of
//! ours and knows of no runtime.
//!
//! Tests: beside each module; round trips are property tests in `tests/properties.rs`.

pub mod limits;
pub mod path;
pub mod transaction;
pub mod wire;

mod error_code;
mod key;
mod problem;
mod value;
mod version;

pub use error_code::{ErrorCode, Outcome};
pub use key::{InvalidKey, Key};
pub use problem::{PROBLEM_CONTENT_TYPE, Problem};
pub use transaction::{InvalidTransaction, TransactionBody, TransactionId};
pub use value::{Value, ValueTooLarge};
pub use version::{InvalidVersion, Version};
