//! What libFuzzer prints at its end (`-print_final_stats=1`).

/// What one run of a target came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FuzzStats {
    /// Inputs that were tried.
    pub(crate) executed: u64,
    /// Where the input that shows a failure was written.
    pub(crate) artifact: Option<String>,
}

impl FuzzStats {
    /// Reads them; what is missing stays 0.
    pub(crate) fn parse(output: &str) -> Self {
        let mut stats = Self::default();
        for line in output.lines() {
            if let Some(number) = line.strip_prefix("stat::number_of_executed_units:") {
                stats.executed = number.trim().parse().unwrap_or(0);
            }
            if let Some((_, path)) = line.split_once("Test unit written to ") {
                stats.artifact = Some(path.trim().to_owned());
            }
        }
        stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statistics_are_read() {
        let output = "Done 123 runs in 4 second(s)\n\
                      stat::number_of_executed_units: 8412345\n\
                      stat::average_exec_per_sec:     420617\n\
                      stat::peak_rss_mb:              512\n";
        let expected = FuzzStats {
            executed: 8_412_345,
            artifact: None,
        };
        assert_eq!(FuzzStats::parse(output), expected);
    }

    #[test]
    fn the_input_that_failed_is_named() {
        let output = "==1== ERROR: libFuzzer: deadly signal\n\
                      artifact_prefix='a/'; Test unit written to a/crash-0aF\nBase64: AA==\n\
                      stat::number_of_executed_units: 7\n";
        let stats = FuzzStats::parse(output);
        assert_eq!(stats.artifact.as_deref(), Some("a/crash-0aF"));
        assert_eq!(stats.executed, 7);
        assert_eq!(FuzzStats::parse("nothing"), FuzzStats::default());
    }
}
