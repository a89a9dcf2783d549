//! Private keys as operators have them: PKCS#1 and PKCS#8, plain and encrypted, with what OCI's own
//! instructions leave around them.

use cbc::cipher::BlockDecryptMut;
use cbc::cipher::KeyIvInit;
use cbc::cipher::block_padding::Pkcs7;
use md5::Digest;
use md5::Md5;
use pem::Pem;
use pkcs8::EncryptedPrivateKeyInfo;
use pkcs8::der::ErrorKind;
use pkcs8::der::Tag;
use pkcs8::pkcs5;
use zeroize::Zeroizing;

use crate::signature::KeyError;
use crate::signature::PrivateKey;

/// Why a text gives no private key. Each line reads on from the file's name, and repeats nothing of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PemError {
    /// Some other file.
    #[error("holds no PEM: a private key begins with a line such as `-----BEGIN PRIVATE KEY-----`")]
    NoPem,
    /// A file cut short or changed.
    #[error(
        "is damaged: between its BEGIN line and its END line is no base64, or one of the lines is missing"
    )]
    Damaged,
    /// The key's public half, or what was made of it.
    #[error("holds {found}; the private key that belongs to it was expected")]
    NotPrivate {
        /// What it is.
        found: &'static str,
    },
    /// A private key in the format of OpenSSH.
    #[error(
        "is in OpenSSH's own format; `ssh-keygen -p -m PEM -f <file>` converts the file in place: run it on a copy"
    )]
    OpenSsh,
    /// An encrypted key, and nothing to open it with.
    #[error(
        "is encrypted and there is no passphrase; set `pass_phrase` in the profile or OCI_CLI_PASSPHRASE"
    )]
    NoPassphrase,
    /// An encrypted key that the passphrase does not open.
    #[error("is not opened by the passphrase; correct `pass_phrase` in the profile or OCI_CLI_PASSPHRASE")]
    WrongPassphrase,
    /// An encryption that is too rare or too old.
    #[error(
        "is encrypted with {cipher}; `openssl pkcs8 -topk8 -v2 aes-256-cbc` makes a copy that can be read"
    )]
    Cipher {
        /// As the file or the format names it.
        cipher: String,
    },
    /// A key that cannot sign for OCI.
    #[error("is {0}")]
    Key(KeyError),
}

impl From<KeyError> for PemError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

/// The first private key in a text. A passphrase that is not needed is not used, as in the Python SDK
/// (`oci/signer.py:29-86`).
pub(super) fn private_key(text: &str, passphrase: Option<&str>) -> Result<PrivateKey, PemError> {
    let block = first_private_key(text)?;
    let tag = block.tag().to_owned();
    let encryption = block.headers().get("DEK-Info").map(str::to_owned);
    let der = Zeroizing::new(block.into_contents());
    match (tag.as_str(), encryption) {
        ("RSA PRIVATE KEY", None) => Ok(PrivateKey::from_pkcs1(&der)?),
        ("RSA PRIVATE KEY", Some(encryption)) => {
            let plain = decrypt_legacy(der, &encryption, passphrase.ok_or(PemError::NoPassphrase)?)?;
            PrivateKey::from_pkcs1(&plain).map_err(after_decryption)
        }
        ("PRIVATE KEY", _) => Ok(PrivateKey::from_pkcs8(&der)?),
        ("ENCRYPTED PRIVATE KEY", _) => decrypt_pkcs8(&der, passphrase.ok_or(PemError::NoPassphrase)?),
        ("OPENSSH PRIVATE KEY", _) => Err(PemError::OpenSsh),
        (other, _) => {
            let algorithm = other.trim_end_matches("PRIVATE KEY").trim().to_owned();
            Err(KeyError::NotRsa { algorithm }.into())
        }
    }
}

fn first_private_key(text: &str) -> Result<Pem, PemError> {
    let blocks = pem::parse_many(tidy(text).as_bytes()).map_err(|_| PemError::Damaged)?;
    let first = blocks.first().map(|block| block.tag().to_owned());
    if let Some(block) = blocks.into_iter().find(|block| block.tag().ends_with("PRIVATE KEY")) {
        return Ok(block);
    }
    match first.as_deref() {
        Some("CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST") => {
            Err(PemError::NotPrivate { found: "a certificate request" })
        }
        Some(tag) if tag.contains("CERTIFICATE") => Err(PemError::NotPrivate { found: "a certificate" }),
        Some(tag) if tag.contains("PUBLIC KEY") => Err(PemError::NotPrivate { found: "a public key" }),
        Some(_) => Err(PemError::NotPrivate { found: "no key" }),
        None if text.contains("-----BEGIN ") => Err(PemError::Damaged),
        None => Err(PemError::NoPem),
    }
}

