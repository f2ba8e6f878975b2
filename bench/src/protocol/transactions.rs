//! `POST /transactions`: requests prepared for every transaction of a run.
//!
//! The key's number of a [`Request`] is the number of a transaction. A `Put` writes all of its
//! keys, a `Get` reads them all. Every answer is decoded as a client does it and must be about
//! exactly these keys; what was read must be their values. Tests: at the end of this file.

use anyhow::Context;
use serde::{Serialize, de::DeserializeOwned};
use trandb_common::{
    Key, TransactionBody, TransactionId, Value,
    transaction::{Operations, Write},
    wire::transaction::{
        CBOR_CONTENT_TYPE, Committed, Decision, JSON_CONTENT_TYPE, Octets, Request as Body,
    },
};

use super::{Answer, Protocol, http};
use crate::workload::{Operation, Request, Values, key_text};

/// How bodies are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Values as base64.
    Json,
    /// Values as byte strings.
    Cbor,
}

/// Stands in a prepared body that is sent under ids.
const PLACE_OF_ID: TransactionId = TransactionId(0);

/// The digits of an id that tell it from others: all of the last group.
const ID_DIGITS: usize = 12;

/// The codec.
pub struct Transactions {
    format: Format,
    values: Values,
    prepared: Vec<Prepared>,
}

struct Prepared {
    keys: Vec<u64>,
    write: Vec<u8>,
    read: Vec<u8>,
    /// Where the digits of the id stand in `write`.
    id_at: Option<usize>,
}

impl Transactions {
    /// For transactions of these keys. The server makes their ids and keeps no outcomes.
    pub fn new(format: Format, values: Values, transactions: &[Vec<u64>]) -> anyhow::Result<Self> {
        Self::prepare(format, values, transactions, None)
    }

    /// The same, but each write has an id of its own, so that its outcome is kept. There may be
    /// more numbers than transactions: they begin again then, under other ids.
    pub fn with_ids(values: Values, transactions: &[Vec<u64>]) -> anyhow::Result<Self> {
        Self::prepare(Format::Json, values, transactions, Some(PLACE_OF_ID))
    }

    fn prepare(
        format: Format,
        values: Values,
        transactions: &[Vec<u64>],
        id: Option<TransactionId>,
    ) -> anyhow::Result<Self> {
        let prepared = transactions
            .iter()
            .map(|keys| Prepared::new(format, &values, keys, id))
            .collect::<anyhow::Result<Vec<_>>>()?;
        anyhow::ensure!(!prepared.is_empty(), "no transactions");
        Ok(Self {
            format,
            values,
            prepared,
        })
    }

    fn prepared(&self, number: u64) -> &Prepared {
        let count = self.prepared.len() as u64;
        &self.prepared[usize::try_from(number % count).unwrap_or_default()]
    }

    fn is_right(&self, request: Request, body: &[u8]) -> bool {
        let keys = &self.prepared(request.key).keys;
        let Some(answer) = self.format.read::<Committed>(body) else {
            return false;
        };
        let is_right = match request.operation {
            Operation::Put => {
                answer.versions.len() == keys.len()
                    && keys.iter().all(|&number| {
                        key(number).is_ok_and(|key| answer.versions.contains_key(&key))
                    })
            }
            Operation::Get => answer.reads.is_some_and(|reads| {
                reads.len() == keys.len()
                    && reads.into_iter().zip(keys).all(|(found, &number)| {
                        let value = found.value.map(Octets::into_bytes);
                        found.key.as_bytes() == key_text(number)
                            && value.is_some_and(|value| self.values.is_value(number, &value))
                    })
            }),
        };
        is_right && answer.outcome == Decision::Committed
    }
}

impl Prepared {
    fn new(
        format: Format,
        values: &Values,
        numbers: &[u64],
        id: Option<TransactionId>,
    ) -> anyhow::Result<Self> {
        let keys = numbers.iter().copied().map(key);
        let keys = keys.collect::<anyhow::Result<Vec<Key>>>()?;
        let writes = keys.iter().zip(numbers).map(|(key, &number)| {
            let mut value = Vec::with_capacity(values.size());
            values.write(number, &mut value);
            Ok(Write::Put {
                key: key.clone(),
                value: Value::try_from(value)?,
            })
        });
        let write = Operations {
            writes: writes.collect::<anyhow::Result<_>>()?,
            ..Operations::default()
        };
        let read = Operations {
            reads: keys,
            ..Operations::default()
        };
        let write = format.request(write, id)?;
        let id_at = id.and_then(|id| {
            let id = id.to_string();
            let start = super::find(&write, id.as_bytes())?;
            Some(start + id.len() - ID_DIGITS)
        });
        Ok(Self {
            keys: numbers.to_vec(),
            write,
            read: format.request(read, None)?,
            id_at,
        })
    }
}

impl Format {
    /// The bytes of a request, head and body.
    fn request(self, operations: Operations, id: Option<TransactionId>) -> anyhow::Result<Vec<u8>> {
        let body = TransactionBody::new(operations).context("a transaction that is not legal")?;
        let mut body = Body::new(PLACE_OF_ID, &body);
        body.id = id;
        let (content_type, body) = match self {
            Self::Json => (JSON_CONTENT_TYPE, serde_json::to_vec(&body)?),
            Self::Cbor => (CBOR_CONTENT_TYPE, to_cbor(&body)?),
        };
        let length = body.len();
        let head = format!(
            "POST /transactions HTTP/1.1\r\nhost: bench\r\ncontent-type: {content_type}\r\n\
             content-length: {length}\r\n\r\n"
        );
        Ok([head.as_bytes(), &body].concat())
    }

