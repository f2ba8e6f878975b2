//! What must hold for a write to happen: RFC 9110's `If-Match` and `If-None-Match`.

use serde::{Deserialize, Serialize};
use trandb_common::Version;

/// A set of versions, as a precondition names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Tags {
    /// `*`: any version at all.
    Any,
    /// One of these. Empty when the request named only tags that were never ours.
    Of(Vec<Version>),
}

impl Tags {
    /// Whether the key's version is in the set; a key without a value is in none.
    pub fn contain(&self, current: Option<Version>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Of(versions), Some(current)) => versions.contains(&current),
        }
    }
}

/// A condition on the key's version, evaluated in the same step as the write.
///
/// The default holds always.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Condition {
    /// The current version must be one of these.
    pub if_match: Option<Tags>,
    /// The current version must be none of these.
    pub if_none_match: Option<Tags>,
}

impl Condition {
    /// The key must have this version.
    pub fn version(expected: Version) -> Self {
        Self {
            if_match: Some(Tags::Of(vec![expected])),
            if_none_match: None,
        }
    }

    /// The key must have no value.
    pub fn absent() -> Self {
        Self {
            if_match: None,
            if_none_match: Some(Tags::Any),
        }
    }

    /// Whether it holds for a key whose version is `current` (none: no value).
    pub fn holds(&self, current: Option<Version>) -> bool {
        self.if_match
            .as_ref()
            .is_none_or(|tags| tags.contain(current))
            && !self
                .if_none_match
                .as_ref()
                .is_some_and(|tags| tags.contain(current))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Version = Version {
        epoch: 1,
        counter: 1,
    };
    const B: Version = Version {
        epoch: 1,
        counter: 2,
    };
    /// The counter of `A` in another life of the process.
    const A_BEFORE: Version = Version {
        epoch: 0,
        counter: 1,
    };

    #[test]
    fn no_condition_always_holds() {
        assert!(Condition::default().holds(None));
        assert!(Condition::default().holds(Some(A)));
    }

    #[test]
    fn a_version_holds_for_itself_alone() {
        let condition = Condition::version(A);
        assert!(condition.holds(Some(A)));
        assert!(!condition.holds(Some(B)));
        assert!(!condition.holds(Some(A_BEFORE)));
        assert!(!condition.holds(None));
    }

    #[test]
    fn absent_holds_for_no_value_alone() {
        assert!(Condition::absent().holds(None));
        assert!(!Condition::absent().holds(Some(A)));
    }

    #[test]
    fn any_holds_for_any_value() {
        let condition = Condition {
            if_match: Some(Tags::Any),
            if_none_match: None,
        };
        assert!(condition.holds(Some(B)));
        assert!(!condition.holds(None));
    }

    #[test]
    fn of_several_tags_one_is_enough() {
        let condition = Condition {
            if_match: Some(Tags::Of(vec![A, B])),
            if_none_match: None,
        };
        assert!(condition.holds(Some(B)));
        let condition = Condition {
            if_match: None,
            if_none_match: Some(Tags::Of(vec![A, B])),
        };
        assert!(!condition.holds(Some(B)));
        assert!(condition.holds(None));
    }

    #[test]
    fn tags_that_were_never_ours_match_nothing() {
        let nothing = Some(Tags::Of(Vec::new()));
        assert!(
            !Condition {
                if_match: nothing.clone(),
                if_none_match: None
            }
            .holds(Some(A))
        );
        assert!(
            Condition {
                if_match: None,
                if_none_match: nothing
            }
            .holds(Some(A))
        );
    }

    #[test]
    fn both_must_hold() {
        let condition = Condition {
            if_match: Some(Tags::Any),
            if_none_match: Some(Tags::Of(vec![A])),
        };
        assert!(!condition.holds(Some(A)));
        assert!(condition.holds(Some(B)));
        assert!(!condition.holds(None));
    }
}
