//! etcd's own protocol: gRPC, which is protobuf messages in frames of HTTP/2 (RFC 9113).
//!
//! Not a client of HTTP/2: one request at a time on a connection, headers are written without
//! compression and those of the server are not read. They need not be: a server of gRPC sends a
//! message only if all went well, and none with any status but 0. Windows are opened once, for the
//! life of the connection. Tests: at the end of this file.

use anyhow::bail;

use super::{Answer, Fault, Protocol, find};
use crate::workload::{Operation, Request, Values, key_text};

const FRAME_HEAD_BYTES: usize = 9;

// Types of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

// Flags of frames.
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// What the server may send on a connection, in bytes: about 10 million answers.
const WINDOW: u32 = 0x7000_0000;

/// `SETTINGS_INITIAL_WINDOW_SIZE`.
const INITIAL_WINDOW_SIZE: u16 = 4;

/// The flag of an uncompressed message, and its length.
const MESSAGE_HEAD_BYTES: usize = 5;

pub(super) struct EtcdGrpc {
    values: Values,
    greeting: Vec<u8>,
    range_headers: Vec<u8>,
    put_headers: Vec<u8>,
}

impl EtcdGrpc {
    pub(super) fn new(values: Values) -> Self {
        Self {
            values,
            greeting: greeting(),
            range_headers: headers("/etcdserverpb.KV/Range"),
            put_headers: headers("/etcdserverpb.KV/Put"),
        }
    }

    /// How the value of `key` stands in an answer: field 5, bytes.
    fn field_of_value(&self, key: u64) -> Vec<u8> {
        let mut field = Vec::with_capacity(self.values.size() + 8);
        put_field(5, self.values.size(), &mut field);
        self.values.write(key, &mut field);
        field
    }
}

fn greeting() -> Vec<u8> {
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    put_frame_head(6, SETTINGS, 0, 0, &mut out);
    out.extend_from_slice(&INITIAL_WINDOW_SIZE.to_be_bytes());
    out.extend_from_slice(&WINDOW.to_be_bytes());
    // The settings of the server, whatever they are: none of them concerns so little.
    put_frame_head(0, SETTINGS, ACK, 0, &mut out);
    put_frame_head(4, WINDOW_UPDATE, 0, 0, &mut out);
    out.extend_from_slice(&WINDOW.to_be_bytes());
    out
}

fn put_frame_head(length: usize, kind: u8, flags: u8, stream: u32, out: &mut Vec<u8>) {
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
}

/// A block of headers in HPACK (RFC 7541), that leaves nothing in the server's table.
fn headers(path: &str) -> Vec<u8> {
    /// Of the static table: `:method: POST` and `:scheme: http`.
    const POST: u8 = 0x80 | 3;
    const HTTP: u8 = 0x80 | 6;
    /// Names of the static table, before a value: the last one is 31, as 15 and 16 more.
    const PATH: u8 = 4;
    const AUTHORITY: u8 = 1;
    const CONTENT_TYPE: [u8; 2] = [15, 16];
    let mut block = vec![POST, HTTP];
    let text = |text: &str, block: &mut Vec<u8>| {
        block.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        block.extend_from_slice(text.as_bytes());
    };
    block.push(PATH);
    text(path, &mut block);
    block.push(AUTHORITY);
    text("bench", &mut block);
    block.extend_from_slice(&CONTENT_TYPE);
    text("application/grpc", &mut block);
    block.push(0);
    text("te", &mut block);
    text("trailers", &mut block);
    block
}

/// The head of a field of bytes.
fn put_field(number: u8, length: usize, out: &mut Vec<u8>) {
    const BYTES: u8 = 2;
    out.push(number << 3 | BYTES);
    let mut rest = length;
    while rest >= 0x80 {
        out.push(0x80 | u8::try_from(rest & 0x7f).unwrap_or_default());
        rest >>= 7;
    }
    out.push(u8::try_from(rest).unwrap_or_default());
}

/// A frame at the front of what has come.
struct Frame<'a> {
    kind: u8,
    flags: u8,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// None: it is not all there.
    fn read(input: &'a [u8]) -> Option<Self> {
        let head = input.first_chunk::<FRAME_HEAD_BYTES>()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let end = FRAME_HEAD_BYTES + usize::try_from(length).ok()?;
        Some(Self {
            kind: head[3],
            flags: head[4],
            payload: input.get(FRAME_HEAD_BYTES..end)?,
        })
    }

    fn length(&self) -> usize {
        FRAME_HEAD_BYTES + self.payload.len()
    }

    /// Whether the server sends nothing more about the request.
    fn is_last(&self) -> bool {
        match self.kind {
            DATA | HEADERS => self.flags & END_STREAM != 0,
            RST_STREAM => true,
            _ => false,
        }
    }
}

impl Protocol for EtcdGrpc {
    fn greeting(&self) -> &[u8] {
        &self.greeting
    }

    fn encode(&self, request: Request, out: &mut Vec<u8>) {
        self.encode_nth(0, request, out);
    }

