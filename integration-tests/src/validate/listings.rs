//! Pages of a listing: in byte order, each key once, as many as asked for, none that was not asked
//! for, and a next page exactly when this one is full. That a key which was there all the time is
//! in its page, with a version that it had, is the checker's word ([`super::linearizable`]): it
//! takes a page for reads of all keys that the page covers.

use trandb_checker::Evidence;
use trandb_client::ListPage;

use super::found;
use crate::{
    recorder::{Answered, Asked},
    world::Run,
};

pub(super) fn check(run: &Run) -> Vec<Evidence> {
    let mut evidence = Vec::new();
    for operation in &run.history.operations {
        if let (
            Asked::List {
                prefix,
                after,
                limit,
            },
            Answered::Page(page),
        ) = (&operation.asked, &operation.answered)
            && let Some(what) =
                fault(page, prefix, after.as_deref(), *limit).or_else(|| phantom(page, run))
        {
            let sentence = format!("the page of #{} {what}", operation.id);
            evidence.push(found("wrong-page", sentence, &[operation]));
        }
    }
    evidence
}

fn fault(page: &ListPage, prefix: &str, after: Option<&str>, limit: usize) -> Option<String> {
    let keys: Vec<&str> = page.keys.iter().map(|row| row.key.as_str()).collect();
    if let Some([first, second]) = keys.array_windows().find(|[one, other]| one >= other) {
        return Some(format!("has {first:?} before {second:?}"));
    }
    let foreign =
        |key: &&&str| !key.starts_with(prefix) || after.is_some_and(|after| **key <= after);
    if let Some(key) = keys.iter().find(foreign) {
        return Some(format!("has {key:?}, which was not asked for"));
    }
    if keys.len() > limit {
        return Some(format!("has {} keys", keys.len()));
    }
    let next = page.next.as_ref().map(trandb_client::Key::as_str);
    let expected = keys.last().copied().filter(|_| keys.len() == limit);
    (next != expected).then(|| format!("has {} keys, and names {next:?} as the last", keys.len()))
}

fn phantom(page: &ListPage, run: &Run) -> Option<String> {
    let known = &run.history.keys;
    let phantom = page
        .keys
        .iter()
        .find(|row| !known.contains(row.key.as_str()))?;
    Some(format!(
        "has {:?}, which nobody wrote",
        phantom.key.as_str()
    ))
}
