//! Values of flags that clap does not know by itself.

use crate::region::ParseRegionError;
use crate::region::Regions;
use crate::region::Sources;
use http::Uri;
use http::uri::Scheme;
use std::net::SocketAddr;
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

/// A number of things; more than a million are a mistake.
pub(super) fn count(text: &str) -> Result<usize, &'static str> {
    let parsed = text.parse().ok().filter(|count| (1..=1_000_000).contains(count));
    parsed.ok_or("a whole number from 1 to 1000000 is expected")
}

/// An address to listen on, or to ask.
pub(super) fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_invalid| "an IP address with a port such as 127.0.0.1:50051 is expected")
}

/// An address to ask, also as Kubernetes tells pods a Service's, in `NAME_PORT`: there IPv6 has the brackets that
/// `NAME_SERVICE_HOST` lacks.
pub(super) fn asked(text: &str) -> Result<SocketAddr, &'static str> {
    address(text.strip_prefix("tcp://").unwrap_or(text))
}

/// The words that variables say yes and no with.
pub(super) fn switch(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("true or false is expected"),
    }
}

/// What may be a region's name, code or domain. Whether there is such a region is nobody's to know.
pub(super) fn region(text: String) -> Result<String, ParseRegionError> {
    Regions::new(Sources::default()).resolve(&text).map(|_region| text)
}

/// A proxy's URL, perhaps with a name and a password.
pub(super) fn proxy(text: &str) -> Result<String, &'static str> {
    let url = text.parse::<Uri>().ok().filter(|url| matches!(url.path(), "" | "/") && url.query().is_none());
    let scheme = url.as_ref().and_then(Uri::scheme);
    match scheme {
        Some(scheme) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => Ok(text.to_owned()),
        _ => Err("a URL such as http://proxy.example.com:3128 is expected"),
    }
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

    #[test]
    fn a_count_is_a_whole_number_that_makes_sense() {
        assert_eq!((count("1"), count("1000000")), (Ok(1), Ok(1_000_000)));
        for text in ["", "0", "-1", "1.5", "1000001", "1k", "many", "99999999999999999999999"] {
            assert!(count(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_proxy_is_a_url_of_scheme_and_host() {
        for text in ["http://proxy:3128", "https://user:pass@10.0.0.1/", "http://[::1]:3128"] {
            assert_eq!(proxy(text), Ok(text.to_owned()));
        }
        for text in ["", "proxy", "proxy:3128", "socks5://proxy", "http://", "http://a b", "http://a/path"] {
            assert!(proxy(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_switch_is_said_in_many_words_and_not_in_others() {
        for (text, on) in [("true", true), ("YES", true), ("1", true), ("off", false), ("0", false)] {
            assert_eq!(switch(text), Ok(on), "{text}");
        }
        assert!(switch("maybe").is_err());
    }
}
