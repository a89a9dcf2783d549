//! An API key: a user's key pair, from the OCI CLI's variables and the OCI configuration file.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::ConfigError;
use super::Credentials;
use super::Error;
use super::Owner;
use super::Problem;
use super::ReadCredentials;
use super::config_file::Entry;
use super::config_file::Origin;
use super::config_file::Profile;
use super::config_file::Setting;
use super::files::read_text;
use super::pem;
use super::pem::PemError;
use crate::files::Files;
use crate::ocid::Ocid;
use crate::region::Regions;
use crate::region::Sources;
use crate::signature::PrivateKey;

/// Where the parts of an API key may stand. A variable beats the file, and the file is not even opened when
/// the variables have everything, so that a container needs none.
#[derive(Debug)]
pub struct Source {
    /// How this way to sign in was chosen.
    pub auth: Origin,
    /// The configuration file.
    pub config_file: Setting<PathBuf>,
    /// The profile in it.
    pub profile: Setting<String>,
    /// What `~` stands for.
    pub home: Option<PathBuf>,
    /// The variables.
    pub variables: Variables,
}

/// The OCI CLI's variables, as far as they are set.
#[derive(Default)]
pub struct Variables {
    /// `OCI_CLI_USER`.
    pub user: Option<String>,
    /// `OCI_CLI_TENANCY`.
    pub tenancy: Option<String>,
    /// `OCI_CLI_FINGERPRINT`.
    pub fingerprint: Option<String>,
    /// `OCI_CLI_KEY_FILE`.
    pub key_file: Option<String>,
    /// `OCI_CLI_KEY_CONTENT`; it beats `OCI_CLI_KEY_FILE`, as in the Python SDK's signer.
    pub key_content: Option<Zeroizing<String>>,
    /// `OCI_CLI_PASSPHRASE`.
    pub passphrase: Option<Zeroizing<String>>,
    /// `OCI_CLI_SECURITY_TOKEN_FILE`.
    pub security_token_file: Option<String>,
}

/// A credential that is whole and right as far as can be known without asking OCI, and what was met on the way.
#[derive(Debug)]
pub struct Loaded {
    /// What requests are signed with.
    pub credentials: Credentials,
    /// The profile's region, which another setting may replace.
    pub region: Option<String>,
    /// What is not wrong but should be known, a line each.
    pub warnings: Vec<String>,
    /// Where each value stood: its name, and a description of the place.
    pub places: Vec<(&'static str, String)>,
    /// Where the key itself stood: a file or a variable.
    pub key: String,
}

impl Source {
    /// Puts the API key together and checks all that can be checked without OCI.
    pub fn load(&self) -> Result<Loaded, Error> {
        Ok(self.read_key(&Files::default())?)
    }

    fn read_key(&self, files: &Files) -> Result<Loaded, ConfigError> {
        let parts = self.parts(files, self.variables.missing())?;
        let variables = parts.variables;
        parts.refuse_other_sign_in(self.auth)?;
        let user = parts.ocid(variables.user(), "user")?;
        let tenancy = parts.ocid(variables.tenancy(), "tenancy")?;
        let fingerprint = parts.fingerprint()?;
        let region = parts.region()?;
        let key = parts.key()?;
        if key.value.fingerprint() != fingerprint.value {
            let (given, own) = (fingerprint.value, key.value.fingerprint().to_owned());
            return Err(ConfigError::new(
                fingerprint.place,
                Problem::OtherKey { given, own, key: key.place },
            ));
        }
        let unused = parts.unused_token();
        let mut warnings = parts.profile.warnings;
        warnings.extend(unused);
        warnings.extend(key.warning);
        let mut places = vec![
            ("user", user.place),
            ("tenancy", tenancy.place),
            ("fingerprint", fingerprint.place),
            ("key_file", key.setting),
        ];
        places.extend(region.as_ref().map(|region| ("region", region.place.clone())));
        let (user, tenancy, region) = (user.value, tenancy.value, region.map(|region| region.value));
        let key_id = format!("{tenancy}/{user}/{}", key.value.fingerprint());
        let owner = Owner { tenancy: Some(tenancy), subject: Some(("user", user.to_string())) };
        let credentials = Credentials::new(key_id, key.value, None).of(owner);
        Ok(Loaded { credentials, region, warnings, places, key: key.stands })
    }

    /// All the places in which parts may stand. `missing` names the variables that are not set: without any, there is
    /// no need of a file.
    pub(super) fn parts<'a>(
        &'a self,
        files: &'a Files,
        missing: Vec<&'static str>,
    ) -> Result<Parts<'a>, ConfigError> {
        let profile = self.read_profile(files, missing)?;
        Ok(Parts { variables: &self.variables, home: self.home.as_deref(), profile, files })
    }

    fn read_profile(&self, files: &Files, missing: Vec<&'static str>) -> Result<Profile, ConfigError> {
        if missing.is_empty() {
            return Ok(Profile::none());
        }
        let Setting { value: path, origin } = &self.config_file;
        let place = || format!("{} ({origin})", path.display());
        let path =
            expand(path, self.home.as_deref()).map_err(|problem| ConfigError::new(place(), problem))?;
        if *origin == Origin::Default && matches!(path.try_exists(), Ok(false)) {
            return Err(ConfigError::new(place(), Problem::NotConfigured { missing }));
        }
        Profile::read(files, &path, *origin, &self.profile)
    }
}

