//! Many measurements → one figure, and the table of them.

use std::fmt::Display;
use std::time::Duration;

/// What a figure is held against.
pub(crate) enum Promise {
    /// At most this much.
    AtMost(f64),
    /// Nothing: it explains the others.
    None,
}

/// One line of the table.
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) promise: Promise,
    pub(crate) remark: String,
}

impl Figure {
    /// A figure that explains.
    pub(crate) fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { what: what.into(), value, unit, promise: Promise::None, remark: String::new() }
    }

    /// The same, but promised.
    pub(crate) fn at_most(self, limit: f64) -> Self {
        Self { promise: Promise::AtMost(limit), ..self }
    }

    pub(crate) fn remark(self, remark: impl Display) -> Self {
        Self { remark: remark.to_string(), ..self }
    }

    pub(crate) fn is_kept(&self) -> bool {
        match self.promise {
            Promise::AtMost(limit) => self.value <= limit,
            Promise::None => true,
        }
    }
}

impl Display for Figure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { what, value, unit, promise, remark } = self;
        let (promise, verdict) = match promise {
            Promise::None => (String::new(), ""),
            Promise::AtMost(limit) => {
                (format!("≤ {limit:.2}"), if self.is_kept() { "kept" } else { "MISSED" })
            }
        };
        write!(formatter, "{what:<54} {value:>9.2} {unit:<6} {promise:>8} {verdict:<6} {remark}")
    }
}

/// The value that `share` of the sorted `values` do not exceed.
pub(crate) fn quantile<T: PartialOrd + Copy + Default>(values: &mut [T], share: f64) -> T {
    values.sort_by(|one, other| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index, from a share between 0 and 1"
    )]
    let index = ((values.len() as f64 - 1.0) * share).round() as usize;
    values.get(index).copied().unwrap_or_default()
}

/// The one in the middle.
pub(crate) fn median<T: PartialOrd + Copy + Default>(values: &mut [T]) -> T {
    quantile(values, 0.5)
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
