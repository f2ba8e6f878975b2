//! Operations on one key: linearizable, under conditions, under locks of transactions, dropped.

use std::sync::Arc;

use shuttle::future::{JoinHandle, block_on, spawn, yield_now};
use trandb_engine::{Condition, Tags};

use crate::{
    explore::explore,
    world::{ATTEMPT, PLENTY, Wish, World, any, key, value},
};

/// No two writes of a scenario have the same value.
const VALUES: [[&str; 2]; 3] = [["a0", "a1"], ["b0", "b1"], ["c0", "c1"]];

/// Values of one key, read and written by three tasks, two operations each.
fn clients(world: &Arc<World>) -> Vec<JoinHandle<()>> {
    let client = |process: usize| {
        let world = Arc::clone(world);
        spawn(async move {
            let mut condition = Condition::absent();
            for text in VALUES[process] {
                let wish = match any(6) {
                    0 | 1 => Wish::Get,
                    2 => Wish::Put(text, Condition::default()),
                    3 => Wish::Put(text, condition.clone()),
                    4 => Wish::Delete(Condition::default()),
                    _ => Wish::Delete(Condition {
                        if_match: Some(Tags::Any),
                        if_none_match: None,
                    }),
                };
                if let Ok(Some(found)) = world.run(process, "k", wish).await {
                    condition = Condition::version(found.version);
                }
            }
        })
    };
    (0..VALUES.len()).map(client).collect()
}

/// A transaction that keeps the key for a while, and a task that keeps the whole shard.
fn holders(world: &Arc<World>) -> Vec<JoinHandle<()>> {
    let transaction = Arc::clone(world);
    let occupier = Arc::clone(world);
    vec![
        spawn(async move {
            let (local, shard) = (
                transaction.database.shards(),
                transaction.database.shard_of(&key("k")),
            );
            if any(2) == 0 {
                local
                    .lock(shard, ATTEMPT, &[], &[key("k")])
                    .await
                    .expect("nobody else locks");
                assert_eq!(
                    transaction.database.get_now(&key("k")),
                    None,
                    "read past a lock"
                );
            } else {
                local
                    .lock(shard, ATTEMPT, &[key("k")], &[])
                    .await
                    .expect("nobody else locks");
                let before = transaction.database.get(&key("k")).await.expect("readable");
                yield_now().await;
                let after = transaction.database.get(&key("k")).await.expect("readable");
                assert_eq!(before, after, "written past a lock");
            }
            local.unlock(shard, ATTEMPT).await;
        }),
        spawn(async move {
            let shard = occupier.database.shard_of(&key("k"));
            let whole = occupier.database.shards().occupy(shard).await;
            yield_now().await;
            drop(whole);
        }),
    ]
}

async fn join(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        let _ = task.await;
    }
}

#[test]
fn operations_on_one_key_are_linearizable() {
    explore(|| {
        block_on(async {
            let world = World::new(1, PLENTY);
            join(clients(&world)).await;
            world.judge(&["k"]).await;
        });
    });
}

#[test]
fn operations_on_a_key_that_is_locked_for_a_while_are_linearizable() {
    explore(|| {
        block_on(async {
            let world = World::new(1, PLENTY);
            let mut tasks = clients(&world);
            tasks.extend(holders(&world));
            join(tasks).await;
            world.judge(&["k"]).await;
        });
    });
}

#[test]
fn an_operation_that_is_dropped_is_applied_whole_or_not_at_all() {
    explore(|| {
        block_on(async {
            let world = World::new(1, PLENTY);
            let holders = holders(&world);
            let clients = clients(&world);
            let unlucky = any(clients.len());
            for client in &clients[unlucky..] {
                client.abort();
            }
            join(clients).await;
            join(holders).await;
            world.judge(&["k"]).await;
        });
    });
}

#[test]
fn no_update_under_a_condition_is_lost() {
    const TASKS: usize = 3;
    explore(|| {
        block_on(async {
            let world = World::new(1, PLENTY);
            let increment = |_| {
                let world = Arc::clone(&world);
                spawn(async move {
                    loop {
                        let found = world.database.get(&key("n")).await.expect("free");
                        let (number, condition) = match found {
                            None => (1, Condition::absent()),
                            Some(found) => (
                                found.value.as_bytes().len() + 1,
                                Condition::version(found.version),
                            ),
                        };
                        let next = value(&"1".repeat(number));
                        if world.database.put(key("n"), next, condition).await.is_ok() {
                            return;
                        }
                    }
                })
            };
            join((0..TASKS).map(increment).collect()).await;
            let found = world
                .database
                .get(&key("n"))
                .await
                .expect("free")
                .expect("written");
            assert_eq!(found.value.len(), TASKS, "an increment is lost");
        });
    });
}
