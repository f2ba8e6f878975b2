//! Tasks. In the simulator their random numbers come from the seed of who spawns them.

/// As `tokio::spawn`; nobody waits for it.
#[cfg(not(simulation))]
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

/// As `tokio::spawn`; nobody waits for it.
#[cfg(simulation)]
pub fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    use openraft::AsyncRuntime as _;
    use openraft_rt::deterministic_rng::DeterministicRng;
    use openraft_rt_tokio::TokioRuntime;

    DeterministicRng::<TokioRuntime>::spawn(task);
}
