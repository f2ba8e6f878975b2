//! Listings while others write: each shard's part is one moment of that shard.

use std::sync::Arc;

use shuttle::future::{block_on, spawn};
use trandb_engine::Condition;

use crate::{
    explore::explore,
    world::{PLENTY, Wish, World},
};

/// `m` is there all the time, and a task writes `a`, then `z`: whoever sees `z` sees `a`.
#[test]
fn the_listing_of_a_shard_is_one_moment_of_it() {
    explore(|| {
        block_on(async {
            let world = World::new(1, PLENTY);
            let put = |name| {
                let world = Arc::clone(&world);
                async move {
                    let wish = Wish::Put("v", Condition::default());
                    world.run(0, name, wish).await.expect("free")
                }
            };
            put("m").await;
            let (a, z) = (put("a"), put("z"));
            let writer = spawn(async move {
                a.await;
                z.await;
            });
            let keys: Vec<String> = world
                .list()
                .await
                .iter()
                .map(|listed| listed.key.to_string())
                .collect();
            assert!(
                ["m", "am", "amz"].contains(&keys.concat().as_str()),
                "{keys:?} were never there together"
            );
            writer.await.expect("not aborted");
            world.judge(&["a", "m", "z"]).await;
        });
    });
}
