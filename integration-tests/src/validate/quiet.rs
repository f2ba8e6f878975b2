//! When nobody asks any more, nothing is left: nothing in flight, no lock, and as much memory
//! counted as the content needs; none once it is empty.

use trandb_checker::Evidence;

use super::found;
use crate::world::{Counted, End, Quiet, Run};

pub(super) fn check(run: &Run) -> Vec<Evidence> {
    let End::Quiet(quiet) = &run.end else {
        return Vec::new();
    };
    let Quiet {
        counted,
        content_bytes,
        complaints,
    } = quiet;
    let mut evidence = Vec::new();
    let mut wrong = |anomaly, sentence| evidence.push(found(anomaly, sentence, &[]));
    for complaint in complaints {
        wrong(
            "left-behind",
            format!("nothing stood in its way, but {complaint}"),
        );
    }
    let Some(Counted {
        stored,
        in_flight,
        emptied,
    }) = counted
    else {
        return evidence;
    };
    // What could not be read or deleted is not counted.
    let complete = complaints.is_empty();
    if complete && stored != content_bytes {
        wrong(
            "memory-miscounted",
            format!("{stored} bytes are counted, the content needs {content_bytes}"),
        );
    }
    if complete && *emptied != 0 {
        wrong(
            "memory-leaked",
            format!("{emptied} bytes are counted after every key was deleted"),
        );
    }
    if *in_flight != 0 {
        wrong(
            "in-flight-leaked",
            format!("{in_flight} bytes are in flight although nobody asks"),
        );
    }
    evidence
}
