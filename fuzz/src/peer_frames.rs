//! What one node reads from another: the messages do not depend on how the bytes came.

use bytes::{Bytes, BytesMut};
use trandb_cluster::{
    identity::{ClusterId, Epoch, GroupId, NodeId},
    peer::frame::{Decoder, FRAME_BYTES_MAX, FrameError, Hello, Message, Outgoing, VERSION},
    transport::Refusal,
};

type Read = (Vec<Message>, Result<(), FrameError>);

/// The first byte says how many of those after it are sizes of parts; the rest comes in such
/// parts, over and over.
pub fn peer_frames(data: &[u8]) {
    let Some((count, rest)) = data.split_first() else {
        return;
    };
    let Some((sizes, bytes)) = rest.split_at_checked(usize::from(count % 8)) else {
        return;
    };
    let (messages, end) = in_parts(bytes, sizes);
    let expected = by_hand(bytes);
    assert_eq!((&messages, end), (&expected.0, expected.1));

    let mut again = BytesMut::new();
    for message in &messages {
        let mut outgoing = Outgoing::new(message.clone());
        while outgoing.remaining() > 0 {
            outgoing.put_frame(&mut again);
        }
    }
    assert_eq!(in_parts(&again, &[]), (messages, Ok(())));
}

fn in_parts(mut bytes: &[u8], sizes: &[u8]) -> Read {
    let (mut decoder, mut input, mut messages) = (Decoder::default(), BytesMut::new(), Vec::new());
    let mut sizes = sizes.iter().cycle();
    loop {
        match decoder.decode(&mut input) {
            Ok(Some(message)) => messages.push(message),
            Ok(None) if bytes.is_empty() => return (messages, decoder.end(&input)),
            Ok(None) => {
                let size = sizes.next().map_or(bytes.len(), |size| usize::from(*size));
                let (part, rest) = bytes.split_at(size.clamp(1, bytes.len()));
                input.extend_from_slice(part);
                bytes = rest;
            }
            Err(error) => return (messages, Err(error)),
        }
    }
}

/// A second reader, which has all the bytes at once.
fn by_hand(mut bytes: &[u8]) -> Read {
    let mut messages = Vec::new();
    let mut pieces: Vec<u8> = Vec::new();
    while !bytes.is_empty() {
        let Some((length, rest)) = bytes.split_first_chunk::<4>() else {
            return (messages, Err(FrameError::Truncated));
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > FRAME_BYTES_MAX {
            return (messages, Err(FrameError::FrameTooLong(length)));
        }
        let Some((frame, rest)) = rest.split_at_checked(length) else {
            return (messages, Err(FrameError::Truncated));
        };
        bytes = rest;
        let mut fields = Fields(frame);
        let is_piece = fields.number(32) == Some(7);
        let whole = match (is_piece, is_piece.then(|| fields.flag()).flatten()) {
            (false, _) => Some(frame),
            (true, None) => return (messages, Err(FrameError::Garbage)),
            (true, Some(last)) => {
                // Inputs are far smaller than the largest message.
                pieces.extend(fields.0);
                last.then_some(&pieces[..])
            }
        };
        match whole.map(message) {
            None => {}
            Some(None) => return (messages, Err(FrameError::Garbage)),
            Some(Some(message)) => {
                messages.push(message);
                if is_piece {
                    pieces.clear();
                }
            }
        }
    }
    let end = pieces.is_empty();
    (
        messages,
        if end {
            Ok(())
        } else {
            Err(FrameError::Truncated)
        },
    )
}

/// None: it has no meaning.
fn message(bytes: &[u8]) -> Option<Message> {
    let mut fields = Fields(bytes);
    let message = match fields.number(32)? {
        0 => {
            let version = fields.short()?;
            if version != VERSION && bytes[0] == 0 {
                return Some(Message::ForeignHello { version });
            }
            let hello = Hello {
                version,
                cluster: ClusterId(fields.number(128)?),
                from: NodeId(fields.long()?),
                to: NodeId(fields.long()?),
            };
            match version {
                VERSION => Message::Hello(hello),
                version => Message::ForeignHello { version },
            }
        }
        1 => Message::Refused(fields.refusal()?),
        2 => Message::Request {
            call: fields.long()?,
            to: NodeId(fields.long()?),
            group: GroupId(fields.short()?),
            epoch: Epoch(fields.long()?),
            time_left_ms: u32::try_from(fields.number(32)?).ok()?,
            body: fields.rest(),
        },
        3 => Message::Answer {
            call: fields.long()?,
            body: fields.rest(),
        },
        4 => {
            let call = fields.long()?;
            let refusal = if fields.flag()? {
                Some(fields.refusal()?)
            } else {
                None
            };
            Message::Failure { call, refusal }
        }
        5 => Message::Ping {
            call: fields.long()?,
        },
        6 => Message::Pong {
            call: fields.long()?,
        },
        _ => return None,
    };
    fields.0.is_empty().then_some(message)
}

/// What has not been read yet.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// Seven bits in each byte, the lowest first; the highest bit says that more follow.
    fn number(&mut self, bits: u32) -> Option<u128> {
        let mut number = 0;
        for shift in (0..bits).step_by(7) {
            let byte = self.byte()?;
            let digit = u128::from(byte & 0x7f);
            if shift + (u128::BITS - digit.leading_zeros()) > bits {
                return None;
            }
            number |= digit << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    fn short(&mut self) -> Option<u16> {
        u16::try_from(self.number(16)?).ok()
    }

    fn long(&mut self) -> Option<u64> {
        u64::try_from(self.number(64)?).ok()
    }

    fn rest(&mut self) -> Bytes {
        Bytes::copy_from_slice(std::mem::take(&mut self.0))
    }

    fn refusal(&mut self) -> Option<Refusal> {
        let refusal = match self.number(32)? {
            0 => Refusal::WrongVersion {
                here: self.short()?,
            },
            1 => Refusal::WrongCluster {
                here: ClusterId(self.number(128)?),
            },
            2 => Refusal::WrongNode {
                here: NodeId(self.long()?),
            },
            3 => Refusal::SameNode,
            4 => Refusal::BootstrapOnly,
            5 => Refusal::UnknownGroup,
            6 => Refusal::WrongEpoch {
                here: Epoch(self.long()?),
            },
            7 => Refusal::Unreadable,
            8 => Refusal::Busy,
            9 => Refusal::ShuttingDown,
            _ => return None,
        };
        Some(refusal)
    }
}
