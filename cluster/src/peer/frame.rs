//! Messages as bytes: pure, without input or output.
//!
//! ```text
//! frame    length u32, big endian | header | body      length counts what follows it
//! ```
//!
//! A header is one value of an enum in [postcard]'s format; a body is the rest of the frame. No
//! frame is longer than [`FRAME_BYTES_MAX`]: a longer message is cut, and its pieces are sent as
//! frames of their own, so that short messages get between them. On one connection and in one
//! direction the pieces of two messages never mix.
//!
//! In every version of the protocol the first frame begins with the length, a zero and the version
//! as a varint, and a [`Refusal::WrongVersion`] reads the same.
//!
//! Invariants:
//!
//! - What is decoded does not depend on how the bytes were split on their way.
//! - Memory is taken for bytes that have come, never for a length that was only announced.
//! - A body is copied once, out of the buffer that was read into: whoever keeps a small body does
//!   not keep a large buffer alive.
//!
//! Tests: below, `tests/peer_frames.rs`, and the fuzz target `peer_frames`.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut, buf::Chain};
use serde::{Deserialize, Serialize};
use trandb_common::limits::PEER_BODY_BYTES_MAX;

use crate::{
    identity::{ClusterId, Epoch, GroupId, NodeId},
    transport::Refusal,
};

/// Of the protocol that this module speaks.
pub const VERSION: u16 = 1;

/// Longest frame, in bytes, without its length (64 KiB): what a heartbeat may have to wait for.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a frame's length.
pub const LENGTH_BYTES: usize = 4;

/// Longest header, in bytes; that of a request has about 40 at most.
const HEADER_BYTES_MAX: usize = 64;

/// Longest message, in bytes, of however many pieces.
const MESSAGE_BYTES_MAX: usize = HEADER_BYTES_MAX + PEER_BODY_BYTES_MAX;

/// The header of a piece: its kind, and whether it is the last one.
const PIECE_HEADER_BYTES: usize = 2;

/// What one side of a connection says to the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The first one, each way.
    Hello(Hello),
    /// The first one of somebody who speaks another version; what follows cannot be read.
    ForeignHello {
        /// Its version.
        version: u16,
    },
    /// In the place of the second Hello, and the last message.
    Refused(Refusal),
    /// Begins a call.
    Request {
        /// The call's number, unique on its connection.
        call: u64,
        /// Who is meant.
        to: NodeId,
        /// Whom in the node it concerns.
        group: GroupId,
        /// Of the group.
        epoch: Epoch,
        /// For how long the caller will wait, in milliseconds.
        time_left_ms: u32,
        /// In the group's words.
        body: Bytes,
    },
    /// Ends a call.
    Answer {
        /// The request's number.
        call: u64,
        /// In the group's words.
        body: Bytes,
    },
    /// Ends a call without an answer.
    Failure {
        /// The request's number.
        call: u64,
        /// Why nothing was done; none: something may have been done.
        refusal: Option<Refusal>,
    },
    /// Asks for a sign of life.
    Ping {
        /// A number as that of a call.
        call: u64,
    },
    /// The sign of life.
    Pong {
        /// The ping's number.
        call: u64,
    },
}

/// Who speaks to whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The version of the protocol; the first field in every version.
    pub version: u16,
    /// The cluster of who speaks; [`ClusterId::NONE`] before it has joined one.
    pub cluster: ClusterId,
    /// Who speaks; [`NodeId::NOBODY`] before it has a number.
    pub from: NodeId,
    /// Who is meant; [`NodeId::NOBODY`] for whoever listens.
    pub to: NodeId,
}

impl Hello {
    /// What can be known of one of another version, whose fields may be others.
    fn foreign(version: u16) -> Self {
        Self {
            version,
            cluster: ClusterId::NONE,
            from: NodeId::NOBODY,
            to: NodeId::NOBODY,
        }
    }
}

