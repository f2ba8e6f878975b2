//! PUT and DELETE, with their conditions.

use std::pin::Pin;

use bytes::Bytes;
use http::{
    HeaderName, Method, Request, Response,
    header::{CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH},
    request,
};
use trandb_common::path;

use crate::{
    Client, Error, InvalidKey, Key, Value, ValueTooLarge, Version,
    answer::{self, Failure},
    client,
    error::Kind,
    retry::Effect,
};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A write on its way; made by [`Client::put`], sent when it is awaited.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent until it is awaited"]
pub struct Put {
    client: Client,
    key: Result<Key, InvalidKey>,
    value: Result<Value, ValueTooLarge>,
    condition: Option<Condition>,
    is_idempotent: bool,
}

/// A deletion on its way; made by [`Client::delete`], sent when it is awaited.
#[derive(Debug, Clone)]
#[must_use = "nothing is sent until it is awaited"]
pub struct Delete {
    client: Client,
    key: Result<Key, InvalidKey>,
    condition: Option<Condition>,
    is_idempotent: bool,
}

/// What must hold, checked under the key's lock.
#[derive(Debug, Clone, Copy)]
enum Condition {
    Version(Version),
    Absent,
}

impl Put {
    pub(crate) fn new(
        client: Client,
        key: Result<Key, InvalidKey>,
        value: Result<Value, ValueTooLarge>,
    ) -> Self {
        Self {
            client,
            key,
            value,
            condition: None,
            is_idempotent: false,
        }
    }

    /// Writes only if the key has this version; otherwise the error
    /// [is a conflict](Error::is_conflict). It replaces an earlier condition.
    ///
    /// ```
    /// # use trandb_client::Client;
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/memory.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = Client::builder().transport(memory::Memory::default()).build()?;
    /// let old = client.put("counter", "1").await?;
    /// client.put("counter", "2").if_version(old).await?;
    /// let error = client.put("counter", "2").if_version(old).await.unwrap_err();
    /// assert!(error.is_conflict());
    /// # Ok(())
    /// # }
    /// ```
    pub fn if_version(mut self, version: Version) -> Self {
        self.condition = Some(Condition::Version(version));
        self
    }

    /// Writes only if the key has no value; otherwise the error
    /// [is a conflict](Error::is_conflict). It replaces an earlier condition.
    pub fn if_absent(mut self) -> Self {
        self.condition = Some(Condition::Absent);
        self
    }

    /// Makes it safe to send again: it gets an id, and the server runs it once. The client then
    /// sends it again after failures that leave its outcome open, and has it aborted when no
    /// answer comes at all. It costs the server some memory for ten minutes.
    pub fn idempotent(mut self) -> Self {
        self.is_idempotent = true;
        self
    }

    async fn send(self) -> Result<Version, Error> {
        let refused = |kind| Error::refused(kind, Effect::Write);
        let key = self.key.map_err(|error| refused(Kind::InvalidKey(error)))?;
        let value = self
            .value
            .map_err(|error| refused(Kind::ValueTooLarge(error)))?;
        let request = request(Method::PUT, &key, self.condition)
            .header(CONTENT_TYPE, "application/octet-stream");
        send(
            &self.client,
            &key,
            self.is_idempotent,
            request,
            value.into_bytes(),
            answer::written,
        )
        .await
    }
}

impl Delete {
    pub(crate) fn new(client: Client, key: Result<Key, InvalidKey>) -> Self {
        Self {
            client,
            key,
            condition: None,
            is_idempotent: false,
        }
    }

    /// Deletes only if the key has this version; otherwise, and when it has no value, the error
    /// [is a conflict](Error::is_conflict).
    pub fn if_version(mut self, version: Version) -> Self {
        self.condition = Some(Condition::Version(version));
        self
    }

    /// Makes it safe to send again: it gets an id, and the server runs it once. The client then
    /// sends it again after failures that leave its outcome open, and has it aborted when no
    /// answer comes at all. It costs the server some memory for ten minutes.
    pub fn idempotent(mut self) -> Self {
        self.is_idempotent = true;
        self
    }

    async fn send(self) -> Result<(), Error> {
        let key = self
            .key
            .map_err(|error| Error::refused(Kind::InvalidKey(error), Effect::Write))?;
        let request = request(Method::DELETE, &key, self.condition);
        send(
            &self.client,
            &key,
            self.is_idempotent,
            request,
            Bytes::new(),
            answer::deleted,
        )
        .await
    }
}

fn request(method: Method, key: &Key, condition: Option<Condition>) -> request::Builder {
    let request = Request::builder().method(method).uri(path::of_key(key));
    match condition {
        None => request,
        Some(Condition::Version(version)) => request.header(IF_MATCH, format!("\"{version}\"")),
        Some(Condition::Absent) => request.header(IF_NONE_MATCH, "*"),
    }
}

async fn send<A>(
    client: &Client,
    key: &Key,
    is_idempotent: bool,
    request: request::Builder,
    body: Bytes,
    read: impl Fn(&Response<Bytes>) -> Result<A, Failure>,
) -> Result<A, Error> {
    if !is_idempotent {
        let request = client::complete(request, body, Effect::Write)?;
        return client.send(Some(key), Effect::Write, request, read).await;
    }
    let id = client.sender.ids.next();
    let request = request.header(IDEMPOTENCY_KEY, id.to_string());
    let request = client::complete(request, body, Effect::WriteWithId)?;
    match client
        .send(Some(key), Effect::WriteWithId, request.clone(), &read)
        .await
    {
        Err(error) => client.settle(id, error, request, read).await,
        sent => sent,
    }
}

impl IntoFuture for Put {
    type Output = Result<Version, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl IntoFuture for Delete {
    type Output = Result<(), Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}