    fn read<T: DeserializeOwned>(self, body: &[u8]) -> Option<T> {
        match self {
            Self::Json => serde_json::from_slice(body).ok(),
            Self::Cbor => minicbor_serde::from_slice(body).ok(),
        }
    }
}

fn to_cbor(value: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    minicbor_serde::to_vec(value).map_err(|error| anyhow::anyhow!("no CBOR: {error}"))
}

fn key(number: u64) -> anyhow::Result<Key> {
    Ok(Key::try_from(&key_text(number)[..])?)
}

impl Protocol for Transactions {
    fn encode(&self, request: Request, out: &mut Vec<u8>) {
        let prepared = self.prepared(request.key);
        match request.operation {
            Operation::Get => out.extend_from_slice(&prepared.read),
            Operation::Put => {
                let start = out.len();
                out.extend_from_slice(&prepared.write);
                if let Some(at) = prepared.id_at {
                    let number = key_text(request.key);
                    out[start + at..][..ID_DIGITS]
                        .copy_from_slice(&number[number.len() - ID_DIGITS..]);
                }
            }
        }
    }

    fn decode(&self, request: Request, input: &[u8]) -> anyhow::Result<Option<Answer>> {
        let Some(answer) = http::answer(input)? else {
            return Ok(None);
        };
        Ok(Some(answer.judge(|body| self.is_right(request, body))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Fault, testing::decode_split};

    const PUT: Request = Request {
        operation: Operation::Put,
        key: 1,
    };
    const GET: Request = Request {
        operation: Operation::Get,
        key: 1,
    };

    fn values() -> Values {
        Values::new(20)
    }

    fn json() -> Transactions {
        Transactions::new(Format::Json, values(), &[vec![7], vec![3, 4]]).unwrap()
    }

    fn encoded(codec: &Transactions, request: Request) -> String {
        let mut out = Vec::new();
        codec.encode(request, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn response(body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), body].concat()
    }

    const WRITTEN: &str = r#"{"id":"00000000-0000-0000-0000-000000000009","outcome":"committed",
        "versions":{"k000000000000003":"e1-1","k000000000000004":"e1-2"},"reads":[]}"#;

    fn fault(request: Request, body: &str) -> Option<Fault> {
        decode_split(&json(), request, &response(body.as_bytes())).fault
    }

    #[test]
    fn a_request_writes_or_reads_all_of_its_keys() {
        let put = encoded(&json(), PUT);
        assert!(put.starts_with("POST /transactions HTTP/1.1\r\n"), "{put}");
        assert!(put.contains("content-type: application/json\r\n"), "{put}");
        let (_, body) = put.split_once("\r\n\r\n").unwrap();
        assert_eq!(
            body,
            r#"{"writes":[{"op":"put","key":"k000000000000003","value":"azAwMDAwMDAwMDAwMDAwM3Z2dnY="},{"op":"put","key":"k000000000000004","value":"azAwMDAwMDAwMDAwMDAwNHZ2dnY="}]}"#
        );
        let get = encoded(&json(), GET);
        let (_, body) = get.split_once("\r\n\r\n").unwrap();
        assert_eq!(
            body,
            r#"{"reads":[{"key":"k000000000000003"},{"key":"k000000000000004"}]}"#
        );
    }

    #[test]
    fn right_answers_are_right() {
        assert_eq!(fault(PUT, WRITTEN), None);
        let read = r#"{"id":"00000000-0000-0000-0000-000000000009","outcome":"committed",
            "versions":{},"reads":[
            {"key":"k000000000000003","version":"e1-1","value":"azAwMDAwMDAwMDAwMDAwM3Z2dnY="},
            {"key":"k000000000000004","version":"e1-2","value":"azAwMDAwMDAwMDAwMDAwNHZ2dnY="}]}"#;
        assert_eq!(fault(GET, read), None);
        let other_value = read.replace("NHZ2dnY=", "NXZ2dnY=");
        assert!(fault(GET, &other_value).is_some());
        let absent = read.replace("\"azAwMDAwMDAwMDAwMDAwM3Z2dnY=\"", "null");
        assert!(fault(GET, &absent).is_some());
    }

    #[test]
    fn wrong_answers_are_noticed() {
        let one_key = WRITTEN.replace(r#","k000000000000004":"e1-2""#, "");
        let another_key = WRITTEN.replace("0004", "0005");
        let undecided = WRITTEN.replace("committed", "in_progress");
        for wrong in ["", "{}", &one_key, &another_key, &undecided] {
            let expected = Some(Fault::WrongValue(wrong.len()));
            assert_eq!(fault(PUT, wrong), expected, "{wrong}");
        }
    }

    #[test]
    fn cbor_is_spoken_as_well() {
        let codec = Transactions::new(Format::Cbor, values(), &[vec![3, 4]]).unwrap();
        let mut out = Vec::new();
        codec.encode(PUT, &mut out);
        assert!(
            out.windows(20)
                .any(|bytes| bytes == b"k000000000000003vvvv")
        );
        let answer: Committed = serde_json::from_str(WRITTEN).unwrap();
        let body = minicbor_serde::to_vec(&answer).unwrap();
        assert_eq!(decode_split(&codec, PUT, &response(&body)).fault, None);
    }

    #[test]
    fn every_number_has_an_id_of_its_own_where_ids_are_asked_for() {
        let codec = Transactions::with_ids(values(), &[vec![7], vec![3, 4]]).unwrap();
        let put = |key| encoded(&codec, Request { key, ..PUT });
        assert!(put(17).contains(r#""id":"00000000-0000-0000-0000-000000000017""#));
        // The same transaction, under another id.
        assert_eq!(put(17).replace("017\"", "019\""), put(19));
        assert!(!encoded(&json(), PUT).contains(r#""id""#));
    }
}