/// What stands before the body, in the order of the wire.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Header {
    Hello(Hello),
    Refused(Refusal),
    Request {
        call: u64,
        to: NodeId,
        group: GroupId,
        epoch: Epoch,
        time_left_ms: u32,
    },
    Answer {
        call: u64,
    },
    Failure {
        call: u64,
        refusal: Option<Refusal>,
    },
    Ping {
        call: u64,
    },
    Pong {
        call: u64,
    },
    Piece {
        last: bool,
    },
}

/// Bytes that are no message. The connection cannot be used any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Often the words of another protocol.
    #[error("a frame of {0} bytes, more than {FRAME_BYTES_MAX}")]
    FrameTooLong(usize),
    /// The pieces together are longer than any message.
    #[error("a message of more than {MESSAGE_BYTES_MAX} bytes")]
    MessageTooLong,
    /// It has no meaning.
    #[error("a frame that cannot be read")]
    Garbage,
    /// The bytes end inside a message.
    #[error("the connection ended inside a message")]
    Truncated,
}

/// A message on its way out, frame by frame.
#[derive(Debug)]
pub struct Outgoing {
    rest: Chain<Bytes, Bytes>,
    begun: bool,
}

impl Outgoing {
    /// The message as bytes; its body is not copied yet.
    pub fn new(message: Message) -> Self {
        let (header, body) = message.into_parts();
        let header = postcard::to_allocvec(&header).expect("a header has a form");
        debug_assert!(header.len() <= HEADER_BYTES_MAX);
        Self {
            rest: Bytes::from(header).chain(body),
            begun: false,
        }
    }

    /// Bytes that are still to be sent, without the frames around them.
    pub fn remaining(&self) -> usize {
        self.rest.remaining()
    }

    /// Whether a part of it has been sent, so that the rest must follow.
    pub fn is_begun(&self) -> bool {
        self.begun
    }

    /// Whether it goes out in pieces.
    pub fn is_long(&self) -> bool {
        self.begun || self.remaining() > FRAME_BYTES_MAX
    }

    /// Appends the next frame to `output`, until nothing remains.
    pub fn put_frame(&mut self, output: &mut BytesMut) {
        if !self.is_long() {
            put_length(output, self.remaining());
            output.put(&mut self.rest);
            return;
        }
        self.begun = true;
        let bytes = self.remaining().min(FRAME_BYTES_MAX - PIECE_HEADER_BYTES);
        let last = bytes == self.remaining();
        put_length(output, PIECE_HEADER_BYTES + bytes);
        let header = postcard::to_slice(&Header::Piece { last }, &mut [0; PIECE_HEADER_BYTES])
            .map(|header| output.put_slice(header));
        header.expect("the header of a piece has two bytes");
        output.put((&mut self.rest).take(bytes));
    }
}

fn put_length(output: &mut BytesMut, length: usize) {
    output.put_u32(u32::try_from(length).expect("at most FRAME_BYTES_MAX"));
}

/// Makes messages of bytes as they come.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The pieces so far of a message that was cut.
    pieces: BytesMut,
}

impl Decoder {
    /// Takes the next message from the front of `input`; none: more bytes are needed.
    ///
    /// # Errors
    ///
    /// Bytes that are no message; whatever follows them has no meaning.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Message>, FrameError> {
        while let Some(frame) = next_frame(input)? {
            let (header, body) = split(&frame)?;
            let Header::Piece { last } = header else {
                return message(header, || Bytes::copy_from_slice(body), body.len()).map(Some);
            };
            if self.pieces.len() + body.len() > MESSAGE_BYTES_MAX {
                return Err(FrameError::MessageTooLong);
            }
            self.pieces.put_slice(body);
            if last {
                let whole = std::mem::take(&mut self.pieces).freeze();
                let (header, body) = split(&whole)?;
                return message(header, || whole.slice_ref(body), body.len()).map(Some);
            }
        }
        Ok(None)
    }

    /// Says whether the bytes may end here, where `input` is what [`decode`](Self::decode) left.
    ///
    /// # Errors
    ///
    /// They end inside a message.
    pub fn end(&self, input: &BytesMut) -> Result<(), FrameError> {
        if input.is_empty() && self.pieces.is_empty() {
            Ok(())
        } else {
            Err(FrameError::Truncated)
        }
    }
}

