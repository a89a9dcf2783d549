//! The identifier that cannot be wrong.
//!
//! An [`Ocid`] holds only characters that mean nothing in a URL, so it may stand in a path or a query as it
//! is. It never claims that the resource exists: only OCI knows.

use std::fmt;
use std::str::FromStr;

/// OCI's limit for identifiers in requests.
const MAX_LEN: usize = 255;

/// The separators of the SDKs' own check, `^([0-9a-zA-Z-_]+[.:])([0-9a-zA-Z-_]*[.:]){3,}([0-9a-zA-Z-_]+)$`
/// (Python SDK, `oci/config.py`): the colon is that of the oldest tenancies (`ocidv1:tenancy:oc1:phx:…`).
const SEPARATORS: [char; 2] = ['.', ':'];

/// An Oracle Cloud identifier: `ocid1.<type>.<realm>.[region].[future use.]<unique>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ocid(Box<str>);

impl Ocid {
    /// Accepts whatever OCI might: the form, the length and the characters are checked, nothing else.
    pub fn parse(text: &str) -> Result<Self, ParseOcidError> {
        if text.is_empty() {
            return Err(ParseOcidError::Empty);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_' || SEPARATORS.contains(&c);
        if let Some((position, character)) = text.chars().enumerate().find(|(_, c)| !allowed(*c)) {
            return Err(ParseOcidError::Character { character, position: position.saturating_add(1) });
        }
        if text.len() > MAX_LEN {
            return Err(ParseOcidError::TooLong { length: text.len() });
        }
        let mut parts = text.split(SEPARATORS);
        if !parts.next().is_some_and(|version| version.starts_with("ocid")) {
            return Err(ParseOcidError::Prefix);
        }
        let (kind, realm) = (parts.next(), parts.next());
        // The region may be empty, the unique part may not.
        let unique = parts.next().and(parts.next_back());
        for (name, part) in [("resource type", kind), ("realm", realm), ("unique part", unique)] {
            if part.is_none_or(str::is_empty) {
                return Err(ParseOcidError::Missing { part: name });
            }
        }
        Ok(Self(text.into()))
    }

    /// The identifier as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The kind of resource: `volume`, `bootvolumebackup`, `user`, …
    pub fn resource_type(&self) -> &str {
        self.part(1)
    }

    /// The realm: `oc1`, …
    pub fn realm(&self) -> &str {
        self.part(2)
    }

    /// The region, by name or short code as OCI wrote it; absent in what belongs to no region.
    pub fn region(&self) -> Option<&str> {
        Some(self.part(3)).filter(|region| !region.is_empty())
    }

    fn part(&self, index: usize) -> &str {
        self.0.split(SEPARATORS).nth(index).unwrap_or_default()
    }
}

impl fmt::Display for Ocid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Ocid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl AsRef<str> for Ocid {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for Ocid {
    type Err = ParseOcidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// Why a text is no OCID. It never repeats the text, which may be of any length and content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseOcidError {
    /// No text at all.
    #[error("is empty, an OCID was expected")]
    Empty,
    /// Longer than OCI takes.
    #[error("has {length} characters, an OCID has at most {MAX_LEN}")]
    TooLong {
        /// Its length in characters.
        length: usize,
    },
    /// A character that no OCID has, and that might change a URL.
    #[error(
        "has the character {character:?} at position {position}, an OCID has letters, digits and `-_.:` only"
    )]
    Character {
        /// The first such character.
        character: char,
        /// Its place, counted from one.
        position: usize,
    },
    /// Something other than an OCID.
    #[error("does not begin with `ocid1.`")]
    Prefix,
    /// An OCID cut short.
    #[error("has no {part}, the form is `ocid1.<type>.<realm>.[region].<unique>`")]
    Missing {
        /// The first part that is missing.
        part: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VOLUME: &str = "ocid1.volume.oc1.phx.abyhqljrgvttnlx73nmrwfaux7kcvzfs3s66izvxf2h4lgvyndsdsnoiwr5q";

    #[test]
    fn tells_the_parts_of_an_ocid() {
        let cases = [
            (VOLUME, "volume", "oc1", Some("phx")),
            ("ocid1.tenancy.oc1..aaaa", "tenancy", "oc1", None),
            (
                "ocid1.volumebackup.oc16.us-westjordan-1.future.abc",
                "volumebackup",
                "oc16",
                Some("us-westjordan-1"),
            ),
            ("ocid1.user.region1..aaaa_-b", "user", "region1", None),
            ("ocidv1:tenancy:oc1:phx:1460406592660:aaaaaaaab4faofr", "tenancy", "oc1", Some("phx")),
        ];
        for (text, kind, realm, region) in cases {
            let ocid = Ocid::parse(text).unwrap();
            assert_eq!((ocid.resource_type(), ocid.realm(), ocid.region()), (kind, realm, region), "{text}");
            assert_eq!((ocid.as_str(), ocid.to_string().as_str()), (text, text));
        }
    }

    #[test]
    fn says_in_one_line_what_is_wrong() {
        let long = format!("ocid1.volume.oc1.phx.{}", "a".repeat(235));
        let cases = [
            ("", "is empty"),
            ("my-volume", "does not begin with `ocid1.`"),
            ("ocid1", "has no resource type"),
            ("ocid1..oc1.phx.a", "has no resource type"),
            ("ocid1.volume", "has no realm"),
            ("ocid1.volume..phx.a", "has no realm"),
            ("ocid1.volume.oc1", "has no unique part"),
            ("ocid1.volume.oc1.phx", "has no unique part"),
            ("ocid1.volume.oc1.phx.", "has no unique part"),
            (long.as_str(), "has 256 characters"),
            ("ocid1.volume.oc1.phx.a/../b", "has the character '/' at position 23"),
            ("ocid1.volume.oc1.phx.a\n", "has the character '\\n' at position 23"),
            ("ocid1.volume.oc1.phx.é", "has the character 'é' at position 22"),
        ];
        for (text, expected) in cases {
            let line = Ocid::parse(text).unwrap_err().to_string();
            assert!(line.starts_with(expected) && !line.contains('\n'), "{text:?}: {line}");
        }
    }

    #[test]
    fn takes_the_longest_ocid_that_oci_takes() {
        let longest = format!("ocid1.volume.oc1.phx.{}", "a".repeat(234));
        assert_eq!((longest.len(), Ocid::parse(&longest).map(|ocid| ocid.as_str().len())), (255, Ok(255)));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            let _ = Ocid::parse(&text).map_err(|error| error.to_string());
        }

        #[test]
        fn what_parses_cannot_change_a_url(text in "(ocid1\\.)?[a-z0-9.:/?#%@&=+ \\\\éA-Z_-]{0,40}") {
            if let Ok(ocid) = Ocid::parse(&text) {
                let target = http::Uri::try_from(format!("https://host/volumes/{ocid}/x?id={ocid}")).unwrap();
                prop_assert_eq!(target.path(), format!("/volumes/{ocid}/x"));
                prop_assert_eq!(target.query().map(str::to_owned), Some(format!("id={ocid}")));
                prop_assert!(!ocid.as_str().contains(['/', '?', '#', '%', '@', '&', '=', '+', ' ', '\\', 'é']));
            }
        }

        #[test]
        fn every_well_formed_ocid_parses_to_its_parts(
            kind in "[a-z]{1,20}", realm in "oc[0-9]{1,2}", region in "([a-z]{3}|[a-z]{2}-[a-z]{4,9}-[12])?",
            future in "([a-z]{0,4}\\.)?", unique in "[a-z0-9]{1,60}",
        ) {
            let ocid = Ocid::parse(&format!("ocid1.{kind}.{realm}.{region}.{future}{unique}")).unwrap();
            prop_assert_eq!(ocid.resource_type(), kind);
            prop_assert_eq!(ocid.realm(), realm);
            prop_assert_eq!(ocid.region().unwrap_or_default(), region);
        }
    }
}
