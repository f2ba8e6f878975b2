//! What is said of lists.

use super::{History, NONE};
use crate::history::{OperationId, Value};
use crate::serializability::ListOp;
use crate::serializability::graph::{Arc, Kind};
use crate::serializability::words::{self, Explain, list};

impl Explain for History<'_> {
    fn id(&self, transaction: u32) -> OperationId {
        self.transactions[transaction as usize].id
    }

    fn text(&self, transaction: u32) -> String {
        let ops = self.transactions[transaction as usize].ops.iter();
        let texts: Vec<String> = ops
            .map(|op| match op {
                ListOp::Append { key, element } => format!("append {key} {element}"),
                ListOp::Read { key, list: None } => format!("read {key} ?"),
                ListOp::Read {
                    key,
                    list: Some(read),
                } => {
                    format!("read {key} {}", list(read.iter()))
                }
            })
            .collect();
        texts.join("; ")
    }

    fn reason(&self, step: &Arc) -> String {
        let (from, to) = (self.id(step.from), self.id(step.to));
        let kind = step.label.kind();
        let key = step.label.key();
        let Some(name) = self.keys.names.get(key as usize) else {
            return words::order(kind, from, to);
        };
        let of = |transaction| self.appends_of(transaction).filter(move |a| a.key == key);
        let first = of(step.to)
            .min_by_key(|append| append.position)
            .map(|a| a.element);
        let last = of(step.from).filter(|append| append.position != NONE);
        let last = last.max_by_key(|append| append.position).map(|a| a.element);
        let base_of = |transaction| {
            let mut bases = self.bases.iter();
            bases.find(|base| base.transaction == transaction && base.key == key)
        };
        let nil = &Value::Nil;
        match kind {
            Kind::Ww => format!(
                "{from} appended {} to {name} before {to} appended {}",
                last.unwrap_or(nil),
                first.unwrap_or(nil)
            ),
            Kind::Wr => {
                let seen = base_of(step.to).map_or(&[][..], |base| base.list);
                let element = of(step.from).map(|append| append.element);
                let element = element.filter(|&element| seen.contains(element)).last();
                format!(
                    "{to} read {name} as {} with {} that {from} appended",
                    list(seen.iter()),
                    element.unwrap_or(nil)
                )
            }
            Kind::Rw => {
                let seen = base_of(step.from).map_or(&[][..], |base| base.list);
                format!(
                    "{from} read {name} as {}, without {} that {to} appended",
                    list(seen.iter()),
                    first.unwrap_or(nil)
                )
            }
            _ => words::order(kind, from, to),
        }
    }
}
