//! What a call pays for its credential: alone, on all processors together, and while a refresh is on its way.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]
#![expect(clippy::print_stdout, reason = "what was measured is for people")]

use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::RsaKeyPair;
use criterion::Criterion;
use criterion::criterion_group;
use criterion::criterion_main;
use oci_backup_gateway::clock::Clock;
use oci_backup_gateway::credentials::Credentials;
use oci_backup_gateway::credentials::Error;
use oci_backup_gateway::credentials::FetchCredentials;
use oci_backup_gateway::credentials::ProvideCredentials;
use oci_backup_gateway::credentials::Refreshing;
use oci_backup_gateway::signature::PrivateKey;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::Waker;
use std::time::Duration;
use std::time::Instant;
use tokio::runtime::Runtime;

/// Gives tokens of this life; after the first one it takes its time.
#[derive(Debug)]
struct Source {
    clock: Clock,
    life: Duration,
    asked: AtomicU64,
}

impl FetchCredentials for Source {
    async fn fetch(&self) -> Result<Credentials, Error> {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        if number > 0 {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a new key");
        let key = PrivateKey::from_pair(pair).expect("a key that signs");
        Ok(Credentials::new(format!("ST${number}"), key, Some(self.clock.now() + self.life)))
    }
}

fn provider(runtime: &Runtime, life: Duration) -> Arc<Refreshing> {
    let clock = Clock::system();
    let source = Source { clock: clock.clone(), life, asked: AtomicU64::new(0) };
    runtime.block_on(async {
        let provider = Arc::new(Refreshing::start(source, clock));
        provider.provide().await.expect("a credential");
        provider
    })
}

fn snapshot(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("snapshot");
    let take = |provider: &Refreshing| drop(black_box(at_once(provider)));
    let steady = provider(&runtime, Duration::from_secs(3600));
    group.bench_function("alone", |bench| bench.iter(|| take(&steady)));
    // A new token about every four seconds: half of its life, and the time that its fetch takes.
    let restless = provider(&runtime, Duration::from_secs(6));
    group.bench_function("while tokens are refreshed", |bench| bench.iter(|| take(&restless)));
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                take(&steady);
            }
        });
        group.bench_function("beside another thread that takes nothing else", |bench| {
            bench.iter(|| take(&steady));
        });
        stop.store(true, Ordering::Relaxed);
    });
    group.finish();
    // Both on one machine: what both have is the scheduler's.
    slowest("at rest", &steady);
    slowest("while tokens are refreshed", &restless);
}

/// The credential, which has to be there at once.
fn at_once(provider: &Refreshing) -> Arc<Credentials> {
    let mut provided = provider.provide();
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(&mut provided).poll(&mut context) {
        Poll::Ready(answer) => answer.expect("a credential"),
        Poll::Pending => std::process::abort(),
    }
}

/// The longest that anybody waited for a snapshot in ten seconds.
fn slowest(name: &str, provider: &Refreshing) {
    let (began, mut slowest, mut taken) = (Instant::now(), Duration::ZERO, 0_u64);
    while began.elapsed() < Duration::from_secs(10) {
        let one = Instant::now();
        black_box(at_once(provider));
        slowest = slowest.max(one.elapsed());
        taken += 1;
    }
    println!("{name}: {taken} snapshots in ten seconds, the slowest took {slowest:?}");
}

criterion_group!(benches, snapshot);
criterion_main!(benches);
