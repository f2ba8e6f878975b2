//! What the process holds on to.

use std::time::Duration;

use trandb_integration_tests::{
    process::Process,
    wire::{Connection, Request},
};

const CONNECTIONS: usize = 8;
const KEY_BYTES: usize = 16;
const VALUE_BYTES: usize = 128;

/// Writes keys of 16 bytes, each as a request of its own, over several connections.
async fn load(process: &Process, numbers: std::ops::Range<usize>) {
    let address = process.address();
    let writers: Vec<_> = (0..CONNECTIONS)
        .map(|writer| {
            let mine = numbers.clone().skip(writer).step_by(CONNECTIONS);
            tokio::spawn(async move {
                let mut connection = Connection::open(address).await;
                for number in mine {
                    let target = format!("/keys/{number:0KEY_BYTES$}");
                    let put = Request::put(target, [b'v'; VALUE_BYTES]);
                    connection.ask(&put).await.assert_status(200);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("every write is answered");
    }
}

/// A value that is stored as a part of the buffer that it came in keeps all of that buffer: 4.5 KB
/// and more for each. Stored by itself it takes some 300 bytes with everything that belongs to it;
/// the bound is generous since tables grow by doubling, and is still a seventh of the trap.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_value_does_not_keep_the_buffer_that_it_came_in() {
    const WARM_UP: usize = 10_000;
    const KEYS: usize = 100_000;
    const BYTES_PER_KEY_MAX: u64 = 600;
    let process = Process::start(&[]);
    load(&process, 0..WARM_UP).await;
    let before = process.memory_bytes();
    load(&process, WARM_UP..WARM_UP + KEYS).await;
    let per_key = process.memory_bytes().saturating_sub(before) / KEYS as u64;
    println!("{per_key} bytes a key");
    assert!(
        per_key >= (KEY_BYTES + VALUE_BYTES) as u64,
        "only {per_key} bytes: not all is stored"
    );
    assert!(per_key < BYTES_PER_KEY_MAX, "{per_key} bytes a key");
}

/// Answers that wait for their reader are not made in advance: neither copied nor gathered beyond
/// a bound, whatever the reader has asked for already.
#[tokio::test]
async fn a_reader_that_does_not_read_does_not_make_the_process_grow() {
    const ANSWERS: usize = 300;
    const VALUE: usize = 1 << 20;
    const GROWTH_MAX: u64 = 32 << 20;
    let process = Process::start(&["--in-flight-limit", "1GiB"]);
    let mut lazy = Connection::open(process.address()).await;
    lazy.ask(&Request::put("/keys/large", vec![b'x'; VALUE]))
        .await
        .assert_status(200);
    lazy.ask(&Request::get("/keys/large"))
        .await
        .assert_status(200);
    let before = process.memory_bytes_max();
    lazy.send(Request::get("/keys/large").to_wire().repeat(ANSWERS))
        .await;
    // Time for a server that would make them all: it needs a tenth of that.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let growth = process.memory_bytes_max() - before;
    println!("{growth} bytes more at most");
    assert!(
        growth < GROWTH_MAX,
        "{growth} bytes for {ANSWERS} answers that nobody reads"
    );
    for _ in 0..ANSWERS {
        let answer = lazy.answer().await;
        assert_eq!((answer.status, answer.body.len()), (200, VALUE));
    }
    let growth = process.memory_bytes_max() - before;
    assert!(
        growth < GROWTH_MAX,
        "{growth} bytes for {ANSWERS} answers that were read"
    );
}
