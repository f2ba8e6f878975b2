//! Whatever may go wrong goes wrong after every step of every path, once and twice; then the run
//! goes on, and then resolvers alone must leave nothing (omicron tests its sagas like this).

use super::{
    cases,
    system::{Action, Config, Limits, System},
};

/// Enough of everything.
const ALL: Limits = Limits {
    duplicates: 9,
    faults: 9,
    crashes: 9,
    time_outs: 9,
    retries: 4,
    resolvers: 9,
    ticks: 9,
};

/// What may go wrong now.
fn troubles(system: &System) -> Vec<Action> {
    let mut actions = system.actions();
    actions.retain(|action| !action.is_plain());
    actions
}

/// Goes on to the end, and looks.
fn finish(config: &Config, mut system: System, what: &dyn Fn() -> String) {
    let rest = system.run_plainly(config);
    system.assert_right(|| format!("{}then {rest:#?}", what()));
    let end = system.close(config);
    end.assert_right(|| format!("{}then {rest:#?}, and resolvers", what()));
}

/// How many runs there were.
fn disturb(name: &str, config: &Config, depth: usize) -> usize {
    let mut config = config.clone();
    config.limits = ALL;
    let mut runs = 0;
    walk(
        &config,
        System::new(&config),
        &mut Vec::new(),
        depth,
        &mut |system, path| {
            runs += 1;
            finish(&config, system, &|| format!("{name}: {path:#?}\n"));
        },
    );
    runs
}

/// Every path that departs from the plain one at most `depth` times.
fn walk(
    config: &Config,
    mut system: System,
    path: &mut Vec<Action>,
    depth: usize,
    found: &mut impl FnMut(System, &[Action]),
) {
    let begun = path.len();
    if depth == 0 {
        found(system, path);
        return;
    }
    loop {
        for trouble in troubles(&system) {
            let mut other = system.clone();
            other.act(config, &trouble);
            path.push(trouble);
            walk(config, other, path, depth - 1, found);
            path.pop();
        }
        let Some(action) = system.next_plain() else {
            break;
        };
        system.act(config, &action);
        path.push(action);
    }
    path.truncate(begun);
}

#[test]
fn without_trouble_everybody_is_answered_and_nothing_is_left() {
    for (name, config) in cases::all() {
        let mut system = System::new(&config);
        let taken = system.run_plainly(&config);
        system.assert_right(|| format!("{name}: {taken:#?}"));
        for client in 0..config.clients.len() {
            assert!(
                system.answer(client).is_some(),
                "{name}: {client} {taken:#?}"
            );
        }
        for shard in &system.shards {
            assert!(shard.is_unlocked() && shard.prepared_count() == 0, "{name}");
        }
        system.close(&config).assert_right(|| name.to_owned());
    }
}

#[test]
fn one_trouble_after_every_step() {
    for (name, config) in cases::all() {
        let runs = disturb(name, &config, 1);
        println!("{name}: {runs} runs");
        assert!(runs > 20, "{name}: {runs} runs");
    }
}

#[test]
fn two_troubles_after_every_two_steps() {
    for (name, config) in cases::all() {
        if config.shards.get() > 2 {
            continue; // Three shards are for the model and for random walks.
        }
        let runs = disturb(name, &config, 2);
        println!("{name}: {runs} runs");
        assert!(runs > 400, "{name}: {runs} runs");
    }
}
