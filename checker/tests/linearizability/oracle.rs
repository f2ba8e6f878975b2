//! The definition itself: try every order. For up to about 8 operations.

use trandb_checker::linearizability::{Model, Operation};

/// Whether some order of all operations, with any of the unknown ones left out, keeps to the
/// order in time and to the model.
pub(crate) fn is_linearizable<M: Model>(model: &M, operations: &[Operation<M::Op>]) -> bool {
    let all: Vec<_> = operations.iter().collect();
    parts(model, &all)
        .into_iter()
        .all(|part| extend(model, &model.initial(), &part))
}

fn parts<'o, M: Model>(
    model: &M,
    operations: &[&'o Operation<M::Op>],
) -> Vec<Vec<&'o Operation<M::Op>>> {
    let mut parts = std::collections::BTreeMap::<_, Vec<_>>::new();
    for operation in operations {
        parts
            .entry(model.part(&operation.op))
            .or_default()
            .push(*operation);
    }
    parts.into_values().collect()
}

fn extend<M: Model>(model: &M, state: &M::State, left: &[&Operation<M::Op>]) -> bool {
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
                extend(model, &next, &rest)
            })
    })
}
