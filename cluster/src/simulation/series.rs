//! Many seeds, one after another, as the environment says: `TRANDB_SEEDS` is how many,
//! `TRANDB_SEED` the first of them, and the only one if no number is given.

/// A number from the environment.
///
/// # Panics
///
/// It is none.
pub fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

/// Where the seeds begin when nobody says.
const FIRST: u64 = 1_000;

/// The `n`th of the seeds that begin with `first`. Where somebody else begins, all are others.
fn nth(first: u64, n: u64) -> u64 {
    if n == 0 {
        return first;
    }
    let mut rng = fastrand::Rng::with_seed(first ^ (n << 32));
    // Short enough to be typed.
    rng.u64(1..1 << 40)
}

/// Runs each seed, and panics with what `run` finds wrong first. `run` is told the seed, and whether
/// it is the only one, which is looked at more closely. `repeat` is the command that repeats it.
///
/// Returns how many there were.
///
/// # Panics
///
/// Something is wrong.
pub fn each_seed(
    count: u64,
    repeat: impl Fn(u64) -> String,
    mut run: impl FnMut(u64, bool) -> Result<(), String>,
) -> u64 {
    let (first, count) = match (number("TRANDB_SEED"), number("TRANDB_SEEDS")) {
        (Some(first), count) => (first, count.unwrap_or(1)),
        (None, asked) => (FIRST, asked.unwrap_or(count)),
    };
    for n in 0..count {
        let seed = nth(first, n);
        println!("seed {seed}; to repeat it: {}", repeat(seed));
        if let Err(violation) = run(seed, count == 1) {
            let tried = n + 1;
            panic!(
                "{violation}\n\nfound after {tried} seeds: seed {seed}\nto see it again: {}",
                repeat(seed)
            );
        }
    }
    count
}
