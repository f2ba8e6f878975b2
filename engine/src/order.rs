//! The keys of a shard in byte order, in about six bytes a key.
//!
//! A list of small sorted blocks of slot numbers; the keys themselves stay in their slots. Looking
//! up is two binary searches, inserting moves at most a block, and only the first write and the
//! delete of a key come here: overwriting does not.
//!
//! Why not a `BTreeMap` of the entries: point reads would pay for the order of listings (measured:
//! a third of the throughput of a hash table, and more memory a key).

use trandb_common::Key;

use crate::key_map::{Slot, SlotNumber};

/// Slots in a block before it is split: 2 KiB, what one insertion may have to move.
const BLOCK_SLOTS_MAX: usize = 512;
/// A block with fewer slots is merged into the one behind it when both fit well.
const BLOCK_SLOTS_MIN: usize = BLOCK_SLOTS_MAX / 4;

/// Slot numbers, sorted by the keys in those slots. Every block has at least one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Order {
    blocks: Vec<Vec<SlotNumber>>,
}

/// A place in the order: the slot at `offset` of block `block`, or where it would be.
struct Place {
    block: usize,
    offset: usize,
    occupied: bool,
}

impl Order {
    fn place(&self, key: &str, slots: &[Slot]) -> Place {
        let key_of = |slot: SlotNumber| slots[slot.index()].key.as_str();
        let behind = self.blocks.partition_point(|block| key_of(block[0]) <= key);
        let block = behind.saturating_sub(1);
        let found = match self.blocks.get(block) {
            Some(slots) => slots.binary_search_by(|&slot| key_of(slot).cmp(key)),
            None => Err(0),
        };
        let (Ok(offset) | Err(offset)) = found;
        Place {
            block,
            offset,
            occupied: found.is_ok(),
        }
    }

    /// Adds `slot`, whose key is new.
    pub(crate) fn insert(&mut self, slot: SlotNumber, slots: &[Slot]) {
        let place = self.place(slots[slot.index()].key.as_str(), slots);
        debug_assert!(!place.occupied, "the key is in order already");
        let Some(block) = self.blocks.get_mut(place.block) else {
            self.blocks.push(vec![slot]);
            return;
        };
        block.insert(place.offset, slot);
        if block.len() > BLOCK_SLOTS_MAX {
            let upper = block.split_off(block.len() / 2);
            self.blocks.insert(place.block + 1, upper);
        }
    }

    /// Takes out the slot of `key`, which is still in `slots`.
    pub(crate) fn remove(&mut self, key: &Key, slots: &[Slot]) {
        let place = self.place(key.as_str(), slots);
        debug_assert!(place.occupied, "the key is not in order");
        let block = &mut self.blocks[place.block];
        block.remove(place.offset);
        if block.is_empty() {
            self.blocks.remove(place.block);
        } else if block.len() < BLOCK_SLOTS_MIN {
            self.merge_with_next(place.block);
        }
    }

    /// Blocks that shrink are merged, so that deleting most keys frees most memory.
    fn merge_with_next(&mut self, block: usize) {
        let fits = self
            .blocks
            .get(block + 1)
            .is_some_and(|next| next.len() + self.blocks[block].len() <= BLOCK_SLOTS_MAX * 3 / 4);
        if fits {
            let next = self.blocks.remove(block + 1);
            self.blocks[block].extend(next);
        }
    }

    /// The value of `key` has moved to another slot; the key still stands in the old one.
    pub(crate) fn relocate(&mut self, key: &Key, to: SlotNumber, slots: &[Slot]) {
        let place = self.place(key.as_str(), slots);
        debug_assert!(place.occupied, "the key is not in order");
        self.blocks[place.block][place.offset] = to;
    }

    /// The slots from the text `from` on (itself only if `inclusive`), in order.
    pub(crate) fn from<'a>(
        &'a self,
        from: &str,
        inclusive: bool,
        slots: &[Slot],
    ) -> impl Iterator<Item = SlotNumber> + 'a {
        let place = self.place(from, slots);
        let offset = place.offset + usize::from(place.occupied && !inclusive);
        let first = self
            .blocks
            .get(place.block)
            .map_or(&[][..], |block| &block[offset..]);
        let rest = self.blocks.get(place.block + 1..).unwrap_or_default();
        first.iter().chain(rest.iter().flatten()).copied()
    }

    #[cfg(test)]
    pub(crate) fn blocks(&self) -> usize {
        self.blocks.len()
    }
}

#[cfg(test)]
mod tests {
    use trandb_common::Value;

    use super::*;

    /// Slots whose keys are in the order of their numbers, all in an order.
    fn ascending(count: u32) -> (Order, Vec<Slot>) {
        let (mut order, mut slots) = (Order::default(), Vec::new());
        for i in 0..count {
            slots.push(Slot {
                key: Key::new(&format!("{i:04}")).expect("legal"),
                value: Value::default(),
                counter: 0,
            });
            order.insert(SlotNumber::new(slots.len() - 1), &slots);
        }
        (order, slots)
    }

    fn lengths(order: &Order) -> Vec<usize> {
        order.blocks.iter().map(Vec::len).collect()
    }

    #[test]
    fn a_full_block_is_split_into_halves() {
        assert_eq!(lengths(&ascending(512).0), [512]);
        assert_eq!(lengths(&ascending(513).0), [256, 257]);
    }

    /// How short the first of two blocks is when the second, of this length, is merged into it.
    fn merged_at(second: usize) -> usize {
        let (mut order, slots) = ascending(700);
        let remove_from = |order: &mut Order, block: usize| {
            let last = *order.blocks[block].last().expect("no block is empty");
            order.remove(&slots[last.index()].key, &slots);
        };
        while order.blocks[1].len() > second {
            remove_from(&mut order, 1);
        }
        loop {
            let first = order.blocks[0].len() - 1;
            remove_from(&mut order, 0);
            if order.blocks.len() == 1 {
                assert_eq!(lengths(&order), [first + second], "nothing is lost");
                let kept: Vec<_> = order
                    .from("", true, &slots)
                    .map(SlotNumber::index)
                    .collect();
                assert!(kept.is_sorted(), "{kept:?}");
                return first;
            }
        }
    }

    /// A block after a merge has room for a third more before it is split again.
    #[test]
    fn a_short_block_is_merged_if_both_fit_well() {
        assert_eq!(merged_at(129), 127, "a quarter of a block is not short");
        assert_eq!(merged_at(256), 127);
        assert_eq!(merged_at(257), 127, "together three quarters of a block");
        assert_eq!(merged_at(258), 126);
        assert_eq!(merged_at(380), 4);
    }
}
