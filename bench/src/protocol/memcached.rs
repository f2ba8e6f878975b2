//! memcached's text protocol, as far as get and set need it. Tests: at the end of this file.

use anyhow::{Context, bail};

use super::{Answer, Fault, Protocol, find, words};
use crate::workload::{Operation, Request, Values, key_text};

const END: &[u8] = b"\r\nEND\r\n";

pub(super) struct Memcached {
    values: Values,
    value_prefix: Vec<u8>,
}

impl Memcached {
    pub(super) fn new(values: Values) -> Self {
        Self {
            value_prefix: format!(" 0 0 {}\r\n", values.size()).into_bytes(),
            values,
        }
    }
}

impl Protocol for Memcached {
    fn encode(&self, request: Request, out: &mut Vec<u8>) {
        match request.operation {
            Operation::Get => {
                out.extend_from_slice(b"get ");
                out.extend_from_slice(&key_text(request.key));
            }
            Operation::Put => {
                out.extend_from_slice(b"set ");
                out.extend_from_slice(&key_text(request.key));
                out.extend_from_slice(&self.value_prefix);
                self.values.write(request.key, out);
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    fn decode(&self, request: Request, input: &[u8]) -> anyhow::Result<Option<Answer>> {
        let Some(line_end) = find(input, b"\r\n") else {
            return Ok(None);
        };
        let line = &input[..line_end];
        let length = line_end + 2;
        if request.operation == Operation::Put && line == b"STORED" {
            return Ok(Some(Answer {
                length,
                fault: None,
            }));
        }
        if line.starts_with(b"VALUE ") {
            return self.value(request, line, input);
        }
        let is_refusal = [&b"END"[..], b"NOT_STORED", b"STORED"].contains(&line)
            || find(line, b"ERROR").is_some();
        if !is_refusal {
            bail!("not memcached's text protocol: {}", words(input));
        }
        Ok(Some(Answer {
            length,
            fault: Some(Fault::Refused(words(line))),
        }))
    }
}

impl Memcached {
    /// `VALUE key flags bytes`, the value, and `END`.
    fn value(&self, request: Request, line: &[u8], input: &[u8]) -> anyhow::Result<Option<Answer>> {
        let body_bytes: usize = std::str::from_utf8(line)
            .ok()
            .and_then(|line| line.split(' ').nth(3)?.parse().ok())
            .with_context(|| format!("no length: {}", words(input)))?;
        let start = line.len() + 2;
        let end = start + body_bytes;
        let length = end + END.len();
        if input.len() < length {
            return Ok(None);
        }
        if &input[end..length] != END {
            bail!("a value of {body_bytes} bytes that does not end there");
        }
        let right = request.operation == Operation::Get
            && self.values.is_value(request.key, &input[start..end]);
        Ok(Some(Answer {
            length,
            fault: (!right).then_some(Fault::WrongValue(body_bytes)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::testing::decode_split;

    const GET: Request = Request {
        operation: Operation::Get,
        key: 7,
    };
    const PUT: Request = Request {
        operation: Operation::Put,
        key: 7,
    };

    fn memcached() -> Memcached {
        Memcached::new(Values::new(20))
    }

    #[test]
    fn requests_are_lines() {
        let mut out = Vec::new();
        memcached().encode(GET, &mut out);
        assert_eq!(out, b"get k000000000000007\r\n");
        out.clear();
        memcached().encode(PUT, &mut out);
        assert_eq!(
            out,
            b"set k000000000000007 0 0 20\r\nk000000000000007vvvv\r\n"
        );
    }

    #[test]
    fn right_answers_are_right_however_they_are_split() {
        let value = b"VALUE k000000000000007 0 20\r\nk000000000000007vvvv\r\nEND\r\n";
        assert_eq!(decode_split(&memcached(), GET, value).fault, None);
        assert_eq!(decode_split(&memcached(), PUT, b"STORED\r\n").fault, None);
    }

    #[test]
    fn wrong_answers_are_noticed() {
        let other = b"VALUE k000000000000007 0 20\r\nk000000000000008vvvv\r\nEND\r\n";
        assert_eq!(
            decode_split(&memcached(), GET, other).fault,
            Some(Fault::WrongValue(20))
        );
        let missing = decode_split(&memcached(), GET, b"END\r\n");
        assert_eq!(missing.fault, Some(Fault::Refused("END".to_owned())));
        let full = decode_split(&memcached(), PUT, b"SERVER_ERROR out of memory\r\n");
        assert_eq!(
            full.fault,
            Some(Fault::Refused("SERVER_ERROR out of memory".to_owned()))
        );
        assert!(memcached().decode(GET, b"$20\r\n").is_err());
        let cut = b"VALUE k000000000000007 0 20\r\nk000000000000007vvvvvvEND\r\n";
        assert!(
            memcached().decode(GET, cut).is_err(),
            "the length does not lead to END"
        );
    }
}
