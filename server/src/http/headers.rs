//! The headers that decide an answer: preconditions in, versions out.
//!
//! Preconditions are those of RFC 9110, section 13. Our tags are strong; a weak one in `If-Match`
//! matches nothing, and in `If-None-Match` it is compared by its text alone.

use std::str;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use trandb_common::{ErrorCode, TransactionId, Version};
use trandb_engine::{Condition, Tags};

use super::problem::Rejection;

/// A version as a strong entity tag.
pub(super) fn etag(version: Version) -> HeaderValue {
    let mut room = [b'"'; Version::TEXT_BYTES_MAX + 2];
    let end = room.len() - 1;
    let begin = version.write_text(&mut room[1..end]);
    room[begin] = b'"';
    // Hexadecimal digits are always a legal header.
    HeaderValue::from_bytes(&room[begin..]).unwrap_or(HeaderValue::from_static("\"\""))
}

/// By this name a client finds its request again.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id of a request that is returned, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The id that a client gave its request, if it is one that may stand in a log: visible ASCII, not
/// too long.
///
/// In a box, since it is large and most requests have none.
pub(super) fn request_id(headers: &HeaderMap) -> Option<Box<HeaderValue>> {
    let id = headers.get(REQUEST_ID)?;
    let is_short = (1..=REQUEST_ID_BYTES_MAX).contains(&id.len());
    let may_be_returned = is_short && id.as_bytes().iter().all(u8::is_ascii_graphic);
    may_be_returned.then(|| Box::new(id.clone()))
}

/// Gives the id of a request back with its answer.
pub(super) fn return_request_id(id: Option<Box<HeaderValue>>, headers: &mut HeaderMap) {
    if let Some(id) = id {
        headers.insert(REQUEST_ID, *id);
    }
}

/// The condition of a request on a key.
///
/// # Errors
///
/// `invalid_header` for what cannot be understood, and for what a client would wrongly rely on if
/// it were passed over.
pub(super) fn condition(headers: &HeaderMap) -> Result<Condition, Rejection> {
    let mut condition = Condition::default();
    for (name, value) in headers {
        if name == header::IF_MATCH {
            let tags = tags(name, value, Weak::NeverMatch)?;
            merge(&mut condition.if_match, tags, name)?;
        } else if name == header::IF_NONE_MATCH {
            let tags = tags(name, value, Weak::MatchByText)?;
            merge(&mut condition.if_none_match, tags, name)?;
        } else if name == header::IF_UNMODIFIED_SINCE || name == header::IF_MODIFIED_SINCE {
            return Err(invalid(
                name,
                "is not supported: keys have versions, not dates",
            ));
        }
    }
    Ok(condition)
}

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The id under which a PUT or DELETE may be sent again.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<TransactionId>, Rejection> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    // Quoted, as RFC 8941 writes strings, or bare.
    let text = str::from_utf8(value.as_bytes())
        .unwrap_or_default()
        .trim_ascii();
    let bare = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    match (bare.parse(), values.next()) {
        (Ok(id), None) => Ok(Some(id)),
        _ => Err(invalid(
            &IDEMPOTENCY_KEY,
            "is one UUID, such as 0199c2f4-5d1e-7c3a-9a41-2f60c1f0a7d2",
        )),
    }
}

/// The condition of a write with an id, as a check of one version.
///
/// # Errors
///
/// Conditions that ask for one of several versions, or for any.
#[expect(
    clippy::option_option,
    reason = "no condition, no value and a version are three conditions"
)]
pub(super) fn single_version(condition: Condition) -> Result<Option<Option<Version>>, Rejection> {
    match (condition.if_match, condition.if_none_match) {
        (None, None) => Ok(None),
        (None, Some(Tags::Any)) => Ok(Some(None)),
        (Some(Tags::Of(versions)), None) if versions.len() == 1 => Ok(Some(Some(versions[0]))),
        _ => Err(invalid(
            &IDEMPOTENCY_KEY,
            "goes together with If-Match of one version, or with If-None-Match: *",
        )),
    }
}

/// Refuses a PUT or DELETE that asks for more than is done for it.
pub(super) fn refuse_unsupported(headers: &HeaderMap) -> Result<(), Rejection> {
    for (name, value) in headers {
        if name == header::CONTENT_RANGE {
            return Err(invalid(
                name,
                "is not supported: a PUT replaces the whole value",
            ));
        }
        if name == header::CONTENT_ENCODING && value != "identity" {
            return Err(Rejection::new(
                ErrorCode::UnsupportedMediaType,
                "Values are kept as they come and never decoded: send the bytes that a GET is to \
                 return, without Content-Encoding.",
            ));
        }
    }
    Ok(())
}

/// What a weak tag (`W/"…"`) is compared as.
#[derive(Clone, Copy)]
enum Weak {
    NeverMatch,
    MatchByText,
}

