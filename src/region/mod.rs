//! Regions and realms: what a region's services are called in DNS.
//!
//! The rules are those of the official SDKs (Python, `oci/regions.py`; Go, `common/common.go`), their own
//! surprises included. This room reads no file and no environment: texts from there are handed in. It never
//! asks whether a region exists: OCI opens regions faster than tables are written.

mod data;

use data::REALMS;

/// The realm that an unknown region is assumed to be in.
const COMMERCIAL_DOMAIN: &str = "oraclecloud.com";

/// What the operator's machine knows of regions beside the built-in table.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sources<'a> {
    /// The content of `~/.oci/regions-config.json`: an array of regions.
    pub regions_config: Option<&'a str>,
    /// The value of `OCI_REGION_METADATA`: one region.
    pub region_metadata: Option<&'a str>,
    /// The value of `OCI_DEFAULT_REALM`: in spite of its name a second-level domain, for regions that are
    /// not known.
    pub default_realm: Option<&'a str>,
}

/// All regions that are known here.
#[derive(Debug, Clone)]
pub struct Regions {
    extra: Vec<Extra>,
    default_domain: Option<String>,
    warnings: Vec<String>,
}

/// A region of the operator's own, in the SDKs' schema.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Extra {
    realm_key: String,
    realm_domain_component: String,
    region_key: String,
    region_identifier: String,
}

/// A region, and where its services are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    id: String,
    domain: String,
    origin: Origin,
}

/// How the domain of a region was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a table; the key of its realm, `oc1`, ….
    Known {
        /// In lower case.
        realm: String,
    },
    /// The region was given as a whole domain.
    Dotted,
    /// The region is in no table; `OCI_DEFAULT_REALM` gave the domain.
    DefaultRealm,
    /// The region is in no table and was taken to be in the commercial realm, as the SDKs do. Worth a warning:
    /// a misspelt region looks the same.
    Assumed,
}

/// Why a text names no region.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseRegionError {
    /// No text at all.
    #[error("is empty, a region such as `us-ashburn-1` or `iad` was expected")]
    Empty,
    /// A character that might change a URL.
    #[error("has the character {character:?}, a region has letters, digits, `-` and `.` only")]
    Character {
        /// The first such character.
        character: char,
    },
    /// No host's name.
    #[error("has a part that is empty or longer than 63 characters")]
    Part,
}

impl Regions {
    /// The built-in regions and those of the sources. Sources only add, they change no known region. A source
    /// that cannot be used is left out, as the SDKs do, but not in silence: see [`Regions::warnings`].
    pub fn new(sources: Sources<'_>) -> Self {
        let mut regions = Self { extra: Vec::new(), default_domain: None, warnings: Vec::new() };
        if let Some(text) = sources.regions_config {
            regions.add_all("regions-config.json", serde_json::from_str::<Vec<serde_json::Value>>(text));
        }
        if let Some(text) = sources.region_metadata.filter(|text| !text.is_empty()) {
            regions.add_all("OCI_REGION_METADATA", serde_json::from_str(text).map(|one| vec![one]));
        }
        match sources.default_realm.map(name) {
            None | Some(Err(ParseRegionError::Empty)) => {}
            Some(Ok(domain)) => regions.default_domain = Some(domain),
            Some(Err(error)) => regions.warnings.push(format!("OCI_DEFAULT_REALM is ignored: it {error}")),
        }
        regions
    }

    /// A line for each source, or part of one, that was ignored, with the reason.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The region of an identifier, a short code or a domain, in any case of letters.
    pub fn resolve(&self, text: &str) -> Result<Region, ParseRegionError> {
        let text = name(text)?;
        if let Some((id, domain, realm)) = self.find(&text) {
            let origin = Origin::Known { realm: realm.to_owned() };
            return Ok(Region { id: id.to_owned(), domain: domain.to_owned(), origin });
        }
        let (domain, origin) = match &self.default_domain {
            _ if text.contains('.') => (text.as_str(), Origin::Dotted),
            Some(domain) => (domain.as_str(), Origin::DefaultRealm),
            None => (COMMERCIAL_DOMAIN, Origin::Assumed),
        };
        let domain = domain.to_owned();
        Ok(Region { id: text, domain, origin })
    }

