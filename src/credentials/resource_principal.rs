//! Resource principals of version 2.2: Functions, Container Instances and others put a token and its key into
//! variables, or into files that they replace.

use super::ConfigError;
use super::Credentials;
use super::Error;
use super::Loaded;
use super::Owner;
use super::PemError;
use super::Problem;
use super::ReadCredentials;
use super::files::read_text;
use super::jwt::Claims;
use super::pem;
use super::security_token::belongs;
use crate::clock::Clock;
use crate::files::Files;
use std::fmt;
use std::path::Path;
use zeroize::Zeroizing;

const VERSION: &str = "OCI_RESOURCE_PRINCIPAL_VERSION";
const RPST: &str = "OCI_RESOURCE_PRINCIPAL_RPST";
const PRIVATE_PEM: &str = "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM";
const PASSPHRASE: &str = "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE";
const REMEDY: &str = "the service that runs this process replaces it: is the process older than that?";
const NOT_A_RESOURCE: &str =
    "Functions, Container Instances and other services set it; elsewhere choose another --auth";

/// The variables of a resource principal. A value that is an absolute path is the name of a file.
#[derive(Default)]
pub struct PrincipalVariables {
    /// `OCI_RESOURCE_PRINCIPAL_VERSION`.
    pub version: Option<String>,
    /// `OCI_RESOURCE_PRINCIPAL_RPST`.
    pub rpst: Option<Zeroizing<String>>,
    /// `OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM`.
    pub private_pem: Option<Zeroizing<String>>,
    /// `OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE`.
    pub passphrase: Option<Zeroizing<String>>,
    /// `OCI_RESOURCE_PRINCIPAL_REGION`.
    pub region: Option<String>,
}

impl fmt::Debug for PrincipalVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrincipalVariables").field("version", &self.version).finish_non_exhaustive()
    }
}

/// A resource principal of version 2.2.
pub struct ResourcePrincipal {
    variables: PrincipalVariables,
    clock: Clock,
}

/// A value, and where it stands.
struct Material {
    text: Zeroizing<String>,
    place: String,
}

impl ResourcePrincipal {
    /// Reads what the variables have, or name.
    pub fn new(variables: PrincipalVariables, clock: Clock) -> Self {
        Self { variables, clock }
    }

    /// Where token and key stand.
    pub fn places(&self) -> [String; 2] {
        let PrincipalVariables { rpst, private_pem, .. } = &self.variables;
        [place(RPST, rpst.as_ref()), place(PRIVATE_PEM, private_pem.as_ref())]
    }

    fn read_principal(&self, files: &Files) -> Result<Loaded, ConfigError> {
        let PrincipalVariables { version, rpst, private_pem, passphrase, region } = &self.variables;
        match version.as_deref().map(str::trim) {
            Some("2.2") => {}
            Some(other) => {
                return Err(ConfigError::new(VERSION, Problem::Version { given: other.to_owned() }));
            }
            None => return Err(ConfigError::new(VERSION, Problem::NotSet { remedy: NOT_A_RESOURCE })),
        }
        let token = read(files, RPST, rpst.as_ref())?;
        let key = read(files, PRIVATE_PEM, private_pem.as_ref())?;
        let passphrase = passphrase.as_ref().map(|value| read(files, PASSPHRASE, Some(value))).transpose()?;
        let bare = token.text.trim();
        let claims = Claims::read(bare, self.clock.now())
            .map_err(|error| ConfigError::new(&token.place, Problem::Token { error, remedy: REMEDY }))?;
        let pass = passphrase.as_ref().map(|it| it.text.trim_end_matches(['\r', '\n']));
        let private = pem::private_key(&key.text, pass).map_err(|error| match error {
            PemError::NoPassphrase | PemError::WrongPassphrase => {
                ConfigError::new(&key.place, Problem::Locked { variable: PASSPHRASE })
            }
            other => ConfigError::new(&key.place, other),
        })?;
        belongs(&claims, &private, &token.place, &key.place, REMEDY)?;
        let subject = ["res_id", "opc-resource", "sub"].iter().find_map(|name| claims.text(name));
        let subject = subject.map(|subject| ("resource", subject.to_owned()));
        let owner = Owner { tenancy: claims.tenancy(), subject };
        let credentials = Credentials::new(format!("ST${bare}"), private, Some(claims.expires)).of(owner);
        let places = vec![(RPST, token.place)];
        Ok(Loaded { credentials, region: region.clone(), warnings: Vec::new(), places, key: key.place })
    }
}

impl ReadCredentials for ResourcePrincipal {
    fn read(&self, files: &Files) -> Result<Loaded, Error> {
        Ok(self.read_principal(files)?)
    }
}

impl fmt::Debug for ResourcePrincipal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourcePrincipal").field("places", &self.places()).finish_non_exhaustive()
    }
}

fn read(
    files: &Files,
    variable: &'static str,
    value: Option<&Zeroizing<String>>,
) -> Result<Material, ConfigError> {
    let place = place(variable, value);
    let Some(value) = value else {
        return Err(ConfigError::new(variable, Problem::NotSet { remedy: NOT_A_RESOURCE }));
    };
    let text = match path(value) {
        Some(path) => read_text(files, path).map_err(|problem| ConfigError::new(&place, problem))?,
        None if is_relative(variable, value) => return Err(ConfigError::new(&place, Problem::Relative)),
        None => value.clone(),
    };
    Ok(Material { text, place })
}

