# The project's commands: `just` alone lists them. CI runs the same ones.
# The programs they need are installed by .ci/install-tools.

set shell := ["bash", "-euo", "pipefail", "-c"]

host := `rustc --print host-tuple`
target_dir := env("CARGO_TARGET_DIR", "target")

_list:
    @just --list --unsorted

# Build everything in release mode
build:
    cargo build --workspace --release

# Start the server on 127.0.0.1:8080; flags follow, e.g. `just run --help`
run *FLAGS:
    cargo run --release -p trandb-server -- {{ FLAGS }}

# Start a cluster of three processes on this machine, and say what to try with it
cluster:
    #!/usr/bin/env bash
    set -euo pipefail
    cargo build --release -p trandb-server
    # Ctrl-C reaches the processes by itself, and they are given time to end.
    trap : INT
    trap wait EXIT
    processes=()
    for n in 1 2 3; do
        node=({{ target_dir }}/release/trandb-server --name "n$n" --log error,openraft=off
            --listen "127.0.0.1:$((8070 + 10 * n))" --peer-listen "127.0.0.1:$((8071 + 10 * n))"
            --peers 127.0.0.1:8081,127.0.0.1:8091,127.0.0.1:8101 --bootstrap-expect 3)
        "${node[@]}" &
        processes+=($!)
        echo "n$n  http://127.0.0.1:$((8070 + 10 * n))  process $!"
        echo "    ${node[*]}"
    done
    sleep 1
    for process in "${processes[@]}"; do
        if ! kill -0 "$process" 2>/dev/null; then
            echo "A node has ended. Does another server listen on one of these addresses?" >&2
            kill "${processes[@]}" 2>/dev/null || true
            exit 1
        fi
    done
    cat <<'TRY'

    Write at one node, read at another:
      curl -X PUT --data-binary hello http://127.0.0.1:8080/keys/greeting
      curl http://127.0.0.1:8090/keys/greeting
    Kill a process by its number, and ask the others. See the members:
      curl http://127.0.0.1:8100/cluster
    Start it again with its command, above: with an empty memory it takes its own place.
    Ctrl-C ends all three.
    TRY
    wait

# Run every test: what needs only Rust, then the container suite
test: && integration-test
    cargo test --workspace

# Build the image and test it in containers (needs Docker)
integration-test: image
    cargo test --workspace --test containers -- --ignored

# Let schemathesis ask what /openapi.json describes, of a server of its own; SEED repeats a run
contract SEED=`date +%s` EXAMPLES="50":
    TRANDB_CONTRACT_SEED={{ SEED }} TRANDB_CONTRACT_EXAMPLES={{ EXAMPLES }} \
        cargo test --workspace --test contract -- \
        --ignored --nocapture schemathesis

# Run the simulated clients with one SEED, and print its scenario and trace
sim SEED:
    TRANDB_SEED={{ SEED }} cargo test --workspace --test simulation -- \
        --exact seeds::any --nocapture

# Run the simulated clients with N seeds of each workload
sim-many N:
    TRANDB_SEEDS={{ N }} cargo test --workspace --test simulation -- seeds:: --nocapture

# Run groups, nodes and transactions in the simulated network with N seeds of each kind
cluster-sim N="20" *NAME: (_cluster-sim N "trandb-cluster" "simulation" NAME) (_cluster-sim N "trandb-integration-tests" "cluster_simulation" NAME)

_cluster-sim N PACKAGE BINARY *NAME:
    TRANDB_SEEDS={{ N }} RUSTFLAGS="--cfg tokio_unstable --cfg simulation" \
        CARGO_TARGET_DIR={{ target_dir }}/simulation CARGO_PROFILE_DEV_OPT_LEVEL=1 \
        cargo test --locked -p {{ PACKAGE }} --test {{ BINARY }} -- --nocapture --test-threads 1 {{ NAME }}

# Run groups of replicas in the simulated network with one SEED, and print its plan
cluster-sim-seed SEED:
    TRANDB_SEED={{ SEED }} just cluster-sim 1 whatever_happens

