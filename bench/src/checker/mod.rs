//! How fast the checkers are: on recorded histories beside Porcupine, and on generated ones of
//! growing length.
//!
//! What is not here: whether they are right (`checker/tests`). Parsing is not counted for the
//! recorded histories, as in the figures of Porcupine; for the generated ones it stands in a
//! column of its own. Tests: at the end of `recorded.rs`.

mod generated;
mod porcupine;
mod recorded;

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

/// Measures the checkers.
#[derive(Args)]
pub struct Arguments {
    /// Recorded histories with `verdicts.tsv` and, for comparison, `porcupine-times.tsv`
    #[arg(long, default_value = "../shared/histories")]
    histories: PathBuf,
    /// Operations of the longest generated history
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(10_000..=10_000_000))]
    operations: u64,
    /// Print the results as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Figures {
    /// None if there are no recorded histories.
    recorded: Option<recorded::Recorded>,
    generated: Vec<generated::Generated>,
}

/// Measures and prints; whether all goals were reached.
pub fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let recorded = if arguments.histories.join("verdicts.tsv").is_file() {
        Some(recorded::measure(&arguments.histories)?)
    } else {
        None
    };
    let generated = generated::measure(usize::try_from(arguments.operations)?)?;
    let figures = Figures {
        recorded,
        generated,
    };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&figures)?);
    } else {
        match &figures.recorded {
            Some(recorded) => println!("{}", recorded.to_text()),
            None => println!(
                "No recorded histories: {} has no verdicts.tsv (--histories names another folder)\n",
                arguments.histories.display(),
            ),
        }
        println!("{}", generated::to_text(&figures.generated));
    }
    let reached = figures
        .recorded
        .as_ref()
        .is_none_or(recorded::Recorded::has_reached_goals);
    Ok(reached
        && figures
            .generated
            .iter()
            .all(generated::Generated::has_reached_goals))
}

/// The most memory that this process has ever held, in MiB.
fn peak_mib() -> anyhow::Result<u64> {
    let status = procfs::process::Process::myself()?.status()?;
    Ok(status
        .vmhwm
        .context("the kernel does not say how much memory was held")?
        / 1024)
}
