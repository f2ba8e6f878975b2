//! Which node leads the shard of a key, so that nobody has to pass the request on.
//!
//! What is known may be old at any moment, and need not be right: any node serves any key. So it is
//! asked for again now and then while it is used, and forgotten where it led to nobody.

use std::{
    num::NonZeroU16,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use trandb_common::{Key, wire::cluster::ClusterStatus};

use crate::Endpoint;

/// How old the answer of a node may become.
const AGE_MAX: Duration = Duration::from_secs(5);

/// Between two questions, however much goes wrong.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// What a client knows of the leaders of a cluster.
#[derive(Debug)]
pub(crate) struct Leaders {
    /// `http` or `https`, as the endpoints have it that the client was given.
    scheme: String,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Of each shard; empty as long as nothing is known, or if there is no cluster.
    of_shards: Vec<Option<Arc<Endpoint>>>,
    asked: Option<Instant>,
    /// It led to a node that did not serve.
    is_doubtful: bool,
}

impl Leaders {
    pub(crate) fn new(like: &Endpoint) -> Self {
        let url = like.to_string();
        let scheme = url.split(':').next().unwrap_or("http").to_owned();
        Self {
            scheme,
            known: Mutex::default(),
        }
    }

    /// Nothing panics while it holds the lock, so a poisoned one is as good as any.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who leads the shard of `key`, as far as it is known.
    pub(crate) fn of(&self, key: &Key) -> Option<Arc<Endpoint>> {
        let known = self.known();
        let count = NonZeroU16::new(u16::try_from(known.of_shards.len()).ok()?)?;
        known.of_shards[usize::from(key.shard(count))].clone()
    }

    /// Whether it is time to ask. Who is told so asks: nobody else is told for a while.
    pub(crate) fn is_time_to_ask(&self, now: Instant) -> bool {
        let mut known = self.known();
        let pause = if known.is_doubtful {
            ASK_EVERY
        } else {
            AGE_MAX
        };
        let is_time = known.asked.is_none_or(|asked| now >= asked + pause);
        if is_time {
            known.asked = Some(now);
        }
        is_time
    }

    /// Forgets that this one leads anything: it did not serve.
    pub(crate) fn forget(&self, endpoint: &Arc<Endpoint>) {
        let mut known = self.known();
        known.is_doubtful = true;
        let forgotten = known.of_shards.iter_mut();
        for leader in forgotten.filter(|leader| leader.as_ref() == Some(endpoint)) {
            *leader = None;
        }
    }

    /// Takes what a node says.
    pub(crate) fn learn(&self, status: &ClusterStatus) {
        let address = |node| {
            let mut members = status.members.iter();
            let leader = members.find(|member| Some(member.node) == node)?;
            let url = format!("{}://{}", self.scheme, leader.address);
            url.parse().ok().map(Arc::new)
        };
        let mut of_shards = Vec::new();
        for group in &status.groups {
            let Some(shard) = group.shard.map(usize::from) else {
                continue;
            };
            if of_shards.len() <= shard {
                of_shards.resize(shard + 1, None);
            }
            of_shards[shard] = address(group.leader);
        }
        let mut known = self.known();
        // While a shard has no leader, it is about to get one.
        known.is_doubtful = of_shards.iter().any(Option::is_none);
        known.of_shards = of_shards;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn leaders() -> Leaders {
        Leaders::new(&"http://seed:1".parse().expect("legal"))
    }

    /// Of the nodes 4 and 5, with these leaders of the shards.
    fn status(leaders: &[Option<u64>]) -> ClusterStatus {
        let member = |node: u64| {
            json!({"name": format!("n{node}"), "node": node, "address": format!("n{node}:8080"),
                "peer_address": "", "zone": "", "state": "up", "leads": 0})
        };
        let group = |shard: Option<usize>, leader| {
            json!({"shard": shard, "epoch": 0, "role": "follower", "term": 1, "leader": leader,
                "voters": [4, 5], "changing": false, "lag": 0, "lagging": {}, "ready": true})
        };
        let shards = leaders.iter().enumerate();
        let groups = shards.map(|(shard, leader)| group(Some(shard), *leader));
        let groups: Vec<_> = std::iter::once(group(None, Some(4)))
            .chain(groups)
            .collect();
        serde_json::from_value(
            json!({"clustered": true, "ready": true, "cluster": "c", "node": 4,
            "map_version": 1, "members": [member(4), member(5)], "groups": groups}),
        )
        .expect("a status")
    }

    fn told(leaders: &Leaders, key: &str) -> Option<String> {
        let key = Key::new(key).expect("legal");
        Some(leaders.of(&key)?.to_string())
    }

    fn key_of(shard: u16, shards: u16) -> String {
        let shards = NonZeroU16::new(shards).expect("not 0");
        let names = (0..).map(|number| format!("k{number}"));
        let is_there = |name: &String| Key::new(name).expect("legal").shard(shards) == shard;
        names.into_iter().find(is_there).expect("there are many")
    }

    #[test]
    fn a_key_belongs_to_the_leader_of_its_shard() {
        let leaders = leaders();
        assert_eq!(told(&leaders, "k"), None, "nothing is known");
        leaders.learn(&status(&[Some(5), Some(4), None, Some(6)]));
        let [five, four, nobody, stranger] = [0, 1, 2, 3].map(|shard| key_of(shard, 4));
        assert_eq!(told(&leaders, &five).as_deref(), Some("http://n5:8080"));
        assert_eq!(told(&leaders, &four).as_deref(), Some("http://n4:8080"));
        assert_eq!(told(&leaders, &nobody), None);
        assert_eq!(told(&leaders, &stranger), None, "it is no member");
        leaders.learn(&ClusterStatus::default());
        assert_eq!(told(&leaders, &five), None, "there is no cluster");
    }

    #[test]
    fn who_does_not_serve_is_forgotten_and_the_others_are_not() {
        let leaders = leaders();
        leaders.learn(&status(&[Some(4), Some(5), Some(4)]));
        let four = leaders.of(&Key::new(&key_of(0, 3)).expect("legal"));
        leaders.forget(&four.expect("known"));
        let known = [0, 1, 2].map(|shard| told(&leaders, &key_of(shard, 3)).is_some());
        assert_eq!(known, [false, true, false]);
    }

    #[test]
    fn it_is_asked_for_now_and_then_and_sooner_if_it_was_wrong() {
        let leaders = leaders();
        let start = Instant::now();
        let at = |time| leaders.is_time_to_ask(start + time);
        let moment = Duration::from_millis(1);
        assert!(at(Duration::ZERO), "nobody has asked");
        leaders.learn(&status(&[Some(4)]));
        assert!(!at(AGE_MAX.saturating_sub(moment)));
        assert!(at(AGE_MAX));
        leaders.forget(&leaders.of(&Key::new("k").expect("legal")).expect("known"));
        assert!(!at((AGE_MAX + ASK_EVERY).saturating_sub(moment)));
        assert!(at(AGE_MAX + ASK_EVERY));
        leaders.learn(&status(&[None]));
        assert!(at(AGE_MAX + 2 * ASK_EVERY), "nobody leads it yet");
    }
}
