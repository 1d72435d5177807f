//! Families of metrics and their samples.

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;

/// Names and values.
pub(super) type Labels<'a> = Vec<(&'a str, &'a str)>;

/// Writes one family after the other.
pub(super) struct Families<'a>(pub(super) DescriptorEncoder<'a>);

impl Families<'_> {
    /// Numbers that only grow, whole ones or fractions, such as seconds; `_total` is added to the
    /// name. No samples: no family.
    pub(super) fn counter<'l, N>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l>, N)>,
    ) -> fmt::Result
    where
        ConstCounter<N>: EncodeMetric,
    {
        self.family(
            name,
            help,
            MetricType::Counter,
            samples,
            |value, encoder| ConstCounter::new(value).encode(encoder),
        )
    }

    /// Numbers of this moment.
    pub(super) fn gauge<'l>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l>, f64)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, samples, |value, encoder| {
            ConstGauge::new(value).encode(encoder)
        })
    }

    /// Times by upper bounds; `counts` has one more, of what is beyond the last bound.
    pub(super) fn histogram<'l>(
        &mut self,
        name: &str,
        help: &str,
        bounds: &[f64],
        samples: impl IntoIterator<Item = (Labels<'l>, Vec<u64>, f64)>,
    ) -> fmt::Result {
        let samples = samples
            .into_iter()
            .map(|(labels, counts, sum)| (labels, (counts, sum)));
        self.family(
            name,
            help,
            MetricType::Histogram,
            samples,
            |sample, mut encoder| {
                let (counts, sum): (Vec<u64>, f64) = sample;
                let bounds = bounds.iter().copied().chain([f64::MAX]);
                let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
                let all = buckets
                    .iter()
                    .fold(0u64, |all, (_, count)| all.saturating_add(*count));
                encoder.encode_histogram::<NoLabelSet>(sum, all, &buckets, None)
            },
        )
    }

    fn family<'l, T>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl IntoIterator<Item = (Labels<'l>, T)>,
        write: impl Fn(T, MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in samples {
            if labels.is_empty() {
                // Without labels there is one only.
                return write(value, family);
            }
            let labels: Vec<(&str, String)> = labels
                .into_iter()
                .map(|(name, value)| (name, escaped(value)))
                .collect();
            write(value, family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// A label's value; the crate writes it as it is.
pub(super) fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    value.replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