fn place(variable: &str, value: Option<&Zeroizing<String>>) -> String {
    match value.and_then(|value| path(value)) {
        // A passphrase may begin with a slash.
        Some(_secret) if variable == PASSPHRASE => variable.to_owned(),
        Some(path) => format!("{} ({variable})", path.display()),
        None => variable.to_owned(),
    }
}

/// Neither a token nor a key in PEM looks like that; a passphrase may.
fn is_relative(variable: &str, value: &str) -> bool {
    variable != PASSPHRASE && value.contains('/') && !value.contains("-----")
}

fn path(value: &str) -> Option<&Path> {
    Some(Path::new(value.trim())).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::jwt::tests::token;
    use serde_json::json;
    use std::sync::Arc;
    use std::time::Duration;
    use std::time::UNIX_EPOCH;

    fn pem(form: &str) -> String {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/data/signing-vectors.json")).unwrap();
        vectors["fresh_key"]["pem"][form].as_str().unwrap().to_owned()
    }

    fn good() -> String {
        token(&json!({"exp": 1_900_003_600, "res_tenant": "ocid1.tenancy.oc1..a", "sub": "ocid1.fn.oc1..b"}))
    }

    fn principal(version: &str, rpst: &str, key: &str, passphrase: &str) -> ResourcePrincipal {
        let now = UNIX_EPOCH + Duration::from_secs(1_900_000_000);
        let set = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty()).map(Zeroizing::new);
        let variables = PrincipalVariables {
            version: Some(version.to_owned()).filter(|text| !text.is_empty()),
            rpst: set(rpst),
            private_pem: set(key),
            passphrase: set(passphrase),
            region: None,
        };
        ResourcePrincipal::new(variables, Clock::with_source(Arc::new(move || now)))
    }

    #[test]
    fn token_key_and_passphrase_stand_in_variables_or_in_files() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, content: String| {
            std::fs::write(dir.path().join(name), content).unwrap();
            dir.path().join(name).to_str().unwrap().to_owned()
        };
        let rpst = file("rpst", format!("{}\n", good()));
        let key = file("key", pem("pkcs8_enc"));
        let passphrase = file("passphrase", "correct horse\n".to_owned());
        for principal in [
            principal("2.2", &good(), &pem("pkcs1"), ""),
            principal("2.2", &rpst, &key, &passphrase),
            principal("2.2", &rpst, &key, "correct horse"),
        ] {
            let credentials = principal.read(&Files::default()).unwrap().credentials;
            assert_eq!(credentials.identity().key_id, format!("ST${}", good()));
            let owner = credentials.owner();
            assert_eq!(owner.tenancy.as_ref().unwrap().as_str(), "ocid1.tenancy.oc1..a");
            assert_eq!(owner.subject, Some(("resource", "ocid1.fn.oc1..b".to_owned())));
            let shown = format!("{principal:?} {credentials:?}");
            assert!(!shown.contains("PRIVATE KEY") && !shown.contains(&good()[..20]), "{shown}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_resource_principal_is_one_line_with_its_variable_and_the_remedy() {
        let expired = token(&json!({"exp": 1_800_000_000}));
        let other = token(&json!({"exp": 1_900_003_600, "jwk": {"n": "AQID"}}));
        let good = good();
        let key = pem("pkcs8");
        let locked = pem("pkcs8_enc");
        for (principal, expected) in [
            (
                principal("", &good, &key, ""),
                "OCI_RESOURCE_PRINCIPAL_VERSION: is not set; Functions, Container",
            ),
            (
                principal("1.1", &good, &key, ""),
                "OCI_RESOURCE_PRINCIPAL_VERSION: is \"1.1\"; this gateway signs in",
            ),
            (principal("2.2", "", &key, ""), "OCI_RESOURCE_PRINCIPAL_RPST: is not set; "),
            (principal("2.2", &good, "", ""), "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM: is not set; "),
            (
                principal("2.2", "/none", &key, ""),
                "/none (OCI_RESOURCE_PRINCIPAL_RPST): does not exist; correct the path",
            ),
            (
                principal("2.2", "run/rpst", &key, ""),
                "OCI_RESOURCE_PRINCIPAL_RPST: looks like a path that does not begin with `/`, and is taken as",
            ),
            (
                principal("2.2", &good, "./key.pem", ""),
                "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM: looks like a path that does not begin with `/`",
            ),
            (principal("2.2", "rpst", &key, ""), "OCI_RESOURCE_PRINCIPAL_RPST: is not a JWT: "),
            (
                principal("2.2", &expired, &key, ""),
                "OCI_RESOURCE_PRINCIPAL_RPST: is a token that expired at 2027-01-15T08:00:00Z; the service",
            ),
            (principal("2.2", &good, "key", ""), "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM: holds no PEM"),
            (
                principal("2.2", &good, &locked, ""),
                "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM: is encrypted, and OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE does not open it",
            ),
            (
                principal("2.2", &good, &locked, "wrong"),
                "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM: is encrypted, and OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE does not open it",
            ),
            (
                principal("2.2", &other, &key, ""),
                "OCI_RESOURCE_PRINCIPAL_RPST: is a token for another key than that in OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM",
            ),
        ] {
            let error = principal.read(&Files::default()).unwrap_err();
            assert!(error.is_setting() && error.line().starts_with(expected), "{}", error.line());
        }
    }
}
