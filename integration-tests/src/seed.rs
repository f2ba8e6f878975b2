//! One number that makes a whole run, and the seeds of many runs.
//!
//! Each part of a run draws from a stream of its own ([`Seed::rng`]), so that one more draw in one
//! part leaves the others as they were.
//!
//! Invariant: the same seed, the same run. It holds for one version of `fastrand` and of this
//! crate; a seed is written down together with the commit.
//!
//! Tests: below.

use std::{env, fmt, path::Path, process::Command, str::FromStr};

use fastrand::Rng;
use twox_hash::XxHash3_64;

/// Digits of a seed as text: without those that look like others.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Drawn seeds have this many bits: eight letters are short, and enough for a lifetime of runs.
const DRAWN_BITS: u32 = 40;

/// What a run is made of. As text one short word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream of this part: the same for the same seed and name.
    pub fn rng(self, part: &str) -> Rng {
        Rng::with_seed(XxHash3_64::oneshot_with_seed(self.0, part.as_bytes()))
    }

    /// The `n`th seed of a series that begins with this one.
    #[must_use]
    pub fn nth(self, n: u64) -> Self {
        match n {
            0 => self,
            _ => Self(XxHash3_64::oneshot_with_seed(self.0, &n.to_le_bytes())).short(),
        }
    }

    fn short(self) -> Self {
        Self(self.0 >> (u64::BITS - DRAWN_BITS))
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = (u64::BITS - self.0.leading_zeros()).div_ceil(5).max(1);
        for place in (0..digits).rev() {
            let digit = (self.0 >> (5 * place)) & 31;
            write!(f, "{}", char::from(DIGITS[digit as usize]))?;
        }
        Ok(())
    }
}

/// The text is not a seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSeed;

impl fmt::Display for InvalidSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a seed is 1 to 13 digits and letters but i, l, o and u")
    }
}

impl FromStr for Seed {
    type Err = InvalidSeed;

    fn from_str(text: &str) -> Result<Self, InvalidSeed> {
        if text.is_empty() {
            return Err(InvalidSeed);
        }
        let number = text.bytes().try_fold(0_u64, |number, byte| {
            let digit = DIGITS
                .iter()
                .position(|digit| *digit == byte.to_ascii_lowercase())?;
            number.checked_mul(32)?.checked_add(digit as u64)
        });
        number.map(Self).ok_or(InvalidSeed)
    }
}

impl serde::Serialize for Seed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Seed {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The seeds of many runs, and where they come from.
#[derive(Debug, Clone)]
pub struct Seeds {
    /// The first.
    pub base: Seed,
    /// How many.
    pub count: u64,
    /// Whether one seed was asked for, to look at its run.
    pub pasted: bool,
    origin: String,
}

impl Seeds {
    /// Which seeds to run: as many as `TRANDB_SEEDS` says, else `count`; from `TRANDB_SEED` on,
    /// else from the commit's hash, so that each change is tried with seeds of its own.
    /// `TRANDB_SEED` alone is that one seed.
    pub fn from_env(count: u64) -> Self {
        let number = env::var("TRANDB_SEEDS").ok().map(|text| {
            let number = text.parse();
            number.unwrap_or_else(|_| panic!("TRANDB_SEEDS is a number, not {text:?}"))
        });
        match env::var("TRANDB_SEED") {
            Ok(text) => Self {
                base: text
                    .parse()
                    .unwrap_or_else(|error| panic!("TRANDB_SEED={text:?}: {error}")),
                count: number.unwrap_or(1),
                pasted: number.is_none_or(|number| number == 1),
                origin: "TRANDB_SEED".to_owned(),
            },
            Err(_) => Self::of_commit(number.unwrap_or(count)),
        }
    }

    /// These and no others, whatever the environment says.
    pub fn fixed(base: Seed, count: u64) -> Self {
        Self {
            base,
            count,
            pasted: false,
            origin: "the test".to_owned(),
        }
    }

    fn of_commit(count: u64) -> Self {
        let hash = commit();
        let bits = hash.as_deref().and_then(|hash| hash.get(..16));
        let (base, origin) = match bits.and_then(|bits| u64::from_str_radix(bits, 16).ok()) {
            Some(bits) => (Seed(bits).short(), "the commit's hash".to_owned()),
            None => (Seed(1), "nowhere: git names no commit".to_owned()),
        };
        Self {
            base,
            count,
            pasted: false,
            origin,
        }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Seed> + use<> {
        let base = self.base;
        (0..self.count).map(move |n| base.nth(n))
    }
}

impl fmt::Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} seed(s) from {} on (from {})",
            self.count, self.base, self.origin
        )
    }
}

/// The hash of the commit that is checked out; none outside a repository.
pub fn commit() -> Option<String> {
    let output = Command::new("git")
        .args(["rev-parse", "HEAD"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .ok()?;
    let hash = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| hash.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn streams_of_parts_are_independent_and_repeat() {
        let seed = Seed(7);
        let mut first = seed.rng("network");
        let mut other = seed.rng("traffic");
        let expected = [seed.rng("network").u64(..), seed.rng("traffic").u64(..)];
        assert_eq!([first.u64(..), other.u64(..)], expected);
        assert_ne!(expected[0], expected[1]);
    }

    #[test]
    fn a_series_begins_with_its_base_and_goes_on_in_short_words() {
        let base = Seed(u64::MAX);
        let series: Vec<String> = (0..3).map(|n| base.nth(n).to_string()).collect();
        assert_eq!(series[0], "fzzzzzzzzzzzz");
        assert!(series[1..].iter().all(|word| word.len() <= 8));
        assert_ne!(series[1], series[2]);
    }

    #[test]
    fn what_is_no_seed_is_refused() {
        for text in ["", "il", "a b", "-1", "zzzzzzzzzzzzz"] {
            assert!(text.parse::<Seed>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_seed_survives_being_printed(number: u64) {
            let text = Seed(number).to_string();
            prop_assert_eq!(text.parse(), Ok(Seed(number)));
            prop_assert_eq!(text.to_uppercase().parse(), Ok(Seed(number)));
        }
    }
}
