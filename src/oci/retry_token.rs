//! `opc-retry-token`: what makes a repeated create the same create.

use std::fmt;

/// A well-formed token: 1 to 64 printable ASCII characters, no space at either end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryToken {
    text: Box<str>,
    origin: Origin,
}

/// Who knows a token before the answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The caller, who may repeat the call with it whatever happens.
    Caller,
    /// Only this gateway: a caller who is not told it back has no guard.
    Gateway,
}

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
        Ok(Self { text: text.into(), origin: Origin::Caller })
    }

    /// Makes a token for a call that came without one.
    #[must_use]
    pub fn generate() -> Self {
        Self { text: format!("{:032x}", rand::random::<u128>()).into(), origin: Origin::Gateway }
    }

    /// The token as it goes over the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Who made it.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }
}

impl fmt::Display for RetryToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
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
            let token = RetryToken::parse(good).unwrap();
            assert_eq!((token.as_str(), token.origin()), (good, Origin::Caller));
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
        assert!(RetryToken::parse(one.as_str()).is_ok());
        assert_eq!(one.origin(), Origin::Gateway);
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
