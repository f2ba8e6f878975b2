//! Calls that build on each other, against a server that remembers.

use futures_util::TryStreamExt;
use trandb_client::{Client, Error, ListedKey};

include!("memory.rs");

fn client() -> Client {
    let server = memory::Memory::default();
    Client::builder().transport(server).build().expect("client")
}

#[tokio::test]
async fn a_value_lives_from_its_first_put_to_its_delete() -> Result<(), Error> {
    let client = client();
    assert_eq!(client.get("k").await?, None);
    assert_eq!(client.stat("k").await?, None);
    let first = client.put("k", "one").if_absent().await?;
    let second = client.put("k", "three").if_version(first).await?;
    let entry = client.get("k").await?.expect("a value");
    assert_eq!(
        (entry.value.as_ref(), entry.version),
        (&b"three"[..], second)
    );
    let stat = client.stat("k").await?.expect("a value");
    assert_eq!((stat.size, stat.version), (5, second));
    client
        .delete("k")
        .if_version(first)
        .await
        .expect_err("an old version");
    client.delete("k").if_version(second).await?;
    client.delete("k").await?;
    assert_eq!(client.get("k").await?, None);
    Ok(())
}

#[tokio::test]
async fn a_lost_race_is_a_conflict_that_names_the_winner() -> Result<(), Error> {
    let client = client();
    let old = client.put("k", "0").await?;
    let winner = client.put("k", "1").if_version(old).await?;
    let error = client
        .put("k", "2")
        .if_version(old)
        .await
        .expect_err("lost");
    assert!(error.is_conflict() && !error.is_retryable(), "{error}");
    assert_eq!(error.current_version(), Some(winner));
    let error = client.put("k", "2").if_absent().await.expect_err("present");
    assert_eq!(error.current_version(), Some(winner));
    Ok(())
}

#[tokio::test]
async fn what_was_put_is_listed() -> Result<(), Error> {
    let client = client();
    for key in ["b/2", "b/1", "a", "c"] {
        client.put(key, key).await?;
    }
    let keys: Vec<ListedKey> = client.list("b/").stream().try_collect().await?;
    let keys: Vec<_> = keys
        .iter()
        .map(|row| (row.key.as_str(), row.size))
        .collect();
    assert_eq!(keys, [("b/1", 3), ("b/2", 3)]);
    Ok(())
}
