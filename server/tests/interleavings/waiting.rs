//! Who waits for a key or for its shard: woken by the release, turned away at the deadline.

use std::sync::{Arc, Mutex};

use shuttle::future::{JoinHandle, block_on, spawn, yield_now};
use trandb_common::limits::LOCK_WAIT_MAX;
use trandb_engine::Condition;
use trandb_server::{database::Error, sync::advance};

use crate::{
    explore::{exhaust, explore},
    world::{ATTEMPT, PLENTY, Wish, World, any, key},
};

/// Every kind of wait for the key `k`.
const WAITERS: usize = 3;

type Results = Arc<Mutex<Vec<Result<(), Error>>>>;

async fn locked() -> Arc<World> {
    let world = World::new(1, PLENTY);
    world
        .run(9, "k", Wish::Put("before", Condition::default()))
        .await
        .expect("free");
    let shard = world.database.shard_of(&key("k"));
    world
        .database
        .shards()
        .lock(shard, ATTEMPT, &[], &[key("k")])
        .await
        .expect("free");
    world
}

fn waiters(world: &Arc<World>) -> (Vec<JoinHandle<()>>, Results) {
    let results = Results::default();
    let waiter = |process: usize| {
        let (world, results) = (Arc::clone(world), Arc::clone(&results));
        spawn(async move {
            let wish = match process {
                0 => Wish::Get,
                1 => Wish::Put("after", Condition::default()),
                _ => Wish::Delete(Condition::default()),
            };
            let result = world.run(process, "k", wish).await;
            results.lock().expect("no panic").push(result.map(|_| ()));
        })
    };
    ((0..WAITERS).map(waiter).collect(), results)
}

fn release(world: &Arc<World>) -> JoinHandle<()> {
    let world = Arc::clone(world);
    spawn(async move {
        let shard = world.database.shard_of(&key("k"));
        world.database.shards().unlock(shard, ATTEMPT).await;
    })
}

async fn join(tasks: Vec<JoinHandle<()>>) {
    for task in tasks {
        task.await.expect("not aborted");
    }
}

fn results(results: &Results) -> Vec<Result<(), Error>> {
    let results = results.lock().expect("no panic").clone();
    assert_eq!(results.len(), WAITERS);
    results
}

/// The clock stands still: a wake-up that is lost blocks its waiter for ever, and shuttle says so.
#[test]
fn every_waiter_ends_when_the_key_is_released() {
    explore(|| {
        block_on(async {
            let world = locked().await;
            let (waiting, ends) = waiters(&world);
            let release = release(&world);
            join(waiting).await;
            join(vec![release]).await;
            assert_eq!(results(&ends), [Ok(()); WAITERS]);
            world.judge(&["k"]).await;
        });
    });
}

#[test]
fn one_waiter_ends_under_every_schedule_there_is() {
    let waits_with = |wish: Wish| {
        block_on(async {
            let world = locked().await;
            let release = release(&world);
            world.run(0, "k", wish).await.expect("released");
            join(vec![release]).await;
            world.judge(&["k"]).await;
        });
    };
    let reads = exhaust(move || waits_with(Wish::Get));
    let writes = exhaust(move || waits_with(Wish::Put("after", Condition::default())));
    println!("{reads} schedules of a read, {writes} of a write");
    let few = "does anything still let others go on?";
    assert!(reads > 100 && writes > 100, "{few}");
}

#[test]
fn every_waiter_ends_when_the_shard_is_released() {
    explore(|| {
        block_on(async {
            let world = World::new(1, PLENTY);
            let shard = world.database.shard_of(&key("k"));
            let whole = world.database.shards().occupy(shard).await;
            let (waiting, ends) = waiters(&world);
            yield_now().await;
            drop(whole);
            join(waiting).await;
            assert_eq!(results(&ends), [Ok(()); WAITERS]);
            world.judge(&["k"]).await;
        });
    });
}

#[test]
fn nobody_is_turned_away_before_the_deadline() {
    explore(|| {
        block_on(async {
            let world = locked().await;
            let (waiting, ends) = waiters(&world);
            for _ in 0..3 {
                advance(LOCK_WAIT_MAX * 333 / 1000);
                yield_now().await;
            }
            let release = release(&world);
            join(waiting).await;
            join(vec![release]).await;
            assert_eq!(results(&ends), [Ok(()); WAITERS]);
            world.judge(&["k"]).await;
        });
    });
}

/// Of a key or of the whole shard, which takes another way: by the queue of the lock.
#[test]
fn everybody_is_turned_away_at_the_deadline_and_has_changed_nothing() {
    explore(|| {
        block_on(async {
            let world = locked().await;
            let shard = world.database.shard_of(&key("k"));
            let local = world.database.shards();
            let whole = if any(2) == 0 {
                Some(local.occupy(shard).await)
            } else {
                None
            };
            let (waiting, ends) = waiters(&world);
            while waiting.iter().any(|task| !task.is_finished()) {
                advance(LOCK_WAIT_MAX);
                yield_now().await;
            }
            join(waiting).await;
            drop(whole);
            assert_eq!(results(&ends), [Err(Error::LockTimeout); WAITERS]);
            local.unlock(shard, ATTEMPT).await;
            let found = world
                .database
                .get(&key("k"))
                .await
                .expect("free")
                .expect("written");
            assert_eq!(found.value.as_bytes(), b"before");
            world.judge(&["k"]).await;
        });
    });
}

/// Either ends the wait; what was turned away has certainly not happened.
#[test]
fn a_release_and_the_deadline_at_the_same_time() {
    explore(|| {
        block_on(async {
            let world = locked().await;
            let (waiting, ends) = waiters(&world);
            let release = release(&world);
            yield_now().await;
            advance(LOCK_WAIT_MAX);
            join(waiting).await;
            join(vec![release]).await;
            for result in results(&ends) {
                assert!(
                    matches!(result, Ok(()) | Err(Error::LockTimeout)),
                    "{result:?}"
                );
            }
            world.judge(&["k"]).await;
        });
    });
}
