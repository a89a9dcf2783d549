//! The yardstick: one RSA-2048 signature by aws-lc-rs, nothing around it.

use crate::Outcome;
use crate::processor;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use aws_lc_rs::signature::RsaKeyPair;
use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// As long as the signing string of a create.
const MESSAGE: &[u8] = &[b'a'; 320];

/// A key that signs.
#[derive(Clone)]
pub(crate) struct Signer(Arc<RsaKeyPair>);

impl Signer {
    pub(crate) fn new(private_key_pem: &str) -> Outcome<Self> {
        let der = pem::parse(private_key_pem)?;
        Ok(Self(Arc::new(RsaKeyPair::from_pkcs8(der.contents())?)))
    }

    /// The processor time of one signature while every core signs: a core whose neighbour is busy may be
    /// slower, and under load both sides of the ratio are measured so.
    pub(crate) fn processor_time(&self, period: Duration) -> Outcome<Duration> {
        let cores = thread::available_parallelism()?.get();
        let threads: Vec<_> = (0..cores)
            .map(|_| {
                let signer = self.clone();
                thread::spawn(move || signer.sign_for(period))
            })
            .collect();
        let (mut time, mut signatures) = (Duration::ZERO, 0);
        for thread in threads {
            let (used, made) = thread.join().map_err(|_| "a signing thread panicked")??;
            (time, signatures) = (time + used, signatures + made);
        }
        Ok(time / signatures)
    }

    fn sign_for(&self, period: Duration) -> Outcome<(Duration, u32)> {
        let (began, used) = (Instant::now(), processor::of_this_thread()?);
        let mut signatures = 0;
        while began.elapsed() < period {
            self.sign()?;
            signatures += 1;
        }
        Ok((processor::of_this_thread()? - used, signatures))
    }

    /// How long one signature takes by the clock on the wall.
    pub(crate) fn time(&self) -> Outcome<Duration> {
        let began = Instant::now();
        self.sign()?;
        Ok(began.elapsed())
    }

    fn sign(&self) -> Outcome<()> {
        let mut signature = [0; 256];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), black_box(MESSAGE), &mut signature)?;
        black_box(signature);
        Ok(())
    }
}
