//! For each anomaly of a workload an illegal history, and its nearest legal neighbour.

use trandb_checker::{
    Verdict,
    workload::{bank, counter, long_fork, set_full},
};

/// The first anomaly; `legal` or `unknown` if there is none.
fn name(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Ok => "legal".to_owned(),
        Verdict::Unknown(_) => "unknown".to_owned(),
        Verdict::Illegal(evidence) => evidence[0].anomaly.clone(),
    }
}

fn bank(reads: &[&str], options: bank::Options) -> String {
    let reads = reads.iter().map(|balances| {
        format!("{{:type :invoke :f :read}} {{:type :ok :f :read :value {balances}}}")
    });
    let history = reads.collect::<Vec<_>>().join("\n");
    let reads = bank::decode(super::completed(&history)).expect("a bank");
    name(&bank::check(&reads, options))
}

#[test]
fn banks() {
    let any = bank::Options::default();
    let of_ten = bank::Options {
        total: Some(10),
        ..any
    };
    let debts = bank::Options {
        allow_negative_balances: true,
        ..any
    };
    assert_eq!(bank(&["{0 10, 1 0}", "{0 3, 1 7}"], any), "legal");
    assert_eq!(bank(&["{0 10, 1 0}", "{0 3, 1 8}"], any), "wrong-total");
    assert_eq!(bank(&["{0 10, 1 0}"], of_ten), "legal");
    assert_eq!(bank(&["{0 10, 1 1}"], of_ten), "wrong-total");
    assert_eq!(
        bank(&["{0 10, 1 0}", "{0 11, 1 -1}"], any),
        "negative-balance"
    );
    assert_eq!(bank(&["{0 10, 1 0}", "{0 11, 1 -1}"], debts), "legal");
    assert_eq!(bank(&["{0 10, 1 0}", "{0 10, 1 nil}"], any), "nil-balance");
    assert_eq!(
        bank(&["{0 10, 1 0}", "{0 10, 2 0}"], any),
        "unexpected-account"
    );
    let huge = "{0 9223372036854775807, 1 9223372036854775807}";
    assert_eq!(bank(&[huge, huge], any), "legal");
    let transfer = "{:type :invoke :f :transfer :value {:from 0}} {:type :fail :f :transfer}";
    let reads = bank::decode(super::completed(transfer)).expect("a bank");
    assert_eq!(name(&bank::check(&reads, any)), "unknown");
}

fn counter(history: &str) -> String {
    name(&counter::check(
        &counter::decode(super::completed(history)).expect(history),
    ))
}

#[test]
fn counters() {
    let add = |amount: i64, outcome: &str| {
        format!(
            "{{:process 1 :type :invoke :f :add :value {amount}}}
             {{:process 1 :type :{outcome} :f :add :value {amount}}}\n"
        )
    };
    let read = |found: i64| {
        format!(
            "{{:process 0 :type :invoke :f :read}} {{:process 0 :type :ok :f :read :value {found}}}"
        )
    };
    let bad = "counter-out-of-range";
    for (found, expected) in [(4, bad), (5, "legal"), (6, bad)] {
        assert_eq!(counter(&(add(5, "ok") + &read(found))), expected, "{found}");
    }
    for (found, expected) in [(-1, bad), (0, "legal"), (5, "legal"), (6, bad)] {
        assert_eq!(
            counter(&(add(5, "info") + &read(found))),
            expected,
            "{found}"
        );
    }
    for (found, expected) in [(-6, bad), (-5, "legal"), (0, "legal"), (1, bad)] {
        assert_eq!(
            counter(&(add(-5, "info") + &read(found))),
            expected,
            "{found}"
        );
    }
    for (found, expected) in [(0, "legal"), (5, bad)] {
        assert_eq!(
            counter(&(add(5, "fail") + &read(found))),
            expected,
            "{found}"
        );
    }
    // Called during the read, and returned after it.
    let beside = |found: i64| {
        format!(
            "{{:process 0 :type :invoke :f :read}}
             {{:process 1 :type :invoke :f :add :value 2}}
             {{:process 0 :type :ok :f :read :value {found}}}
             {{:process 1 :type :ok :f :add :value 2}}"
        )
    };
    for (found, expected) in [(0, "legal"), (2, "legal"), (3, bad)] {
        assert_eq!(counter(&beside(found)), expected, "{found}");
    }
    // Called after the read returned.
    assert_eq!(counter(&(read(5) + &add(5, "ok"))), bad);
}

