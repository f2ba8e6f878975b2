//! HTTP/1.1 codecs: `TranDB`, webdis and servers that answer a constant.
//!
//! Not a client: an answer must carry `Content-Length`; chunked answers, redirects and
//! interim answers are errors. Tests: at the end of this file.

use anyhow::{Context, bail};

use super::{Answer, Fault, Protocol, words};
use crate::workload::{Operation, Request, Values, key_text};

/// The body that every constant-answer server sends: 128 bytes.
pub const CONSTANT_BODY: &str = "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv\
                                 vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv";

const HEADERS_MAX: usize = 32;

/// One HTTP answer, with the body still in the buffer.
pub(super) struct HttpAnswer<'a> {
    /// Bytes of head and body.
    pub(super) length: usize,
    pub(super) status: u16,
    pub(super) body: &'a [u8],
}

/// Reads the HTTP answer at the front of `input`; `None` when it is not all there.
pub(super) fn answer(input: &[u8]) -> anyhow::Result<Option<HttpAnswer<'_>>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head_bytes) = head
        .parse(input)
        .with_context(|| format!("not HTTP: {}", words(input)))?
    else {
        return Ok(None);
    };
    let status = head.code.unwrap_or_default();
    if status < 200 {
        bail!("an interim answer of status {status}, which nobody asked for");
    }
    let length = head
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
    let body_bytes: usize = match (length, status) {
        (Some(length), _) => length,
        (None, 204 | 304) => 0,
        (None, _) => bail!("no Content-Length in an answer of status {status}"),
    };
    let Some(body) = input[head_bytes..].get(..body_bytes) else {
        return Ok(None);
    };
    Ok(Some(HttpAnswer {
        length: head_bytes + body_bytes,
        status,
        body,
    }))
}

impl HttpAnswer<'_> {
    /// Judges the answer: status 200 and a body for which `is_right` holds.
    pub(super) fn judge(&self, is_right: impl FnOnce(&[u8]) -> bool) -> Answer {
        let fault = if self.status != 200 {
            Some(Fault::Refused(format!(
                "{} {}",
                self.status,
                words(self.body)
            )))
        } else if !is_right(self.body) {
            Some(Fault::WrongValue(self.body.len()))
        } else {
            None
        };
        Answer {
            length: self.length,
            fault,
        }
    }
}

/// Keys in the path and raw values as bodies: `TranDB` and webdis.
pub(super) struct KeyValue {
    values: Values,
    get_prefix: &'static [u8],
    get_suffix: &'static [u8],
    put_prefix: &'static [u8],
    put_suffix: Vec<u8>,
    /// The body of the answer to a PUT.
    put_answer: &'static [u8],
}

impl KeyValue {
    pub(super) fn trandb(values: Values) -> Self {
        Self {
            get_prefix: b"GET /keys/",
            get_suffix: b" HTTP/1.1\r\nhost: bench\r\n\r\n",
            put_prefix: b"PUT /keys/",
            put_suffix: put_suffix(&values),
            put_answer: b"",
            values,
        }
    }

    pub(super) fn webdis(values: Values) -> Self {
        Self {
            get_prefix: b"GET /GET/",
            get_suffix: b".txt HTTP/1.1\r\nhost: bench\r\n\r\n",
            put_prefix: b"PUT /SET/",
            put_suffix: put_suffix(&values),
            put_answer: br#"{"SET":[true,"OK"]}"#,
            values,
        }
    }
}

fn put_suffix(values: &Values) -> Vec<u8> {
    let size = values.size();
    format!(" HTTP/1.1\r\nhost: bench\r\ncontent-length: {size}\r\n\r\n").into_bytes()
}

impl Protocol for KeyValue {
    fn encode(&self, request: Request, out: &mut Vec<u8>) {
        match request.operation {
            Operation::Get => {
                out.extend_from_slice(self.get_prefix);
                out.extend_from_slice(&key_text(request.key));
                out.extend_from_slice(self.get_suffix);
            }
            Operation::Put => {
                out.extend_from_slice(self.put_prefix);
                out.extend_from_slice(&key_text(request.key));
                out.extend_from_slice(&self.put_suffix);
                self.values.write(request.key, out);
            }
        }
    }

