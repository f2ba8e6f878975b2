//! The linearizability checker against everything that knows better: a brute-force oracle, a
//! published checker, and hand-made histories with known verdicts.

mod appends;
mod cases;
mod evidence;
mod generate;
mod limits;
mod mutations;
mod second_opinion;
mod small;
mod stream;
mod unique;
