//! A session token: what `oci session authenticate` writes, for people at their laptops. Nobody refreshes it here;
//! what the CLI puts into the files is read again.

use super::ConfigError;
use super::Credentials;
use super::Error;
use super::Owner;
use super::Problem;
use super::ReadCredentials;
use super::api_key::Loaded;
use super::api_key::Source;
use super::files::read_text;
use super::jwt;
use super::jwt::Claims;
use crate::clock::Clock;
use crate::files::Files;
use crate::ocid::Ocid;
use crate::signature::PrivateKey;

const REMEDY: &str = "`oci session authenticate` gives a new one";

/// A session token of a profile, and the key that it was issued for.
#[derive(Debug)]
pub struct SecurityToken {
    /// Where the profile and the variables are.
    pub source: Source,
    /// What time it is.
    pub clock: Clock,
}

impl SecurityToken {
    fn read_session(&self, files: &Files) -> Result<Loaded, ConfigError> {
        let variables = &self.source.variables;
        let parts = self.source.parts(files, variables.missing_of([variables.security_token_file()]))?;
        let named = parts.find(variables.security_token_file())?;
        let path = parts.path(&named)?;
        let place = format!("{} ({})", jwt::shown_path(&path), named.place);
        let text = read_text(files, &path).map_err(|problem| ConfigError::new(&place, problem))?;
        // The CLI does not trim it, and neither must what is signed have a line break in it.
        let token = text.trim();
        let claims = Claims::read(token, self.clock.now())
            .map_err(|error| ConfigError::new(&place, Problem::Token { error, remedy: REMEDY }))?;
        let key = parts.key()?;
        belongs(&claims, &key.value, &place, &key.place, REMEDY)?;
        let tenancy = parts.entry("tenancy").and_then(|entry| Ocid::parse(&entry.text).ok());
        let owner = Owner {
            tenancy: claims.tenancy().or(tenancy),
            subject: claims.text("sub").map(|user| ("user", user.to_owned())),
        };
        let region = parts.region()?;
        let mut places = vec![("security_token_file", named.place), ("key_file", key.setting)];
        places.extend(region.as_ref().map(|region| ("region", region.place.clone())));
        let unfollowed = parts.unfollowed("security_token");
        let mut warnings = parts.profile.warnings;
        warnings.extend(unfollowed);
        warnings.extend(key.warning);
        let credentials = Credentials::new(format!("ST${token}"), key.value, Some(claims.expires)).of(owner);
        let region = region.map(|region| region.value);
        Ok(Loaded { credentials, region, warnings, places, key: key.stands })
    }
}

impl ReadCredentials for SecurityToken {
    fn read(&self, files: &Files) -> Result<Loaded, Error> {
        Ok(self.read_session(files)?)
    }
}

