//! What it costs to trace every call, and to send the spans to a collector that takes them at once.

use crate::Outcome;
use crate::Setting;
use crate::callers::Callers;
use crate::figures::Figure;
use crate::figures::median;
use crate::figures::micros;
use crate::figures::quantile;
use crate::gateway::Gateway;
use crate::quiet::Quietest;
use crate::upstream::Pace;
use crate::upstream::Upstream;
use crate::upstream::message;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

const CALLERS: usize = 32;
const CONNECTIONS: usize = 1;
const WITH_TRACES: f64 = 1.10;

/// Microseconds of processor time for one call.
struct Round {
    plain: f64,
    traced: f64,
}

pub(crate) async fn measure(setting: &Setting) -> Outcome<Vec<Figure>> {
    let upstream = Upstream::start(Pace::Instant).await?;
    let collector = Collector::start().await?;
    let plain = Gateway::start(&setting.config_file, upstream.address())?;
    let variables = [
        ("OTEL_TRACES_EXPORTER", "otlp".to_owned()),
        ("OTEL_TRACES_SAMPLER", "always_on".to_owned()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf".to_owned()),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", format!("http://{}/v1/traces", collector.address)),
    ];
    let traced = Gateway::start_as(&setting.config_file, upstream.address(), &[], &variables)?;
    plain.serving().await?;
    traced.serving().await?;
    let plain_callers = Callers::connect(&plain, CALLERS, CONNECTIONS).await?;
    let traced_callers = Callers::connect(&traced, CALLERS, CONNECTIONS).await?;
    plain_callers.call_for(setting.round / 4).await?;
    traced_callers.call_for(setting.round / 4).await?;
    let both = [&plain, &traced];
    let Quietest { rounds, others } = Quietest::of(setting.rounds, &both, || async {
        // One after the other: side by side, each would wait for the other's signatures.
        let plain = cost(&plain, &plain_callers, setting.round / 2).await?;
        let traced = cost(&traced, &traced_callers, setting.round / 2).await?;
        Ok(Round { plain, traced })
    })
    .await?;
    if collector.bytes.load(Ordering::Relaxed) == 0 {
        return Err("no span came to the collector".into());
    }
    let each = |figure: fn(&Round) -> f64| rounds.iter().map(figure).collect::<Vec<_>>();
    let mut ratios = each(|round| round.traced / round.plain);
    let (least, most) = (quantile(&mut ratios, 0.0), quantile(&mut ratios, 1.0));
    Ok(vec![
        Figure::new("one call with every call traced, in calls without", median(&mut ratios), "×")
            .at_most(WITH_TRACES)
            .remark(format!(
                "{least:.2} to {most:.2} in {} rounds; others took {:.0} % of the machine at most",
                rounds.len(),
                others * 100.0
            )),
        Figure::new("  processor time of one call, traced", median(&mut each(|round| round.traced)), "µs"),
        Figure::new("  processor time of one call, not traced", median(&mut each(|round| round.plain)), "µs"),
    ])
}

async fn cost(gateway: &Gateway, callers: &Callers, period: Duration) -> Outcome<f64> {
    let before = gateway.processor_time()?;
    let calls = callers.call_for(period).await?;
    Ok(micros(gateway.processor_time()? - before) / f64::from(calls))
}

/// Takes what comes over OTLP/HTTP, and looks at nothing.
struct Collector {
    address: SocketAddr,
    bytes: Arc<AtomicUsize>,
}

impl Collector {
    async fn start() -> Outcome<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (address, bytes) = (listener.local_addr()?, Arc::<AtomicUsize>::default());
        let count = Arc::clone(&bytes);
        tokio::spawn(async move {
            while let Ok((stream, _peer)) = listener.accept().await {
                tokio::spawn(take(stream, Arc::clone(&count)));
            }
        });
        Ok(Self { address, bytes })
    }
}

async fn take(mut stream: TcpStream, bytes: Arc<AtomicUsize>) -> Outcome<()> {
    let mut read = Vec::with_capacity(64 * 1024);
    while stream.read_buf(&mut read).await? > 0 {
        while let Some(length) = message(&read) {
            read.drain(..length);
            bytes.fetch_add(length, Ordering::Relaxed);
            // An empty message: all spans were taken (opentelemetry.io/docs/specs/otlp, "Full Success").
            let answer =
                "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes()).await?;
        }
    }
    Ok(())
}
