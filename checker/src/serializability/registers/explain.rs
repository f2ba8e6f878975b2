//! What is said of registers: complaints about single reads, cycles, and reasons.

use super::{COMPLAINTS_MAX, FINDINGS_MAX, History};
use crate::evidence::{Evidence, Verdict};
use crate::history::{OperationId, Value};
use crate::serializability::graph::{Arc, Graph, Kind};
use crate::serializability::words::{self, Explain, enumerate};
use crate::serializability::{Options, RegisterOp, Version, cycles};

impl<'a> History<'a> {
    /// Complains about a read that no state explains.
    pub(super) fn complain_about(
        &mut self,
        reader: u32,
        key: u32,
        value: &'a Value,
        version: Option<Version>,
    ) {
        self.complaints += 1;
        if self.complaints > COMPLAINTS_MAX {
            return;
        }
        let candidates: Vec<(u32, bool)> = self
            .writes_of(key, value)
            .map(|write| (write.transaction, write.is_last))
            .collect();
        let failed = |&&(writer, _): &&(u32, bool)| self.failed(writer);
        let own = candidates.iter().find(|&&(writer, _)| writer == reader);
        let inner = candidates.iter().find(|one| !one.1 && !failed(one));
        let other = candidates.iter().find(|one| one.1 && !failed(one));
        let aborted = candidates.iter().find(failed);
        let same_version = self.writes.iter().find(|write| {
            let is_it = write.key == key && write.version == version && write.is_last;
            is_it && version.is_some() && !self.failed(write.transaction)
        });
        let what = format!(
            "{} read {} as {}",
            self.id(reader),
            self.keys.names[key as usize],
            at_version(value, version)
        );
        let (anomaly, sentence, writer) = if own.is_some() {
            (
                "internal",
                format!("{what}, before it wrote that itself"),
                None,
            )
        } else if let Some(&(writer, _)) = inner {
            let id = self.id(writer);
            (
                "G1b",
                format!("{what}, which {id} wrote but overwrote itself"),
                Some(writer),
            )
        } else if let Some(write) = same_version {
            let (id, value) = (self.id(write.transaction), write.value);
            let sentence = format!("{what}, but at this version {id} wrote {value}");
            ("version-reuse", sentence, Some(write.transaction))
        } else if let Some(&(writer, _)) = other {
            let id = self.id(writer);
            let sentence = format!("{what}, but what {id} wrote has another version");
            ("version-reuse", sentence, Some(writer))
        } else if let Some(&(writer, _)) = aborted {
            let id = self.id(writer);
            (
                "G1a",
                format!("{what}, a write of the failed {id}"),
                Some(writer),
            )
        } else {
            ("garbage-read", format!("{what}, which nobody wrote"), None)
        };
        let both: Vec<u32> = [reader].into_iter().chain(writer).collect();
        self.complain(anomaly, sentence, &both);
    }

    pub(super) fn illegal(&mut self, graph: &Graph, options: &Options, addition: &str) -> Verdict {
        let limit = options.evidence_max.max(1);
        let mut evidence = std::mem::take(&mut self.evidence);
        evidence.truncate(limit);
        for cycle in cycles::find(graph, &self.covered, limit - evidence.len()) {
            let mut found = words::cycle(self, &cycle);
            if cycle.steps.iter().any(|step| step.label.is_inferred()) {
                found.sentence.push_str(addition);
            }
            evidence.push(found);
        }
        if evidence.is_empty() {
            return Verdict::Unknown("there is a cycle that could not be shown".to_owned());
        }
        Verdict::Illegal(evidence)
    }

    /// No order of the writes, and no single cycle to show for it.
    pub(super) fn exhausted(&self, undecided: &[u32]) -> Verdict {
        let ids: Vec<OperationId> = undecided.iter().map(|&one| self.id(one)).collect();
        let sentence = format!(
            "whatever the order of the writes of {}, some dependencies form a cycle",
            enumerate(&ids)
        );
        Verdict::Illegal(vec![words::finding(
            self,
            "not-serializable",
            sentence,
            undecided,
        )])
    }

    pub(super) fn complain(&mut self, anomaly: &str, sentence: String, transactions: &[u32]) {
        let same = |other: &&Evidence| other.anomaly == anomaly;
        if self.evidence.iter().filter(same).count() < FINDINGS_MAX {
            let finding = words::finding(self, anomaly, sentence, transactions);
            self.evidence.push(finding);
        }
    }

    /// A state in words.
    pub(super) fn shown(&self, slot: u32) -> String {
        self.write(slot).map_or_else(
            || "nil (initially)".to_owned(),
            |write| at_version(write.value, write.version),
        )
    }
}

/// `3`, or `3 (version 7)`.
pub(super) fn at_version(value: &Value, version: Option<Version>) -> String {
    version.map_or_else(
        || value.to_string(),
        |version| format!("{value} (version {version})"),
    )
}

impl Explain for History<'_> {
    fn id(&self, transaction: u32) -> OperationId {
        self.transactions[transaction as usize].id
    }

    fn text(&self, transaction: u32) -> String {
        let ops = self.transactions[transaction as usize].ops.iter();
        let texts: Vec<String> = ops
            .map(|op| match op {
                RegisterOp::Write {
                    key,
                    value,
                    version,
                } => {
                    format!("write {key} {}", at_version(value, *version))
                }
                RegisterOp::Read {
                    key, value: None, ..
                } => format!("read {key} ?"),
                RegisterOp::Read {
                    key,
                    value: Some(value),
                    version,
                } => {
                    format!("read {key} {}", at_version(value, *version))
                }
            })
            .collect();
        texts.join("; ")
    }

    fn reason(&self, step: &Arc) -> String {
        let (from, to) = (self.id(step.from), self.id(step.to));
        let kind = step.label.kind();
        let key = step.label.key();
        let name = self
            .keys
            .names
            .get(key as usize)
            .map_or(&Value::Nil, |name| *name);
        let wrote = |transaction| self.shown(self.own_slot(transaction, key));
        let read = |transaction| {
            let mut reads = self.reads.iter();
            let read = reads.find(|read| read.transaction == transaction && read.key == key);
            read.map_or_else(|| "nil".to_owned(), |read| self.shown(read.slot))
        };
        match kind {
            Kind::Ww => format!(
                "{from} wrote {name} as {}, before {to} wrote {}",
                wrote(step.from),
                wrote(step.to)
            ),
            Kind::Wr => format!(
                "{to} read {name} as {}, which {from} wrote",
                wrote(step.from)
            ),
            Kind::Rw => format!(
                "{from} read {name} as {}, before {to} wrote {}",
                read(step.from),
                wrote(step.to)
            ),
            _ => words::order(kind, from, to),
        }
    }
}