    /// The identifier of a region in a table, from its identifier or its short code, so that an OCID's region
    /// can be compared with another.
    pub fn known(&self, text: &str) -> Option<&str> {
        self.find(&text.trim().to_ascii_lowercase()).map(|(id, ..)| id)
    }

    /// Identifier, domain and realm of a region in a table.
    fn find(&self, text: &str) -> Option<(&str, &str, &str)> {
        let built_in = REALMS.iter().find_map(|realm| {
            let (id, _) = realm.regions.iter().find(|(id, code)| *id == text || *code == text)?;
            Some((*id, realm.domain, realm.key))
        });
        built_in.or_else(|| {
            let named = |extra: &&Extra| extra.region_identifier == text || extra.region_key == text;
            let extra = self.extra.iter().find(named)?;
            Some((
                extra.region_identifier.as_str(),
                extra.realm_domain_component.as_str(),
                extra.realm_key.as_str(),
            ))
        })
    }

    fn add_all(&mut self, source: &str, regions: serde_json::Result<Vec<serde_json::Value>>) {
        let regions = match regions {
            Ok(regions) => regions,
            Err(error) => return self.warnings.push(format!("{source} is ignored: {error}")),
        };
        for region in regions {
            match extra(region) {
                Ok(extra) => self.extra.push(extra),
                Err(reason) => self.warnings.push(format!("a region of {source} is ignored: {reason}")),
            }
        }
    }
}

impl Region {
    /// The identifier, `us-ashburn-1`, or the domain that was given in its place.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The realm's domain, `oraclecloud.com`, or the domain that was given in the region's place.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// How the domain was found.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The host of one of the region's services: `iaas.us-ashburn-1.oraclecloud.com`.
    pub fn host(&self, service: &str) -> String {
        match self.origin {
            // Go SDK, `common/common.go:36`: a region with a dot is everything after the service's name.
            Origin::Dotted => format!("{service}.{}", self.domain),
            Origin::Known { .. } | Origin::DefaultRealm | Origin::Assumed => {
                format!("{service}.{}.{}", self.id, self.domain)
            }
        }
    }
}

fn extra(region: serde_json::Value) -> Result<Extra, String> {
    let found: Extra = serde_json::from_value(region).map_err(|error| error.to_string())?;
    let part = |key: &str, text: &str| name(text).map_err(|error| format!("its {key} {error}"));
    Ok(Extra {
        realm_key: part("realmKey", &found.realm_key)?,
        realm_domain_component: part("realmDomainComponent", &found.realm_domain_component)?,
        region_key: part("regionKey", &found.region_key)?,
        region_identifier: part("regionIdentifier", &found.region_identifier)?,
    })
}

