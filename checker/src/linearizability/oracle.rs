//! The definition itself, without a thought for time: what the search is compared with.

use super::model::{Model, Operation};

/// Whether some order of all operations, with any of the unknown ones left out, keeps to the
/// order in time and to the model. Tries all of them: for up to about eight operations.
pub fn is_linearizable_by_trying_all<M: Model>(model: &M, operations: &[Operation<M::Op>]) -> bool {
    let mut parts = std::collections::BTreeMap::<_, Vec<_>>::new();
    for operation in operations {
        parts
            .entry(model.part(&operation.op))
            .or_default()
            .push(operation);
    }
    parts
        .into_values()
        .all(|part| has_order(model, &model.initial(), &part))
}

fn has_order<M: Model>(model: &M, state: &M::State, left: &[&Operation<M::Op>]) -> bool {
    if left.iter().all(|operation| operation.unknown) {
        return true;
    }
    (0..left.len()).any(|chosen| {
        let first = left[chosen];
        let is_first = left
            .iter()
            .all(|other| other.interval.ret > first.interval.call);
        is_first
            && model.step(state, &first.op).is_some_and(|next| {
                let mut rest = left.to_vec();
                rest.remove(chosen);
                has_order(model, &next, &rest)
            })
    })
}
