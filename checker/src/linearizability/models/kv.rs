//! A key-value store with versions: get, put, append, delete, and conditions on them.

use crate::{
    history::Value,
    linearizability::{
        model::{Decision, Model, Operation, Rank},
        models::appends,
        unique::{self, Access, Item},
    },
};

/// An operation on a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KvOp {
    /// Which key.
    pub key: Value,
    /// What was done and answered.
    pub action: KvAction,
}

/// What is done to a key. What an answer did not say is none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KvAction {
    /// Found no value.
    GetAbsent,
    /// Found a value.
    Get {
        /// The value.
        value: Option<Value>,
        /// Its version.
        version: Option<Value>,
    },
    /// Left a value.
    Put {
        /// The value.
        value: Value,
        /// What was asked to hold before, and did.
        condition: Option<Condition>,
        /// The version that it was given.
        version: Option<Value>,
    },
    /// Put a text behind the one that was there.
    Append(Value),
    /// The same, behind exactly this text: what [`Kv`] makes of an append that a read shows.
    AppendTo {
        /// What was there.
        before: Value,
        /// What was put behind it.
        added: Value,
    },
    /// The same, behind whatever was there: what [`Kv`] makes of an append that no read shows.
    AppendUnseen,
    /// Left no value.
    Delete {
        /// What was asked to hold before, and did.
        condition: Option<Condition>,
    },
    /// A put or delete that ran and changed nothing, since its condition did not hold.
    ConditionFailed {
        /// What did not hold.
        condition: Condition,
        /// The version that was there instead; [`Value::Nil`] if there was no value.
        current: Option<Value>,
    },
}

/// What a write asks of a key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Condition {
    /// It has no value.
    Absent,
    /// It has some value.
    Present,
    /// Its value has this version.
    Version(Value),
}

/// What is known of versions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Versions {
    /// They are different for each write; nothing else.
    #[default]
    Opaque,
    /// Those of one key grow with each write: numbers, or lists of two numbers. The check is then
    /// nearly linear.
    Ordered,
}

/// Keys that are all absent at first.
#[derive(Debug, Clone, Default)]
pub struct Kv {
    /// What is known of versions.
    pub versions: Versions,
    /// Absent keys answer with this value, and appending begins with it: for stores that do not
    /// tell absent from empty.
    pub absent: Option<Value>,
}

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Held {
    /// None if there is no value; [`Value::Nil`] if no read shows it.
    value: Option<Value>,
    /// None if there is no value, or its write did not say.
    version: Option<Value>,
    /// The latest known version, if they grow.
    latest: Option<Rank>,
}

/// A value that no read shows.
const UNSEEN: Option<Value> = Some(Value::Nil);

impl Kv {
    /// What appending puts something behind.
    fn text(&self, held: &Held) -> String {
        let value = held.value.as_ref().or(self.absent.as_ref());
        value.map_or_else(String::new, Value::to_string)
    }

    /// A version's place in their order, if they have one.
    fn place(&self, version: &Value) -> Option<Rank> {
        match (self.versions, version) {
            (Versions::Ordered, Value::Int(number)) => Some((0, *number)),
            (Versions::Ordered, Value::List(numbers)) => match numbers[..] {
                [Value::Int(epoch), Value::Int(counter)] => Some((epoch, counter)),
                _ => None,
            },
            _ => None,
        }
    }

    /// The value under `version`, if it may be the next one.
    fn written(&self, held: &Held, value: Value, version: Option<&Value>) -> Option<Held> {
        let latest = version.and_then(|version| self.place(version));
        let in_order = latest.is_none() || latest > held.latest;
        in_order.then(|| Held {
            value: Some(value),
            version: version.cloned(),
            latest: latest.or(held.latest),
        })
    }

    /// What is held, given that its version turned out to be this one; none if it is not.
    fn turned_out(&self, held: &Held, version: &Value) -> Option<Held> {
        match (&held.value, &held.version) {
            (None, _) => None,
            (Some(_), Some(known)) => (known == version).then(|| held.clone()),
            (Some(value), None) => self.written(held, value.clone(), Some(version)),
        }
    }

    fn get(&self, held: &Held, value: Option<&Value>, version: Option<&Value>) -> Option<Held> {
        let present = held.value.as_ref().or(self.absent.as_ref())?;
        if value.is_some_and(|value| value != present) {
            return None;
        }
        version.map_or_else(
            || Some(held.clone()),
            |version| self.turned_out(held, version),
        )
    }

    /// What is held, given that the condition holds.
    fn given(&self, held: &Held, condition: Option<&Condition>) -> Option<Held> {
        match condition {
            None => Some(held.clone()),
            Some(Condition::Absent) => held.value.is_none().then(|| held.clone()),
            Some(Condition::Present) => held.value.is_some().then(|| held.clone()),
            Some(Condition::Version(version)) => self.turned_out(held, version),
        }
    }

