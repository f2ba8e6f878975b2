//! A shard that was restored from its snapshot goes on as if nothing had been.

use proptest::prelude::*;
use trandb_engine::Shard;

use super::{random::any_config, system::System};

/// Replaces every shard by what its snapshot restores.
fn restore_all(system: &mut System) {
    for shard in &mut system.shards {
        let restored = Shard::restore(&shard.snapshot()).expect("a snapshot");
        assert_eq!(restored, *shard);
        assert_eq!(restored.bytes(), shard.bytes());
        assert_eq!(restored.digest(), shard.digest());
        *shard = restored;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Of two systems in which the same happens, one is restored again and again: replies, answers
    /// and shards stay equal.
    #[test]
    fn restored_shards_answer_as_those_they_were_taken_of(
        config in any_config(),
        choices in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..120),
    ) {
        let mut system = System::new(&config);
        let mut restored = system.clone();
        for (choice, restore) in choices {
            if restore {
                restore_all(&mut restored);
            }
            let actions = system.actions();
            if actions.is_empty() {
                break;
            }
            let action = choice.get(&actions).clone();
            system.act(&config, &action);
            restored.act(&config, &action);
            prop_assert_eq!(&restored, &system, "after {:?}", action);
        }
        restore_all(&mut restored);
        restored.close(&config).assert_right(|| "after the last restore".to_owned());
    }
}