# Run all layers of the tests for about SECONDS and report; SEED repeats what can be repeated
prove SECONDS="3600" SEED="":
    cargo build --profile checked -p trandb-integration-tests --bin prove
    {{ target_dir }}/checked/prove {{ SECONDS }} {{ SEED }}

# Run the tests that need only Rust, and print what they cover; fails where a crate is under 90 %
coverage:
    .ci/coverage 90 common engine server client

# Run the locks of the server under thousands of schedules; NAME picks scenarios
interleavings *NAME:
    RUSTFLAGS="--cfg shuttle" CARGO_TARGET_DIR={{ target_dir }}/interleavings \
        cargo test --locked -p trandb-server --test interleavings -- {{ NAME }}

# Break common and engine in some hundred small ways; fails where their tests do not notice
mutants *FLAGS:
    command -v cargo-mutants >/dev/null || cargo install --locked --version 27.1.0 cargo-mutants
    mkdir -p {{ target_dir }}
    PROPTEST_MAX_SHRINK_ITERS=0 cargo mutants -p trandb-common -p trandb-engine --jobs 1 --output {{ target_dir }} {{ FLAGS }}

# Explore the large models of transactions, some minutes each
prove-transactions:
    cargo test --release -p trandb-engine --test transactions -- --ignored --nocapture model

# Fuzz every target for SECONDS each; a finding is kept in fuzz/artifacts
fuzz SECONDS="30":
    cargo fuzz build --sanitizer none
    for target in $(cargo fuzz list); do just _fuzz-target "$target" {{ SECONDS }}; done

# New inputs go to the first folder, which git ignores; the stored ones are only read.
_fuzz-target TARGET SECONDS *FLAGS:
    mkdir -p fuzz/target/found/{{ TARGET }}
    cargo fuzz run --sanitizer none {{ TARGET }} \
        fuzz/target/found/{{ TARGET }} fuzz/corpus/{{ TARGET }} fuzz/regressions/{{ TARGET }} \
        -- -max_total_time={{ SECONDS }} -timeout=10 -print_final_stats=1 -verbosity=0 {{ FLAGS }}

# Plant bugs into a copy of the code and fail if a test misses one; `just planted --list`: which
planted *ARGUMENTS:
    # With the features of the whole workspace: what it depends on is built for the tests already.
    cargo build --workspace --bin trandb-planted
    {{ target_dir }}/debug/trandb-planted {{ ARGUMENTS }}

# Measure against the goals that need nothing installed; `just bench transactions`, `checker`, `cluster`
bench *FLAGS: _bench-build
    {{ target_dir }}/release/trandb-bench {{ FLAGS }}

# Measure against Redis, memcached, nginx, webdis and etcd, as far as they are installed; `cluster`: three nodes against etcd's
bench-peers *FLAGS: _bench-build
    {{ target_dir }}/release/trandb-bench peers {{ FLAGS }}

# Each by itself: together the server would be built with the features that only the bench needs.
_bench-build:
    cargo build --release -p trandb-server
    cargo build --release -p trandb-bench

# Build the image `trandb` from a static binary made on this machine (needs Docker)
image:
    RUSTFLAGS="-C target-feature=+crt-static" \
        cargo build --release --locked -p trandb-server --target {{ host }}
    install -m 755 {{ target_dir }}/{{ host }}/release/trandb-server docker/context/
    docker build --target prebuilt -t trandb -t trandb:test -f docker/Dockerfile .

# Check format, lints, docs and dependencies; never writes to the tree
verify:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked
    cargo deny --workspace check --hide-inclusion-graph licenses bans sources

# Repair what can be repaired by itself: format and simple lints
fix:
    cargo clippy --fix --allow-dirty --allow-staged --workspace --all-targets
    cargo fmt --all

# Check the dependencies against the RustSec advisories (needs the internet)
audit:
    cargo deny --workspace check --hide-inclusion-graph advisories
