//! Small sets of operations, as bits.

/// A set of numbers below `64 * N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Mask<const N: usize>([u64; N]);

impl<const N: usize> Mask<N> {
    /// How many numbers there are.
    pub(super) const BITS: usize = 64 * N;

    pub(super) const EMPTY: Self = Self([0; N]);

    pub(super) fn contains(&self, number: usize) -> bool {
        self.0[number / 64] & (1 << (number % 64)) != 0
    }

    pub(super) fn insert(&mut self, number: usize) {
        self.0[number / 64] |= 1 << (number % 64);
    }

    pub(super) fn remove(&mut self, number: usize) {
        self.0[number / 64] &= !(1 << (number % 64));
    }

    pub(super) fn is_subset(&self, of: &Self) -> bool {
        self.0
            .iter()
            .zip(&of.0)
            .all(|(own, other)| own & !other == 0)
    }
}
