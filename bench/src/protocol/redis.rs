//! Redis' RESP, as far as GET and SET need it. Tests: at the end of this file.

use anyhow::{Context, bail};

use super::{Answer, Fault, Protocol, find, words};
use crate::workload::{KEY_BYTES, Operation, Request, Values, key_text};

pub(super) struct Redis {
    values: Values,
    get_prefix: Vec<u8>,
    set_prefix: Vec<u8>,
    value_prefix: Vec<u8>,
}

impl Redis {
    pub(super) fn new(values: Values) -> Self {
        Self {
            get_prefix: format!("*2\r\n$3\r\nGET\r\n${KEY_BYTES}\r\n").into_bytes(),
            set_prefix: format!("*3\r\n$3\r\nSET\r\n${KEY_BYTES}\r\n").into_bytes(),
            value_prefix: format!("\r\n${}\r\n", values.size()).into_bytes(),
            values,
        }
    }
}

impl Protocol for Redis {
    fn encode(&self, request: Request, out: &mut Vec<u8>) {
        match request.operation {
            Operation::Get => {
                out.extend_from_slice(&self.get_prefix);
                out.extend_from_slice(&key_text(request.key));
            }
            Operation::Put => {
                out.extend_from_slice(&self.set_prefix);
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
        if request.operation == Operation::Put && line == b"+OK" {
            return Ok(Some(Answer {
                length,
                fault: None,
            }));
        }
        if line.starts_with(b"$") && line != b"$-1" {
            return self.bulk(request, length, input);
        }
        if !line.starts_with(b"-") && !line.starts_with(b"+") && line != b"$-1" {
            bail!("not RESP: {}", words(input));
        }
        Ok(Some(Answer {
            length,
            fault: Some(Fault::Refused(words(line))),
        }))
    }
}

impl Redis {
    /// A bulk string, whose length line takes `head_bytes`.
    fn bulk(
        &self,
        request: Request,
        head_bytes: usize,
        input: &[u8],
    ) -> anyhow::Result<Option<Answer>> {
        let body_bytes: usize = std::str::from_utf8(&input[1..head_bytes - 2])
            .ok()
            .and_then(|digits| digits.parse().ok())
            .with_context(|| format!("not a length: {}", words(input)))?;
        let length = head_bytes + body_bytes + 2;
        if input.len() < length {
            return Ok(None);
        }
        let body = &input[head_bytes..head_bytes + body_bytes];
        let right = request.operation == Operation::Get && self.values.is_value(request.key, body);
        let fault = (!right).then_some(Fault::WrongValue(body_bytes));
        Ok(Some(Answer { length, fault }))
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

    fn redis() -> Redis {
        Redis::new(Values::new(20))
    }

    #[test]
    fn requests_are_resp_arrays() {
        let mut out = Vec::new();
        redis().encode(GET, &mut out);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$16\r\nk000000000000007\r\n");
        out.clear();
        redis().encode(PUT, &mut out);
        assert_eq!(
            out,
            b"*3\r\n$3\r\nSET\r\n$16\r\nk000000000000007\r\n$20\r\nk000000000000007vvvv\r\n"
        );
    }

    #[test]
    fn right_answers_are_right_however_they_are_split() {
        let got = decode_split(&redis(), GET, b"$20\r\nk000000000000007vvvv\r\n");
        assert_eq!(got.fault, None);
        assert_eq!(decode_split(&redis(), PUT, b"+OK\r\n").fault, None);
    }

    #[test]
    fn wrong_answers_are_noticed() {
        let other = decode_split(&redis(), GET, b"$20\r\nk000000000000008vvvv\r\n");
        assert_eq!(other.fault, Some(Fault::WrongValue(20)));
        let missing = decode_split(&redis(), GET, b"$-1\r\n");
        assert_eq!(missing.fault, Some(Fault::Refused("$-1".to_owned())));
        let full = decode_split(&redis(), PUT, b"-OOM command not allowed\r\n");
        assert_eq!(
            full.fault,
            Some(Fault::Refused("-OOM command not allowed".to_owned()))
        );
        let ok = decode_split(&redis(), GET, b"+OK\r\n");
        assert_eq!(ok.fault, Some(Fault::Refused("+OK".to_owned())));
        assert!(redis().decode(GET, b"HTTP/1.1 200 OK\r\n").is_err());
        assert!(redis().decode(GET, b"$many\r\n").is_err());
    }
}
