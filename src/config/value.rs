//! Values of flags that clap does not know by itself.

use std::time::Duration;

/// Longer times are mistakes.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A positive duration such as `500ms`, `30s` or `1h 30m`, at most a day.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok();
    parsed
        .and_then(|duration| Duration::try_from(duration).ok())
        .filter(|duration| !duration.is_zero() && *duration <= LONGEST)
        .ok_or_else(|| "a duration such as 500ms, 30s or 15m is expected, at most 24h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations_and_refuses_what_would_never_or_always_end() {
        for (text, millis) in
            [("500ms", 500), ("30s", 30_000), ("15m", 900_000), ("1h 30m", 5_400_000), ("24h", 86_400_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "0s", "-1s", "30", "1d1", "25h", "soon", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
