//! A version names one value of its key for ever: whatever is said of it, by any answer, is the
//! same, its size included, and no two writes are given the same.

use std::collections::BTreeMap;

use trandb_checker::Evidence;
use trandb_client::Version;

use super::found;
use crate::{
    recorder::{Answered, Operation},
    traffic::content,
    world::Run,
};

/// What is known of a version, and from which operation.
#[derive(Default)]
struct Known<'a> {
    value: Option<(&'a str, &'a Operation)>,
    size: Option<(u64, &'a Operation)>,
    writer: Option<&'a Operation>,
}

pub(super) fn check(run: &Run) -> Vec<Evidence> {
    let mut versions: BTreeMap<(&str, Version), Known<'_>> = BTreeMap::new();
    let mut evidence = Vec::new();
    for operation in &run.history.operations {
        for claim in claims(operation) {
            let known = versions.entry((claim.key, claim.version)).or_default();
            let contradicted = known.contradicts(&claim, operation);
            if let Some((earlier, what)) = contradicted {
                let sentence = format!(
                    "version {} of {} has {what} by #{}, but not by #{}",
                    claim.version, claim.key, earlier.id, operation.id
                );
                evidence.push(found("version-reused", sentence, &[earlier, operation]));
            }
        }
    }
    evidence
}

struct Claim<'a> {
    key: &'a str,
    version: Version,
    value: Option<&'a str>,
    size: Option<u64>,
    writes: bool,
}

fn claims(operation: &Operation) -> Vec<Claim<'_>> {
    if let Answered::Page(page) = &operation.answered {
        let rows = page.keys.iter().map(|row| Claim {
            key: row.key.as_str(),
            version: row.version,
            value: None,
            size: Some(row.size),
            writes: false,
        });
        return rows.collect();
    }
    let stat = match &operation.answered {
        Answered::Stat(Some((_, size))) => Some(*size),
        _ => None,
    };
    let found = operation.found().into_iter().filter_map(|found| {
        Some(Claim {
            key: found.key,
            version: found.version?,
            value: found.value,
            size: stat.or_else(|| content::size_of(found.value?)),
            writes: false,
        })
    });
    let written = operation.asked.writes().into_iter();
    let written = written.filter_map(|(key, value)| {
        Some(Claim {
            key,
            version: operation.version_given(key)?,
            value,
            size: content::size_of(value?),
            writes: true,
        })
    });
    found.chain(written).collect()
}

impl<'a> Known<'a> {
    /// What was known otherwise; what was not is known from now on.
    fn contradicts(
        &mut self,
        claim: &Claim<'a>,
        by: &'a Operation,
    ) -> Option<(&'a Operation, String)> {
        if claim.writes
            && let Some(earlier) = self.writer.replace(by)
        {
            return Some((earlier, "its write".to_owned()));
        }
        if let Some(value) = claim.value {
            let (known, earlier) = *self.value.get_or_insert((value, by));
            if known != value {
                return Some((earlier, format!("the value {known:?}")));
            }
        }
        if let Some(size) = claim.size {
            let (known, earlier) = *self.size.get_or_insert((size, by));
            if known != size {
                return Some((earlier, format!("{known} bytes")));
            }
        }
        None
    }
}
