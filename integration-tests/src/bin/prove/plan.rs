//! How much of the time each layer has.

/// A kind of test that can go on for as long as one likes, or that is worth one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    Step,
    Simulation,
    Sockets,
    Interleavings,
    Fuzz,
    Contract,
    Containers,
}

/// What a layer is given.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// Its part of what is left when the others have theirs.
    Weight(u64),
    /// It runs once, if this is left for it. In seconds.
    Once(u64),
}

/// The layers in their order. Together those that run once may take a third of the time.
const TABLE: &[(Layer, &str, Part)] = &[
    (Layer::Step, "step", Part::Weight(1)),
    (Layer::Simulation, "simulation", Part::Weight(5)),
    (Layer::Sockets, "sockets", Part::Weight(1)),
    (Layer::Interleavings, "interleavings", Part::Weight(2)),
    (Layer::Fuzz, "fuzz", Part::Weight(3)),
    (Layer::Contract, "contract", Part::Once(60)),
    (Layer::Containers, "containers", Part::Once(120)),
];

/// A layer and its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) layer: Layer,
    pub(crate) name: &'static str,
    /// In seconds; or why it has none.
    pub(crate) seconds: Result<u64, String>,
}

/// Divides the time.
pub(crate) fn divide(seconds: u64) -> Vec<Share> {
    let third = seconds / 3;
    let mut left = third;
    let mut shares: Vec<Share> = Vec::new();
    for (layer, name, part) in TABLE {
        let seconds = match part {
            Part::Weight(_) => Ok(0),
            Part::Once(needs) if *needs <= left => {
                left -= needs;
                Ok(*needs)
            }
            Part::Once(needs) => Err(format!(
                "too little time: it needs {needs} s of a third of the whole, where {left} s are left"
            )),
        };
        let (layer, name) = (*layer, *name);
        shares.push(Share {
            layer,
            name,
            seconds,
        });
    }
    let rest = seconds - (third - left);
    let weights: u64 = TABLE.iter().map(|(_, _, part)| part.weight()).sum();
    for (share, (_, _, part)) in shares.iter_mut().zip(TABLE) {
        if let Part::Weight(weight) = part {
            share.seconds = Ok((rest * weight / weights).max(1));
        }
    }
    shares
}

impl Part {
    fn weight(self) -> u64 {
        match self {
            Self::Weight(weight) => weight,
            Self::Once(_) => 0,
        }
    }
}

/// What each of `parts` has when `workers` share them at the same time. In seconds.
pub(crate) fn each(seconds: u64, workers: usize, parts: usize) -> u64 {
    (seconds * workers.min(parts) as u64 / parts.max(1) as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(shares: &[Share], layer: Layer) -> Option<u64> {
        let share = shares.iter().find(|share| share.layer == layer);
        share.and_then(|share| share.seconds.clone().ok())
    }

    #[test]
    fn no_second_is_given_twice_and_few_are_lost() {
        for seconds in [12, 60, 179, 180, 240, 539, 540, 3_600, 1_000_000] {
            let shares = divide(seconds);
            let given: u64 = shares.iter().filter_map(|s| s.seconds.as_ref().ok()).sum();
            assert!(given <= seconds, "{seconds}: {shares:?}");
            assert!(
                seconds - given < shares.len() as u64,
                "{seconds}: {shares:?}"
            );
        }
    }

    #[test]
    fn with_little_time_the_cheap_layers_run_and_the_others_say_why_not() {
        let shares = divide(60);
        assert_eq!(of(&shares, Layer::Simulation), Some(25));
        assert_eq!(of(&shares, Layer::Step), Some(5));
        let containers = shares.last().expect("layers");
        let reason = containers.seconds.clone().expect_err("120 s of 20");
        assert!(
            reason.contains("120 s") && reason.contains("20 s"),
            "{reason}"
        );
        assert!(divide(0).iter().all(|share| share.seconds != Ok(0)));
    }

    #[test]
    fn what_runs_once_runs_as_soon_as_a_third_is_enough() {
        assert_eq!(of(&divide(179), Layer::Contract), None);
        assert_eq!(of(&divide(180), Layer::Contract), Some(60));
        assert_eq!(of(&divide(539), Layer::Containers), None);
        let shares = divide(540);
        assert_eq!(of(&shares, Layer::Containers), Some(120));
        assert_eq!(of(&shares, Layer::Simulation), Some(150));
    }

    #[test]
    fn workers_share_the_parts() {
        assert_eq!(each(60, 2, 12), 10);
        assert_eq!(each(60, 8, 2), 60);
        assert_eq!(each(3, 2, 13), 1);
        assert_eq!(each(3, 2, 0), 1);
    }
}
