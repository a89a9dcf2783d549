//! `opc-request-id`: the name of a call in everybody's logs, Oracle's included.

use std::fmt;

/// A well-formed request id: one to three `/`-separated parts of 1 to 32 characters of `[A-Za-z0-9_-]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    const MAX_PARTS: usize = 3;
    const MAX_PART_LEN: usize = 32;

    /// A caller's id, if it is well-formed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = |part: &str| {
            (1..=Self::MAX_PART_LEN).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
        };
        let parts = text.split('/').count();
        (parts <= Self::MAX_PARTS && text.split('/').all(well_formed)).then(|| Self(text.to_owned()))
    }

    /// A new id: 32 hexadecimal digits, the form that OCI's SDKs make.
    #[must_use]
    pub fn generate() -> Self {
        Self(format!("{:032x}", rand::random::<u128>()))
    }

    /// The id as it goes over the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn takes_one_to_three_parts_and_refuses_the_rest() {
        let part = "a".repeat(32);
        let longest = [part.as_str(); 3].join("/");
        for good in ["a", "A_b-9", "a/b/c", longest.as_str()] {
            assert_eq!(RequestId::parse(good).unwrap().as_str(), good);
        }
        let too_long = "a".repeat(33);
        for bad in ["", "/", "a/", "/a", "a//b", "a/b/c/d", "a b", "é", "a\nb", "a:b", too_long.as_str()] {
            assert_eq!(RequestId::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn makes_ids_of_32_hexadecimal_digits() {
        let id = RequestId::generate();
        assert_eq!(id.as_str().len(), 32);
        assert!(id.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(id, RequestId::generate());
    }

    proptest! {
        #[test]
        fn whatever_parses_has_at_most_98_safe_characters(text in "[a-zA-Z0-9_/ é-]{0,110}") {
            if let Some(id) = RequestId::parse(&text) {
                prop_assert!(id.as_str().len() <= 98);
                prop_assert!(http::HeaderValue::from_str(id.as_str()).is_ok());
            }
        }
    }
}
