//! The memory counter: what is stored when all is done, and never beyond what the limit allows.

use std::sync::Arc;

use shuttle::future::{JoinHandle, block_on, spawn};
use trandb_engine::{Command, Condition, Shard};
use trandb_server::database::Error;

use crate::{
    explore::explore,
    world::{PLENTY, Wish, World, any, key, value},
};

const SHARDS: u16 = 2;
const WRITERS: usize = 3;
const VALUES: [&str; 3] = ["", "12345678", "1234567890123456789012345678901234567890"];

/// Keys of both shards.
const KEYS: [&str; 3] = ["a", "b", "d"];

/// Writers of keys that they share, and a task that looks at the counter all the while.
async fn write_and_watch(world: &Arc<World>, used_max: u64) {
    let writer = |process: usize| {
        let world = Arc::clone(world);
        spawn(async move {
            for _ in 0..2 {
                let name = KEYS[any(KEYS.len())];
                let wish = match any(3) {
                    0 => Wish::Delete(Condition::default()),
                    _ => Wish::Put(VALUES[any(VALUES.len())], Condition::default()),
                };
                let is_delete = matches!(wish, Wish::Delete(_));
                match world.run(process, name, wish).await {
                    Ok(_) => {}
                    Err(Error::MemoryFull { .. }) => assert!(!is_delete, "deletes go on"),
                    Err(error) => panic!("{error:?}"),
                }
            }
        })
    };
    let writers: Vec<JoinHandle<()>> = (0..WRITERS).map(writer).collect();
    while writers.iter().any(|task| !task.is_finished()) {
        let used = world.memory.used();
        assert!(
            used <= used_max,
            "{used} bytes are used, at most {used_max} can be"
        );
        shuttle::future::yield_now().await;
    }
    for task in writers {
        task.await.expect("not aborted");
    }
}

/// By how much one write adds to the memory at most here.
fn growth_max() -> u64 {
    Shard::new(0).growth(&Command::Put {
        key: key(KEYS[0]),
        value: value(VALUES[2]),
        condition: Condition::default(),
    })
}

#[test]
fn the_keys_are_in_both_shards() {
    let shards: std::collections::BTreeSet<_> = KEYS
        .iter()
        .map(|name| trandb_engine::route(&key(name), SHARDS.try_into().expect("not 0")))
        .collect();
    assert_eq!(shards.len(), usize::from(SHARDS));
}

#[test]
fn the_memory_counter_is_the_content() {
    explore(|| {
        block_on(async {
            let world = World::new(SHARDS, PLENTY);
            write_and_watch(&world, KEYS.len() as u64 * growth_max()).await;
            world.judge(&KEYS).await;
        });
    });
}

/// One of three large values fits. Asking and counting are two steps: one write in each shard may
/// pass at once.
#[test]
fn the_limit_is_exceeded_by_at_most_a_value_for_each_other_shard() {
    explore(|| {
        block_on(async {
            let limit = growth_max();
            let world = World::new(SHARDS, limit);
            write_and_watch(&world, limit + u64::from(SHARDS - 1) * growth_max()).await;
            world.judge(&KEYS).await;
        });
    });
}
