//! `POST /cluster/remove`, `POST /cluster/transfer`: what people ask of a cluster, at any of its nodes.
//!
//! What is asked stands in the query, so that it can be written on a command line. The limits of
//! requests bound it.

use std::sync::Arc;

use axum::extract::State;
use http::{StatusCode, Uri};
use trandb_common::{ErrorCode, Problem, path};
use trandb_engine::ShardId;

use super::{Inner, problem::Rejection};
use crate::{Shards, shards::ClusterError, sync::Instant};

#[utoipa::path(
    post, path = "/cluster/remove", tag = "operation", operation_id = "remove_member",
    summary = "Take a member out of the cluster",
    description = "Others hold what it holds, then it votes nowhere and its process ends. It is \
        answered when that is decided; `/cluster` shows how far it is. To ask again does no harm.",
    params(("member" = String, Query, description = "Its name")),
    responses((status = 202, description = "It is decided")),
)]
pub(super) async fn remove<S: Shards>(
    State(inner): State<Arc<Inner<S>>>,
    uri: Uri,
) -> Result<StatusCode, Rejection> {
    let [member] = parse(uri.query().unwrap_or_default(), ["member"])?;
    let member = member.ok_or_else(|| missing("member"))?;
    let shards = inner.database.shards();
    shards.remove_member(&member, Instant::now()).await?;
    Ok(StatusCode::ACCEPTED)
}

#[utoipa::path(
    post, path = "/cluster/transfer", tag = "operation", operation_id = "transfer",
    summary = "Let a member lead a group",
    description = "Answered when it leads. Some seconds later leaders are spread evenly again.",
    params(
        ("to" = String, Query, description = "The member's name"),
        ("shard" = Option<u16>, Query, minimum = 0, maximum = 65535, description = "Which shard's group; without it the group \
            that keeps the members"),
    ),
    responses((status = 200, description = "It leads")),
)]
pub(super) async fn transfer<S: Shards>(
    State(inner): State<Arc<Inner<S>>>,
    uri: Uri,
) -> Result<StatusCode, Rejection> {
    let [to, shard] = parse(uri.query().unwrap_or_default(), ["to", "shard"])?;
    let to = to.ok_or_else(|| missing("to"))?;
    let shard = shard.map(|shard| {
        let number = shard.parse::<u16>().map(ShardId);
        number.map_err(|_| invalid("`shard` is a number from 0 on.".to_owned()))
    });
    let shards = inner.database.shards();
    shards
        .transfer(shard.transpose()?, &to, Instant::now())
        .await?;
    Ok(StatusCode::OK)
}

/// Reads the query. Strict, since what is misspelt would be done to something else.
fn parse<const N: usize>(query: &str, names: [&str; N]) -> Result<[Option<String>; N], Rejection> {
    let mut values = [const { None }; N];
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(at) = names.iter().position(|known| *known == name) else {
            let known = names.map(|name| format!("`{name}`")).join(" and ");
            return Err(invalid(format!(
                "{name:?} is not a parameter: there is {known}."
            )));
        };
        let text = path::decode(value).map_err(|error| invalid(format!("`{name}`: {error}.")))?;
        if values[at].replace(text.into_owned()).is_some() {
            return Err(invalid(format!("`{name}` stands there twice.")));
        }
    }
    Ok(values)
}

fn missing(name: &str) -> Rejection {
    invalid(format!("`{name}` is missing."))
}

fn invalid(detail: String) -> Rejection {
    Rejection::new(ErrorCode::InvalidQuery, detail)
}

impl From<ClusterError> for Rejection {
    fn from(error: ClusterError) -> Self {
        let code = match error {
            ClusterError::NotClustered | ClusterError::LastMember | ClusterError::CannotLead => {
                ErrorCode::ClusterConflict
            }
            ClusterError::UnknownMember => ErrorCode::MemberNotFound,
            ClusterError::UnknownShard => ErrorCode::InvalidQuery,
            ClusterError::Unknown => ErrorCode::OutcomeUnknown,
        };
        let mut detail = error.to_string();
        if let Some(first) = detail.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        detail.push('.');
        Problem::new(code, detail).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query: &str) -> Result<[Option<String>; 2], String> {
        parse(query, ["to", "shard"]).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn what_is_said_is_read_and_nothing_else() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parsed(""), Ok([None, None]));
        assert_eq!(parsed("shard=3&to=n%201"), Ok([some("n 1"), some("3")]));
        for (query, reason) in [
            ("too=n1", "too"),
            ("to=n1&to=n2", "twice"),
            ("to=%zz", "`to`"),
            ("member=n1", "there is `to` and `shard`"),
        ] {
            let error = parsed(query).expect_err(query);
            assert!(error.contains(reason), "{error}");
        }
    }
}