    fn encode_nth(&self, nth: u64, request: Request, out: &mut Vec<u8>) {
        let stream = u32::try_from(nth * 2 + 1).unwrap_or(u32::MAX);
        let headers = match request.operation {
            Operation::Get => &self.range_headers,
            Operation::Put => &self.put_headers,
        };
        put_frame_head(headers.len(), HEADERS, END_HEADERS, stream, out);
        out.extend_from_slice(headers);

        let mut message = vec![0; MESSAGE_HEAD_BYTES];
        let key = key_text(request.key);
        put_field(1, key.len(), &mut message);
        message.extend_from_slice(&key);
        if request.operation == Operation::Put {
            put_field(2, self.values.size(), &mut message);
            self.values.write(request.key, &mut message);
        }
        let length = u32::try_from(message.len() - MESSAGE_HEAD_BYTES).unwrap_or(u32::MAX);
        message[1..MESSAGE_HEAD_BYTES].copy_from_slice(&length.to_be_bytes());
        put_frame_head(message.len(), DATA, END_STREAM, stream, out);
        out.extend_from_slice(&message);
    }

    fn unasked(&self, input: &[u8]) -> anyhow::Result<usize> {
        match Frame::read(input) {
            None => Ok(0),
            Some(Frame {
                kind: DATA | HEADERS | RST_STREAM | GOAWAY,
                ..
            }) => bail!("an answer to no request"),
            Some(frame) => Ok(frame.length()),
        }
    }

    fn decode(&self, request: Request, input: &[u8]) -> anyhow::Result<Option<Answer>> {
        let mut length = 0;
        let mut message = Vec::new();
        loop {
            let Some(frame) = Frame::read(&input[length..]) else {
                return Ok(None);
            };
            length += frame.length();
            match frame.kind {
                DATA => message.extend_from_slice(frame.payload),
                GOAWAY => bail!("the server goes away"),
                _ => {}
            }
            if frame.is_last() {
                break;
            }
        }
        let is_right = |message: &[u8]| match request.operation {
            Operation::Get => find(message, &self.field_of_value(request.key)).is_some(),
            // A header, field 1: always there.
            Operation::Put => message.first() == Some(&(1 << 3 | 2)),
        };
        let fault = match message.get(MESSAGE_HEAD_BYTES..) {
            None => Some(Fault::Refused("a status and no message".to_owned())),
            Some(message) if is_right(message) => None,
            Some(message) => Some(Fault::WrongValue(message.len())),
        };
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

    fn codec() -> EtcdGrpc {
        EtcdGrpc::new(Values::new(18))
    }

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_frame_head(payload.len(), kind, flags, 1, &mut out);
        out.extend_from_slice(payload);
        out
    }

    /// Settings, headers, the message, trailers.
    fn answer(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let message = [&[0], &length[..], message].concat();
        [
            frame(SETTINGS, 0, &[]),
            frame(HEADERS, END_HEADERS, b"compressed"),
            frame(DATA, 0, &message),
            frame(HEADERS, END_HEADERS | END_STREAM, b"compressed"),
        ]
        .concat()
    }

    #[test]
    fn each_request_is_a_stream_of_its_own() {
        let mut out = Vec::new();
        codec().encode_nth(3, PUT, &mut out);
        let headers = Frame::read(&out).unwrap();
        assert_eq!((headers.kind, headers.flags), (HEADERS, END_HEADERS));
        assert!(find(headers.payload, b"\x04\x14/etcdserverpb.KV/Put").is_some());
        let data = Frame::read(&out[headers.length()..]).unwrap();
        assert_eq!((data.kind, data.flags), (DATA, END_STREAM));
        assert_eq!(
            data.payload,
            b"\0\0\0\0\x26\x0a\x10k000000000000007\x12\x12k000000000000007vv"
        );
        assert_eq!(out.len(), headers.length() + data.length());
        assert_eq!(out[5..9], [0, 0, 0, 7]);
    }

    #[test]
    fn answers_are_judged_however_they_are_split() {
        let value = answer(b"\x0a\x01?\x12\x99\x2a\x12k000000000000007vv\x20\x01");
        assert_eq!(decode_split(&codec(), GET, &value).fault, None);
        let other = answer(b"\x0a\x01?\x12\x99\x2a\x12k000000000000008vv\x20\x01");
        let fault = decode_split(&codec(), GET, &other).fault;
        assert_eq!(fault, Some(Fault::WrongValue(27)));
        assert_eq!(decode_split(&codec(), PUT, &other).fault, None);
        let nothing = answer(b"");
        let fault = decode_split(&codec(), PUT, &nothing).fault;
        assert_eq!(fault, Some(Fault::WrongValue(0)));
    }

    #[test]
    fn a_status_without_a_message_is_a_refusal() {
        let refused = frame(HEADERS, END_HEADERS | END_STREAM, b"grpc-status: 14");
        let fault = decode_split(&codec(), GET, &refused).fault;
        assert!(matches!(fault, Some(Fault::Refused(_))), "{fault:?}");
    }

    #[test]
    fn only_what_concerns_the_connection_may_come_unasked() {
        let window = frame(WINDOW_UPDATE, 0, &[0, 0, 1, 0]);
        assert_eq!(codec().unasked(&window).unwrap(), window.len());
        assert_eq!(codec().unasked(&window[..9]).unwrap(), 0);
        assert!(codec().unasked(&answer(b"x")[9..]).is_err());
        assert!(codec().decode(GET, &frame(GOAWAY, 0, b"")).is_err());
    }
}