/// The next frame without its length, if all of it has come.
fn next_frame(input: &mut BytesMut) -> Result<Option<BytesMut>, FrameError> {
    let Some(length) = input.first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::FrameTooLong(length));
    }
    if input.len() - LENGTH_BYTES < length {
        return Ok(None);
    }
    input.advance(LENGTH_BYTES);
    Ok(Some(input.split_to(length)))
}

/// The header of a message and what follows it; of a Hello of another version its version alone.
fn split(message: &[u8]) -> Result<(Header, &[u8]), FrameError> {
    const HELLO: u8 = 0;
    match postcard::take_from_bytes::<(u8, u16)>(message) {
        Ok(((HELLO, version), _)) if version != VERSION => {
            Ok((Header::Hello(Hello::foreign(version)), &[]))
        }
        _ => postcard::take_from_bytes(message).map_err(|_| FrameError::Garbage),
    }
}

/// The message of `header`, whose body has `body_bytes`.
fn message(
    header: Header,
    body: impl FnOnce() -> Bytes,
    body_bytes: usize,
) -> Result<Message, FrameError> {
    let message = match header {
        Header::Request {
            call,
            to,
            group,
            epoch,
            time_left_ms,
        } => Message::Request {
            call,
            to,
            group,
            epoch,
            time_left_ms,
            body: body(),
        },
        Header::Answer { call } => Message::Answer { call, body: body() },
        // Nothing else has a body, and a piece has no pieces.
        _ if body_bytes > 0 => return Err(FrameError::Garbage),
        Header::Piece { .. } => return Err(FrameError::Garbage),
        Header::Hello(Hello { version, .. }) if version != VERSION => {
            Message::ForeignHello { version }
        }
        Header::Hello(hello) => Message::Hello(hello),
        Header::Refused(refusal) => Message::Refused(refusal),
        Header::Failure { call, refusal } => Message::Failure { call, refusal },
        Header::Ping { call } => Message::Ping { call },
        Header::Pong { call } => Message::Pong { call },
    };
    Ok(message)
}

