//! The states that keys went through, and who read which.

/// What a read of the state that others left came from.
#[derive(Debug, Clone, Copy)]
pub(in crate::serializability) struct Read {
    pub(in crate::serializability) transaction: u32,
    pub(in crate::serializability) key: u32,
    /// Of the state that was read.
    pub(in crate::serializability) slot: u32,
    /// Of the transaction's own write of the key, [`super::NONE`] if there is none.
    pub(in crate::serializability) own: u32,
}

/// A read that may have come from any of several writes.
#[derive(Debug)]
pub(in crate::serializability) struct Choice {
    pub(in crate::serializability) transaction: u32,
    pub(in crate::serializability) key: u32,
    pub(in crate::serializability) slots: Vec<u32>,
}

/// The states of all keys. Slot `k` is the initial state of key `k`; the others follow, by key,
/// first the placed ones in their order, then the others.
#[derive(Debug, Default)]
pub(in crate::serializability) struct Slots {
    pub(super) keys: u32,
    pub(super) writers: Vec<u32>,
    pub(super) starts: Vec<u32>,
    pub(super) placed: Vec<u32>,
}

impl Slots {
    /// Who wrote a state; `None` for the initial one.
    pub(in crate::serializability) fn writer(&self, slot: u32) -> Option<u32> {
        let place = slot.checked_sub(self.keys)?;
        self.writers.get(place as usize).copied()
    }

    /// The states of a key but for the initial one.
    pub(in crate::serializability) fn of(&self, key: u32) -> std::ops::Range<u32> {
        self.keys + self.starts[key as usize]..self.keys + self.starts[key as usize + 1]
    }

    /// Those among them whose order is known.
    pub(in crate::serializability) fn placed(&self, key: u32) -> std::ops::Range<u32> {
        self.of(key).start..self.keys + self.placed[key as usize]
    }

    /// Those whose order is not.
    pub(in crate::serializability) fn unplaced(&self, key: u32) -> std::ops::Range<u32> {
        self.placed(key).end..self.of(key).end
    }

    /// The next placed state after an initial or placed one.
    pub(in crate::serializability) fn next(&self, key: u32, slot: u32) -> Option<u32> {
        let placed = self.placed(key);
        let next = if slot == key { placed.start } else { slot + 1 };
        (slot == key || placed.contains(&slot))
            .then_some(next)
            .filter(|next| placed.contains(next))
    }

    pub(in crate::serializability) fn keys(&self) -> u32 {
        self.keys
    }

    pub(in crate::serializability) fn len(&self) -> usize {
        self.keys as usize + self.writers.len()
    }
}