    /// What is held, given that the condition does not hold.
    fn unless(&self, held: &Held, condition: &Condition, current: Option<&Value>) -> Option<Held> {
        let held = match current {
            None => held.clone(),
            Some(Value::Nil) => held.value.is_none().then(|| held.clone())?,
            Some(version) => self.turned_out(held, version)?,
        };
        let excluded = match condition {
            Condition::Absent => held.value.is_none(),
            Condition::Present => held.value.is_some(),
            // A version that is not known may be another one.
            Condition::Version(version) => held.version.as_ref() == Some(version),
        };
        (!excluded).then_some(held)
    }
}

impl Model for Kv {
    type Op = KvOp;
    type State = Held;
    type Part = Value;

    fn initial(&self) -> Held {
        Held {
            value: None,
            version: None,
            latest: None,
        }
    }

    fn step(&self, held: &Held, op: &KvOp) -> Option<Held> {
        match &op.action {
            KvAction::GetAbsent => held.value.is_none().then(|| held.clone()),
            KvAction::Get { value, version } => self.get(held, value.as_ref(), version.as_ref()),
            KvAction::Put {
                value,
                condition,
                version,
            } => {
                let held = self.given(held, condition.as_ref())?;
                self.written(&held, value.clone(), version.as_ref())
            }
            KvAction::Append(added) => {
                let text = self.text(held) + &added.to_string();
                self.written(held, Value::Text(text.into()), None)
            }
            KvAction::AppendTo { before, added } => {
                let text = self.text(held);
                if held.value == UNSEEN || text != before.to_string() {
                    return None;
                }
                self.written(held, Value::Text((text + &added.to_string()).into()), None)
            }
            KvAction::AppendUnseen => self.written(held, Value::Nil, None),
            KvAction::Delete { condition } => {
                let held = self.given(held, condition.as_ref())?;
                Some(Held {
                    value: None,
                    version: None,
                    ..held
                })
            }
            KvAction::ConditionFailed { condition, current } => {
                self.unless(held, condition, current.as_ref())
            }
        }
    }

    /// A read may tell the version of an unknown write. Then it changes the state, but forbids
    /// only what follows: to read earlier, from a state that is known, is no less legal.
    fn is_read(&self, op: &KvOp) -> bool {
        match op.action {
            KvAction::GetAbsent | KvAction::Get { .. } | KvAction::ConditionFailed { .. } => true,
            KvAction::Put { .. }
            | KvAction::Append(_)
            | KvAction::AppendTo { .. }
            | KvAction::AppendUnseen
            | KvAction::Delete { .. } => false,
        }
    }

    fn part(&self, op: &KvOp) -> Value {
        op.key.clone()
    }

    fn rank(&self, op: &KvOp) -> Option<Rank> {
        match &op.action {
            KvAction::Put {
                version: Some(version),
                ..
            } => self.place(version),
            _ => None,
        }
    }

    fn refine(&self, part: &[&Operation<KvOp>]) -> Option<Vec<KvOp>> {
        appends::refine(self, part)
    }

    fn decide(&self, part: &[&Operation<KvOp>]) -> Option<Decision> {
        let items: Option<Vec<_>> = part
            .iter()
            .map(|operation| {
                let access = match &operation.op.action {
                    KvAction::GetAbsent if self.absent.is_none() => Access::Read(None),
                    KvAction::Get {
                        value: Some(value),
                        version: None,
                    } => Access::Read(Some(value)),
                    KvAction::Put {
                        value,
                        condition: None,
                        version: None,
                    } => Access::Write(Some(value)),
                    // Versions, conditions and deletes are the search's.
                    _ => return None,
                };
                Some(Item {
                    interval: operation.interval,
                    unknown: operation.unknown,
                    access,
                })
            })
            .collect();
        unique::decide(self.absent.as_ref(), &items?)
    }

    fn describe(&self, op: &KvOp) -> String {
        let key = &op.key;
        match &op.action {
            KvAction::GetAbsent => format!("get {key}: absent"),
            KvAction::Get { value, version } => {
                let value = value
                    .as_ref()
                    .map_or_else(|| "a value".into(), Value::to_string);
                format!("get {key}: {value}{}", of_version(version.as_ref()))
            }
            KvAction::Put {
                value,
                condition,
                version,
            } => format!(
                "put {key} := {value}{}{}",
                given(condition.as_ref()),
                of_version(version.as_ref()),
            ),
            KvAction::Append(added) | KvAction::AppendTo { added, .. } => {
                format!("append {key} += {added}")
            }
            KvAction::AppendUnseen => format!("append {key}"),
            KvAction::Delete { condition } => format!("delete {key}{}", given(condition.as_ref())),
            KvAction::ConditionFailed { condition, current } => {
                let found = match current {
                    None => String::new(),
                    Some(Value::Nil) => ", it is absent".into(),
                    Some(version) => format!(", it has version {version}"),
                };
                format!("write {key}{} refused{found}", given(Some(condition)))
            }
        }
    }
}

fn of_version(version: Option<&Value>) -> String {
    version.map_or_else(String::new, |version| format!(" (version {version})"))
}

fn given(condition: Option<&Condition>) -> String {
    match condition {
        None => String::new(),
        Some(Condition::Absent) => " if absent".into(),
        Some(Condition::Present) => " if present".into(),
        Some(Condition::Version(version)) => format!(" if version {version}"),
    }
}