/// The text with one blank line, after the headers: the `pem` crate takes the first blank line in a block,
/// wherever it stands, for the end of headers.
fn tidy(text: &str) -> Zeroizing<String> {
    // Enough for a blank line after each line: what grows would leave copies behind.
    let mut tidy = Zeroizing::new(String::with_capacity(text.len().saturating_mul(2).saturating_add(2)));
    let mut in_headers = false;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let header = line.contains(':');
        if in_headers && !header {
            tidy.push('\n');
        }
        in_headers = header;
        tidy.push_str(line);
        tidy.push('\n');
    }
    tidy
}

fn decrypt_pkcs8(der: &[u8], passphrase: &str) -> Result<PrivateKey, PemError> {
    let plain = EncryptedPrivateKeyInfo::try_from(der).map_err(unknown_encryption)?.decrypt(passphrase);
    let plain = plain.map_err(|error| match error {
        pkcs8::Error::EncryptedPrivateKey(pkcs5::Error::NoPbes1CryptSupport) => cipher("PBES1"),
        pkcs8::Error::EncryptedPrivateKey(pkcs5::Error::UnsupportedAlgorithm { oid }) => cipher(oid),
        _ => PemError::WrongPassphrase,
    })?;
    PrivateKey::from_pkcs8(plain.as_bytes()).map_err(after_decryption)
}

/// The schemes before PBES2 are told by where the object identifier has an unexpected value.
fn unknown_encryption(error: pkcs8::Error) -> PemError {
    match error {
        pkcs8::Error::Asn1(error) => match error.kind() {
            ErrorKind::OidUnknown { oid } => cipher(oid),
            ErrorKind::Value { tag: Tag::ObjectIdentifier } => cipher("PBES1"),
            _ => KeyError::Malformed.into(),
        },
        _ => KeyError::Malformed.into(),
    }
}

fn cipher(name: impl ToString) -> PemError {
    PemError::Cipher { cipher: name.to_string() }
}

/// One wrong passphrase in 256 leaves a padding that looks right and a content that does not.
fn after_decryption(error: KeyError) -> PemError {
    match error {
        KeyError::Malformed => PemError::WrongPassphrase,
        KeyError::NotRsa { .. } | KeyError::Size { .. } => error.into(),
    }
}

/// Opens the envelope that OpenSSL put around PKCS#1 before there was PKCS#8 (RFC 1421, 4.6; OpenSSL's
/// `PEM_do_header`).
/// `encryption` is the value of its `DEK-Info`: `AES-128-CBC,<initialization vector>`.
fn decrypt_legacy(
    mut der: Zeroizing<Vec<u8>>,
    encryption: &str,
    passphrase: &str,
) -> Result<Zeroizing<Vec<u8>>, PemError> {
    let (name, iv) = encryption.split_once(',').ok_or(PemError::Damaged)?;
    let iv = from_hex(iv.trim()).ok_or(PemError::Damaged)?;
    let salt = iv.get(..8).ok_or(PemError::Damaged)?;
    let key = |length| bytes_to_key(passphrase.as_bytes(), salt, length);
    let length = match name.trim() {
        "AES-128-CBC" => decrypt::<cbc::Decryptor<aes::Aes128>>(&mut der, &key(16), &iv)?,
        "AES-192-CBC" => decrypt::<cbc::Decryptor<aes::Aes192>>(&mut der, &key(24), &iv)?,
        "AES-256-CBC" => decrypt::<cbc::Decryptor<aes::Aes256>>(&mut der, &key(32), &iv)?,
        "DES-EDE3-CBC" => decrypt::<cbc::Decryptor<des::TdesEde3>>(&mut der, &key(24), &iv)?,
        other => return Err(cipher(other)),
    };
    der.truncate(length);
    Ok(der)
}

/// Decrypts in place; answers how much of the buffer is content.
fn decrypt<D: KeyIvInit + BlockDecryptMut>(
    buffer: &mut [u8],
    key: &[u8],
    iv: &[u8],
) -> Result<usize, PemError> {
    let cipher = D::new_from_slices(key, iv).map_err(|_| PemError::Damaged)?;
    let content = cipher.decrypt_padded_mut::<Pkcs7>(buffer).map_err(|_| PemError::WrongPassphrase)?;
    Ok(content.len())
}

