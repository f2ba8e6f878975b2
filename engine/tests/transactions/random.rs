//! Long walks: bodies that proptest makes, and at every step whatever may happen.

use proptest::prelude::*;

use super::{
    cases,
    system::{Config, Limits, System},
};

fn any_word(shards: u16) -> impl Strategy<Value = String> {
    let name = (prop::sample::select(vec!["x", "y"]), 0..shards);
    let name = name.prop_map(|(name, shard)| format!("{name}@{shard}"));
    (name, 0_u8..5, 0_u8..4).prop_map(|(name, kind, n)| match kind {
        0 => format!("{name}?{}", n + 1),
        1 => name,
        2 => format!("{name}!"),
        _ => format!("{name}={n}"),
    })
}

/// The words of a body, each key once in each list.
fn any_body(shards: u16) -> impl Strategy<Value = String> {
    prop::collection::vec(any_word(shards), 1..6).prop_map(|mut words| {
        words.sort_by_key(|word| {
            let end = word.find(['?', '=', '!']).unwrap_or(word.len());
            let list = match word[end..].chars().next() {
                None => 0,
                Some('?') => 1,
                Some(_) => 2,
            };
            (list, word[..end].to_owned())
        });
        words.dedup_by_key(|word| {
            let end = word.find(['?', '=', '!']).unwrap_or(word.len());
            let list = match word[end..].chars().next() {
                None => 0,
                Some('?') => 1,
                Some(_) => 2,
            };
            (list, word[..end].to_owned())
        });
        words.join(" ")
    })
}

pub(crate) fn any_config() -> impl Strategy<Value = Config> {
    (1_u16..4).prop_flat_map(|shards| {
        let bodies = prop::collection::vec((any_body(shards), 0_u8..3, any::<bool>()), 1..5);
        (bodies, any::<bool>()).prop_map(move |(bodies, ids)| {
            let texts: Vec<String> = bodies
                .iter()
                .enumerate()
                // Now and then two clients have one id.
                .map(|(index, (text, id, _))| {
                    let own = index + 10;
                    let id = if ids { usize::from(*id) } else { own };
                    format!("#{id} {text}")
                })
                .collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let mut config = cases::config(shards, "x@0=0 y@0=0", &texts, "x@0=p y@0=q");
            for (client, (_, _, promised)) in config.clients.iter_mut().zip(&bodies) {
                client.promised = *promised || ids;
                // One id with two homes is more than any home can tell.
                client.id.0 += 100 * u128::from(client.body.home(config.shards).0);
            }
            config.limits = Limits {
                duplicates: 4,
                faults: 2,
                crashes: 1,
                time_outs: 1,
                retries: 3,
                resolvers: 4,
                ticks: 2,
            };
            config
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn whatever_happens_the_judge_has_nothing_to_say(
        config in any_config(),
        choices in prop::collection::vec(any::<prop::sample::Index>(), 0..120),
    ) {
        let mut system = System::new(&config);
        let mut taken = Vec::new();
        for choice in choices {
            let actions = system.actions();
            if actions.is_empty() {
                break;
            }
            let action = choice.get(&actions).clone();
            system.act(&config, &action);
            taken.push(action);
            system.assert_right(|| format!("{taken:#?}"));
        }
        system.close(&config).assert_right(|| format!("{taken:#?}"));
    }
}