/// Reads `*` or a list of entity tags.
fn tags(name: &HeaderName, value: &HeaderValue, weak: Weak) -> Result<Tags, Rejection> {
    const EXPECTED: &str = "must be * or a list of versions in double quotes, as ETag gave them";
    let malformed = || invalid(name, EXPECTED);
    let mut rest = str::from_utf8(value.as_bytes())
        .map_err(|_| malformed())?
        .trim_ascii();
    if rest == "*" {
        return Ok(Tags::Any);
    }
    let mut versions = Vec::new();
    let mut any = false;
    loop {
        // RFC 9110 lets lists have empty elements.
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if rest.is_empty() {
            break;
        }
        let (is_weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (tag, behind) = quoted
            .strip_prefix('"')
            .and_then(|q| q.split_once('"'))
            .ok_or_else(malformed)?;
        if !tag.bytes().all(|b| b > b' ' && b != 0x7f) {
            return Err(malformed());
        }
        rest = behind.trim_ascii_start();
        if !(rest.is_empty() || rest.starts_with(',')) {
            return Err(malformed());
        }
        any = true;
        // A tag that was never ours is legal, and matches nothing.
        if let (Ok(version), false) = (tag.parse(), is_weak && matches!(weak, Weak::NeverMatch)) {
            versions.push(version);
        }
    }
    if any {
        Ok(Tags::Of(versions))
    } else {
        Err(malformed())
    }
}

/// Several header lines are one list.
fn merge(all: &mut Option<Tags>, more: Tags, name: &HeaderName) -> Result<(), Rejection> {
    match (all.as_mut(), more) {
        (None, more) => *all = Some(more),
        (Some(Tags::Of(versions)), Tags::Of(more)) => versions.extend(more),
        (Some(_), _) => return Err(invalid(name, "must not have * beside anything else")),
    }
    Ok(())
}

fn invalid(name: &HeaderName, what: &str) -> Rejection {
    Rejection::new(
        ErrorCode::InvalidHeader,
        format!("{} {what}.", title_case(name)),
    )
}

/// The name as people write it: header names are kept in lower case.
fn title_case(name: &HeaderName) -> String {
    let words = name.as_str().split('-').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    });
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: Version = Version {
        epoch: 1,
        counter: 0xa,
    };
    const B: Version = Version {
        epoch: 1,
        counter: 0xb,
    };

    fn parse_condition(if_match: Option<&[u8]>, if_none_match: Option<&[u8]>) -> Option<Condition> {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::IF_MATCH, if_match),
            (header::IF_NONE_MATCH, if_none_match),
        ] {
            if let Some(value) = value {
                headers.append(name, HeaderValue::from_bytes(value).ok()?);
            }
        }
        condition(&headers).ok()
    }

    fn if_match(value: &str) -> Option<Tags> {
        parse_condition(Some(value.as_bytes()), None).and_then(|condition| condition.if_match)
    }

    #[test]
    fn star_and_lists_are_understood() {
        assert_eq!(if_match("*"), Some(Tags::Any));
        assert_eq!(if_match("\"e1-a\""), Some(Tags::Of(vec![A])));
        assert_eq!(if_match("\"e1-a\",\"e1-b\""), Some(Tags::Of(vec![A, B])));
        assert_eq!(
            if_match(" , \"e1-a\" ,\t\"e1-b\" ,"),
            Some(Tags::Of(vec![A, B]))
        );
    }

    #[test]
    fn tags_of_others_match_nothing() {
        assert_eq!(if_match("\"abc\""), Some(Tags::Of(vec![])));
        assert_eq!(
            if_match("\"a,b\", \"e1-b\""),
            Some(Tags::Of(vec![B])),
            "a comma in a tag"
        );
        assert_eq!(if_match("\"\""), Some(Tags::Of(vec![])));
    }

    #[test]
    fn weak_tags_count_only_where_text_is_compared() {
        assert_eq!(if_match("W/\"e1-a\""), Some(Tags::Of(vec![])));
        let condition = parse_condition(None, Some(b"W/\"e1-a\"")).expect("legal");
        assert_eq!(condition.if_none_match, Some(Tags::Of(vec![A])));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for value in [
            "",
            " ",
            ",",
            "e1-a",
            "\"e1-a",
            "e1-a\"",
            "\"e1-a\" \"e1-b\"",
            "\"e1-a\"x",
            "w/\"e1-a\"",
            "*, \"e1-a\"",
            "**",
            "\"a b\"",
            "W/",
            "W/*",
        ] {
            assert_eq!(if_match(value), None, "{value:?}");
        }
        assert!(parse_condition(Some(b"\"\xff\""), None).is_none());
    }

    #[test]
    fn only_ids_that_are_short_and_visible_are_returned() {
        let returned = |id: &[u8]| {
            let id = HeaderValue::from_bytes(id).expect("a legal header");
            let headers = HeaderMap::from_iter([(REQUEST_ID, id)]);
            request_id(&headers).is_some()
        };
        assert!(returned(b"0199c2d1-0000-7000-8000-000000000001"));
        assert!(returned(&[b'x'; REQUEST_ID_BYTES_MAX]));
        assert!(!returned(&[b'x'; REQUEST_ID_BYTES_MAX + 1]));
        for id in [&b""[..], b"a b", b"a\tb", b"\xc3\xa4"] {
            assert!(!returned(id), "{}", id.escape_ascii());
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let mut headers = HeaderMap::new();
        headers.append(header::IF_MATCH, etag(A));
        headers.append(header::IF_MATCH, etag(B));
        let condition_of = |headers: &HeaderMap| condition(headers).ok().and_then(|c| c.if_match);
        assert_eq!(condition_of(&headers), Some(Tags::Of(vec![A, B])));
        headers.append(header::IF_MATCH, HeaderValue::from_static("*"));
        assert_eq!(condition_of(&headers), None);
    }

    proptest! {
        #[test]
        fn an_etag_is_understood_as_what_it_was_made_of(epoch: u64, counter: u64) {
            let version = Version { epoch, counter };
            let condition = parse_condition(Some(etag(version).as_bytes()), None).expect("legal");
            prop_assert_eq!(condition, Condition::version(version));
        }

        #[test]
        fn any_bytes_are_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse_condition(Some(&bytes), Some(&bytes));
        }
    }
}
