//! The client itself: reads here, writes in `write`, listings in `list`.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, Response, request};
use tokio::time::Instant;
use trandb_common::{path, wire::cluster::ClusterStatus};

use crate::{
    ClientBuilder, Delete, Error, InvalidKey, Key, Limits, List, Put, Value, ValueTooLarge,
    Version,
    answer::{self, Failure},
    error::Kind,
    retry::Effect,
    send::Sender,
};

/// A client of one TranDB, over one or several endpoints.
///
/// Clones are cheap and share connections; make one per process.
#[derive(Clone)]
pub struct Client {
    pub(crate) sender: Arc<Sender>,
}

/// A value and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value's bytes.
    pub value: Bytes,
    /// The version that the write of this value made.
    pub version: Version,
}

/// A value's version and size, without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The version that the write of this value made.
    pub version: Version,
    /// The value's size in bytes.
    pub size: u64,
}

impl Client {
    /// A client of the server at `endpoint`, which is `http://host:port`. It connects with its
    /// first request.
    ///
    /// # Errors
    ///
    /// When `endpoint` is not one.
    pub fn connect(endpoint: impl AsRef<str>) -> Result<Self, Error> {
        Self::builder().endpoint(endpoint).build()
    }

    /// The settings of a client, to be changed before it is made.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    pub(crate) fn from_sender(sender: Arc<Sender>) -> Self {
        Self { sender }
    }

    /// The value of `key` and its version; none when it has no value.
    ///
    /// ```
    /// # use trandb_client::Client;
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/memory.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = Client::builder().transport(memory::Memory::default()).build()?;
    /// assert!(client.get("user/1").await?.is_none());
    /// client.put("user/1", "Ada").await?;
    /// assert_eq!(client.get("user/1").await?.expect("a value").value, "Ada");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get(
        &self,
        key: impl TryInto<Key, Error: Into<InvalidKey>>,
    ) -> Result<Option<Entry>, Error> {
        let (key, request) = read_of_key(Method::GET, key)?;
        self.send(Some(&key), Effect::Read, request, answer::entry)
            .await
    }

    /// The version and the size of `key`'s value, without its bytes; none when it has no value.
    pub async fn stat(
        &self,
        key: impl TryInto<Key, Error: Into<InvalidKey>>,
    ) -> Result<Option<Stat>, Error> {
        let (key, request) = read_of_key(Method::HEAD, key)?;
        self.send(Some(&key), Effect::Read, request, answer::stat)
            .await
    }

    /// Writes `value` under `key`; await the result for the new version.
    ///
    /// It replaces whatever is there, unless [`if_version`](Put::if_version) or
    /// [`if_absent`](Put::if_absent) is added.
    pub fn put(
        &self,
        key: impl TryInto<Key, Error: Into<InvalidKey>>,
        value: impl TryInto<Value, Error: Into<ValueTooLarge>>,
    ) -> Put {
        Put::new(
            self.clone(),
            key.try_into().map_err(Into::into),
            value.try_into().map_err(Into::into),
        )
    }

    /// Deletes `key`, which need not have a value; await the result.
    ///
    /// ```
    /// # use trandb_client::Client;
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/memory.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = Client::builder().transport(memory::Memory::default()).build()?;
    /// let version = client.put("user/1", "Ada").await?;
    /// client.delete("user/1").if_version(version).await?;
    /// client.delete("user/1").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete(&self, key: impl TryInto<Key, Error: Into<InvalidKey>>) -> Delete {
        Delete::new(self.clone(), key.try_into().map_err(Into::into))
    }

    /// Lists the keys that begin with `prefix`, in byte order; an empty prefix lists all. Await
    /// the result for one page, or take a [`stream`](List::stream) of all.
    ///
    /// ```
    /// # use trandb_client::Client;
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/memory.rs"));
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let client = Client::builder().transport(memory::Memory::default()).build()?;
    /// for name in ["user/2", "user/1", "team/1"] {
    ///     client.put(name, "").await?;
    /// }
    /// let page = client.list("user/").await?;
    /// assert_eq!(page.keys[0].key.as_str(), "user/1");
    /// assert_eq!(page.keys.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn list(&self, prefix: impl Into<String>) -> List {
        List::new(self.clone(), prefix.into())
    }

    /// The limits that the server works under; asked of it each time.
    pub async fn limits(&self) -> Result<Limits, Error> {
        let request = read(Method::GET, "/limits")?;
        self.send(None, Effect::Read, request, answer::limits).await
    }

    /// How the server sees its cluster, if it belongs to one: the members, and its own replicas.
    ///
    /// It is the view of the one that answers, and may be a moment old.
    pub async fn cluster(&self) -> Result<ClusterStatus, Error> {
        let request = read(Method::GET, "/cluster")?;
        self.send(None, Effect::Read, request, answer::cluster)
            .await
    }

    /// Takes a member out of the server's cluster, by its name: others hold what it holds, then it votes
    /// nowhere and its process ends.
    ///
    /// It is done when that is decided; [`cluster`](Self::cluster) shows how far it is. To ask twice
    /// does no harm: the second time there is no such member.
    pub async fn remove_member(&self, name: &str) -> Result<(), Error> {
        let name = path::encode(name);
        self.administer(&format!("/cluster/remove?member={name}"))
            .await
    }

    /// Lets a member lead the group of `shard`, or the one that keeps the members. Some seconds later
    /// the cluster spreads its leaders evenly again.
    pub async fn transfer(&self, shard: Option<u16>, to: &str) -> Result<(), Error> {
        let to = path::encode(to);
        let shard = shard.map_or_else(String::new, |shard| format!("&shard={shard}"));
        self.administer(&format!("/cluster/transfer?to={to}{shard}"))
            .await
    }

    async fn administer(&self, path_and_query: &str) -> Result<(), Error> {
        let request = Request::builder().method(Method::POST).uri(path_and_query);
        // Done twice it is done once, as if it had an id.
        let effect = Effect::WriteWithId;
        let request = complete(request, Bytes::new(), effect)?;
        self.send(None, effect, request, answer::done).await
    }

    /// Whether the endpoint that requests go to at the moment is ready to serve. It is asked once:
    /// no other endpoint, no second try.
    pub async fn is_ready(&self) -> Result<bool, Error> {
        let request = read(Method::GET, "/readyz")?;
        let deadline = Instant::now() + self.sender.timeout;
        let endpoints = &self.sender.endpoints;
        self.sender
            .try_once(
                endpoints.get(endpoints.current()),
                Effect::Read,
                request,
                deadline,
            )
            .await
            .and_then(|answer| answer::ready(&answer))
            .map_err(|failure| Error::new(failure.kind, Effect::Read, 1))
    }

    /// Sends `request`, which is about `key`, or about none or several.
    pub(crate) async fn send<A>(
        &self,
        key: Option<&Key>,
        effect: Effect,
        request: Request<Bytes>,
        read: impl Fn(&Response<Bytes>) -> Result<A, Failure>,
    ) -> Result<A, Error> {
        self.sender.send(key, effect, request, read).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("endpoints", &self.sender.endpoints)
            .finish_non_exhaustive()
    }
}

fn read_of_key(
    method: Method,
    key: impl TryInto<Key, Error: Into<InvalidKey>>,
) -> Result<(Key, Request<Bytes>), Error> {
    let key = key
        .try_into()
        .map_err(|error| Error::refused(Kind::InvalidKey(error.into()), Effect::Read))?;
    let request = read(method, &path::of_key(&key))?;
    Ok((key, request))
}

/// A request that reads, with neither headers nor a body.
pub(crate) fn read(method: Method, path_and_query: &str) -> Result<Request<Bytes>, Error> {
    let request = Request::builder().method(method).uri(path_and_query);
    complete(request, Bytes::new(), Effect::Read)
}

/// Ends building a request. It cannot fail, as keys and versions are legal before they get here.
pub(crate) fn complete(
    request: request::Builder,
    body: Bytes,
    effect: Effect,
) -> Result<Request<Bytes>, Error> {
    request.body(body).map_err(|error| {
        let kind = Kind::Configuration {
            what: "the request cannot be written as HTTP",
            source: Some(error.into()),
        };
        Error::refused(kind, effect)
    })
}
