//! `GET /keys`: keys by prefix, in pages.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::{
    Uri,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use trandb_common::{
    ErrorCode, InvalidKey,
    limits::{KEY_BYTES_MAX, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX},
    path,
    wire::ListPage,
};

use super::{Body, Inner, problem::Rejection, upload};
use crate::{Shards, shards::Listing};

#[utoipa::path(
    get, path = "/keys", tag = "keys", operation_id = "list",
    summary = "List keys",
    description = "Keys in byte order, with version and size. Not transactional: a key that is \
        written or deleted while pages are fetched may be listed or not; one that is there all \
        the time is listed exactly once.",
    params(
        ("prefix" = Option<String>, Query, max_length = 1024,
            description = "Only keys that start with this; up to 1,024 bytes"),
        ("after" = Option<String>, Query, min_length = 1, max_length = 1024,
            pattern = r"^([^.]|\.[^.]|\.\.[\s\S])",
            description = "Only keys behind this one: `next` of the page before"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 1000, description = "Keys in a page, 100 unless told"),
    ),
    responses(
        (status = 200, description = "A page", body = ListPage,
            headers(("Cache-Control" = String, description = "`no-store`"))),
    ),
)]
pub(super) async fn list<S: Shards>(
    State(inner): State<Arc<Inner<S>>>,
    uri: Uri,
) -> Result<Response, Rejection> {
    let listing = parse(uri.query().unwrap_or_default())?;
    let page = inner.database.list(listing).await?;
    // Keys, numbers and versions: writing them down cannot fail.
    let json = serde_json::to_vec(&page).unwrap_or_default();
    let permit = inner
        .in_flight
        .take(json.len() as u64)
        .ok_or_else(upload::overloaded)?;
    let headers = [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, axum::body::Body::new(Body::made(json, permit))).into_response())
}

/// Reads the query. Strict, since a misspelt `prefix` would list everything.
///
/// As in a path, a `+` is a plus.
fn parse(query: &str) -> Result<Listing, Rejection> {
    let (mut prefix, mut after, mut limit) = (None, None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let wrong = |error: InvalidKey| invalid(format!("`{name}`: {error}."));
        let repeated = match name {
            "prefix" => {
                let text = path::decode(value).map_err(wrong)?.into_owned();
                if text.len() > KEY_BYTES_MAX {
                    return Err(wrong(InvalidKey::TooLong { actual: text.len() }));
                }
                prefix.replace(text).is_some()
            }
            "after" => after
                .replace(path::decode_key(value).map_err(wrong)?)
                .is_some(),
            "limit" => limit.replace(parse_limit(value)?).is_some(),
            _ => {
                return Err(invalid(format!(
                    "{name:?} is not a parameter: there are `prefix`, `after` and `limit`."
                )));
            }
        };
        if repeated {
            return Err(invalid(format!("`{name}` stands there twice.")));
        }
    }
    Ok(Listing {
        prefix: prefix.unwrap_or_default(),
        after,
        before: None,
        limit: limit.unwrap_or(LIST_LIMIT_DEFAULT),
    })
}

fn parse_limit(text: &str) -> Result<usize, Rejection> {
    let limit = text
        .parse()
        .ok()
        .filter(|limit| (1..=LIST_LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| invalid(format!("`limit` is a number from 1 to {LIST_LIMIT_MAX}.")))
}

fn invalid(detail: String) -> Rejection {
    Rejection::new(ErrorCode::InvalidQuery, detail)
}

#[cfg(test)]
mod tests {
    use trandb_common::Key;

    use super::*;

    #[test]
    fn what_is_not_said_has_a_default() {
        let listing = parse("").expect("legal");
        assert_eq!(
            listing,
            Listing {
                prefix: String::new(),
                after: None,
                before: None,
                limit: 100
            }
        );
    }

    #[test]
    fn values_are_decoded_once_and_a_plus_is_a_plus() {
        let listing = parse("prefix=a%2Fb+c%2520&after=%C3%A4&limit=7").expect("legal");
        assert_eq!(listing.prefix, "a/b+c%20");
        assert_eq!(listing.after, Key::new("ä").ok());
        assert_eq!(listing.limit, 7);
    }

    #[test]
    fn what_would_list_something_else_is_refused() {
        for query in [
            "perfix=a",
            "prefix=a&prefix=b",
            "limit=0",
            "limit=1001",
            "limit=",
            "limit=-1",
            "limit=1e2",
            "after=",
            "after=.",
            "prefix=%zz",
            "prefix=%FF",
            "Prefix=a",
        ] {
            assert!(parse(query).is_err(), "{query}");
        }
        assert!(parse(&format!("prefix={}", "a".repeat(1024))).is_ok());
        assert!(parse(&format!("prefix={}", "a".repeat(1025))).is_err());
    }
}
