//! What waits to be sent over one connection, in a fair order: pure, without input or output.
//!
//! Short messages go in their order, and before long ones. A long message goes out in pieces,
//! one after each turn of short ones: a heartbeat waits for at most one piece and the short
//! messages before it, and a snapshot moves on however many heartbeats there are. Long messages
//! follow each other in their order.

use std::collections::VecDeque;

use bytes::BytesMut;

use super::frame::{FRAME_BYTES_MAX, Message, Outgoing};

/// Bytes of short messages in one turn, where one message may go beyond.
const TURN_BYTES: usize = FRAME_BYTES_MAX;

/// Messages in the order in which they will be sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    short: VecDeque<(u64, Outgoing)>,
    long: VecDeque<(u64, Outgoing)>,
    bytes: usize,
}

impl Outbox {
    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages that wait, or have been begun.
    pub(super) fn len(&self) -> usize {
        self.short.len() + self.long.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.short.is_empty() && self.long.is_empty()
    }

    /// Appends the message of a call, or of anything else with a number.
    pub(super) fn push(&mut self, call: u64, message: Message) {
        let outgoing = Outgoing::new(message);
        self.bytes += outgoing.remaining();
        if outgoing.is_long() {
            self.long.push_back((call, outgoing));
        } else {
            self.short.push_back((call, outgoing));
        }
    }

    /// Appends the next turn to `output`: nothing if nothing waits.
    pub(super) fn take_turn(&mut self, output: &mut BytesMut) {
        let end = output.len() + TURN_BYTES;
        while output.len() < end
            && let Some((_, mut message)) = self.short.pop_front()
        {
            self.bytes -= message.remaining();
            message.put_frame(output);
        }
        if let Some((_, message)) = self.long.front_mut() {
            let before = message.remaining();
            message.put_frame(output);
            self.bytes -= before - message.remaining();
            if message.remaining() == 0 {
                self.long.pop_front();
            }
        }
    }

    /// Takes the message of `call` out. Whether nothing of it had been sent; what has been begun
    /// stays and is sent to its end.
    pub(super) fn remove(&mut self, call: u64) -> bool {
        for queue in [&mut self.short, &mut self.long] {
            let place = queue.iter().position(|(number, _)| *number == call);
            if let Some(place) = place.filter(|place| !queue[*place].1.is_begun())
                && let Some((_, message)) = queue.remove(place)
            {
                self.bytes -= message.remaining();
                return true;
            }
        }
        false
    }

    /// The numbers of what waits; not of what has been begun.
    pub(super) fn calls(&self) -> impl Iterator<Item = u64> {
        let all = self.short.iter().chain(&self.long);
        all.filter(|(_, message)| !message.is_begun())
            .map(|(call, _)| *call)
    }

    /// Forgets what has been begun: its connection is gone.
    pub(super) fn forget_begun(&mut self) {
        if let Some((_, message)) = self.long.pop_front_if(|(_, message)| message.is_begun()) {
            self.bytes -= message.remaining();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{super::frame::Decoder, *};

    fn answer(call: u64, bytes: usize) -> Message {
        let body = Bytes::from(vec![0; bytes]);
        Message::Answer { call, body }
    }

    fn push(outbox: &mut Outbox, call: u64, bytes: usize) {
        outbox.push(call, answer(call, bytes));
    }

    /// The numbers of the messages in the order in which their last bytes are sent.
    fn order(mut outbox: Outbox) -> Vec<u64> {
        let (mut decoder, mut sent, mut order) = (Decoder::default(), BytesMut::new(), Vec::new());
        while !outbox.is_empty() {
            outbox.take_turn(&mut sent);
            while let Some(message) = decoder.decode(&mut sent).expect("frames") {
                let Message::Answer { call, .. } = message else {
                    panic!("{message:?}");
                };
                order.push(call);
            }
        }
        assert_eq!(outbox.bytes(), 0);
        order
    }

    #[test]
    fn a_short_message_waits_for_no_more_than_a_piece_of_a_long_one() {
        let mut outbox = Outbox::default();
        push(&mut outbox, 1, 1 << 20);
        let mut first_turn = BytesMut::new();
        outbox.take_turn(&mut first_turn);
        push(&mut outbox, 2, 1);
        let mut second_turn = BytesMut::new();
        outbox.take_turn(&mut second_turn);
        assert_eq!(first_turn.len(), 4 + FRAME_BYTES_MAX);
        let short = Decoder::default().decode(&mut second_turn);
        assert_eq!(short, Ok(Some(answer(2, 1))));
    }

    #[test]
    fn short_messages_without_end_do_not_hold_up_a_long_one() {
        let mut outbox = Outbox::default();
        push(&mut outbox, 1, 3 * FRAME_BYTES_MAX);
        let mut sent = BytesMut::new();
        for turn in 0..4 {
            for short in 0..100 {
                push(&mut outbox, 100 + 100 * turn + short, 1024);
            }
            outbox.take_turn(&mut sent);
        }
        assert!(outbox.long.is_empty(), "a piece goes out in every turn");
    }

    #[test]
    fn messages_of_a_kind_keep_their_order() {
        let mut outbox = Outbox::default();
        for (call, bytes) in [(1, 200_000), (2, 9), (3, 300_000), (4, 70_000), (5, 8)] {
            push(&mut outbox, call, bytes);
        }
        assert_eq!(order(outbox), [2, 5, 1, 3, 4]);
    }

    #[test]
    fn what_is_removed_is_not_sent_and_what_is_begun_is_not_removed() {
        let mut outbox = Outbox::default();
        for (call, bytes) in [(1, 200_000), (2, 300_000), (3, 9)] {
            push(&mut outbox, call, bytes);
        }
        let mut sent = BytesMut::new();
        outbox.take_turn(&mut sent);
        push(&mut outbox, 4, 9);
        assert!(!outbox.remove(1), "begun");
        assert!(outbox.remove(2));
        assert!(!outbox.remove(3), "sent");
        assert!(outbox.remove(4));
        assert_eq!(outbox.calls().count(), 0);
        let turns = 200_000_usize.div_ceil(FRAME_BYTES_MAX);
        for _ in 1..turns {
            assert!(!outbox.is_empty());
            outbox.take_turn(&mut sent);
        }
        assert!(outbox.is_empty());
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn a_new_connection_begins_with_a_whole_message() {
        let mut outbox = Outbox::default();
        push(&mut outbox, 1, 200_000);
        outbox.take_turn(&mut BytesMut::new());
        push(&mut outbox, 2, 200_000);
        outbox.forget_begun();
        outbox.forget_begun();
        assert_eq!(order(outbox), [2]);
    }
}