impl ReadCredentials for Source {
    fn read(&self, files: &Files) -> Result<Loaded, Error> {
        Ok(self.read_key(files)?)
    }
}

impl Variables {
    fn user(&self) -> Part<'_> {
        Part { key: "user", variable: "OCI_CLI_USER", set: self.user.as_deref() }
    }

    fn tenancy(&self) -> Part<'_> {
        Part { key: "tenancy", variable: "OCI_CLI_TENANCY", set: self.tenancy.as_deref() }
    }

    fn fingerprint(&self) -> Part<'_> {
        Part { key: "fingerprint", variable: "OCI_CLI_FINGERPRINT", set: self.fingerprint.as_deref() }
    }

    pub(super) fn security_token_file(&self) -> Part<'_> {
        let set = self.security_token_file.as_deref();
        Part { key: "security_token_file", variable: "OCI_CLI_SECURITY_TOKEN_FILE", set }
    }

    fn key_file(&self) -> Part<'_> {
        Part { key: "key_file", variable: "OCI_CLI_KEY_FILE", set: self.key_file.as_deref() }
    }

    /// The names of those without which a file is needed.
    fn missing(&self) -> Vec<&'static str> {
        self.missing_of([self.user(), self.tenancy(), self.fingerprint()])
    }

    /// The names of those of `parts` that are not set, and of the key's if it is not.
    pub(super) fn missing_of<const N: usize>(&self, parts: [Part<'_>; N]) -> Vec<&'static str> {
        let key = self.key_content.is_none().then(|| self.key_file());
        parts.into_iter().chain(key).filter(|part| part.set.is_none()).map(|part| part.variable).collect()
    }
}

/// One part of a credential: its name in the file and in the environment, and the variable's value.
pub(super) struct Part<'a> {
    key: &'static str,
    variable: &'static str,
    set: Option<&'a str>,
}

/// A value and where it stands.
pub(super) struct Located<T> {
    pub(super) value: T,
    pub(super) place: String,
}

/// The key, and what is not wrong with it but should be known.
pub(super) struct LoadedKey {
    pub(super) value: PrivateKey,
    pub(super) place: String,
    pub(super) setting: String,
    pub(super) stands: String,
    pub(super) warning: Option<String>,
}

/// All the places in which a part may stand.
pub(super) struct Parts<'a> {
    variables: &'a Variables,
    home: Option<&'a Path>,
    pub(super) profile: Profile,
    files: &'a Files,
}