/// OpenSSL's `EVP_BytesToKey` with MD5 and one round: each block is the hash of the block before, the
/// passphrase and the salt.
fn bytes_to_key(passphrase: &[u8], salt: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(length.next_multiple_of(16)));
    while key.len() < length {
        let before = key.get(key.len().saturating_sub(16)..).unwrap_or_default();
        let block = Md5::new().chain_update(before).chain_update(passphrase).chain_update(salt).finalize();
        key.extend_from_slice(&Zeroizing::new(<[u8; 16]>::from(block))[..]);
    }
    key.truncate(length);
    key
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.as_bytes().chunks(2).map(byte).collect::<Option<Vec<u8>>>().filter(|_| text.len().is_multiple_of(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature;

    const FINGERPRINT: &str = "be:ba:33:6a:e0:32:6e:6c:b6:13:40:59:31:02:eb:f7";
    const PASSPHRASE: &str = "correct horse";
    /// Ed25519 keys that `openssl pkcs8` encrypted in ways that are not read.
    const PBES1_DES: &str = "MFcwGwYJKoZIhvcNAQUDMA4ECO5XBV2XKn7XAgIIAAQ4oxWMF3peo9CvnZo0rxuUy+kqK7JY9sIbYm9LKy9zOHmNGYpvrnKbjwSK2YV1dRYeIojmz+3CB9g=";
    const PBES1_3DES: &str = "MFgwHAYKKoZIhvcNAQwBAzAOBAhCOhNvecFahgICCAAEOAX1XLxTtlp/tKRCCgAaknLEcekHJTB/q26z/lAbFMKYffDM7tPGjV1hVVe0dQNo/qaKR9HYnfXa";
    const PBES2_ARIA: &str = "MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAidV4DWXDefMwICCAAwDAYIKoZIhvcNAgkFADAdBgkqgxqMmm4BAQIEEIa3ef4CpYLjuN6bAj/16uMEQG6WKjCHFu/KbuZu2vsOpnQj2FDj9lTs8tetMzAPvQybip3v8txSAm9Zel3J82+7pAhHXWa9MdMCwccTtyfP1NU=";
    const AES_192: &str = include_str!("../../tests/data/pkcs1-aes192.pem");

    fn vectors() -> serde_json::Value {
        serde_json::from_str(include_str!("../../tests/data/signing-vectors.json")).unwrap()
    }

    /// Every form of the one key, with its name.
    fn forms() -> Vec<(String, String)> {
        let pem = vectors()["fresh_key"]["pem"].as_object().unwrap().clone();
        let mut forms: Vec<_> =
            pem.into_iter().map(|(name, pem)| (name, pem.as_str().unwrap().to_owned())).collect();
        assert_eq!(forms.len(), 9);
        forms.push(("pkcs1_aes192".to_owned(), AES_192.to_owned()));
        forms
    }

    fn form(name: &str) -> String {
        forms().into_iter().find(|(form, _)| form == name).unwrap().1
    }

    fn fingerprint(text: &str, passphrase: Option<&str>) -> Result<String, PemError> {
        private_key(text, passphrase).map(|key| key.fingerprint().to_owned())
    }

    #[test]
    fn every_form_of_a_key_loads_with_whatever_stands_around_it() {
        for (name, pem) in forms() {
            let bare = pem.split("OCI_API_KEY").next().unwrap().trim_end();
            let around = [
                bare.to_owned(),
                format!("{bare}\n"),
                format!("{bare}\nOCI_API_KEY"),
                format!("{bare}\nOCI_API_KEY\n"),
                format!("\n\n{bare}\n"),
                format!("\u{feff}{bare}\n"),
                format!("{bare}\nOCI_API_KEY\n").replace('\n', "\r\n"),
                format!("\u{feff}\n{bare}\n").replace('\n', "\r\n"),
                format!("Bag Attributes\n    friendlyName: key\n{bare}\n"),
                format!("{bare}\n").replace("\n-----END", "\n\n-----END"),
                format!("{bare}\n").replace('\n', "\n  "),
            ];
            for (number, text) in around.iter().enumerate() {
                let loaded = fingerprint(text, Some(PASSPHRASE));
                assert_eq!(loaded.as_deref(), Ok(FINGERPRINT), "{name}, {number}");
            }
        }
    }

    #[test]
    fn an_encrypted_key_asks_for_its_passphrase_and_a_plain_one_does_not() {
        for (name, pem) in forms() {
            let encrypted = pem.contains("ENCRYPTED");
            let (without, wrong) = match encrypted {
                true => (Err(PemError::NoPassphrase), Err(PemError::WrongPassphrase)),
                false => (Ok(FINGERPRINT.to_owned()), Ok(FINGERPRINT.to_owned())),
            };
            assert_eq!(fingerprint(&pem, None), without, "{name}");
            assert_eq!(fingerprint(&pem, Some("wrong")), wrong, "{name}");
        }
    }

    #[test]
    fn no_wrong_passphrase_of_many_looks_like_a_damaged_file() {
        let pem = form("pkcs1_aes128");
        for number in 0..600 {
            assert_eq!(fingerprint(&pem, Some(&number.to_string())), Err(PemError::WrongPassphrase));
        }
    }

    #[test]
    fn a_file_that_is_no_rsa_private_key_says_what_it_is() {
        let rng = SystemRandom::new();
        let ec = signature::EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, &rng);
        let ed25519 = signature::Ed25519KeyPair::generate_pkcs8(&rng);
        let small = vectors()["published_key"]["pem_pkcs1"].as_str().unwrap().to_owned();
        let encode = |tag: &str, der: &[u8]| pem::encode(&Pem::new(tag, der));
        let unusual = |base64: &str| {
            format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{base64}\n-----END ENCRYPTED PRIVATE KEY-----\n")
        };
        let cases = [
            ("".to_owned(), "holds no PEM"),
            ("[DEFAULT]\nuser=x".to_owned(), "holds no PEM"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA".to_owned(), "is damaged: between"),
            (form("pkcs8").replace("-----END", "é-----END"), "is damaged: between"),
            (form("pkcs8").replace("END PRIVATE", "END RSA PRIVATE"), "is damaged: between"),
            (encode("PRIVATE KEY", b"short"), "is damaged: its content"),
            (encode("RSA PRIVATE KEY", b"short"), "is damaged: its content"),
            (encode("ENCRYPTED PRIVATE KEY", b"short"), "is damaged: its content"),
            (encode("PUBLIC KEY", b"x"), "holds a public key"),
            (encode("RSA PUBLIC KEY", b"x"), "holds a public key"),
            (encode("CERTIFICATE", b"x"), "holds a certificate;"),
            (encode("CERTIFICATE REQUEST", b"x"), "holds a certificate request"),
            (encode("DH PARAMETERS", b"x"), "holds no key"),
            (encode("OPENSSH PRIVATE KEY", b"x"), "is in OpenSSH's own format; `ssh-keygen -p -m PEM"),
            (
                encode("EC PARAMETERS", b"x") + &encode("EC PRIVATE KEY", b"x"),
                "is not an RSA key but a key of EC",
            ),
            (encode("PRIVATE KEY", ec.unwrap().as_ref()), "is not an RSA key but a key of an elliptic curve"),
            (encode("PRIVATE KEY", ed25519.unwrap().as_ref()), "is not an RSA key but a key of Ed25519"),
            (small, "is an RSA key of 1024 bits; OCI takes 2048"),
            (unusual(PBES1_DES), "is encrypted with PBES1; `openssl pkcs8"),
            (unusual(PBES1_3DES), "is encrypted with PBES1; `openssl pkcs8"),
            (unusual(PBES2_ARIA), "is encrypted with 1.2.410.200046.1.1.2; `openssl pkcs8"),
            (
                form("pkcs1_des3").replace("DES-EDE3-CBC", "RC2-CBC"),
                "is encrypted with RC2-CBC; `openssl pkcs8",
            ),
            (form("pkcs1_des3").replace("DES-EDE3-CBC,23", "DES-EDE3-CBC,2"), "is damaged"),
            (form("pkcs1_des3").replace("DES-EDE3-CBC,", "DES-EDE3-CBC,zz"), "is damaged"),
            (form("pkcs1_des3").replace("DES-EDE3-CBC,", "DES-EDE3-CBC;"), "is damaged"),
        ];
        for (text, expected) in cases {
            let line = private_key(&text, Some(PASSPHRASE)).unwrap_err().to_string();
            assert!(line.starts_with(expected) && !line.contains('\n'), "{text}\n{line}");
        }
    }

    #[test]
    fn an_error_repeats_nothing_of_the_key() {
        for (name, pem) in forms() {
            let lines: Vec<_> = pem.lines().filter(|line| !line.contains("-----")).collect();
            for cut in 1..lines.len() {
                let broken = pem.replace(lines[cut], &format!("{}\n\n{}!", lines[cut], lines[cut]));
                let Err(error) = private_key(&broken, Some(PASSPHRASE)) else { continue };
                let shown = format!("{error} {error:?}");
                assert!(!lines.iter().any(|line| line.len() > 20 && shown.contains(line)), "{name}: {shown}");
            }
        }
    }
}
