//! Transactions over shards that are slow, refuse, or lose everything from some moment on; and what
//! the sweep makes of what is left.

mod world;

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use trandb_common::TransactionId;
use trandb_engine::{AttemptId, ShardId, Step};
use trandb_server::{
    shards::ShardError,
    transactions::{Asked, Committed, Error, Status},
};

use self::world::{
    EPOCH, ID, SHARDS, TIMEOUT, Trouble, World, absent, asked, everywhere, key, keys, put, value,
};

/// The two ways through the protocol: one that commits, one whose check fails at the last shard.
fn paths() -> [(&'static str, Asked); 2] {
    let mut conflict = everywhere("new");
    let [.., last] = keys();
    let writes = conflict.body.operations().writes.clone();
    conflict = Asked {
        ..asked(vec![absent(&last)], vec![], writes)
    };
    [("commits", everywhere("new")), ("conflict", conflict)]
}

/// What the answer says is what all three shards hold. Where it says that the outcome is not known,
/// the status does.
async fn assert_true(world: &World, answer: &Result<Committed, Error>, about: &str) {
    let status = world.0.transaction_status(ID).await.expect("not occupied");
    let is_committed = match answer {
        Ok(_) => true,
        Err(Error::Unknown { id, promised }) => {
            assert_eq!((*id, *promised), (ID, true), "{about}");
            status == Some(Status::Committed)
        }
        Err(_) => false,
    };
    let expected = if is_committed { "new" } else { "old" };
    for key in keys() {
        let found = world.get(&key).await.expect("a value");
        assert_eq!(found.value, value(expected), "{about}: {answer:?}");
    }
    assert_eq!(
        status == Some(Status::Committed),
        is_committed,
        "{about}: {answer:?}"
    );
}

async fn world_with_old_values() -> World {
    let world = World::new();
    for key in keys() {
        world.put(&key, "old").await;
    }
    world
}

/// Each command of each path has each trouble, alone and with every later one.
#[tokio::test(start_paused = true)]
async fn one_command_after_another_has_trouble() {
    const ALL: [Step; 5] = [
        Step::Prepare,
        Step::Commit,
        Step::Resolve,
        Step::Finalize,
        Step::Forget,
    ];
    let memory_full = ShardError::MemoryFull { limit: 1, used: 1 };
    let troubles = [
        Trouble::Refused(ShardError::LockTimeout),
        Trouble::Refused(memory_full),
        Trouble::Refused(ShardError::Unavailable),
        Trouble::Lost,
        Trouble::Unheard,
        Trouble::Late(Duration::from_millis(300)),
        Trouble::Late(TIMEOUT * 2),
        Trouble::Told(Duration::from_millis(300)),
        Trouble::Told(TIMEOUT * 2),
    ];
    let mut unknown = 0;
    for (path, asked) in paths() {
        for step in ALL {
            for shard in (0..SHARDS.get()).map(ShardId) {
                for trouble in troubles {
                    let about = format!("{path}: {step:?} at {shard}: {trouble:?}");
                    let world = world_with_old_values().await;
                    world.shards().plan(Box::new(move |s, at| {
                        (s == step && at == shard).then_some(trouble)
                    }));
                    let begun = Instant::now();
                    let answer = world.0.transact(asked.clone()).await;
                    assert!(begun.elapsed() <= TIMEOUT * 3, "{about}");
                    world.shards().plan(Box::new(|_, _| None));
                    world.live_on(20).await;
                    assert_true(&world, &answer, &about).await;
                    world.assert_nothing_is_left(&about).await;
                    unknown += usize::from(matches!(answer, Err(Error::Unknown { .. })));
                }
            }
        }
    }
    // The home can be asked about a `Commit` whose reply was not heard.
    assert_eq!(unknown, 0, "only one command has trouble at a time");
}

/// The home carries out the `Commit`, or does not, and then cannot be reached. Both are unknown to the
/// client, and both can be told when the home is back: the same transaction sent again is run once.
#[tokio::test(start_paused = true)]
async fn what_nobody_has_heard_is_unknown() {
    for (of_commit, happened) in [(Trouble::Lost, false), (Trouble::Unheard, true)] {
        let about = format!("{of_commit:?}");
        let world = world_with_old_values().await;
        world.shards().plan(Box::new(move |step, _| match step {
            Step::Commit => Some(of_commit),
            Step::Resolve => Some(Trouble::Refused(ShardError::Unavailable)),
            _ => None,
        }));
        let answer = world.0.transact(everywhere("new")).await;
        assert!(
            matches!(answer, Err(Error::Unknown { .. })),
            "{about}: {answer:?}"
        );
        world.shards().plan(Box::new(|_, _| None));
        world.live_on(20).await;
        assert_true(&world, &answer, &about).await;
        let status = world.0.transaction_status(ID).await.expect("not occupied");
        assert_eq!(status == Some(Status::Committed), happened, "{about}");
        let again = world.0.transact(everywhere("new")).await;
        assert!(again.is_ok(), "{about}: {again:?}");
        assert_true(&world, &again, &about).await;
        world.assert_nothing_is_left(&about).await;
    }
}

/// What a refusal means to the client, by where it happens.
#[tokio::test(start_paused = true)]
async fn the_client_is_told_why_it_did_not_happen() {
    let (limit, used) = (10, 9);
    for (error, expected) in [
        (ShardError::LockTimeout, Error::LockTimeout),
        (ShardError::Unavailable, Error::ShardUnavailable),
        (
            ShardError::MemoryFull { limit, used },
            Error::MemoryFull { limit, used },
        ),
    ] {
        for (step, shard) in [(Step::Prepare, 1), (Step::Prepare, 2), (Step::Commit, 0)] {
            let world = World::new();
            world.shards().plan(Box::new(move |s, at| {
                (s == step && at == ShardId(shard)).then_some(Trouble::Refused(error))
            }));
            let answer = world.0.transact(everywhere("new")).await;
            assert_eq!(answer, Err(expected.clone()), "{step:?} at {shard}");
        }
    }
}

/// From some command on nothing comes through any more, as if the coordinator had vanished. What
/// it leaves behind is resolved, and the transaction can be sent again: it happens once.
#[tokio::test(start_paused = true)]
async fn a_coordinator_that_vanishes_leaves_nothing() {
    let mut outcomes = Vec::new();
    for count in 0..7 {
        let about = format!("after {count} commands");
        let world = world_with_old_values().await;
        world.shards().cut_after(count);
        let lost = timeout(TIMEOUT * 2, world.0.transact(everywhere("new"))).await;
        world.shards().cut_after(usize::MAX);
        world.live_on(10).await;
        let status = world.0.transaction_status(ID).await.expect("not occupied");
        let is_committed = status == Some(Status::Committed);
        if let Ok(answer) = lost {
            assert_eq!(answer.is_ok(), is_committed, "{about}");
        }
        outcomes.push(is_committed);
        for key in keys() {
            let found = world.get(&key).await.expect("a value");
            let expected = if is_committed { "new" } else { "old" };
            assert_eq!(found.value, value(expected), "{about}");
        }
        let again = world
            .0
            .transact(everywhere("new"))
            .await
            .expect("committed");
        world.live_on(1).await;
        for (key, version) in keys().iter().zip(&again.versions) {
            let found = world.get(key).await.expect("a value");
            assert_eq!((Some(found.version), found.value), (*version, value("new")));
        }
        if is_committed {
            // The versions of the first time: the counter of no shard has moved.
            let first = again.versions.iter().flatten();
            assert!(first.clone().all(|version| version.counter == 2), "{about}");
        }
        world.assert_nothing_is_left(&about).await;
    }
    // Two prepares, then the commit.
    assert_eq!(
        outcomes,
        [false, false, false, true, true, true, true],
        "the third command is the commit point"
    );
}

/// Whoever asked goes away, after every moment in turn.
#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_locks_nothing() {
    const EACH: Duration = Duration::from_millis(100);
    for half_steps in 0..12 {
        let about = format!("after {half_steps} half steps");
        let world = world_with_old_values().await;
        world
            .shards()
            .plan(Box::new(|_, _| Some(Trouble::Late(EACH))));
        let patience = EACH / 2 * half_steps;
        let answer = timeout(patience, world.0.transact(everywhere("new"))).await;
        // No sweep: the transaction goes on by itself.
        sleep(EACH * 10).await;
        world.shards().plan(Box::new(|_, _| None));
        assert_eq!(answer.is_ok(), half_steps > 4, "{about}");
        let as_it_would_be = Ok(Committed {
            id: ID,
            versions: Vec::new(),
            reads: None,
        });
        assert_true(&world, &as_it_would_be, &about).await;
        world.assert_nothing_is_left(&about).await;
    }
}