/// Whether token and key go together, if the token says for which key it was issued: of two files that are being
/// replaced one may be the old one.
pub(super) fn belongs(
    claims: &Claims,
    key: &PrivateKey,
    token_place: &str,
    key_place: &str,
    remedy: &'static str,
) -> Result<(), ConfigError> {
    match claims.modulus() {
        Some(modulus) if !key.has_modulus(&modulus) => {
            Err(ConfigError::new(token_place, Problem::OtherToken { key: key_place.to_owned(), remedy }))
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Origin;
    use crate::credentials::Setting;
    use crate::credentials::Variables;
    use crate::credentials::jwt::tests::token;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;
    use std::time::Duration;
    use std::time::UNIX_EPOCH;
    use tempfile::TempDir;

    const CONFIG: &str = "[DEFAULT]\ntenancy=ocid1.tenancy.oc1..a\nregion=fra\nfingerprint=x\n\
        key_file=~/key.pem\nsecurity_token_file=~/token\n";
    const TOKEN: &str = "~/token (~/config (from --config-file), profile DEFAULT, security_token_file)";

    struct Home(TempDir);

    impl Home {
        fn new() -> Self {
            let home = Self(tempfile::tempdir().unwrap());
            home.write("config", CONFIG);
            let vectors: serde_json::Value =
                serde_json::from_str(include_str!("../../tests/data/signing-vectors.json")).unwrap();
            home.write("key.pem", vectors["fresh_key"]["pem"]["pkcs8"].as_str().unwrap());
            home
        }

        fn write(&self, name: &str, content: &str) {
            fs::write(self.0.path().join(name), content).unwrap();
            fs::set_permissions(self.0.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }

        fn load(&self, token: &str) -> Result<Loaded, String> {
            self.write("token", token);
            let source = Source {
                auth: Origin::Named("--auth"),
                config_file: Setting {
                    value: self.0.path().join("config"),
                    origin: Origin::Named("--config-file"),
                },
                profile: Setting { value: "DEFAULT".to_owned(), origin: Origin::Default },
                home: Some(self.0.path().to_owned()),
                variables: Variables::default(),
            };
            let now = UNIX_EPOCH + Duration::from_secs(1_900_000_000);
            let clock = Clock::with_source(Arc::new(move || now));
            let session = SecurityToken { source, clock }.read(&Files::default());
            session.map_err(|error| error.line().replace(self.0.path().to_str().unwrap(), "~"))
        }
    }

    #[test]
    fn a_session_token_is_trimmed_and_read_with_its_claims() {
        let text = token(&json!({"exp": 1_900_003_600, "sub": "ocid1.user.oc1..b"}));
        for around in [text.clone(), format!("{text}\n"), format!("  {text}\r\n\n")] {
            let session = Home::new().load(&around).unwrap();
            assert_eq!(session.credentials.identity().key_id, format!("ST${text}"));
            let owner = session.credentials.owner();
            assert_eq!(owner.tenancy.as_ref().unwrap().as_str(), "ocid1.tenancy.oc1..a");
            assert_eq!(owner.subject, Some(("user", "ocid1.user.oc1..b".to_owned())));
            assert_eq!(session.region.as_deref(), Some("fra"));
            assert!(!format!("{session:?}").contains(&text[..20]));
        }
    }

    #[test]
    fn what_is_wrong_with_a_session_token_is_one_line_with_its_place_and_the_remedy() {
        let good = json!({"exp": 1_900_003_600});
        let jwk = |n: &[u8]| format!(r#"{{"n":"{}"}}"#, URL_SAFE_NO_PAD.encode(n));
        for (text, expected) in [
            (String::new(), "is empty, a token was expected"),
            (token(&good).replace('.', ".\n"), "has a line break or a space inside"),
            ("not-a-token".to_owned(), "is not a JWT"),
            (token(&json!({})), "is a JWT without the claim `exp`"),
            (token(&json!({"exp": 1_800_000_000})), "is a token that expired at 2027-01-15T08:00:00Z"),
            (
                token(&json!({"exp": 1_900_003_600, "jwk": jwk(b"other")})),
                "is a token for another key than that in ~/key.pem",
            ),
        ] {
            let line = Home::new().load(&text).unwrap_err();
            assert!(line.starts_with(&format!("{TOKEN}: {expected}")), "{line}");
            assert!(line.ends_with(REMEDY) && !line.contains('\n'), "{line}");
        }
        let home = Home::new();
        home.write("config", &format!("{CONFIG}authentication_type=instance_principal\n"));
        let warnings = home.load(&token(&good)).unwrap().warnings;
        let unfollowed =
            "authentication_type: is \"instance_principal\", which --auth security_token overrides";
        assert!(matches!(&warnings[..], [one] if one.contains(unfollowed)), "{warnings:?}");
        home.write("config", &CONFIG.replace("security_token_file", "other"));
        let line = home.load(&token(&good)).unwrap_err();
        assert!(
            line.ends_with("has no security_token_file; add it or set OCI_CLI_SECURITY_TOKEN_FILE"),
            "{line}"
        );
    }
}
