//! How long to wait. The server's own word comes first.

use http::HeaderMap;
use http::header::DATE;
use http::header::RETRY_AFTER;
use std::time::Duration;

/// Longer waits are no waits: nobody keeps a call for them.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// What `Retry-After` asks for (RFC 9110, 10.2.3), at most a day. A date counts from the answer's own
/// `Date`: two clocks are never compared. Past, negative and unreadable values are no values.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_not_seconds) => {
            let until = httpdate::parse_http_date(text).ok()?;
            let sent = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
            until.duration_since(sent).ok()?
        }
    };
    (!wait.is_zero()).then_some(wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(retry_after_value: &str, date: &str) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after_value.parse().unwrap());
        headers.insert(DATE, date.parse().unwrap());
        retry_after(&headers).map(|wait| wait.as_secs())
    }

    #[test]
    fn reads_seconds_and_dates_and_ignores_nonsense() {
        let date = "Sat, 21 Nov 2026 22:05:47 GMT";
        for (value, expected) in [
            ("1", Some(1)),
            (" 120 ", Some(120)),
            ("99999999", Some(86_400)),
            ("Sat, 21 Nov 2026 22:06:47 GMT", Some(60)),
            ("0", None),
            ("-5", None),
            ("1e30", None),
            ("soon", None),
            ("", None),
            (date, None),
            ("Sat, 21 Nov 2026 22:04:47 GMT", None),
            ("99999999999999999999999", None),
        ] {
            assert_eq!(asked(value, date), expected, "{value:?}");
        }
        assert_eq!(asked("Sat, 21 Nov 2026 22:06:47 GMT", "yesterday"), None);
    }
}
