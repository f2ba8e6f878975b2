//! The body of every error: RFC 9457 `application/problem+json`.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{ErrorCode, InvalidTransaction, Outcome, Version, wire::transaction::FailedCheck};

/// The media type of every error that is from TranDB. An error of another type is from something
/// between the client and us, and says nothing about the write.
pub const PROBLEM_CONTENT_TYPE: &str = "application/problem+json";

/// One error, as it travels.
///
/// `code` is text rather than [`ErrorCode`], so that a client understands a server that is newer
/// than itself: `outcome` and `retryable` say all that it must know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// A URI that names the kind of error: `urn:trandb:error:` and the code.
    #[serde(rename = "type")]
    pub type_uri: Cow<'static, str>,
    /// One sentence, the same for every occurrence.
    pub title: Cow<'static, str>,
    /// The HTTP status.
    pub status: u16,
    /// What happened here, and what to do about it.
    pub detail: String,
    /// The stable name of the error, in snake case.
    pub code: Cow<'static, str>,
    /// What happened to the write.
    pub outcome: Outcome,
    /// Whether the same request may be sent again.
    pub retryable: bool,
    /// How long to wait before that, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The limit that was exceeded, in the unit that `detail` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// What was found instead, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual: Option<u64>,
    /// After `precondition_failed`: the key's version now, `null` when it has no value.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    #[expect(
        clippy::option_option,
        reason = "left out, null and a version are three answers"
    )]
    pub current_version: Option<Option<Version>>,
    /// After `conflict`: every check that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Vec<FailedCheck>>,
    /// The element of the body that is wrong, such as `writes[3]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// After `outcome_unknown`: where to ask what became of the write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<String>,
}

/// A field that is there, be it `null`, is `Some`.
#[expect(clippy::option_option, reason = "see the field")]
fn present<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Option<Version>>, D::Error> {
    Option::deserialize(d).map(Some)
}

impl Problem {
    /// The problem of `code`, with what happened here in `detail`.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            type_uri: format!("urn:trandb:error:{code}").into(),
            title: code.title().into(),
            status: code.status(),
            detail: detail.into(),
            code: code.as_str().into(),
            outcome: code.outcome(),
            retryable: code.retryable(),
            retry_after_ms: code.retry_after_ms(),
            limit: None,
            actual: None,
            current_version: None,
            failed: None,
            at: None,
            transaction: None,
        }
    }

    /// Adds the limit that was exceeded and, where it is known, by what.
    #[must_use]
    pub fn with_limit(mut self, limit: usize, actual: Option<u64>) -> Self {
        self.limit = u64::try_from(limit).ok();
        self.actual = actual;
        self
    }

    /// Adds the key's version now.
    #[must_use]
    pub fn with_current_version(mut self, current: Option<Version>) -> Self {
        self.current_version = Some(current);
        self
    }
}

impl From<&InvalidTransaction> for Problem {
    fn from(error: &InvalidTransaction) -> Self {
        let mut detail = format!("{error}. Nothing was changed.");
        if error.place().is_none()
            && let Some(first) = detail.get_mut(..1)
        {
            first.make_ascii_uppercase();
        }
        let mut problem = Self::new(error.code(), detail);
        problem.at = error.place().map(|place| place.to_string());
        match error.limit() {
            Some((limit, actual)) => problem.with_limit(limit, u64::try_from(actual).ok()),
            None => problem,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        ValueTooLarge,
        transaction::{List, Place},
    };

    use super::*;

    #[test]
    fn what_does_not_apply_is_left_out() {
        let json = serde_json::to_value(Problem::new(ErrorCode::KeyNotFound, "d")).expect("JSON");
        let mut fields: Vec<_> = json.as_object().expect("object").keys().cloned().collect();
        fields.sort();
        assert_eq!(
            fields,
            [
                "code",
                "detail",
                "outcome",
                "retryable",
                "status",
                "title",
                "type"
            ]
        );
    }

    #[test]
    fn no_current_version_and_none_known_are_different() {
        let version = Version {
            epoch: 1,
            counter: 2,
        };
        for current in [None, Some(None), Some(Some(version))] {
            let mut problem = Problem::new(ErrorCode::PreconditionFailed, "d");
            problem.current_version = current;
            let json = serde_json::to_string(&problem).expect("JSON");
            let back: Problem = serde_json::from_str(&json).expect("problem");
            assert_eq!(back, problem, "{json}");
        }
    }

    #[test]
    fn an_invalid_transaction_names_place_limit_and_size() {
        let at = Place {
            list: List::Writes,
            index: 3,
        };
        let error = ValueTooLarge { actual: 4_194_305 };
        let problem = Problem::from(&InvalidTransaction::Value { at, error });
        assert_eq!(problem.code, "value_too_large");
        assert_eq!(problem.at.as_deref(), Some("writes[3]"));
        assert_eq!(
            (problem.limit, problem.actual),
            (Some(4_194_304), Some(4_194_305))
        );
        let problem = Problem::from(&InvalidTransaction::Empty);
        assert_eq!(problem.at, None);
        assert!(
            problem.detail.starts_with("There is nothing"),
            "{}",
            problem.detail
        );
    }

    #[test]
    fn an_unknown_code_and_unknown_fields_are_understood() {
        let json = r#"{"type":"urn:x","title":"t","status":503,"detail":"d","code":"new_code",
            "outcome":"unknown","retryable":true,"added_later":1}"#;
        let problem: Problem = serde_json::from_str(json).expect("problem");
        assert_eq!(
            (problem.outcome, problem.retryable),
            (Outcome::Unknown, true)
        );
    }
}