    fn decode(&self, request: Request, input: &[u8]) -> anyhow::Result<Option<Answer>> {
        let Some(answer) = answer(input)? else {
            return Ok(None);
        };
        Ok(Some(answer.judge(|body| match request.operation {
            Operation::Get => self.values.is_value(request.key, body),
            Operation::Put => body == self.put_answer,
        })))
    }
}

/// GET of `/`, whose answer is always [`CONSTANT_BODY`].
pub(super) struct Constant;

impl Protocol for Constant {
    fn encode(&self, _request: Request, out: &mut Vec<u8>) {
        out.extend_from_slice(b"GET / HTTP/1.1\r\nhost: bench\r\n\r\n");
    }

    fn decode(&self, _request: Request, input: &[u8]) -> anyhow::Result<Option<Answer>> {
        let Some(answer) = answer(input)? else {
            return Ok(None);
        };
        Ok(Some(answer.judge(|body| body == CONSTANT_BODY.as_bytes())))
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

    fn response(status: &str, body: &str) -> Vec<u8> {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nETag: \"x\"\r\nContent-Length: {length}\r\n\r\n{body}")
            .into_bytes()
    }

    fn trandb() -> KeyValue {
        KeyValue::trandb(Values::new(20))
    }

    #[test]
    fn requests_are_what_a_server_expects() {
        let mut out = Vec::new();
        trandb().encode(GET, &mut out);
        assert_eq!(
            out,
            b"GET /keys/k000000000000007 HTTP/1.1\r\nhost: bench\r\n\r\n"
        );
        out.clear();
        trandb().encode(PUT, &mut out);
        assert_eq!(
            out,
            b"PUT /keys/k000000000000007 HTTP/1.1\r\nhost: bench\r\ncontent-length: 20\r\n\r\n\
              k000000000000007vvvv"
        );
        out.clear();
        KeyValue::webdis(Values::new(20)).encode(GET, &mut out);
        assert_eq!(
            out,
            b"GET /GET/k000000000000007.txt HTTP/1.1\r\nhost: bench\r\n\r\n"
        );
    }

    #[test]
    fn right_answers_are_right_however_they_are_split() {
        let right = decode_split(&trandb(), GET, &response("200 OK", "k000000000000007vvvv"));
        assert_eq!(right.fault, None);
        assert_eq!(
            decode_split(&trandb(), PUT, &response("200 OK", "")).fault,
            None
        );
        let webdis = KeyValue::webdis(Values::new(20));
        let stored = response("200 OK", r#"{"SET":[true,"OK"]}"#);
        assert_eq!(decode_split(&webdis, PUT, &stored).fault, None);
        let constant = response("200 OK", CONSTANT_BODY);
        assert_eq!(decode_split(&Constant, GET, &constant).fault, None);
    }

    #[test]
    fn wrong_answers_are_noticed() {
        let other = decode_split(&trandb(), GET, &response("200 OK", "k000000000000008vvvv"));
        assert_eq!(other.fault, Some(Fault::WrongValue(20)));
        let short = decode_split(&trandb(), GET, &response("200 OK", "k000000000000007vvv"));
        assert_eq!(short.fault, Some(Fault::WrongValue(19)));
        let missing = decode_split(&trandb(), GET, &response("404 Not Found", "no such key"));
        assert_eq!(
            missing.fault,
            Some(Fault::Refused("404 no such key".to_owned()))
        );
        let chatty = decode_split(&trandb(), PUT, &response("200 OK", "stored"));
        assert_eq!(chatty.fault, Some(Fault::WrongValue(6)));
    }

    #[test]
    fn what_is_not_plain_http_is_an_error() {
        assert!(trandb().decode(GET, b"+OK\r\n").is_err());
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(trandb().decode(GET, chunked).is_err());
        assert!(
            trandb()
                .decode(GET, b"HTTP/1.1 100 Continue\r\n\r\n")
                .is_err()
        );
    }
}
