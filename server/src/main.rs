//! `trandb-server`: one process, in memory, ready at once; or one node of a cluster.

#[cfg(not(shuttle))]
mod run;

#[cfg(not(shuttle))]
fn main() -> std::process::ExitCode {
    run::main()
}

/// What is tried under many schedules is the library.
#[cfg(shuttle)]
fn main() {}
