//! `bank`: transfers between accounts leave the total as it is (Jepsen's bank test).
//!
//! Only reads are judged: each sees all accounts at one moment, so that whatever was transferred,
//! their total is the same.

use std::collections::BTreeSet;

use super::verdict;
use crate::{
    decode::unknown_function,
    evidence::{Evidence, Shown, Verdict},
    history::{BadHistory, Completed, OperationId, Outcome, Value},
};

/// What must hold of each read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The total; without it, that of the first read.
    pub total: Option<i64>,
    /// Whether a balance may be negative.
    pub allow_negative_balances: bool,
}

/// What a read found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Which operation.
    pub id: OperationId,
    /// Account and balance; a balance is nil if the account was not there.
    pub balances: Vec<(Value, Value)>,
}

/// The reads of a history, in the order of their calls.
pub fn decode(
    completed: impl Iterator<Item = Result<Completed, BadHistory>>,
) -> Result<Vec<Read>, BadHistory> {
    let mut reads = Vec::new();
    for completed in completed {
        let completed = completed?;
        match completed.call.f.as_str() {
            "transfer" => {}
            "read" => reads.extend(read(&completed)?),
            _ => return Err(unknown_function(&completed.call, "read and transfer")),
        }
    }
    reads.sort_unstable_by_key(|read| read.id);
    Ok(reads)
}

fn read(completed: &Completed) -> Result<Option<Read>, BadHistory> {
    let Some(ret) = completed
        .ret
        .as_ref()
        .filter(|_| completed.outcome == Outcome::Ok)
    else {
        return Ok(None);
    };
    let Value::Map(balances) = &ret.value else {
        let reason = "a bank's read returns a map of accounts and balances";
        return Err(BadHistory::at(ret.line, reason));
    };
    for (account, balance) in balances {
        if !matches!(balance, Value::Int(_) | Value::Nil) {
            let reason = format!("the balance `{balance}` of {account} is not a whole number");
            return Err(BadHistory::at(ret.line, reason));
        }
    }
    Ok(Some(Read {
        id: completed.id,
        balances: balances.clone(),
    }))
}

/// Judges the reads of a history.
pub fn check(reads: &[Read], options: Options) -> Verdict {
    let Some(first) = reads.first() else {
        return Verdict::Unknown("no read returned: there is nothing to judge by".to_owned());
    };
    let accounts: BTreeSet<&Value> = first.balances.iter().map(|(account, _)| account).collect();
    let (total, origin) = match options.total {
        Some(total) => (i128::from(total), "it should be".to_owned()),
        None => (sum(first), format!("{} found", first.id)),
    };
    let mut evidence = Vec::new();
    for read in reads {
        let absent = read.balances.iter().find(|(_, balance)| balance.is_nil());
        let strange = read
            .balances
            .iter()
            .find(|(account, _)| !accounts.contains(account));
        let negative = read
            .balances
            .iter()
            .find(|(_, balance)| balance.as_int() < Some(0));
        let id = read.id;
        if let Some((account, _)) = strange {
            let sentence = format!("{id} found account {account}, which {} did not", first.id);
            evidence.push(found("unexpected-account", sentence, [first, read]));
        } else if let Some((account, _)) = absent {
            let sentence = format!("{id} found no balance of account {account}");
            evidence.push(found("nil-balance", sentence, [read]));
        } else if sum(read) != total {
            let sentence = format!("{id} found a total of {}, {origin} {total}", sum(read));
            evidence.push(found("wrong-total", sentence, [first, read]));
        } else if let (Some((account, balance)), false) =
            (negative, options.allow_negative_balances)
        {
            let sentence = format!("{id} found {balance} in account {account}");
            evidence.push(found("negative-balance", sentence, [read]));
        }
    }
    verdict(evidence)
}

fn sum(read: &Read) -> i128 {
    read.balances
        .iter()
        .filter_map(|(_, balance)| balance.as_int())
        .map(i128::from)
        .sum()
}

/// The last read is the offending one.
fn found<const N: usize>(anomaly: &str, sentence: String, reads: [&Read; N]) -> Evidence {
    let last = reads[N - 1].id;
    let mut operations: Vec<Shown> = reads
        .map(|read| Shown {
            id: read.id,
            text: format!("read {}", Value::Map(read.balances.clone())),
            offending: read.id == last,
        })
        .into();
    operations.dedup_by_key(|shown| shown.id);
    Evidence {
        anomaly: anomaly.to_owned(),
        sentence,
        operations,
        edges: Vec::new(),
    }
}