impl Parts<'_> {
    /// A profile for another way to sign in has no `user`, or says so.
    fn refuse_other_sign_in(&self, auth: Origin) -> Result<(), ConfigError> {
        let has_user = self.variables.user.is_some() || self.profile.entries.contains_key("user");
        let (kind, remedy) = match (self.entry("security_token_file"), self.entry("authentication_type")) {
            (Some(_), _) if !has_user => {
                ("a session token (security_token_file)".to_owned(), "say --auth security_token")
            }
            (_, Some(kind)) if *kind.text != "api_key" => {
                (format!("authentication_type {:?}", *kind.text), "say so by --auth")
            }
            (Some(_), None) if auth == Origin::Default && self.is_a_session() => (
                "a session token (security_token_file, and no user of its own)".to_owned(),
                "say --auth security_token, or --auth api_key if its key is an API key of DEFAULT's user",
            ),
            _ => return Ok(()),
        };
        Err(ConfigError::new(&self.profile.place, Problem::OtherSignIn { kind, remedy }))
    }

    /// Whether the profile is as `oci session authenticate` writes it, which gives it no user: the one that it inherits
    /// is not whose key this is. OCI's CLI signs with the two of them all the same, and OCI refuses that.
    fn is_a_session(&self) -> bool {
        let own = |key| self.profile.own.contains(key);
        let variables = self.variables;
        let said =
            variables.user.is_some() || variables.key_file.is_some() || variables.key_content.is_some();
        own("security_token_file") && own("key_file") && !own("user") && !said
    }

    /// A token that lies unused beside a key is told, as OCI's CLI does.
    fn unused_token(&self) -> Option<String> {
        let token =
            self.entry("security_token_file").filter(|_| self.entry("authentication_type").is_none())?;
        Some(format!("{}: is not used; --auth security_token uses it", token.place))
    }

    /// What was asked for by --auth beats the profile, as with OCI's CLI.
    pub(super) fn unfollowed(&self, auth: &str) -> Option<String> {
        let kind = self.entry("authentication_type").filter(|kind| *kind.text != auth)?;
        Some(format!("{}: is {:?}, which --auth {auth} overrides", kind.place, *kind.text))
    }

    fn ocid(&self, part: Part<'_>, expected: &'static str) -> Result<Located<Ocid>, ConfigError> {
        let Located { value, place } = self.find(part)?;
        match Ocid::parse(&value) {
            Ok(ocid) if ocid.resource_type() == expected => Ok(Located { value: ocid, place }),
            Ok(ocid) => {
                let found = ocid.resource_type().to_owned();
                Err(ConfigError::new(place, Problem::OtherOcid { found, expected }))
            }
            Err(error) => Err(ConfigError::new(place, error)),
        }
    }

    fn fingerprint(&self) -> Result<Located<String>, ConfigError> {
        let Located { value, place } = self.find(self.variables.fingerprint())?;
        let value = value.to_ascii_lowercase();
        let pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        if value.split(':').count() != 16 || !value.split(':').all(pair) {
            return Err(ConfigError::new(place, Problem::NoFingerprint));
        }
        Ok(Located { value, place })
    }

    pub(super) fn region(&self) -> Result<Option<Located<String>>, ConfigError> {
        let Some(entry) = self.entry("region") else { return Ok(None) };
        Regions::new(Sources::default())
            .resolve(&entry.text)
            .map_err(|error| ConfigError::new(&entry.place, error))?;
        Ok(Some(Located { value: entry.text.to_string(), place: entry.place.clone() }))
    }

    pub(super) fn key(&self) -> Result<LoadedKey, ConfigError> {
        if let Some(entry) = self.entry("key_content") {
            return Err(ConfigError::new(&entry.place, Problem::KeyContent));
        }
        let Some(content) = &self.variables.key_content else {
            return self.key_from_file(self.find(self.variables.key_file())?);
        };
        let place = "OCI_CLI_KEY_CONTENT".to_owned();
        let warning =
            self.variables.key_file.as_ref().map(|_| format!("OCI_CLI_KEY_FILE: {place} is used instead"));
        let value = self.private_key(content, &place)?;
        Ok(LoadedKey { value, setting: place.clone(), stands: place.clone(), place, warning })
    }

    fn key_from_file(&self, path: Located<String>) -> Result<LoadedKey, ConfigError> {
        if path.value.contains("PRIVATE KEY") {
            return Err(ConfigError::new(path.place, Problem::KeyForPath));
        }
        let expanded = self.path(&path)?;
        let place = format!("{} ({})", expanded.display(), path.place);
        let text = read_text(self.files, &expanded).map_err(|problem| match problem {
            // A key in DER, most likely.
            Problem::NotText => ConfigError::new(&place, PemError::NoPem),
            other => ConfigError::new(&place, other),
        })?;
        let value = self.private_key(&text, &place)?;
        let warning = open_to_others(&expanded).map(|mode| {
            format!("{place}: may be read by others (mode {mode:03o}); `chmod 600` keeps it private")
        });
        let stands = expanded.display().to_string();
        Ok(LoadedKey { value, place, setting: path.place, stands, warning })
    }

    /// The path that a value is.
    pub(super) fn path(&self, value: &Located<String>) -> Result<PathBuf, ConfigError> {
        expand(Path::new(&value.value), self.home).map_err(|problem| ConfigError::new(&value.place, problem))
    }

    fn private_key(&self, text: &str, place: &str) -> Result<PrivateKey, ConfigError> {
        let in_file =
            || self.entry("pass_phrase").or_else(|| self.entry("passphrase")).map(|entry| &entry.text);
        let passphrase = self.variables.passphrase.as_ref().or_else(in_file);
        let passphrase = passphrase.map(|text| text.as_str()).filter(|text| !text.is_empty());
        pem::private_key(text, passphrase).map_err(|error| ConfigError::new(place, error))
    }

    pub(super) fn find(&self, part: Part<'_>) -> Result<Located<String>, ConfigError> {
        let Part { key, variable, set } = part;
        let (text, place) = match (set, self.entry(key)) {
            (Some(text), _) => (text.trim(), variable),
            (None, Some(entry)) => (entry.text.as_str(), entry.place.as_str()),
            (None, None) => {
                return Err(ConfigError::new(&self.profile.place, Problem::Missing { key, variable }));
            }
        };
        match text.is_empty() {
            true => Err(ConfigError::new(place, Problem::Empty)),
            false => Ok(Located { value: text.to_owned(), place: place.to_owned() }),
        }
    }

    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.profile.entries.get(key)
    }
}

/// A path as a shell would have it. `~user` is not known here and stays as it is.
fn expand(path: &Path, home: Option<&Path>) -> Result<PathBuf, Problem> {
    match path.strip_prefix("~") {
        Ok(rest) => home.map(|home| home.join(rest)).ok_or(Problem::NoHome),
        Err(_) => Ok(path.to_owned()),
    }
}

