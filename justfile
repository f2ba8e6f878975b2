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

# Run every test: what needs only Rust, then the container suite
test: && integration-test
    cargo test --workspace

# Build the image and test it in containers (needs Docker)
integration-test: image
    cargo test --workspace --test containers -- --ignored

# Print the line coverage of common, engine, server and client; fails where it is under 90 %
coverage:
    .ci/coverage 90 common engine server client

# Fuzz every target for SECONDS each; a finding is kept in fuzz/artifacts
fuzz SECONDS="30":
    cargo fuzz build --sanitizer none
    for target in $(cargo fuzz list); do just _fuzz-target "$target" {{ SECONDS }}; done

# New inputs go to the first folder, which git ignores; the stored ones are only read.
_fuzz-target TARGET SECONDS:
    mkdir -p fuzz/target/found/{{ TARGET }}
    cargo fuzz run --sanitizer none {{ TARGET }} \
        fuzz/target/found/{{ TARGET }} fuzz/corpus/{{ TARGET }} fuzz/regressions/{{ TARGET }} \
        -- -max_total_time={{ SECONDS }} -timeout=10 -print_final_stats=1 -verbosity=0

# Measure against the goals that need nothing installed; `just bench checker`: the checkers
bench *FLAGS: _bench-build
    {{ target_dir }}/release/trandb-bench {{ FLAGS }}

# Measure against Redis, memcached, nginx, webdis and etcd, as far as they are installed
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
