//! Brute force: every set of transactions that may have happened, in every order.

use std::collections::BTreeMap;

use trandb_checker::history::{Outcome, Value};
use trandb_checker::serializability::{Consistency, ListOp, RegisterOp, Transaction, Version};

/// A serial database that says whether a transaction can come next.
trait Database: Clone + Default {
    type Op;
    fn run(&mut self, ops: &[Self::Op]) -> bool;
}

#[derive(Clone, Default)]
struct Lists(BTreeMap<Value, Vec<Value>>);

impl Database for Lists {
    type Op = ListOp;

    fn run(&mut self, ops: &[ListOp]) -> bool {
        ops.iter().all(|op| match op {
            ListOp::Append { key, element } => {
                self.0.entry(key.clone()).or_default().push(element.clone());
                true
            }
            ListOp::Read { list: None, .. } => true,
            ListOp::Read {
                key,
                list: Some(list),
            } => self.0.get(key).map_or(&[][..], Vec::as_slice) == list,
        })
    }
}

/// Of a register its value, its version once that is known, and the greatest version so far.
type State = (Option<Value>, Option<Version>, Option<Version>);

#[derive(Clone, Default)]
struct Registers(BTreeMap<Value, State>);

impl Database for Registers {
    type Op = RegisterOp;

    fn run(&mut self, ops: &[RegisterOp]) -> bool {
        let mut own: BTreeMap<&Value, (&Value, Option<Version>)> = BTreeMap::new();
        for op in ops {
            match op {
                RegisterOp::Write {
                    key,
                    value,
                    version,
                } => {
                    own.insert(key, (value, *version));
                }
                RegisterOp::Read { value: None, .. } => {}
                RegisterOp::Read {
                    key,
                    value: Some(value),
                    version,
                } => {
                    if let Some((own, _)) = own.get(key) {
                        if *own != value {
                            return false;
                        }
                        continue;
                    }
                    let state = self.0.entry(key.clone()).or_default();
                    if state.0.as_ref().unwrap_or(&Value::Nil) != value {
                        return false;
                    }
                    // The initial absence has no version.
                    if state.0.is_none() && version.is_some() {
                        return false;
                    }
                    match (state.1, *version) {
                        (Some(known), Some(version)) if known != version => return false,
                        (_, None) | (Some(_), Some(_)) => {}
                        (None, Some(version)) => {
                            if state.2.is_some_and(|greatest| greatest >= version) {
                                return false;
                            }
                            (state.1, state.2) = (Some(version), Some(version));
                        }
                    }
                }
            }
        }
        for (key, (value, version)) in own {
            let state = self.0.entry(key.clone()).or_default();
            if version.is_some() && state.2 >= version {
                return false;
            }
            *state = (Some(value.clone()), version, version.or(state.2));
        }
        true
    }
}

fn must_precede<M>(one: &Transaction<M>, two: &Transaction<M>, consistency: Consistency) -> bool {
    let session = consistency >= Consistency::StrongSessionSerializable
        && one.process == two.process
        && one.id < two.id;
    let real_time = consistency == Consistency::StrictSerializable
        && matches!((one.interval, two.interval), (Some(one), Some(two)) if one.ret < two.call);
    one.outcome == Outcome::Ok && (session || real_time)
}

fn extend<D: Database>(
    database: &D,
    left: &[&Transaction<D::Op>],
    consistency: Consistency,
) -> bool {
    let needed = |one: &&Transaction<D::Op>| one.outcome == Outcome::Ok;
    if !left.iter().any(needed) {
        return true;
    }
    left.iter().enumerate().any(|(place, next)| {
        // Those that are left out never come; whoever comes later must not have to come before.
        let mut rest = left.to_vec();
        rest.remove(place);
        if rest
            .iter()
            .any(|other| must_precede(other, next, consistency))
        {
            return false;
        }
        let mut database = database.clone();
        database.run(&next.ops) && extend(&database, &rest, consistency)
    })
}

fn is_legal<D: Database>(transactions: &[Transaction<D::Op>], consistency: Consistency) -> bool {
    let may: Vec<&Transaction<D::Op>> = transactions
        .iter()
        .filter(|one| one.outcome != Outcome::Failed)
        .collect();
    extend(&D::default(), &may, consistency)
}

pub(crate) fn lists_are_legal(
    transactions: &[Transaction<ListOp>],
    consistency: Consistency,
) -> bool {
    is_legal::<Lists>(transactions, consistency)
}

pub(crate) fn registers_are_legal(
    transactions: &[Transaction<RegisterOp>],
    consistency: Consistency,
) -> bool {
    is_legal::<Registers>(transactions, consistency)
}
