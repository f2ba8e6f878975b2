//! `set-full`: every acknowledged element is there to the end (Jepsen's set-full test).
//!
//! An element is known once its add or a read that found it has returned. It is lost if the last
//! read (the one called last) was called after that and did not find it. An element that is missing
//! for a while and then found is none of this judge's findings; `set` finds that.
//!
//! Elements may be `[key, element]` of independent sets: a read that is called with `[key, nil]`
//! and returns `[key, elements]` reads one of them.

use std::collections::{BTreeMap, BTreeSet};

use super::verdict;
use crate::{
    decode::unknown_function,
    evidence::{Evidence, Shown, Verdict},
    history::{BadHistory, Completed, Interval, OperationId, Outcome, Value},
};

/// What was done to the sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// In the order of the calls.
    pub adds: Vec<Add>,
    /// In the order of the calls.
    pub reads: Vec<Read>,
}

/// An add that happened or may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Add {
    /// Which operation.
    pub id: OperationId,
    /// The element; of independent sets, key and element.
    pub element: Value,
    /// When it ran; it never returns if it is not known to have happened.
    pub interval: Interval,
}

/// A read of all elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Which operation.
    pub id: OperationId,
    /// Of independent sets, which.
    pub key: Option<Value>,
    /// What it found.
    pub elements: Vec<Value>,
    /// When it ran.
    pub interval: Interval,
}

/// What was done to the sets.
pub fn decode(
    completed: impl Iterator<Item = Result<Completed, BadHistory>>,
) -> Result<History, BadHistory> {
    let mut history = History::default();
    for completed in completed {
        let completed = completed?;
        let (call, id) = (&completed.call, completed.id);
        let Some(interval) = completed.interval else {
            let reason = "this model is judged by times, and the format has none";
            return Err(BadHistory::at(call.line, reason));
        };
        match call.f.as_str() {
            "add" if completed.outcome == Outcome::Failed => {}
            "add" => history.adds.push(Add {
                id,
                element: call.value.clone(),
                interval,
            }),
            "read" => history.reads.extend(read(&completed, interval)?),
            _ => return Err(unknown_function(call, "add and read")),
        }
    }
    history.adds.sort_unstable_by_key(|add| add.id);
    history.reads.sort_unstable_by_key(|read| read.id);
    Ok(history)
}

fn read(completed: &Completed, interval: Interval) -> Result<Option<Read>, BadHistory> {
    let Some(ret) = completed
        .ret
        .as_ref()
        .filter(|_| completed.outcome == Outcome::Ok)
    else {
        return Ok(None);
    };
    let keyed = match (completed.call.value.as_list(), ret.value.as_list()) {
        (Some([asked, Value::Nil]), Some([key, Value::List(elements)])) if asked == key => {
            Some((key, elements))
        }
        _ => None,
    };
    let (key, elements) = match (keyed, &ret.value) {
        (Some((key, elements)), _) => (Some(key.clone()), elements.clone()),
        (None, Value::List(elements)) => (None, elements.clone()),
        (None, Value::Nil) => return Ok(None),
        (None, _) => {
            return Err(BadHistory::at(
                ret.line,
                "`read` returns a list of elements",
            ));
        }
    };
    Ok(Some(Read {
        id: completed.id,
        key,
        elements,
        interval,
    }))
}

/// Judges the sets.
pub fn check(history: &History) -> Verdict {
    if history.reads.is_empty() {
        return Verdict::Unknown("no read returned: there is nothing to judge by".to_owned());
    }
    let by_key = history.reads.iter().any(|read| read.key.is_some());
    let mut sets: BTreeMap<Option<&Value>, OneSet<'_>> = BTreeMap::new();
    for add in &history.adds {
        let (key, element) = match add.element.as_list() {
            Some([key, element]) if by_key => (Some(key), element),
            _ => (None, &add.element),
        };
        sets.entry(key)
            .or_default()
            .adds
            .entry(element)
            .or_default()
            .push(add);
    }
    for read in &history.reads {
        sets.entry(read.key.as_ref()).or_default().reads.push(read);
    }
    verdict(sets.values().flat_map(OneSet::check).collect())
}

#[derive(Default)]
struct OneSet<'a> {
    adds: BTreeMap<&'a Value, Vec<&'a Add>>,
    /// In the order of the calls.
    reads: Vec<&'a Read>,
}

impl OneSet<'_> {
    fn check(&self) -> Vec<Evidence> {
        let mut evidence = Vec::new();
        // When each element was first known to be there, and by whom.
        let mut known: BTreeMap<&Value, (u64, OperationId)> = BTreeMap::new();
        for (element, adds) in &self.adds {
            let first = adds.iter().map(|add| (add.interval.ret, add.id)).min();
            known.extend(
                first
                    .filter(|(ret, _)| *ret != Interval::NEVER)
                    .map(|f| (*element, f)),
            );
        }
        for read in &self.reads {
            let mut elements: Vec<&Value> = read.elements.iter().collect();
            elements.sort_unstable();
            for two in elements.windows(2).filter(|two| two[0] == two[1]) {
                evidence.push(strange(read, two[0], "duplicate-element", "twice"));
            }
            elements.dedup();
            for element in elements {
                let called = |add: &&Add| add.interval.call < read.interval.ret;
                if !self
                    .adds
                    .get(element)
                    .is_some_and(|adds| adds.iter().any(called))
                {
                    let why = "which nobody had added";
                    evidence.push(strange(read, element, "unexpected-element", why));
                }
                let found = (read.interval.ret, read.id);
                let first = known.entry(element).or_insert(found);
                *first = found.min(*first);
            }
        }
        if let Some(last) = self.reads.last() {
            evidence.extend(lost(last, &known));
        }
        evidence
    }
}

fn lost(last: &Read, known: &BTreeMap<&Value, (u64, OperationId)>) -> Vec<Evidence> {
    let found: BTreeSet<&Value> = last.elements.iter().collect();
    let missing = known
        .iter()
        .filter(|(element, (tick, _))| *tick < last.interval.call && !found.contains(*element));
    let evidence = missing.map(|(element, (_, id))| Evidence {
        anomaly: "lost-element".to_owned(),
        sentence: format!(
            "{element} was there when {id} returned, and the last read, {}, did not find it",
            last.id
        ),
        operations: vec![
            Shown {
                id: *id,
                text: format!("saw or added {element}"),
                offending: false,
            },
            Shown {
                id: last.id,
                text: summary(last),
                offending: true,
            },
        ],
        edges: Vec::new(),
    });
    evidence.collect()
}

fn strange(read: &Read, element: &Value, anomaly: &str, why: &str) -> Evidence {
    Evidence {
        anomaly: anomaly.to_owned(),
        sentence: format!("{} found {element}, {why}", read.id),
        operations: vec![Shown {
            id: read.id,
            text: summary(read),
            offending: true,
        }],
        edges: Vec::new(),
    }
}

fn summary(read: &Read) -> String {
    format!("read {} elements", read.elements.len())
}
