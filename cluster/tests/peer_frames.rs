//! The codec of peers over all kinds of bytes.

use bytes::{Bytes, BytesMut};
use proptest::{collection::vec, prelude::*};
use trandb_cluster::{
    identity::{ClusterId, Epoch, GroupId, NodeId},
    peer::frame::{Decoder, FRAME_BYTES_MAX, FrameError, Hello, Message, Outgoing, VERSION},
    transport::Refusal,
};

fn refusal() -> impl Strategy<Value = Refusal> {
    prop_oneof![
        any::<u16>().prop_map(|here| Refusal::WrongVersion { here }),
        any::<u128>().prop_map(|here| Refusal::WrongCluster {
            here: ClusterId(here)
        }),
        any::<u64>().prop_map(|here| Refusal::WrongNode { here: NodeId(here) }),
        any::<u64>().prop_map(|here| Refusal::WrongEpoch { here: Epoch(here) }),
        Just(Refusal::SameNode),
        Just(Refusal::BootstrapOnly),
        Just(Refusal::UnknownGroup),
        Just(Refusal::Unreadable),
        Just(Refusal::Busy),
        Just(Refusal::ShuttingDown),
    ]
}

/// Mostly short, sometimes of several pieces, and often just at the edge.
fn body() -> impl Strategy<Value = Bytes> {
    let edge = FRAME_BYTES_MAX - 64..FRAME_BYTES_MAX + 64;
    let length = prop_oneof![4 => 0..100_usize, 1 => edge, 1 => 0..4 * FRAME_BYTES_MAX];
    (length, any::<u8>()).prop_map(|(length, byte)| Bytes::from(vec![byte; length]))
}

fn message() -> impl Strategy<Value = Message> {
    let hello = (any::<u128>(), any::<u64>(), any::<u64>()).prop_map(|(cluster, from, to)| Hello {
        version: VERSION,
        cluster: ClusterId(cluster),
        from: NodeId(from),
        to: NodeId(to),
    });
    let request = (any::<(u64, u64, u16, u64, u32)>(), body()).prop_map(
        |((call, to, group, epoch, time_left_ms), body)| Message::Request {
            call,
            to: NodeId(to),
            group: GroupId(group),
            epoch: Epoch(epoch),
            time_left_ms,
            body,
        },
    );
    prop_oneof![
        hello.prop_map(Message::Hello),
        refusal().prop_map(Message::Refused),
        request,
        (any::<u64>(), body()).prop_map(|(call, body)| Message::Answer { call, body }),
        (any::<u64>(), proptest::option::of(refusal()))
            .prop_map(|(call, refusal)| Message::Failure { call, refusal }),
        any::<u64>().prop_map(|call| Message::Ping { call }),
        any::<u64>().prop_map(|call| Message::Pong { call }),
    ]
}

fn bytes_of(messages: &[Message]) -> Vec<u8> {
    let mut output = BytesMut::new();
    for message in messages {
        let mut outgoing = Outgoing::new(message.clone());
        while outgoing.remaining() > 0 {
            outgoing.put_frame(&mut output);
        }
    }
    output.to_vec()
}

/// What comes out when the bytes arrive in parts of these sizes, over and over.
fn decoded(bytes: &[u8], sizes: &[usize]) -> (Vec<Message>, Result<(), FrameError>) {
    let (mut decoder, mut input, mut messages) = (Decoder::default(), BytesMut::new(), Vec::new());
    let mut sizes = sizes.iter().cycle();
    let mut rest = bytes;
    loop {
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
        if rest.is_empty() {
            return (messages, decoder.end(&input));
        }
        let size = sizes.next().map_or(rest.len(), |size| *size);
        let (part, after) = rest.split_at(size.clamp(1, rest.len()));
        input.extend_from_slice(part);
        rest = after;
    }
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same_messages(
        messages in vec(message(), 0..6),
        sizes in vec(1..100_000_usize, 1..20),
    ) {
        let bytes = bytes_of(&messages);
        prop_assert_eq!(decoded(&bytes, &sizes), (messages, Ok(())));
    }

    #[test]
    fn byte_by_byte_they_are_the_same(messages in vec(message(), 0..3)) {
        let bytes = bytes_of(&messages);
        prop_assert_eq!(decoded(&bytes, &[1]), (messages, Ok(())));
    }

    #[test]
    fn bytes_that_are_cut_off_give_what_was_whole_and_are_truncated(
        messages in vec(message(), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = bytes_of(&messages);
        let cut = cut.index(bytes.len());
        let (whole, end) = decoded(&bytes[..cut], &[1000]);
        prop_assert_eq!(&whole[..], &messages[..whole.len()]);
        prop_assert_eq!(end.is_ok(), bytes_of(&whole).len() == cut);
    }

    #[test]
    fn a_changed_byte_is_an_error_or_another_message_and_never_a_panic(
        messages in vec(message(), 1..4),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        sizes in vec(1..100_000_usize, 1..20),
    ) {
        let mut bytes = bytes_of(&messages);
        let place = place.index(bytes.len());
        bytes[place] = byte;
        prop_assert_eq!(decoded(&bytes, &sizes), decoded(&bytes, &[]));
    }

    #[test]
    fn garbage_is_the_same_garbage_however_it_is_split(
        bytes in vec(prop_oneof![2 => Just(0_u8), 1 => 0..9_u8, 1 => any::<u8>()], 0..200),
        sizes in vec(1..9_usize, 1..20),
    ) {
        prop_assert_eq!(decoded(&bytes, &sizes), decoded(&bytes, &[]));
    }
}
