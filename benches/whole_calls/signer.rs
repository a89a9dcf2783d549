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

    /// The processor time of one signature in the time from now on: a few at a time, so that they take next to nothing
    /// from what is measured beside them, and meet the same machine. Before and after, it may be another: a
    /// neighbour comes or goes, and so does the processor's speed. Each processor has its turn, as they differ.
    /// The calling thread stays on one in the end.
    pub(crate) fn processor_time(&self, period: Duration) -> Outcome<Duration> {
        const AT_ONCE: u32 = 8;
        const BETWEEN: Duration = Duration::from_millis(90);
        let (end, mut used, mut signatures) = (Instant::now() + period, Duration::ZERO, 0);
        let _free = processor::free_in_the_end()?;
        let mut processors = processor::all()?.into_iter().cycle();
        while Instant::now() < end {
            thread::sleep(BETWEEN);
            processors.next().map_or(Ok(()), processor::keep_this_thread)?;
            let before = processor::of_this_thread()?;
            (0..AT_ONCE).try_for_each(|_| self.sign())?;
            used += processor::of_this_thread()? - before;
            signatures += AT_ONCE;
        }
        Ok(used / signatures)
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