/// A text that may stand in a host's name, in lower case.
fn name(text: &str) -> Result<String, ParseRegionError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(ParseRegionError::Empty);
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if let Some(character) = text.chars().find(|c| !allowed(*c)) {
        return Err(ParseRegionError::Character { character });
    }
    // RFC 1035, 2.3.4.
    if text.split('.').any(|part| part.is_empty() || part.len() > 63) {
        return Err(ParseRegionError::Part);
    }
    Ok(text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const SYDNEY: &str = r#"{"realmKey":"OC1","realmDomainComponent":"oraclecloud.com","regionKey":"SYD","regionIdentifier":"ap-sydney-1"}"#;
    const NOWHERE: &str = r#"{"realmKey":"OC99","realmDomainComponent":"OracleCloud99.example","regionKey":"NOW","regionIdentifier":"Xx-Nowhere-1"}"#;

    fn plain() -> Regions {
        Regions::new(Sources::default())
    }

    fn known(realm: &str) -> Origin {
        Origin::Known { realm: realm.to_owned() }
    }

    #[test]
    fn the_table_holds_every_region_once() {
        let regions: Vec<_> = REALMS.iter().flat_map(|realm| realm.regions).collect();
        let names: BTreeSet<_> = regions.iter().flat_map(|(id, code)| [*id, *code]).collect();
        let realms: BTreeSet<_> = REALMS.iter().map(|realm| realm.key).collect();
        assert_eq!((regions.len(), names.len(), REALMS.len(), realms.len()), (85, 170, 20, 20));
        for (id, code) in regions {
            let (by_id, by_code) = (plain().resolve(id).unwrap(), plain().resolve(code).unwrap());
            assert_eq!((by_id.id(), &by_id), (*id, &by_code));
            assert_eq!((plain().known(code), plain().known(id)), (Some(*id), Some(*id)));
        }
    }

    #[test]
    fn a_region_resolves_to_its_realms_domain() {
        let cases = [
            ("iad", "us-ashburn-1", "oraclecloud.com", known("oc1")),
            ("us-ashburn-1", "us-ashburn-1", "oraclecloud.com", known("oc1")),
            (" US-Ashburn-1\n", "us-ashburn-1", "oraclecloud.com", known("oc1")),
            ("PHX", "us-phoenix-1", "oraclecloud.com", known("oc1")),
            ("aga", "us-saltlake-2", "oraclecloud.com", known("oc1")),
            ("us-langley-1", "us-langley-1", "oraclegovcloud.com", known("oc2")),
            ("us-gov-phoenix-1", "us-gov-phoenix-1", "oraclegovcloud.com", known("oc3")),
            ("ltn", "uk-gov-london-1", "oraclegovcloud.uk", known("oc4")),
            ("eu-madrid-2", "eu-madrid-2", "oraclecloud.eu", known("oc19")),
            ("beg", "eu-jovanovac-1", "oraclecloud20.com", known("oc20")),
            ("us-nowhere-9", "us-nowhere-9", "oraclecloud.com", Origin::Assumed),
        ];
        for (text, id, domain, origin) in cases {
            let region = plain().resolve(text).unwrap();
            assert_eq!((region.id(), region.domain(), region.origin()), (id, domain, &origin), "{text}");
            assert_eq!(region.host("iaas"), format!("iaas.{id}.{domain}"));
        }
    }

    #[test]
    fn a_region_with_a_dot_is_the_whole_domain() {
        let sources = Sources { default_realm: Some("oraclecloud20.com"), ..Sources::default() };
        for regions in [plain(), Regions::new(sources)] {
            let region = regions.resolve("My-Region.Example.com").unwrap();
            assert_eq!(region.host("iaas"), "iaas.my-region.example.com");
            assert_eq!(region.origin(), &Origin::Dotted);
        }
    }

    #[test]
    fn the_default_realm_is_a_domain_for_regions_that_no_table_has() {
        let regions =
            Regions::new(Sources { default_realm: Some("OracleCloud20.com"), ..Sources::default() });
        let region = regions.resolve("us-nowhere-9").unwrap();
        assert_eq!(region.host("iaas"), "iaas.us-nowhere-9.oraclecloud20.com");
        assert_eq!(region.origin(), &Origin::DefaultRealm);
        assert_eq!(regions.resolve("iad").unwrap().domain(), "oraclecloud.com");
    }

    #[test]
    fn sources_add_regions_and_change_none() {
        let moved = SYDNEY.replace("oraclecloud.com", "evil.example");
        let array = format!("[{moved},{NOWHERE}]");
        let from_file = Sources { regions_config: Some(&array), ..Sources::default() };
        let from_variable = Sources { region_metadata: Some(NOWHERE), ..Sources::default() };
        for sources in [from_file, from_variable] {
            let regions = Regions::new(sources);
            for text in ["xx-nowhere-1", "now", "NOW"] {
                let region = regions.resolve(text).unwrap();
                assert_eq!(region.host("iaas"), "iaas.xx-nowhere-1.oraclecloud99.example");
                assert_eq!(region.origin(), &known("oc99"));
            }
            assert_eq!(regions.known("Now"), Some("xx-nowhere-1"));
            assert_eq!(regions.known("elsewhere"), None);
            assert_eq!(regions.resolve("syd").unwrap().domain(), "oraclecloud.com");
            assert_eq!(regions.warnings(), [] as [&str; 0]);
        }
    }

    #[test]
    fn a_source_that_cannot_be_used_is_ignored_with_a_warning() {
        let short = r#"{"realmKey":"OC1"}"#;
        let empty = NOWHERE.replace("NOW", " ");
        let evil = NOWHERE.replace("OracleCloud99.example", "evil/path");
        let cases = [
            (NOWHERE, "regions-config.json is ignored: invalid type: map, expected a sequence"),
            ("", "regions-config.json is ignored: EOF while parsing"),
            ("[1]", "a region of regions-config.json is ignored: invalid type: integer `1`"),
            (&format!("[{short}]"), "a region of regions-config.json is ignored: missing field"),
            (&format!("[{empty}]"), "a region of regions-config.json is ignored: its regionKey is empty"),
            (&format!("[{evil}]"), "ignored: its realmDomainComponent has the character '/'"),
        ];
        for (text, expected) in cases {
            let regions = Regions::new(Sources { regions_config: Some(text), ..Sources::default() });
            assert!(
                matches!(regions.warnings(), [line] if line.contains(expected)),
                "{:?}",
                regions.warnings()
            );
            assert_eq!(regions.resolve("xx-nowhere-1").unwrap().origin(), &Origin::Assumed);
        }
        let array = format!("[{short},{NOWHERE}]");
        let regions = Regions::new(Sources { regions_config: Some(&array), ..Sources::default() });
        assert_eq!(regions.warnings().len(), 1);
        assert_eq!(regions.resolve("now").unwrap().origin(), &known("oc99"), "the good one beside a bad one");

        let sources =
            Sources { region_metadata: Some("[]"), default_realm: Some("a b"), ..Sources::default() };
        let regions = Regions::new(sources);
        assert!(
            regions.warnings()[0].contains("OCI_REGION_METADATA is ignored: "),
            "{:?}",
            regions.warnings()
        );
        assert!(regions.warnings()[1].starts_with("OCI_DEFAULT_REALM is ignored: it has the character ' '"));
        let unset = Sources { region_metadata: Some(""), default_realm: Some(""), ..Sources::default() };
        assert_eq!(Regions::new(unset).warnings(), [] as [&str; 0]);
    }

    #[test]
    fn a_text_that_could_change_a_url_is_no_region() {
        let long = "a".repeat(64);
        let cases = [
            ("", ParseRegionError::Empty),
            (" \n", ParseRegionError::Empty),
            ("us ashburn", ParseRegionError::Character { character: ' ' }),
            ("us-ashburn-1/", ParseRegionError::Character { character: '/' }),
            ("evil.com#", ParseRegionError::Character { character: '#' }),
            ("user@evil", ParseRegionError::Character { character: '@' }),
            ("a:80", ParseRegionError::Character { character: ':' }),
            ("région", ParseRegionError::Character { character: 'é' }),
            (".", ParseRegionError::Part),
            ("a..b", ParseRegionError::Part),
            ("a.b.", ParseRegionError::Part),
            (long.as_str(), ParseRegionError::Part),
        ];
        for (text, expected) in cases {
            assert_eq!(plain().resolve(text), Err(expected), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_region_that_resolves_makes_a_host_and_nothing_else(text in "[ -~é]{0,20}|[a-zA-Z0-9.-]{1,30}") {
            if let Ok(region) = plain().resolve(&text) {
                let host = region.host("iaas");
                let uri = http::Uri::try_from(format!("https://{host}/20160918")).unwrap();
                prop_assert_eq!((uri.host(), uri.path(), uri.port()), (Some(host.as_str()), "/20160918", None));
            }
        }

        #[test]
        fn no_source_makes_the_table_panic(text in "[\\[\\]{}\":,a-zA-Z ]{0,60}") {
            let sources = Sources {
                regions_config: Some(&text), region_metadata: Some(&text), default_realm: Some(&text),
            };
            let _ = Regions::new(sources).resolve(&text);
        }
    }
}