impl Message {
    fn into_parts(self) -> (Header, Bytes) {
        match self {
            Self::Request {
                call,
                to,
                group,
                epoch,
                time_left_ms,
                body,
            } => {
                let header = Header::Request {
                    call,
                    to,
                    group,
                    epoch,
                    time_left_ms,
                };
                (header, body)
            }
            Self::Answer { call, body } => (Header::Answer { call }, body),
            Self::Hello(hello) => (Header::Hello(hello), Bytes::new()),
            Self::ForeignHello { version } => {
                (Header::Hello(Hello::foreign(version)), Bytes::new())
            }
            Self::Refused(refusal) => (Header::Refused(refusal), Bytes::new()),
            Self::Failure { call, refusal } => (Header::Failure { call, refusal }, Bytes::new()),
            Self::Ping { call } => (Header::Ping { call }, Bytes::new()),
            Self::Pong { call } => (Header::Pong { call }, Bytes::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(message: Message) -> BytesMut {
        let mut outgoing = Outgoing::new(message);
        let mut output = BytesMut::new();
        while outgoing.remaining() > 0 {
            outgoing.put_frame(&mut output);
        }
        output
    }

    #[test]
    fn the_longest_header_is_within_its_limit() {
        let request = Message::Request {
            call: u64::MAX,
            to: NodeId(u64::MAX),
            group: GroupId(u16::MAX),
            epoch: Epoch(u64::MAX),
            time_left_ms: u32::MAX,
            body: Bytes::new(),
        };
        let hello = Message::Hello(Hello {
            version: u16::MAX,
            cluster: ClusterId(u128::MAX),
            from: NodeId(u64::MAX),
            to: NodeId(u64::MAX),
        });
        for message in [request, hello] {
            assert!(Outgoing::new(message).remaining() <= HEADER_BYTES_MAX);
        }
    }

    /// Both bytes strings stand in the protocol for good.
    #[test]
    fn any_two_versions_can_tell_each_other_that_they_differ() {
        let hello = Message::ForeignHello { version: 300 };
        assert_eq!(
            bytes_of(hello),
            [&[0, 0, 0, 6, 0, 0xac, 2, 0, 0, 0][..]].concat()
        );
        let refused = Message::Refused(Refusal::WrongVersion { here: 300 });
        assert_eq!(bytes_of(refused), [0, 0, 0, 4, 1, 0, 0xac, 2][..]);

        let mut of_the_future = BytesMut::from(&[0, 0, 0, 4, 0, 0xac, 2, 77][..]);
        assert_eq!(
            Decoder::default().decode(&mut of_the_future),
            Ok(Some(Message::ForeignHello { version: 300 }))
        );
    }

    #[test]
    fn the_largest_body_passes_and_one_byte_more_than_any_message_does_not() {
        let body = Bytes::from(vec![7; PEER_BODY_BYTES_MAX]);
        let answer = Message::Answer { call: 1, body };
        let mut input = bytes_of(answer.clone());
        let mut decoder = Decoder::default();
        assert_eq!(decoder.decode(&mut input), Ok(Some(answer)));
        assert_eq!(decoder.end(&input), Ok(()));

        let body = Bytes::from(vec![7; MESSAGE_BYTES_MAX - 1]);
        let mut input = bytes_of(Message::Answer { call: 1, body });
        let too_long = Decoder::default().decode(&mut input);
        assert_eq!(too_long, Err(FrameError::MessageTooLong));
    }

    #[test]
    fn a_length_alone_takes_no_memory() {
        let mut input = BytesMut::from(&[0, 1, 0, 0, 3][..]);
        let capacity = input.capacity();
        assert_eq!(Decoder::default().decode(&mut input), Ok(None));
        assert_eq!((input.len(), input.capacity()), (5, capacity));
    }

    #[test]
    fn what_another_protocol_says_is_no_frame() {
        for words in [
            "GET / HTTP/1.1\r\n\r\n",
            "PRI * HTTP/2.0",
            "*1\r\n$4\r\nPING",
        ] {
            let mut input = BytesMut::from(words);
            let error = Decoder::default().decode(&mut input).expect_err("no frame");
            assert!(matches!(error, FrameError::FrameTooLong(_)), "{error}");
        }
    }

    #[test]
    fn a_message_without_a_body_has_nothing_behind_it() {
        let mut input = bytes_of(Message::Ping { call: 1 });
        input[LENGTH_BYTES - 1] += 1;
        input.put_u8(0);
        let garbage = Decoder::default().decode(&mut input);
        assert_eq!(garbage, Err(FrameError::Garbage));
    }

    #[test]
    fn a_piece_has_no_pieces() {
        let inner = [7, 1];
        let mut input = BytesMut::from(&[&[0, 0, 0, 4, 7, 1][..], &inner].concat()[..]);
        let garbage = Decoder::default().decode(&mut input);
        assert_eq!(garbage, Err(FrameError::Garbage));
    }

    #[test]
    fn the_end_inside_a_message_is_told_from_the_end_between_two() {
        let body = Bytes::from(vec![1; 2 * FRAME_BYTES_MAX]);
        let whole = bytes_of(Message::Answer { call: 1, body });
        for cut in [1, 4, 5, LENGTH_BYTES + FRAME_BYTES_MAX, whole.len() - 1] {
            let mut input = BytesMut::from(&whole[..cut]);
            let mut decoder = Decoder::default();
            assert_eq!(decoder.decode(&mut input), Ok(None));
            assert_eq!(decoder.end(&input), Err(FrameError::Truncated), "{cut}");
        }
    }
}
