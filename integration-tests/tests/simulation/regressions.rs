//! What the simulation has found, each as the smallest scenario that shows it, or as what the
//! database is asked in it.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use tokio::time::sleep;
use trandb_common::{Key, TransactionBody, TransactionId, Value};
use trandb_engine::{AttemptId, Check, Condition, Operations, ShardId, Write, route};
use trandb_integration_tests::{
    counts::Tally,
    faults::{
        network::{Passage, Trouble},
        seam::{Seam, SeamFaults},
    },
    scenario::{Scenario, Setup},
    seed::Seed,
    trace::Trace,
    traffic::{self, Call, ClientPlan, Content, Schedule, Step},
    validate::validate,
    world::run_simulated,
};
use trandb_server::{
    Database, Local,
    memory::Memory,
    transactions::{Asked, Error, Source, Status},
};

#[test]
fn an_empty_body_in_pieces_is_read_to_its_end_once() {
    let put = Call::Put {
        key: "k".to_owned(),
        content: Content::Empty,
        condition: traffic::Condition::None,
    };
    legal(vec![Step {
        think_ms: 0,
        call: put,
        passage: Passage {
            trouble: Some(Trouble::SlowBody {
                pieces: 2,
                pause_ms: 0,
            }),
            ..Passage::default()
        },
    }]);
}

/// Runs these steps of one client, without any other fault.
fn legal(steps: Vec<Step>) {
    let client = ClientPlan {
        timeout_ms: 10_000,
        writes_with_ids: false,
        steps,
    };
    let run = run_simulated(&Scenario {
        seed: Seed(1),
        workload: "large-values".to_owned(),
        schedule: Schedule {
            clients: vec![client],
        },
        seam: SeamFaults::default(),
        disturbances: Vec::new(),
        setup: Setup::ample(1, 1),
    });
    validate(&run).unwrap_or_else(|failure| panic!("{failure}\n{}", run.trace));
}

/// A database of two shards, and a key of each.
struct Two {
    database: Database<Seam<Local>>,
    trace: Trace,
    keys: [Key; 2],
}

impl Two {
    fn new(faults: SeamFaults) -> Self {
        let shards = 2.try_into().expect("some");
        let local = Local::new(shards, 1, Arc::new(Memory::new(1 << 30)));
        let trace = Trace::begin();
        let rng = Rng::with_seed(1);
        let seam = Seam::new(local, faults, rng, Tally::default(), trace.clone());
        let keys = [0, 1].map(|shard| {
            let mut names = (0..).map(|number| key(&format!("k{number}")));
            let here = names.find(|key| route(key, shards) == ShardId(shard));
            here.expect("every shard has keys")
        });
        Self {
            database: Database::new(seam, Source::new(1, 0)),
            trace,
            keys,
        }
    }
}

fn key(text: &str) -> Key {
    Key::new(text).expect("legal")
}

fn put(key: &Key) -> Write {
    Write::Put {
        key: key.clone(),
        value: Value::default(),
    }
}

fn asked(id: u128, time: Duration, operations: Operations) -> Asked {
    Asked {
        id: Some(TransactionId(id)),
        body: TransactionBody::new(operations).expect("legal").into(),
        timeout: time,
    }
}

/// What other shards were asked to abort stands there longer than the commit at its home.
#[tokio::test(start_paused = true)]
async fn what_was_committed_and_is_forgotten_is_not_said_to_be_aborted() {
    let Two { database, keys, .. } = Two::new(SeamFaults::default());
    let writes = vec![put(&keys[0])];
    let operations = Operations {
        writes,
        ..Operations::default()
    };
    let asked = asked(7, Duration::from_secs(1), operations);
    let id = TransactionId(7);
    database.transact(asked).await.expect("committed");
    assert_eq!(database.abort_transaction(id).await, Ok(Status::Committed));
    let status = database.transaction_status(id).await;
    assert_eq!(status, Ok(Some(Status::Committed)));
    database.acknowledge(vec![(id, keys[0].clone())]);
    sleep(Duration::from_secs(100)).await;
    database.sweep().await;
    assert_eq!(database.transaction_status(id).await, Ok(None));
    // What never came is aborted at all of them.
    let id = TransactionId(8);
    let aborted = database.abort_transaction(id).await;
    assert_eq!(aborted, Ok(Status::NotCommitted));
    let status = database.transaction_status(id).await;
    assert_eq!(status, Ok(Some(Status::NotCommitted)));
}

/// Where no shard answers at once, what is sent last is carried out all the same.
#[tokio::test(start_paused = true)]
async fn an_aborted_transaction_leaves_no_lock_behind() {
    let Two { database, keys, .. } = Two::new(SeamFaults {
        decline_percent: 100,
        ..SeamFaults::default()
    });
    let [home, other] = &keys;
    database
        .put(home.clone(), Value::default(), Condition::default())
        .await
        .expect("free");
    let check = Check {
        key: home.clone(),
        version: None,
    };
    let operations = Operations {
        checks: vec![check],
        reads: Vec::new(),
        writes: vec![put(home), put(other)],
    };
    let asked = asked(7, Duration::from_secs(1), operations);
    let answer = database.transact(asked).await;
    assert!(matches!(answer, Err(Error::Conflict(_))), "{answer:?}");
    let written = database
        .put(other.clone(), Value::default(), Condition::default())
        .await;
    assert!(written.is_ok(), "{written:?}");
}

/// In real time, since with that mistake no other ever passes.
#[tokio::test]
async fn those_who_wait_for_the_same_key_do_not_wake_each_other_for_ever() {
    const TRIES_MAX: usize = 500;
    let Two {
        database,
        trace,
        keys,
    } = Two::new(SeamFaults::default());
    let local = database.shards().inner();
    let locked = local
        .lock(ShardId(1), AttemptId(0), &[], &[keys[1].clone()])
        .await;
    locked.expect("free");
    let time = Duration::from_millis(300);
    let read = |id| {
        let reads = keys.to_vec();
        let operations = Operations {
            reads,
            ..Operations::default()
        };
        database.transact(asked(id, time, operations))
    };
    let answers = tokio::join!(read(1), read(2), read(3));
    for answer in [answers.0, answers.1, answers.2] {
        assert_eq!(answer, Err(Error::LockTimeout));
    }
    let tries = trace.text().matches("prepare").count();
    assert!(tries < TRIES_MAX, "{tries} tries in {time:?}");
}
