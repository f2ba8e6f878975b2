//! Bodies in flight: what is let in keeps to the limit, and all of it is given back.

use std::sync::{Arc, Mutex};

use shuttle::future::{block_on, spawn};
use trandb_server::in_flight::InFlight;

use crate::{explore::explore, world::any};

const LIMIT: u64 = 10;
const TASKS: u64 = 3;

#[test]
fn what_is_let_in_keeps_to_the_limit_and_is_given_back() {
    explore(|| {
        block_on(async {
            let in_flight = InFlight::new(LIMIT);
            // What permits stand for by our own count: never more than is really let in.
            let let_in = Arc::new(Mutex::new(0));
            let add = |let_in: &Mutex<u64>, bytes: u64| {
                let mut sum = let_in.lock().expect("no panic");
                *sum += bytes;
                assert!(*sum <= LIMIT, "{sum} bytes are let in");
            };
            let task = |_| {
                let (in_flight, let_in) = (Arc::clone(&in_flight), Arc::clone(&let_in));
                spawn(async move {
                    for _ in 0..2 {
                        let mut bytes = any(7) as u64;
                        let Some(mut permit) = in_flight.take(bytes) else {
                            assert!(bytes > 0, "no bytes always fit");
                            continue;
                        };
                        add(&let_in, bytes);
                        let more = any(5) as u64;
                        if permit.grow(more) {
                            add(&let_in, more);
                            bytes += more;
                        }
                        *let_in.lock().expect("no panic") -= bytes;
                        drop(permit);
                    }
                })
            };
            let tasks: Vec<_> = (0..TASKS).map(task).collect();
            for task in tasks {
                task.await.expect("not aborted");
            }
            assert_eq!(in_flight.bytes(), 0, "not all is given back");
            assert!(in_flight.take(LIMIT).is_some(), "all of it is free again");
        });
    });
}

/// Seven of ten bytes are taken: five never fit, three always do, whoever asks at the same moment.
#[test]
fn what_is_refused_takes_no_room_from_others() {
    explore(|| {
        block_on(async {
            let in_flight = InFlight::new(LIMIT);
            let _taken = in_flight.take(7).expect("all is free");
            let ask = |bytes| {
                let in_flight = Arc::clone(&in_flight);
                spawn(async move { in_flight.take(bytes).is_some() })
            };
            let (large, small) = (ask(5), ask(3));
            assert!(!large.await.expect("not aborted"), "beyond the limit");
            assert!(small.await.expect("not aborted"), "it fits");
        });
    });
}
