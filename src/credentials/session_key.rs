//! The key that goes with a token: made here, new for each, and never written anywhere.

use super::Error;
use crate::signature::PrivateKey;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::RsaKeyPair;
use std::sync::Arc;

/// A new RSA key of 2048 bits. That takes a processor for some 100 ms, so it is not one of those that serve.
pub(super) async fn generate() -> Result<PrivateKey, Error> {
    let made = tokio::task::spawn_blocking(|| {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|error| failed(&error))?;
        PrivateKey::from_pair(pair).map_err(|error| failed(&error))
    });
    made.await.unwrap_or_else(|panicked| Err(failed(&panicked)))
}

fn failed(error: &dyn std::error::Error) -> Error {
    let line = format!("a session key could not be made: {error}");
    Error::Unexpected(Arc::new(std::io::Error::other(line)))
}
