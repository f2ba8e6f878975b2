//! Scenarios as a proptest strategy: what TranDB does is legal, and what a broken store does is
//! made small by proptest itself.

use ::proptest::test_runner::{
    Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner,
};
use trandb_integration_tests::{
    scenario::strategy, traffic, validate::validate, world::run_simulated,
};

use crate::{
    broken::{self, Bug},
    determinism,
};

fn runner(cases: u32) -> TestRunner {
    // The scenario holds all that is random: nothing is gained by remembering proptest's seeds.
    TestRunner::new_with_rng(
        Config {
            cases,
            failure_persistence: None,
            max_shrink_iters: 4_000,
            ..Config::default()
        },
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    )
}

#[test]
fn every_scenario_is_legal() {
    determinism::required();
    let workload = traffic::named("hot-key");
    let legal = runner(20).run(&strategy(workload), |scenario| {
        let run = run_simulated(&scenario);
        validate(&run).map_err(|failure| TestCaseError::fail(failure.to_string()))
    });
    legal.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_lost_update_is_made_small() {
    determinism::required();
    let workload = traffic::named("compare-and-set");
    let result = runner(50).run(&strategy(workload), |scenario| {
        let run = broken::run(Bug::ConditionIgnored, &scenario);
        validate(&run).map_err(|failure| TestCaseError::fail(failure.to_string()))
    });
    let Err(TestError::Fail(reason, smallest)) = result else {
        panic!("the broken store was not found: {result:?}");
    };
    println!("{reason}\n{smallest}");
    assert!(smallest.schedule.steps().count() <= 8, "{smallest}");
    assert!(smallest.schedule.clients.len() <= 2, "{smallest}");
}
