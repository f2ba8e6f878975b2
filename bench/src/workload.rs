//! Which requests a run sends, and what the right answer to each is.
//!
//! Not here: how a request looks on the wire (`protocol`) and when it is sent (`load`).
//!
//! Invariants: keys and values are pure functions of the key's number, so every answer can be
//! checked without remembering what was written; the same seed gives the same requests.
//! Tests: at the end of this file.

/// Bytes of every key: the goals are stated for 16-byte keys.
pub const KEY_BYTES: usize = 16;

/// Fills a value behind its key.
const FILLER: u8 = b'v';

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Read the key; the answer must carry the key's value.
    Get,
    /// Write the key's value.
    Put,
}

/// One request: an operation on the key of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub operation: Operation,
    /// The number of the key.
    pub key: u64,
}

/// The text of a key: `k` and 15 digits.
pub fn key_text(key: u64) -> [u8; KEY_BYTES] {
    let mut text = *b"k000000000000000";
    let mut rest = key;
    for digit in text[1..].iter_mut().rev() {
        *digit = b"0123456789"[usize::try_from(rest % 10).unwrap_or_default()];
        rest /= 10;
    }
    text
}

/// The values of a run: the key's text, cut or filled up to one size. A value therefore names its
/// key, and an answer that carries another key's value is noticed.
#[derive(Clone, Debug)]
pub struct Values {
    filler: Vec<u8>,
    head_bytes: usize,
}

impl Values {
    /// Values of `size` bytes.
    pub fn new(size: usize) -> Self {
        let head_bytes = size.min(KEY_BYTES);
        Self {
            filler: vec![FILLER; size - head_bytes],
            head_bytes,
        }
    }

    /// Bytes of every value.
    pub fn size(&self) -> usize {
        self.head_bytes + self.filler.len()
    }

    /// Appends the value of `key`.
    pub fn write(&self, key: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&key_text(key)[..self.head_bytes]);
        out.extend_from_slice(&self.filler);
    }

    /// Whether `bytes` is the value of `key`.
    pub fn is_value(&self, key: u64, bytes: &[u8]) -> bool {
        bytes.len() == self.size()
            && bytes[..self.head_bytes] == key_text(key)[..self.head_bytes]
            && bytes[self.head_bytes..] == self.filler[..]
    }
}

/// In which order keys are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Every key equally likely.
    Random,
    /// 0, 1, 2 … and again from 0.
    Ascending,
    /// Ascending, but so many per cent are one of the `hot` numbers from [`Mix::keys`] on instead,
    /// at random.
    Contended {
        /// How many there are, at least 1.
        hot: u64,
        /// 0 to 100.
        percent: u8,
    },
}

/// What a run sends.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// How many different keys, at least 1.
    pub keys: u64,
    /// Share of PUTs in per cent, 0 to 100.
    pub writes_percent: u8,
    /// The order of the keys.
    pub order: Order,
    /// Stop after so many requests, besides the time limit of the run.
    pub requests: Option<u64>,
}

impl Mix {
    /// Reads only, keys at random.
    pub fn gets(keys: u64) -> Self {
        Self {
            keys,
            writes_percent: 0,
            order: Order::Random,
            requests: None,
        }
    }

    /// Writes only, keys at random.
    pub fn puts(keys: u64) -> Self {
        Self {
            writes_percent: 100,
            ..Self::gets(keys)
        }
    }

    /// Writes every key exactly once.
    pub fn load(keys: u64) -> Self {
        Self {
            keys,
            writes_percent: 100,
            order: Order::Ascending,
            requests: Some(keys),
        }
    }

    /// The same requests, ended after `requests` of them.
    #[must_use]
    pub fn only(self, requests: u64) -> Self {
        Self {
            requests: Some(requests),
            ..self
        }
    }
}

/// The endless or counted sequence of requests of a [`Mix`].
#[derive(Debug)]
pub struct Requests {
    mix: Mix,
    random: fastrand::Rng,
    made: u64,
}

impl Requests {
    /// The sequence of `mix` that `seed` names.
    pub fn new(mix: Mix, seed: u64) -> Self {
        Self {
            mix,
            random: fastrand::Rng::with_seed(seed),
            made: 0,
        }
    }
}

impl Iterator for Requests {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        if self.mix.requests.is_some_and(|limit| self.made >= limit) {
            return None;
        }
        let key = match self.mix.order {
            Order::Random => self.random.u64(..self.mix.keys),
            Order::Contended { hot, percent } if self.random.u8(..100) < percent => {
                self.mix.keys + self.random.u64(..hot)
            }
            Order::Ascending | Order::Contended { .. } => self.made % self.mix.keys,
        };
        self.made += 1;
        let put = match self.mix.writes_percent {
            0 => false,
            100.. => true,
            share => self.random.u8(..100) < share,
        };
        let operation = if put { Operation::Put } else { Operation::Get };
        Some(Request { operation, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_recognised_only_as_its_own_keys_value() {
        for size in [0, 1, 15, 16, 17, 128] {
            let values = Values::new(size);
            let mut value = Vec::new();
            values.write(41, &mut value);
            assert_eq!(value.len(), size);
            assert!(values.is_value(41, &value));
            if size >= KEY_BYTES {
                assert!(!values.is_value(42, &value), "size {size}");
            }
            value.push(FILLER);
            assert!(
                !values.is_value(41, &value),
                "one byte too many at size {size}"
            );
        }
        assert!(!Values::new(20).is_value(7, b"k000000000000007vvxv"));
        assert!(Values::new(20).is_value(7, b"k000000000000007vvvv"));
    }

    #[test]
    fn loading_puts_every_key_once_in_order() {
        let requests: Vec<Request> = Requests::new(Mix::load(3), 1).collect();
        let expected = [0, 1, 2]
            .map(|key| Request {
                operation: Operation::Put,
                key,
            })
            .to_vec();
        assert_eq!(requests, expected);
    }

    #[test]
    fn a_contended_mix_keeps_its_share_of_hot_numbers() {
        let order = Order::Contended {
            hot: 5,
            percent: 20,
        };
        let mix = Mix {
            order,
            ..Mix::load(100)
        };
        let requests: Vec<Request> = Requests::new(mix.only(50_000), 7).collect();
        let hot = requests.iter().filter(|request| request.key >= 100).count();
        assert!((9_000..11_000).contains(&hot), "{hot} of 50,000 at 20 %");
        assert!(requests.iter().all(|request| request.key < 105));
        // What is not hot comes in order, so that few requests at a time never share a key.
        let others = requests.iter().enumerate().filter(|(_, r)| r.key < 100);
        assert!(others.into_iter().all(|(at, r)| r.key == at as u64 % 100));
    }

    #[test]
    fn a_mix_keeps_its_share_of_writes_and_its_keys() {
        let mix = Mix {
            writes_percent: 10,
            ..Mix::gets(5)
        }
        .only(100_000);
        let requests: Vec<Request> = Requests::new(mix, 7).collect();
        assert_eq!(requests.len(), 100_000);
        let puts = requests
            .iter()
            .filter(|r| r.operation == Operation::Put)
            .count();
        assert!(
            (9_500..10_500).contains(&puts),
            "{puts} PUTs of 100,000 at 10 %"
        );
        let mut seen = [0; 5];
        for request in &requests {
            seen[usize::try_from(request.key).unwrap()] += 1;
        }
        assert!(seen.iter().all(|&count| count > 19_000), "{seen:?}");
        let again: Vec<Request> = Requests::new(mix, 7).collect();
        assert_eq!(requests, again, "the same seed gives the same requests");
    }
}