#[tokio::test(start_paused = true)]
async fn within_one_shard_a_client_that_goes_away_changes_all_or_nothing() {
    const EACH: Duration = Duration::from_millis(100);
    let (a, b) = (key("a", 0), key("b", 0));
    for (trouble, expected) in [(Trouble::Late(EACH), false), (Trouble::Told(EACH), true)] {
        let world = World::new();
        world.shards().plan(Box::new(move |_, _| Some(trouble)));
        let both = asked(vec![], vec![], vec![put(&a, "new"), put(&b, "new")]);
        let answer = timeout(EACH / 2, world.0.transact(both)).await;
        answer.expect_err("it was given up");
        sleep(EACH * 2).await;
        assert_eq!(world.get(&a).await.is_some(), expected, "{trouble:?}");
        assert_eq!(world.get(&b).await.is_some(), expected, "{trouble:?}");
        world.assert_nothing_is_left("one shard").await;
    }
}

/// Somebody else holds a key of the last shard.
#[tokio::test(start_paused = true)]
async fn a_busy_key_is_tried_for_again_and_again_until_the_time_is_over() {
    const OTHER: AttemptId = AttemptId(42);
    let [.., last] = keys();
    let world = world_with_old_values().await;
    let local = &world.shards().local;
    let lock = local.lock(ShardId(2), OTHER, &[], std::slice::from_ref(&last));
    lock.await.expect("free");
    let begun = Instant::now();
    let answer = world.0.transact(everywhere("new")).await;
    assert_eq!(answer, Err(Error::LockTimeout));
    assert_eq!(begun.elapsed(), TIMEOUT);
    let tries = world.shards().times(Step::Prepare);
    // Two prepares a try. The pauses grow up to 50 ms, each with up to its length more.
    let starts: Vec<_> = tries.iter().step_by(2).collect();
    let pauses: Vec<_> = starts.windows(2).map(|two| *two[1] - *two[0]).collect();
    assert!(pauses.len() > 40, "{} pauses", pauses.len());
    let longest = pauses.iter().max().expect("some");
    assert!(*longest <= Duration::from_millis(101), "{longest:?}");
    assert!(pauses[0] <= Duration::from_millis(3), "{:?}", pauses[0]);
    let mut late = pauses[10..].to_vec();
    late.sort_unstable();
    late.dedup();
    assert!(late.len() > 10, "there is jitter: {late:?}");
    assert!(late[0] >= Duration::from_millis(50), "{:?}", late[0]);

    local.unlock(ShardId(2), OTHER).await;
    world.live_on(10).await;
    world.assert_nothing_is_left("after the time").await;
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_let_go_is_had_within_a_pause() {
    const OTHER: AttemptId = AttemptId(42);
    let [.., last] = keys();
    // Whoever did not notice the release would find the key free up to two pauses later: not at
    // every moment, so many are tried.
    for held in (500..700).step_by(7).map(Duration::from_millis) {
        let world = world_with_old_values().await;
        let local = &world.shards().local;
        let lock = local.lock(ShardId(2), OTHER, &[], std::slice::from_ref(&last));
        lock.await.expect("free");
        let database = std::sync::Arc::clone(&world.0);
        let waiting = tokio::spawn(async move { database.transact(everywhere("new")).await });
        sleep(held).await;
        local.unlock(ShardId(2), OTHER).await;
        let before = Instant::now();
        let answer = waiting.await.expect("it ends");
        assert!(answer.is_ok(), "{answer:?}");
        // All who waited come back one after another, not together.
        let waited = before.elapsed();
        assert!(waited <= Duration::from_millis(51), "{waited:?}");
    }
}

/// An outcome is kept for ten minutes of log time, and no promise is kept for longer.
#[tokio::test(start_paused = true)]
async fn an_outcome_is_kept_ten_minutes() {
    let world = World::new();
    let first = world
        .0
        .transact(everywhere("new"))
        .await
        .expect("committed");
    let status = async || world.0.transaction_status(ID).await.expect("not occupied");
    world.live_on(10 * 60 - 1).await;
    assert_eq!(status().await, Some(Status::Committed));
    let again = world
        .0
        .transact(everywhere("new"))
        .await
        .expect("committed");
    assert_eq!(
        (again.versions, again.reads),
        (first.versions.clone(), Some(vec![]))
    );
    world.live_on(10 * 60 + 10).await;
    assert_eq!(status().await, None, "its time is over");
    let later = world
        .0
        .transact(everywhere("new"))
        .await
        .expect("committed");
    assert_ne!(later.versions, first.versions, "it is run as a new one");
}

/// Shards that do nothing at once, as those of a cluster, are told by the next sweep.
#[tokio::test(start_paused = true)]
async fn an_acknowledged_outcome_is_kept_no_longer() {
    let world = World::new();
    let committed = world.0.transact(everywhere("new")).await;
    committed.expect("nothing is in the way");
    world.0.acknowledge(vec![(ID, key("a", 0))]);
    let status = async || world.0.transaction_status(ID).await.expect("not occupied");
    assert_eq!(status().await, Some(Status::Committed));
    // Its attempts are remembered for some seconds more, as those of every transaction.
    world.live_on(20).await;
    assert_eq!(status().await, None);
}

/// The home's part is what does not fit any more, when the others are prepared.
#[tokio::test(start_paused = true)]
async fn memory_that_runs_out_in_the_middle_is_given_back() {
    const LARGE: usize = 4 << 20;
    let large = "x".repeat(LARGE);
    let world = World::with_memory(2 * LARGE as u64 + 100_000);
    let before = world.shards().memory.used();
    let answer = world.0.transact(everywhere(&large)).await;
    let Err(Error::MemoryFull { limit, used }) = answer else {
        panic!("{answer:?}");
    };
    assert!(
        used > 2 * LARGE as u64 && used <= limit,
        "{used} of {limit}"
    );
    let commits = world.shards().times(Step::Commit).len();
    assert_eq!(commits, 1, "both prepares have found room");
    world.live_on(60).await;
    world.assert_nothing_is_left("memory").await;
    // But for the abort, which is remembered for a while.
    let after = world.shards().memory.used();
    assert!(after < before + 2_000, "{after} bytes are left");
    for key in keys() {
        assert_eq!(world.get(&key).await, None);
    }
}

/// Some at shards that vote no, one at the home.
#[tokio::test(start_paused = true)]
async fn a_conflict_names_every_check_that_fails() {
    let world = world_with_old_values().await;
    let checks = keys().iter().map(absent).collect();
    let answer = world
        .0
        .transact(asked(checks, vec![], vec![put(&keys()[0], "new")]))
        .await;
    let Err(Error::Conflict(failed)) = answer else {
        panic!("{answer:?}");
    };
    let mut named: Vec<_> = failed.iter().map(|check| check.key.clone()).collect();
    named.sort();
    assert_eq!(named, keys());
    assert!(
        failed
            .iter()
            .all(|check| check.actual.is_some_and(|v| v.epoch == EPOCH))
    );
}

/// It is aborted by its id while its participants are prepared.
#[tokio::test(start_paused = true)]
async fn an_abort_overtakes_a_commit() {
    let world = world_with_old_values().await;
    let slow = Trouble::Late(Duration::from_secs(2));
    world.shards().plan(Box::new(move |step, _| {
        (step == Step::Commit).then_some(slow)
    }));
    let database = std::sync::Arc::clone(&world.0);
    let running = tokio::spawn(async move { database.transact(everywhere("new")).await });
    sleep(Duration::from_secs(1)).await;
    let status = world.0.transaction_status(ID).await;
    assert_eq!(status, Ok(Some(Status::InProgress)));
    let aborted = world.0.abort_transaction(ID).await;
    assert_eq!(aborted, Ok(Status::NotCommitted));
    let answer = running.await.expect("it ends");
    assert_eq!(answer, Err(Error::Conflict(Vec::new())));
    world.live_on(1).await;
    assert_true(&world, &answer, "aborted").await;
    world.assert_nothing_is_left("aborted").await;
    let unknown = TransactionId(8);
    assert_eq!(world.0.transaction_status(unknown).await, Ok(None));
    let aborted = world.0.abort_transaction(unknown).await;
    assert_eq!(aborted, Ok(Status::NotCommitted), "nobody has heard of it");
}

/// A shard that is slow in the sweep is left to the next one.
#[tokio::test(start_paused = true)]
async fn a_sweep_that_cannot_ask_asks_again() {
    let world = world_with_old_values().await;
    // The participants never hear of the decision.
    world.shards().cut_after(3);
    let answer = timeout(TIMEOUT * 2, world.0.transact(everywhere("new"))).await;
    answer.expect("answered").expect("committed");
    world.shards().cut_after(usize::MAX);
    let refused = Trouble::Refused(ShardError::LockTimeout);
    world.shards().plan(Box::new(move |_, _| Some(refused)));
    world.live_on(5).await;
    world.shards().plan(Box::new(move |step, shard| {
        (step == Step::Finalize && shard == ShardId(1)).then_some(refused)
    }));
    world.live_on(5).await;
    let [_, second, third] = keys();
    assert_eq!(
        world.get(&third).await.expect("a value").value,
        value("new")
    );
    let locked = world.0.get(&second).await;
    assert_eq!(locked, Err(trandb_server::database::Error::LockTimeout));
    world.shards().plan(Box::new(|_, _| None));
    let before = world.shards().steps().len();
    world.live_on(1).await;
    assert!(world.shards().steps().len() > before);
    world.assert_nothing_is_left("swept").await;
    assert_eq!(
        world.get(&second).await.expect("a value").value,
        value("new")
    );
}