fn set_full(history: &str) -> String {
    name(&set_full::check(
        &set_full::decode(super::completed(history)).expect(history),
    ))
}

#[test]
fn sets() {
    let add = |element: &str, outcome: &str| {
        format!(
            "{{:process 1{element} :type :invoke :f :add :value {element}}}
             {{:process 1{element} :type :{outcome} :f :add :value {element}}}\n"
        )
    };
    let read = |found: &str| {
        format!(
            "{{:process 0 :type :invoke :f :read}}
             {{:process 0 :type :ok :f :read :value {found}}}\n"
        )
    };
    let two = add("1", "ok") + &add("2", "ok");
    assert_eq!(set_full(&(two.clone() + &read("[2 1]"))), "legal");
    assert_eq!(set_full(&(two.clone() + &read("[2]"))), "lost-element");
    assert_eq!(
        set_full(&(two.clone() + &read("[2]") + &read("[1 2]"))),
        "legal",
        "found again"
    );
    assert_eq!(
        set_full(&(two.clone() + &read("[1 2 3]"))),
        "unexpected-element"
    );
    assert_eq!(
        set_full(&(two.clone() + &read("[1 2 2]"))),
        "duplicate-element"
    );
    assert_eq!(set_full(&two), "unknown");
    let beside = "{:process 0 :type :invoke :f :read} {:process 1 :type :invoke :f :add :value 1}
        {:process 1 :type :ok :f :add :value 1} {:process 0 :type :ok :f :read :value []}";
    assert_eq!(set_full(beside), "legal", "added while the last read ran");
    let unknown = add("1", "info");
    assert_eq!(set_full(&(unknown.clone() + &read("[]"))), "legal");
    assert_eq!(
        set_full(&(unknown.clone() + &read("[1]") + &read("[]"))),
        "lost-element",
        "seen"
    );
    assert_eq!(
        set_full(&(add("1", "fail") + &read("[1]"))),
        "unexpected-element"
    );
    assert_eq!(
        set_full(&(read("[1]") + &add("1", "ok"))),
        "unexpected-element",
        "before its add"
    );
}

#[test]
fn independent_sets() {
    let history = |found: &str| {
        format!(
            "{{:type :invoke :f :add :value [0 1]}} {{:type :ok :f :add :value [0 1]}}
             {{:type :invoke :f :add :value [7 2]}} {{:type :ok :f :add :value [7 2]}}
             {{:type :invoke :f :read :value [0 nil]}} {{:type :ok :f :read :value {found}}}"
        )
    };
    assert_eq!(set_full(&history("[0 [1]]")), "legal");
    assert_eq!(set_full(&history("[0 []]")), "lost-element");
    assert_eq!(set_full(&history("[0 [1 2]]")), "unexpected-element");
    assert_eq!(
        set_full(&history("[[0 1] [7 2]]")),
        "legal",
        "one set of pairs"
    );
}

fn forks(reads: &[&str]) -> String {
    let reads = reads.iter().map(|found| {
        let asked = "[[:r 0 nil] [:r 1 nil] [:r 2 nil]]";
        format!("{{:type :invoke :f :read :value {asked}}} {{:type :ok :f :read :value {found}}}")
    });
    let history = reads.collect::<Vec<_>>().join("\n");
    let reads = long_fork::decode(super::completed(&history), Some(3)).expect("reads");
    name(&long_fork::check(&reads))
}

#[test]
fn long_forks() {
    let none = "[[:r 0 nil] [:r 1 nil] [:r 2 nil]]";
    let first = "[[:r 0 5] [:r 1 nil] [:r 2 nil]]";
    let second = "[[:r 0 nil] [:r 1 5] [:r 2 nil]]";
    let two = "[[:r 0 5] [:r 1 5] [:r 2 nil]]";
    let others = "[[:r 0 nil] [:r 1 5] [:r 2 5]]";
    let all = "[[:r 0 5] [:r 1 5] [:r 2 5]]";
    assert_eq!(forks(&[all, none, two, first, first]), "legal");
    assert_eq!(forks(&[first, second]), "long-fork");
    assert_eq!(forks(&[all, two, none, others]), "long-fork");
    assert_eq!(forks(&[first, others]), "long-fork");
}
