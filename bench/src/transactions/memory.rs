//! What the server remembers of transactions whose clients gave them ids, and what it answers when
//! it may remember no more.
//!
//! The bound is the budget for outcomes that were promised, and for each shard a reserve for what is
//! dropped soon, such as the refusals themselves.

use anyhow::{Context, ensure};
use trandb_common::limits::OUTCOME_RESERVE_BYTES;

use super::{Plan, Spread};
use crate::{
    compare::{Row, Settings},
    load::{self, Load},
    protocol::transactions::{Format, Transactions},
    report::Report,
    servers::Starter,
    shards::default_shards,
    stats::{Goal, Quartiles},
    workload::{Mix, Order, Values},
};

/// Of the measured server: small, so that its budget is used up within seconds.
const MEMORY_LIMIT: &str = "256MiB";

/// An eighth of it is for outcomes.
const BUDGET_BYTES: u64 = 32 * 1024 * 1024;

/// Transactions that have room.
const FEW: u64 = 50_000;

/// More than have room.
const MANY: u64 = 400_000;

const NAME: &str = "resident memory for outcomes vs their bound";

/// Adds the row: the growth of the resident memory against the budget.
pub(super) fn measure(
    starter: &Starter,
    settings: &Settings,
    report: &mut Report,
) -> anyhow::Result<()> {
    if settings.leaves_out(NAME) {
        return Ok(());
    }
    let server = starter.trandb(&["--memory-limit", MEMORY_LIMIT])?;
    let plan = Plan::new(settings.keys, 1, Spread::OneShard, default_shards()?)?;
    let values = || Values::new(settings.value_size);
    let transactions = &plan.transactions[..usize::try_from(plan.cold)?];
    let without_ids = Transactions::new(Format::Json, values(), transactions)?;
    let with_ids = Transactions::with_ids(values(), transactions)?;
    let load = |count| Load {
        duration: load::DURATION_MAX,
        ..settings.load(
            Mix {
                order: Order::Ascending,
                ..Mix::load(count)
            },
            1,
        )
    };
    // All keys, connections and buffers are paid for before.
    load::run(server.address(), &without_ids, &load(plan.cold))?.all_right()?;
    let before = server.resident_bytes()?;
    load::run(server.address(), &with_ids, &load(FEW))?.all_right()?;
    let of_few = server.resident_bytes()?.saturating_sub(before);
    // The first of them are sent again, and answered alike.
    let outcome = load::run(server.address(), &with_ids, &load(MANY))?;
    let growth = server.resident_bytes()?.saturating_sub(before);
    let refusal = outcome
        .first_wrong
        .context("the budget was not used up by all transactions")?;
    ensure!(
        refusal.contains("503") && refusal.contains("overloaded"),
        "another answer than 503 overloaded: {refusal}"
    );
    load::run(server.address(), &without_ids, &load(plan.cold))?
        .all_right()
        .context("transactions without an id need no room for outcomes")?;
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let bound = BUDGET_BYTES + u64::from(default_shards()?.get()) * OUTCOME_RESERVE_BYTES;
    let note = format!(
        "{:.0} bytes for each of the first {FEW}; {} were kept, then {} were answered with 503 \
         overloaded, while those without an id went on; {:.1} MiB in the end, the bound is {:.1} \
         MiB as it is counted",
        of_few as f64 / FEW as f64,
        outcome.answers,
        outcome.wrong,
        mebibytes(growth),
        mebibytes(bound),
    );
    let ratio = Quartiles::exact(growth as f64 / bound as f64);
    report.add(Row::figure(NAME, Goal::None, ratio, Some(note)));
    Ok(())
}
