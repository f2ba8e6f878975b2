//! The JSON gateway of etcd 3.4: HTTP POST with keys and values in base64.
//!
//! The JSON is not parsed: etcd writes the wanted value in one fixed form, and looking for that
//! keeps the generator cheap. Values up to about 1 KB: above it, the gateway answers in chunks.
//! Tests: at the end of this file.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Answer, Protocol, find, http};
use crate::workload::{Operation, Request, Values, key_text};

pub(super) struct Etcd {
    values: Values,
}

impl Etcd {
    pub(super) fn new(values: Values) -> Self {
        Self { values }
    }

    fn value_base64(&self, key: u64) -> String {
        let mut value = Vec::with_capacity(self.values.size());
        self.values.write(key, &mut value);
        STANDARD.encode(value)
    }
}

impl Protocol for Etcd {
    fn encode(&self, request: Request, out: &mut Vec<u8>) {
        let key = STANDARD.encode(key_text(request.key));
        let (path, body) = match request.operation {
            Operation::Get => ("range", format!(r#"{{"key":"{key}"}}"#)),
            Operation::Put => {
                let value = self.value_base64(request.key);
                ("put", format!(r#"{{"key":"{key}","value":"{value}"}}"#))
            }
        };
        let length = body.len();
        let head =
            format!("POST /v3/kv/{path} HTTP/1.1\r\nhost: bench\r\ncontent-length: {length}");
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(body.as_bytes());
    }

    fn decode(&self, request: Request, input: &[u8]) -> anyhow::Result<Option<Answer>> {
        let Some(answer) = http::answer(input)? else {
            return Ok(None);
        };
        Ok(Some(answer.judge(|body| match request.operation {
            Operation::Get => {
                let wanted = format!(r#""value":"{}""#, self.value_base64(request.key));
                find(body, wanted.as_bytes()).is_some()
            }
            Operation::Put => body.starts_with(br#"{"header":{"#),
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Fault, testing::decode_split};

    const GET: Request = Request {
        operation: Operation::Get,
        key: 7,
    };
    const PUT: Request = Request {
        operation: Operation::Put,
        key: 7,
    };

    fn response(body: &str) -> Vec<u8> {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    #[test]
    fn requests_carry_base64() {
        let mut out = Vec::new();
        Etcd::new(Values::new(3)).encode(PUT, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "POST /v3/kv/put HTTP/1.1\r\nhost: bench\r\ncontent-length: 49\r\n\r\n\
             {\"key\":\"azAwMDAwMDAwMDAwMDAwNw==\",\"value\":\"azAw\"}"
        );
    }

    #[test]
    fn answers_are_judged_however_they_are_split() {
        let etcd = Etcd::new(Values::new(3));
        let got = response(r#"{"header":{},"kvs":[{"key":"azA=","value":"azAw"}],"count":"1"}"#);
        assert_eq!(decode_split(&etcd, GET, &got).fault, None);
        let other = response(r#"{"header":{},"kvs":[{"key":"azA=","value":"azAx"}],"count":"1"}"#);
        assert_eq!(
            decode_split(&etcd, GET, &other).fault,
            Some(Fault::WrongValue(63))
        );
        let missing = response(r#"{"header":{"revision":"1"}}"#);
        assert!(matches!(
            decode_split(&etcd, GET, &missing).fault,
            Some(Fault::WrongValue(_))
        ));
        assert_eq!(decode_split(&etcd, PUT, &missing).fault, None);
    }
}
