//! Judges of workloads whose invariant can be checked without a search, as Jepsen has them.
//!
//! Each is one file with what it decodes and what it looks for. What they find is certain; what
//! they do not find may still be there, since an invariant is less than a model.
//!
//! Tests: `tests/it/workload.rs`.

pub mod bank;
pub mod counter;
pub mod long_fork;
pub mod set_full;

use crate::evidence::{Evidence, Verdict};

/// As many pieces of evidence are kept.
const EVIDENCE_MAX: usize = 8;

/// Legal, if nothing was found.
fn verdict(mut evidence: Vec<Evidence>) -> Verdict {
    evidence.truncate(EVIDENCE_MAX);
    if evidence.is_empty() {
        Verdict::Ok
    } else {
        Verdict::Illegal(evidence)
    }
}
