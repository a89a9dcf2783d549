//! `opc-retry-token`: what makes a repeated create the same create.

use std::fmt;

/// A well-formed token: 1 to 64 printable ASCII characters, no space at either end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RetryToken(String);

/// Why a text is no retry token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 printable ASCII characters with no space at either end")]
pub struct InvalidRetryToken;

impl RetryToken {
    const MAX_LEN: usize = 64;

    /// Takes a caller's token as it is.
    pub fn parse(text: &str) -> Result<Self, InvalidRetryToken> {
        let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let padded = text.starts_with(' ') || text.ends_with(' ');
        if text.is_empty() || text.len() > Self::MAX_LEN || !printable || padded {
            return Err(InvalidRetryToken);
        }
        Ok(Self(text.to_owned()))
    }

    /// Makes a token for a call that came without one.
    #[must_use]
    pub fn generate() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }

    /// The token as it goes over the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RetryToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_what_oci_may_accept_and_nothing_that_a_header_cannot_hold() {
        let longest = "x".repeat(64);
        for good in ["a", "aliqua enim i", "~!@#$%^&*()", longest.as_str()] {
            assert_eq!(RetryToken::parse(good).unwrap().as_str(), good);
        }
        let too_long = "x".repeat(65);
        for bad in ["", " a", "a ", "a\nb", "é", "a\u{7f}", "\0", too_long.as_str()] {
            assert_eq!(RetryToken::parse(bad), Err(InvalidRetryToken), "{bad:?}");
        }
    }

    #[test]
    fn makes_tokens_that_are_valid_and_differ() {
        let (one, other) = (RetryToken::generate(), RetryToken::generate());
        assert_ne!(one, other);
        assert_eq!(RetryToken::parse(one.as_str()), Ok(one));
    }

    proptest! {
        #[test]
        fn whatever_parses_is_a_header_value(text in ".{0,70}") {
            if let Ok(token) = RetryToken::parse(&text) {
                prop_assert!(http::HeaderValue::from_str(token.as_str()).is_ok());
            }
        }
    }
}