/// The mode of a file that others than its owner may use. What is somebody else's, as a Secret that the kubelet has
/// mounted, is there for our group, and nothing that we could close.
fn open_to_others(path: &Path) -> Option<u32> {
    let file = std::fs::metadata(path).ok()?;
    let ours = file.uid() == rustix::process::geteuid().as_raw();
    let mode = file.permissions().mode() & 0o777;
    let others = if ours { 0o077 } else { 0o007 };
    (mode & others != 0).then_some(mode)
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Variables")
            .field("user", &self.user)
            .field("tenancy", &self.tenancy)
            .field("fingerprint", &self.fingerprint)
            .field("key_file", &self.key_file)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::ProvideCredentials;
    use crate::credentials::StaticCredentials;
    use std::error::Error as _;
    use std::fs;

    const FINGERPRINT: &str = "be:ba:33:6a:e0:32:6e:6c:b6:13:40:59:31:02:eb:f7";
    const USER: &str = "ocid1.user.oc1..aaaaaaaatestuser";
    const TENANCY: &str = "ocid1.tenancy.oc1..aaaaaaaatesttenancy";
    const GOOD: &str = "[DEFAULT]
user=ocid1.user.oc1..aaaaaaaatestuser
tenancy=ocid1.tenancy.oc1..aaaaaaaatesttenancy
fingerprint=be:ba:33:6a:e0:32:6e:6c:b6:13:40:59:31:02:eb:f7
key_file=~/key.pem
region=us-ashburn-1
";

    fn pem(form: &str) -> String {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/data/signing-vectors.json")).unwrap();
        vectors["fresh_key"]["pem"][form].as_str().unwrap().to_owned()
    }

    /// A home directory with a key in it.
    struct Home(tempfile::TempDir);

    impl Home {
        fn new() -> Self {
            let home = Self(tempfile::tempdir().unwrap());
            home.write("key.pem", pem("pkcs8"));
            home
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, content: impl AsRef<[u8]>) {
            fs::write(self.path(name), content).unwrap();
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
        }

        fn source(&self, profile: &str) -> Source {
            Source {
                auth: Origin::Default,
                config_file: Setting { value: self.path("config"), origin: Origin::Named("--config-file") },
                profile: Setting { value: profile.to_owned(), origin: Origin::Named("OCI_CLI_PROFILE") },
                home: Some(self.0.path().to_owned()),
                variables: Variables::default(),
            }
        }

        fn load(&self, config: impl AsRef<[u8]>, profile: &str) -> Result<Loaded, Error> {
            self.write("config", config);
            self.source(profile).load()
        }

        /// The line that an error is about, with `~` for this directory.
        fn line(&self, error: &Error) -> String {
            let line = error.source().unwrap().to_string();
            assert!(!line.contains('\n'), "{line}");
            line.replace(self.0.path().to_str().unwrap(), "~")
        }

        fn refusal(&self, config: impl AsRef<[u8]>, profile: &str) -> String {
            let error = self.load(config, profile).unwrap_err();
            assert!(matches!(error, Error::InvalidConfiguration(_)), "{error:?}");
            self.line(&error)
        }
    }

    fn variables() -> Variables {
        Variables {
            user: Some(USER.to_owned()),
            tenancy: Some(TENANCY.to_owned()),
            fingerprint: Some(FINGERPRINT.to_owned()),
            key_content: Some(Zeroizing::new(pem("pkcs1"))),
            ..Variables::default()
        }
    }

    fn assert_whole(key: &Loaded) {
        assert_eq!(key.credentials.identity().key_id, format!("{TENANCY}/{USER}/{FINGERPRINT}"));
        let owner = key.credentials.owner();
        assert_eq!(owner.subject, Some(("user", USER.to_owned())));
        assert_eq!(owner.tenancy.as_ref().map(Ocid::as_str), Some(TENANCY));
        assert_eq!(key.credentials.expires(), None);
    }

    #[test]
    fn a_profile_is_read_in_every_way_that_it_is_written() {
        let ways = [
            GOOD.to_owned(),
            GOOD.replace('\n', "\r\n"),
            format!("\u{feff}{GOOD}"),
            format!("\u{feff}{GOOD}").replace('\n', "\r\n"),
            GOOD.trim_end().to_owned(),
            GOOD.replace('=', " = "),
            GOOD.replace('=', ": "),
            GOOD.replace('=', "\t:\t"),
            GOOD.replace('\n', "\n\n"),
            GOOD.replace('\n', " \t\n"),
            GOOD.replace('\n', "\n  "),
            GOOD.replace("user=", "USER=").replace("key_file=", "Key_File="),
            GOOD.replace(FINGERPRINT, &FINGERPRINT.to_uppercase()),
            GOOD.replace('\n', "\n# user=x\n;user=y\n  # no value\n"),
            format!("{GOOD}log_requests=False\nadditional_user_agent=\ndelegation_token_file=x\n"),
            format!("{GOOD}pass_phrase=not needed\n"),
            format!("{GOOD}pass_phrase=\n"),
            format!("{GOOD}authentication_type=api_key\nsecurity_token_file=x\n"),
            format!("{GOOD}[OTHER]\nuser=x\n[default]\nuser=y\n"),
            format!("[OTHER]\nuser=x\n{GOOD}"),
            GOOD.replace("\ntenancy", "\n[ DEFAULT ]\ntenancy"),
        ];
        let home = Home::new();
        for (number, config) in ways.iter().enumerate() {
            let key = home
                .load(config, "DEFAULT")
                .unwrap_or_else(|error| panic!("{number}: {}", home.line(&error)));
            assert_whole(&key);
            assert_eq!(
                (key.region.as_deref(), key.warnings.as_slice()),
                (Some("us-ashburn-1"), &[] as &[String]),
                "{number}"
            );
        }
    }

    #[test]
    fn a_profile_inherits_from_default_and_has_the_last_word() {
        let home = Home::new();
        let config =
            GOOD.replace(USER, "ocid1.user.oc1..another") + &format!("[prod]\nuser={USER}\nregion=fra\n");
        let key = home.load(config, "prod").unwrap();
        assert_whole(&key);
        assert_eq!(key.region.as_deref(), Some("fra"));
        let places: Vec<_> = key
            .places
            .iter()
            .map(|(name, place)| (*name, place.rsplit_once(" profile ").unwrap().1))
            .collect();
        let expected = [
            ("user", "prod, user"),
            ("tenancy", "DEFAULT, tenancy"),
            ("fingerprint", "DEFAULT, fingerprint"),
            ("key_file", "DEFAULT, key_file"),
            ("region", "prod, region"),
        ];
        assert_eq!(places, expected);
    }

    #[test]
    fn a_value_is_taken_as_it_is() {
        let home = Home::new();
        for passphrase in ["correct=horse", "a#b ;c", "%(user)s", "\"quoted\"", "back\\slash\\n\\", "å: ß"]
        {
            let encrypted = encrypted(passphrase);
            home.write("key.pem", &encrypted);
            for key in ["pass_phrase", "passphrase"] {
                let loaded = home.load(format!("{GOOD}{key}={passphrase}\nlog_requests=True\n"), "DEFAULT");
                assert!(loaded.is_ok(), "{passphrase}: {}", home.line(&loaded.unwrap_err()));
            }
        }
    }

    /// The key in PKCS#8, encrypted with another passphrase.
    fn encrypted(passphrase: &str) -> String {
        let (_, plain) = pkcs8::SecretDocument::from_pem(&pem("pkcs8")).unwrap();
        let salt_and_iv = [7; 16];
        let parameters =
            pkcs8::pkcs5::pbes2::Parameters::pbkdf2_sha256_aes256cbc(2, &salt_and_iv, &salt_and_iv).unwrap();
        let info = pkcs8::PrivateKeyInfo::try_from(plain.as_bytes()).unwrap();
        let encrypted = info.encrypt_with_params(parameters, passphrase).unwrap();
        encrypted.to_pem("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF).unwrap().to_string()
    }

    /// Holds the line that each configuration is refused with against what is expected, where `@` stands for
    /// the profile's place.
    fn assert_refused(cases: &[(String, &str)]) {
        let home = Home::new();
        for (config, expected) in cases {
            let expected = expected.replace('@', "~/config (from --config-file), profile DEFAULT");
            assert_eq!(home.refusal(config, "DEFAULT"), expected, "{config}");
        }
    }

    fn without(key: &str) -> String {
        GOOD.lines().filter(|line| !line.starts_with(key)).map(|line| format!("{line}\n")).collect()
    }

    fn with(key: &str, value: &str) -> String {
        format!("{}{key}={value}\n", without(key))
    }

    #[test]
    fn a_value_that_is_missing_or_wrong_is_one_line_with_its_place_and_the_remedy() {
        assert_refused(&[
            (without("user"), "@: has no user; add it or set OCI_CLI_USER"),
            (without("tenancy"), "@: has no tenancy; add it or set OCI_CLI_TENANCY"),
            (without("fingerprint"), "@: has no fingerprint; add it or set OCI_CLI_FINGERPRINT"),
            (without("key_file"), "@: has no key_file; add it or set OCI_CLI_KEY_FILE"),
            (with("user", ""), "@, user: is empty; give it a value or take it away"),
            (without("user") + "user\n", "@, user: is empty; give it a value or take it away"),
            (with("user", TENANCY), "@, user: is the OCID of a tenancy, that of a user was expected"),
            (with("tenancy", USER), "@, tenancy: is the OCID of a user, that of a tenancy was expected"),
            (with("user", "me"), "@, user: does not begin with `ocid1.`"),
            (
                with("tenancy", "ocid1.tenancy.oc1..a/b"),
                "@, tenancy: has the character '/' at position 21, \
                 an OCID has letters, digits and `-_.:` only",
            ),
            (
                with("fingerprint", "be:ba"),
                "@, fingerprint: is no fingerprint; \
                 16 pairs of hexadecimal digits with colons between them were expected",
            ),
            (
                with("fingerprint", &FINGERPRINT.replace("be", "00")),
                "@, fingerprint: is 00:ba:33:6a:e0:32:6e:6c:b6:13:40:59:31:02:eb:f7, \
                 but the key in ~/key.pem (@, key_file) has be:ba:33:6a:e0:32:6e:6c:b6:13:40:59:31:02:eb:f7; \
                 correct the one that is wrong",
            ),
            (
                with("region", "us ashburn"),
                "@, region: has the character ' ', a region has letters, digits, `-` and `.` only",
            ),
            (
                with("region", ""),
                "@, region: is empty, a region such as `us-ashburn-1` or `iad` was expected",
            ),
            (with("key_file", "~/none.pem"), "~/none.pem (@, key_file): does not exist; correct the path"),
            (with("key_file", "~/"), "~/ (@, key_file): is a directory, a file was expected"),
            (
                with("key_content", "x"),
                "@, key_content: has no place in a file; \
                 put the key into a file of its own and name that in key_file",
            ),
        ]);
    }

    #[test]
    fn a_file_of_another_form_is_one_line_with_its_place_and_the_remedy() {
        assert_refused(&[
            (
                without("user") + "security_token_file=~/token\n",
                "@: asks to sign in by a session token (security_token_file); say --auth security_token, \
                 or use a profile with an API key",
            ),
            (
                format!("{GOOD}authentication_type=instance_principal\n"),
                "@: asks to sign in by authentication_type \"instance_principal\"; \
                 say so by --auth, or use a profile with an API key",
            ),
            (
                format!("{GOOD}user={USER}\n"),
                "~/config (from --config-file): line 7 gives user of profile DEFAULT a second time; \
                 keep one of them",
            ),
            (
                format!("{GOOD}[ DEFAULT ]\nUser : x\n"),
                "~/config (from --config-file): line 8 gives User of profile DEFAULT a second time; \
                 keep one of them",
            ),
            (
                format!("user={USER}\n{GOOD}"),
                "~/config (from --config-file): has a line before the first profile; \
                 put a line such as [DEFAULT] above it",
            ),
            (
                "[DEFAULT\nuser=x".to_owned(),
                "~/config (from --config-file): is not a configuration file: \
                 line 1: Found opening bracket for section name but no closing bracket",
            ),
            ("[b]\n[a]\n".to_owned(), "@ (from OCI_CLI_PROFILE): is not in the file, which has [a], [b]"),
            (String::new(), "@ (from OCI_CLI_PROFILE): is not in the file, which has no profile"),
            // As of a file that a shell has written without quotes.
            (
                "[DEFAULT] user=x pass_phrase=hunter2 [b]".to_owned(),
                "@ (from OCI_CLI_PROFILE): is not in the file, which has a line that is no section header",
            ),
        ]);
        let line = Home::new().refusal(b"[DEFAULT]\nuser=\xff", "DEFAULT");
        assert_eq!(line, "~/config (from --config-file): is not a text in UTF-8; save it as one");
    }

    /// As `oci session authenticate` leaves the file behind where there is a user's own profile already.
    const SESSION: &str = "[session]\nfingerprint=be:ba:33:6a:e0:32:6e:6c:b6:13:40:59:31:02:eb:f7\n\
        key_file=~/key.pem\ntenancy=ocid1.tenancy.oc1..aaaaaaaatesttenancy\nregion=fra\nsecurity_token_file=~/token\n";

    #[test]
    fn a_session_that_inherits_a_user_is_no_api_key_unless_that_was_said() {
        let home = Home::new();
        let session = format!("{GOOD}{SESSION}");
        assert_eq!(
            home.refusal(&session, "session"),
            "~/config (from --config-file), profile session: asks to sign in by a session token \
             (security_token_file, and no user of its own); say --auth security_token, or --auth api_key \
             if its key is an API key of DEFAULT's user, or use a profile with an API key"
        );
        let said = Source { auth: Origin::Named("--auth"), ..home.source("session") };
        let unused = ", security_token_file: is not used; --auth security_token uses it";
        let loaded = said.load().unwrap();
        assert!(matches!(&loaded.warnings[..], [one] if one.ends_with(unused)), "{:?}", loaded.warnings);
        let mut variables = home.source("session");
        variables.variables.user = Some(USER.to_owned());
        assert_whole(&variables.load().unwrap());
        for (config, profile) in [
            (format!("{session}user={USER}\n"), "session"),
            (format!("{session}authentication_type=api_key\n"), "session"),
            (session.replace("key_file=~/key.pem\ntenancy", "tenancy"), "session"),
            (format!("{GOOD}security_token_file=~/token\n[other]\nkey_file=~/key.pem\n"), "other"),
            (format!("{GOOD}security_token_file=~/token\n"), "DEFAULT"),
        ] {
            let loaded = home.load(&config, profile).map_err(|error| home.line(&error));
            assert_whole(&loaded.unwrap_or_else(|line| panic!("{config}: {line}")));
        }
    }

    #[test]
    fn what_is_wrong_with_a_key_file_names_it_and_where_it_was_named() {
        let home = Home::new();
        let place = "~/key.pem (~/config (from --config-file), profile DEFAULT, key_file)";
        let cases = [
            (pem("pkcs8_enc").into_bytes(), "is encrypted and there is no passphrase"),
            (b"not a key".to_vec(), "holds no PEM"),
            (b"\x30\x82\x04\xff".to_vec(), "holds no PEM"),
            (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----".to_vec(), "holds a public key"),
        ];
        for (content, expected) in cases {
            home.write("key.pem", content);
            let line = home.refusal(GOOD, "DEFAULT");
            assert!(line.starts_with(&format!("{place}: {expected}")), "{line}");
        }
        home.write("key.pem", pem("pkcs1_des3"));
        let line = home.refusal(format!("{GOOD}pass_phrase=\n"), "DEFAULT");
        assert!(line.starts_with(&format!("{place}: is encrypted and there is no passphrase")), "{line}");
        let line = home.refusal(format!("{GOOD}pass_phrase=wrong"), "DEFAULT");
        assert!(line.starts_with(&format!("{place}: is not opened by the passphrase")), "{line}");
        assert!(!line.contains("wrong"), "{line}");
    }

    #[test]
    fn a_named_file_that_is_not_there_is_wrong_and_a_default_one_is_nothing_configured() {
        let home = Home::new();
        let mut source = home.source("DEFAULT");
        let error = source.load().unwrap_err();
        assert!(matches!(error, Error::InvalidConfiguration(_)));
        assert_eq!(home.line(&error), "~/config (from --config-file): does not exist; correct the path");

        source.config_file.origin = Origin::Default;
        source.variables.user = Some(USER.to_owned());
        let error = source.load().unwrap_err();
        assert!(matches!(error, Error::NotConfigured(_)));
        assert_eq!(
            home.line(&error),
            "~/config (the default): does not exist; make it with `oci setup config`, name another with --config-file, \
             or set OCI_CLI_TENANCY, OCI_CLI_FINGERPRINT, OCI_CLI_KEY_FILE"
        );
        source.config_file.value = home.path("");
        assert!(home.line(&source.load().unwrap_err()).ends_with(": is a directory, a file was expected"));
    }

    #[test]
    fn variables_need_no_file_and_beat_one() {
        let home = Home::new();
        let mut source = home.source("DEFAULT");
        source.variables = variables();
        let key = source.load().unwrap();
        assert_whole(&key);
        assert_eq!((key.region, key.warnings.is_empty()), (None, true));
        assert_eq!(key.places[0], ("user", "OCI_CLI_USER".to_owned()));
        assert_eq!(key.places[3], ("key_file", "OCI_CLI_KEY_CONTENT".to_owned()));
        assert_eq!(key.key, "OCI_CLI_KEY_CONTENT");

        home.write(
            "config",
            "[DEFAULT]\nuser=x\ntenancy=y\nfingerprint=z\nkey_file=/none\nregion=phx\npass_phrase=wrong",
        );
        source.variables = Variables { fingerprint: None, ..variables() };
        assert!(home.line(&source.load().unwrap_err()).ends_with("fingerprint: is no fingerprint; 16 pairs of hexadecimal digits with colons between them were expected"));

        home.write("config", GOOD.replace(USER, "x").replace("key.pem", "none.pem") + "pass_phrase=wrong\n");
        let key_file = Some("~/other.pem".to_owned());
        home.write("other.pem", pem("pkcs1_aes256"));
        let passphrase = Some(Zeroizing::new("correct horse".to_owned()));
        let user = Some(format!(" {USER}\n"));
        source.variables = Variables { user, key_file, passphrase, ..Variables::default() };
        let key = source.load().unwrap();
        assert_whole(&key);
        assert_eq!(key.region.as_deref(), Some("us-ashburn-1"));
    }

    #[test]
    fn what_is_wrong_with_a_variable_names_it() {
        let home = Home::new();
        let mut source = home.source("DEFAULT");
        let content = |text: &str| Some(Zeroizing::new(text.to_owned()));
        let cases = [
            (Variables { user: Some(" ".to_owned()), ..variables() }, "OCI_CLI_USER: is empty"),
            (
                Variables { tenancy: Some("x".to_owned()), ..variables() },
                "OCI_CLI_TENANCY: does not begin with",
            ),
            (
                Variables { fingerprint: Some("x".to_owned()), ..variables() },
                "OCI_CLI_FINGERPRINT: is no fingerprint",
            ),
            (Variables { key_content: content("x"), ..variables() }, "OCI_CLI_KEY_CONTENT: holds no PEM"),
            (Variables { key_content: content(""), ..variables() }, "OCI_CLI_KEY_CONTENT: holds no PEM"),
            (
                Variables { key_content: None, key_file: Some("/none.pem".to_owned()), ..variables() },
                "/none.pem (OCI_CLI_KEY_FILE): does not exist",
            ),
        ];
        for (variables, expected) in cases {
            source.variables = variables;
            let line = home.line(&source.load().unwrap_err());
            assert!(line.starts_with(expected), "{line}");
        }
        source.variables =
            Variables { key_content: None, key_file: Some("~/key.pem".to_owned()), ..variables() };
        source.home = None;
        let line = home.line(&source.load().unwrap_err());
        assert_eq!(
            line,
            "OCI_CLI_KEY_FILE: begins with ~ and there is no home directory; write the path in full"
        );
    }

    #[test]
    fn a_key_that_is_somebody_elses_may_be_open_to_our_group() {
        let key = tempfile::NamedTempFile::new().unwrap();
        let warned = |mode| {
            fs::set_permissions(key.path(), fs::Permissions::from_mode(mode)).unwrap();
            open_to_others(key.path())
        };
        assert_eq!([0o400, 0o440, 0o444].map(warned), [None, Some(0o440), Some(0o444)]);
        if std::os::unix::fs::chown(key.path(), Some(65534), None).is_err() {
            println!("NOT PROVEN HERE: only root may give a file away");
            return;
        }
        assert_eq!([0o400, 0o440, 0o444].map(warned), [None, None, Some(0o444)]);
    }

    #[test]
    fn what_is_not_wrong_but_odd_is_a_warning() {
        let home = Home::new();
        let config =
            format!("{GOOD}usre=x\nstray\n[prod]\n{}=\n", "MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEA");
        home.write("config", config);
        fs::set_permissions(home.path("key.pem"), fs::Permissions::from_mode(0o640)).unwrap();
        let warnings = home.source("prod").load().unwrap().warnings;
        let warnings: Vec<_> =
            warnings.iter().map(|line| line.replace(home.0.path().to_str().unwrap(), "~")).collect();
        let file = "~/config (from --config-file)";
        let expected = [
            format!("{file}, profile DEFAULT: has a line without `=`, which is ignored"),
            format!("{file}, profile DEFAULT, usre: is no known key and is ignored"),
            format!("{file}, profile prod, a key that is not shown here: is no known key and is ignored"),
            format!(
                "~/key.pem ({file}, profile DEFAULT, key_file): may be read by others (mode 640); `chmod 600` keeps it private"
            ),
        ];
        assert_eq!(warnings, expected);

        let mut source = home.source("DEFAULT");
        source.variables = Variables { key_file: Some("/none".to_owned()), ..variables() };
        assert_eq!(
            source.load().unwrap().warnings,
            ["OCI_CLI_KEY_FILE: OCI_CLI_KEY_CONTENT is used instead"]
        );
    }

    #[test]
    fn every_form_of_the_key_loads_from_a_file_with_and_without_its_label() {
        let home = Home::new();
        let config = format!("{GOOD}pass_phrase=correct horse\n");
        for form in [
            "pkcs1",
            "pkcs8",
            "pkcs1_aes128",
            "pkcs1_aes256",
            "pkcs1_des3",
            "pkcs8_enc",
            "pkcs8_enc_prf_sha1",
        ] {
            for label in ["", "OCI_API_KEY", "OCI_API_KEY\n"] {
                home.write("key.pem", format!("{}\n{label}", pem(form).trim_end()));
                let key = home
                    .load(&config, "DEFAULT")
                    .unwrap_or_else(|error| panic!("{form}: {}", home.line(&error)));
                assert_eq!(key.credentials.identity().key.fingerprint(), FINGERPRINT, "{form}");
            }
        }
    }

    #[tokio::test]
    async fn a_loaded_key_is_provided_and_nothing_shows_its_secrets() {
        let home = Home::new();
        let mut source = home.source("DEFAULT");
        source.variables =
            Variables { passphrase: Some(Zeroizing::new("correct horse".to_owned())), ..variables() };
        let key = source.load().unwrap();
        let shown = format!("{source:?} {key:?}");
        for secret in ["PRIVATE KEY", "MII", "correct horse"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        let provided = StaticCredentials::new(key.credentials).provide().await.unwrap();
        assert!(provided.identity().key_id.starts_with(TENANCY));
    }

    #[test]
    fn a_file_that_may_not_be_read_says_so() {
        let denied = Problem::from(std::io::Error::from(std::io::ErrorKind::PermissionDenied));
        assert!(denied.to_string().starts_with("may not be read by the user that this process runs as"));
    }
}
