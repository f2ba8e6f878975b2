//! A call or a return, as every format says it.

use compact_str::CompactString;

use super::Value;

/// A call or a return of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Where it begins in its file, from 1.
    pub line: u64,
    /// A process has one operation in flight at most.
    pub process: i64,
    /// Call or return, and with which outcome.
    pub kind: Kind,
    /// The function: `read`, `write`, `txn`, …; empty if the format may leave it out and did.
    pub f: CompactString,
    /// The function's argument or result; [`Value::Nil`] if there is none.
    pub value: Value,
    /// What stands beside the value, as far as a model knows it. None twice.
    pub fields: Vec<(Field, Value)>,
}

impl Event {
    /// What stands beside the value under this name.
    pub fn field(&self, field: Field) -> Option<&Value> {
        self.fields
            .iter()
            .find(|(name, _)| *name == field)
            .map(|(_, value)| value)
    }
}

/// Which of an operation's events it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The call.
    Invoke,
    /// The return of what happened.
    Ok,
    /// The return of what did not happen. In Jepsen's logs a `cas` that failed did run, and found
    /// another value than it expected.
    Fail,
    /// Not a return: it is not known, and never will be, whether it happens.
    Info,
    /// Call and return in one, without times: a transaction that certainly happened.
    Committed,
}

impl Kind {
    /// As histories write it. [`Kind::Committed`] has no event of its own and so no name there.
    pub fn name(self) -> &'static str {
        match self {
            Self::Invoke => "invoke",
            Self::Ok => "ok",
            Self::Fail => "fail",
            Self::Info => "info",
            Self::Committed => "committed",
        }
    }

    /// The kind that histories write so.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        match name {
            "invoke" => Ok(Self::Invoke),
            "ok" => Ok(Self::Ok),
            "fail" => Ok(Self::Fail),
            "info" => Ok(Self::Info),
            _ => Err(format!(
                "unknown type `{name}`: it is invoke, ok, fail or info"
            )),
        }
    }
}

/// What may stand beside an event's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// The key that is read or written.
    Key,
    /// The version that was read or written.
    Version,
    /// The version that the key must have.
    IfVersion,
    /// Whether the key must have no value.
    IfAbsent,
    /// Whether the key must have a value.
    IfPresent,
    /// `false` of an operation that ran and whose condition did not hold.
    Applied,
    /// The version that was found instead; nil for a key without a value.
    Current,
}

impl Field {
    /// All, in the order in which they are written.
    pub const ALL: [Self; 7] = [
        Self::Key,
        Self::Version,
        Self::IfVersion,
        Self::IfAbsent,
        Self::IfPresent,
        Self::Applied,
        Self::Current,
    ];

    /// As histories write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Version => "version",
            Self::IfVersion => "if_version",
            Self::IfAbsent => "if_absent",
            Self::IfPresent => "if_present",
            Self::Applied => "applied",
            Self::Current => "current",
        }
    }

    /// The field of this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}
