//! Listing keys: a page at a time, or all of them as a stream.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use http::{Method, Response};
use trandb_common::{
    limits::{KEY_BYTES_MAX, LIST_LIMIT_MAX},
    path,
};

use crate::{
    Client, Error, InvalidKey, Key, ListPage, ListedKey, answer, client, error::Kind, retry::Effect,
};

/// A listing on its way; made by [`Client::list`].
///
/// It is not transactional: keys written or deleted while its pages are fetched may be in it or
/// not. A key that is there all the time is in it exactly once.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent until it is awaited or streamed"]
pub struct List {
    client: Client,
    prefix: String,
    after: Option<Result<Key, InvalidKey>>,
    limit: Option<usize>,
}

impl List {
    pub(crate) fn new(client: Client, prefix: String) -> Self {
        Self {
            client,
            prefix,
            after: None,
            limit: None,
        }
    }

    /// Begins after this key, which need not have a value: [`ListPage::next`] of the page before.
    pub fn after(mut self, key: impl TryInto<Key, Error: Into<InvalidKey>>) -> Self {
        self.after = Some(key.try_into().map_err(Into::into));
        self
    }

    /// At most this many keys in a page, 1 to 1,000; 100 unless set. A stream fetches pages of
    /// this size, and all of them.
    pub fn limit(mut self, keys: usize) -> Self {
        self.limit = Some(keys);
        self
    }

    /// All keys of the listing. Pages are fetched as their turn comes, and one is held at a time;
    /// without a [`limit`](Self::limit) they have 1,000 keys. It ends after its first error.
    ///
    /// ```
    /// # use trandb_client::Client;
    /// use futures_util::TryStreamExt;
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/memory.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = Client::builder().transport(memory::Memory::default()).build()?;
    /// # client.put("user/1", "Ada").await?;
    /// let mut keys = client.list("user/").stream();
    /// while let Some(row) = keys.try_next().await? {
    ///     println!("{} has {} bytes", row.key, row.size);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn stream(mut self) -> impl Stream<Item = Result<ListedKey, Error>> + Send + Unpin {
        self.limit.get_or_insert(LIST_LIMIT_MAX);
        let pages = stream::try_unfold(Some(self), |rest| async move {
            let Some(list) = rest else { return Ok(None) };
            let page = list.clone().send().await?;
            let rest = page.next.map(|next| List {
                after: Some(Ok(next)),
                ..list
            });
            Ok(Some((stream::iter(page.keys).map(Ok), rest)))
        });
        Box::pin(pages.try_flatten())
    }

    async fn send(self) -> Result<ListPage, Error> {
        let refused = |kind| Error::refused(kind, Effect::Read);
        let invalid_key = |error| refused(Kind::InvalidKey(error));
        if self.prefix.len() > KEY_BYTES_MAX {
            return Err(invalid_key(InvalidKey::TooLong {
                actual: self.prefix.len(),
            }));
        }
        let after = self.after.transpose().map_err(invalid_key)?;
        if let Some(actual) = self.limit
            && !(1..=LIST_LIMIT_MAX).contains(&actual)
        {
            return Err(refused(Kind::InvalidLimit { actual }));
        }
        let target = target(&self.prefix, after.as_ref(), self.limit);
        let request = client::read(Method::GET, &target)?;
        let page = |answer: &Response<Bytes>| answer::page(answer, after.as_ref());
        self.client.send(None, Effect::Read, request, page).await
    }
}

/// Path and query.
fn target(prefix: &str, after: Option<&Key>, limit: Option<usize>) -> String {
    let mut query = Vec::new();
    if !prefix.is_empty() {
        query.push(format!("prefix={}", path::encode(prefix)));
    }
    query.extend(after.map(|key| format!("after={}", path::encode(key.as_str()))));
    query.extend(limit.map(|keys| format!("limit={keys}")));
    let question_mark = if query.is_empty() { "" } else { "?" };
    format!("{}{question_mark}{}", path::KEYS, query.join("&"))
}

impl IntoFuture for List {
    type Output = Result<ListPage, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
