//! The judge of serializability judged: by hand-made anomalies, a brute-force search, mutations of
//! legal histories, and histories recorded by others.

mod anomalies;
mod mutations;
mod oracle;
mod oracle_agrees;
mod recorded;
mod sizes;
mod small;
