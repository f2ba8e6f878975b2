//! How requests and answers look on the wire: one codec per kind of server, so that one load
//! generator serves all and only the server differs between two measurements.
//!
//! Not here: sockets and time. A codec turns a request into bytes, and the bytes at the front of
//! a receive buffer into "not all here yet" or one judged answer.
//!
//! Invariants: encoding copies prepared bytes and allocates nothing but the room in the buffer
//! (etcd's base64 and lengths are the exception); `decode` never consumes a part of an answer, so any split of
//! the stream into reads gives the same answers. Tests: at the end of each codec's file.

mod etcd;
mod grpc;
mod http;
mod memcached;
mod redis;
pub mod transactions;

use clap::ValueEnum;

pub use self::http::CONSTANT_BODY;

use crate::workload::{Request, Values};

/// One complete answer at the front of a receive buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Bytes that it takes.
    pub length: usize,
    /// What is wrong with it, if anything.
    pub fault: Option<Fault>,
}

/// Why a complete, well-formed answer is not the right one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server answered with an error or an unexpected status, here in its own words.
    Refused(String),
    /// The body is not the key's value. Its length in bytes.
    WrongValue(usize),
}

impl Fault {
    /// Whether the server says by its status that nothing happened and that it may be tried later.
    pub fn is_put_off(&self) -> bool {
        matches!(self, Self::Refused(words) if words.starts_with("503 "))
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(words) => write!(f, "refused: {words}"),
            Self::WrongValue(length) => write!(f, "a wrong value of {length} bytes"),
        }
    }
}

/// A codec: requests to bytes, bytes to judged answers.
pub trait Protocol: Send + Sync {
    /// Appends the bytes of `request` to `out`.
    fn encode(&self, request: Request, out: &mut Vec<u8>);

    /// What a client says first on each connection.
    fn greeting(&self) -> &[u8] {
        &[]
    }

    /// The same as [`Self::encode`] where requests have numbers: `request` is the one after `nth`
    /// others on its connection.
    fn encode_nth(&self, _nth: u64, request: Request, out: &mut Vec<u8>) {
        self.encode(request, out);
    }

    /// The length of what stands at the front of `input` when no request waits for an answer; 0
    /// when it is not all there.
    ///
    /// Errors: the server may not speak unasked.
    fn unasked(&self, _input: &[u8]) -> anyhow::Result<usize> {
        anyhow::bail!("an answer to no request")
    }

    /// Reads the answer to `request` at the front of `input`; `None` when it is not all there.
    ///
    /// Errors: bytes that are not this protocol. The connection is useless after that.
    fn decode(&self, request: Request, input: &[u8]) -> anyhow::Result<Option<Answer>>;
}

/// The protocols that the generator speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dialect {
    /// `TranDB`: GET and PUT of `/keys/{key}`
    Trandb,
    /// HTTP GET of `/` with one constant 128-byte answer; there are no writes
    Constant,
    /// Redis' RESP: GET and SET
    Redis,
    /// memcached's text protocol: get and set
    Memcached,
    /// webdis, HTTP in front of Redis: GET `/GET/{key}.txt` and PUT `/SET/{key}`
    Webdis,
    /// The JSON gateway of etcd 3.4: POST `/v3/kv/range` and `/v3/kv/put`
    Etcd,
    /// etcd's own protocol, gRPC: `KV/Range` (linearizable) and `KV/Put`; no pipelining
    EtcdGrpc,
}

impl Dialect {
    /// The codec, for values of `value_size` bytes.
    pub fn protocol(self, value_size: usize) -> Box<dyn Protocol> {
        let values = Values::new(value_size);
        match self {
            Self::Trandb => Box::new(http::KeyValue::trandb(values)),
            Self::Webdis => Box::new(http::KeyValue::webdis(values)),
            Self::Constant => Box::new(http::Constant),
            Self::Redis => Box::new(redis::Redis::new(values)),
            Self::Memcached => Box::new(memcached::Memcached::new(values)),
            Self::Etcd => Box::new(etcd::Etcd::new(values)),
            Self::EtcdGrpc => Box::new(grpc::EtcdGrpc::new(values)),
        }
    }
}

/// The first line of what a server said, cut to a readable length.
fn words(bytes: &[u8]) -> String {
    const BYTES_MAX: usize = 200;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(BYTES_MAX)]);
    text.lines()
        .next()
        .unwrap_or_default()
        .escape_debug()
        .to_string()
}

/// The position of `needle` in `bytes`.
pub(crate) fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod testing {
    use super::{Answer, Protocol};
    use crate::workload::Request;

    /// Decodes `stream` as it would arrive cut after every byte: only the whole is an answer,
    /// and bytes of the next answer behind it change nothing.
    pub(super) fn decode_split(protocol: &dyn Protocol, request: Request, stream: &[u8]) -> Answer {
        for end in 0..stream.len() {
            let early = protocol.decode(request, &stream[..end]).unwrap();
            assert_eq!(
                early,
                None,
                "an answer out of the first {end} of {} bytes",
                stream.len()
            );
        }
        let answer = protocol
            .decode(request, stream)
            .unwrap()
            .expect("the whole answer");
        assert_eq!(answer.length, stream.len());
        let followed = [stream, stream].concat();
        assert_eq!(
            protocol.decode(request, &followed).unwrap().as_ref(),
            Some(&answer)
        );
        answer
    }
}
