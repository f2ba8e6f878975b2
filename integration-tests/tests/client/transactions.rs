//! Transactions of the Rust client against the real server, over sockets and many shards.

use trandb_client::{Client, Error, Key, Operations, TransactionBody, Value, Write};
use trandb_integration_tests::local::Served;

const ACCOUNTS: usize = 8;
const BALANCE: u64 = 100;
const CLIENTS: usize = 6;
const TRANSFERS: usize = 40;

fn account(n: usize) -> String {
    format!("account/{n}")
}

fn balance(text: &[u8]) -> u64 {
    let text = std::str::from_utf8(text).expect("a number");
    text.parse().expect("a number")
}

/// Moves one from an account to another, if it is there.
async fn transfer(client: &Client, from: usize, to: usize) -> Result<(), Error> {
    client
        .transaction(|tx| async move {
            let giver = balance(&tx.get(account(from)).await?.expect("an account"));
            let taker = balance(&tx.get(account(to)).await?.expect("an account"));
            if giver > 0 {
                tx.put(account(from), (giver - 1).to_string())?;
                tx.put(account(to), (taker + 1).to_string())?;
            }
            Ok(())
        })
        .await
}

/// Over 16 shards; every audit is of one moment and sees the same total.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_moves_between_shards_and_the_total_stays() {
    let served = Served::start(&["--shards", "16"]).await;
    let client = Client::connect(format!("http://{}", served.address)).expect("a client");
    for n in 0..ACCOUNTS {
        let opened = client.put(account(n), BALANCE.to_string()).await;
        opened.expect("opened");
    }
    let movers = (0..CLIENTS).map(|c| {
        let client = client.clone();
        tokio::spawn(async move {
            for n in 0..TRANSFERS {
                let from = (c * 3 + n) % ACCOUNTS;
                let to = (from + 1 + (c + n) % (ACCOUNTS - 1)) % ACCOUNTS;
                transfer(&client, from, to).await.expect("moved");
            }
        })
    });
    let movers: Vec<_> = movers.collect();
    let mut audits = 0;
    while audits == 0 || !movers.iter().all(tokio::task::JoinHandle::is_finished) {
        let found = client.get_many((0..ACCOUNTS).map(account)).await;
        let found = found.expect("an audit");
        let total: u64 = found
            .iter()
            .map(|entry| balance(&entry.as_ref().expect("an account").value))
            .sum();
        assert_eq!(total, ACCOUNTS as u64 * BALANCE, "audit {audits}");
        audits += 1;
    }
    for mover in movers {
        mover.await.expect("no transfer failed");
    }
    // Nothing is locked: a plain write of every key goes through.
    for n in 0..ACCOUNTS {
        client.put(account(n), "0").await.expect("not locked");
    }
}

/// The id is the caller's, so that even another client may send the transaction again.
#[tokio::test]
async fn a_transaction_sent_again_under_its_id_is_run_once() {
    let served = Served::start(&["--shards", "16"]).await;
    let client =
        || Client::connect(format!("http://{}", served.address)).expect("a legal endpoint");
    let put = |value: &str| {
        let write = |name: &str| Write::Put {
            key: Key::new(name).expect("legal"),
            value: Value::try_from(value).expect("legal"),
        };
        let operations = Operations {
            writes: vec![write("once/a"), write("once/b")],
            ..Operations::default()
        };
        TransactionBody::new(operations).expect("legal")
    };
    let id = client().new_id();
    let first = client().commit_as(id, put("1")).await.expect("committed");
    client().put("once/a", "later").await.expect("written");
    let again = client().commit_as(id, put("1")).await.expect("as before");
    assert_eq!(again.versions(), first.versions());
    let found = client().get("once/a").await.expect("an answer");
    assert_eq!(found.expect("a value").value, "later", "it was run twice");
    let other = client().commit_as(id, put("2")).await;
    let error = other.expect_err("another body");
    assert_eq!(error.code(), Some("id_reused"));
}
