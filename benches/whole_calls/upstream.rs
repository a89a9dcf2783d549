//! An upstream that costs next to nothing: one fixed answer to every request, at once or when released; or trouble of
//! many kinds, as requests ask for it.

use crate::Outcome;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// What every create is asked to back up: the answer has to name the same.
pub(crate) const VOLUME: &str =
    "ocid1.volume.oc1.iad.abuwcljtqzfmkkzvyxgbenchbenchbenchbenchbenchbenchbenchbench";

/// What OCI answers to a create, in size and form.
const BODY: &str = r#"{"compartmentId":"ocid1.compartment.oc1..aaaaaaaabenchbenchbenchbenchbenchbenchbenchbenchbenchbenchben","definedTags":{"Operations":{"CostCenter":"42","Owner":"storage"}},"displayName":"nightly","expirationTime":null,"freeformTags":{"service":"orders","stage":"production"},"id":"ocid1.volumebackup.oc1.iad.abuwcljtbenchbenchbenchbenchbenchbenchbenchbenchbenchbench","kmsKeyId":null,"lifecycleState":"CREATING","sizeInGBs":50,"sizeInMBs":51200,"sourceType":"MANUAL","sourceVolumeBackupId":null,"systemTags":{},"timeCreated":"2026-01-05T21:31:40.123Z","timeRequestReceived":"2026-01-05T21:31:40.123Z","type":"INCREMENTAL","uniqueSizeInGBs":1,"uniqueSizeInMbs":1024,"volumeId":"ocid1.volume.oc1.iad.abuwcljtqzfmkkzvyxgbenchbenchbenchbenchbenchbenchbenchbench"}"#;

/// Whether answers go out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As soon as the request was read.
    Instant,
    /// Not before [`Upstream::release`].
    Held,
}

/// A running upstream; it ends with the runtime.
pub(crate) struct Upstream {
    address: SocketAddr,
    pace: watch::Sender<Pace>,
    asked: Arc<AtomicUsize>,
    failing: Arc<AtomicUsize>,
}

/// What can befall a request.
#[derive(Clone, Copy)]
enum Trouble {
    Failure,
    Throttling,
    Reset,
    LateReset,
    Truncation,
    SlowHeaders,
}

/// One after the other.
const TROUBLES: [Trouble; 6] = [
    Trouble::Failure,
    Trouble::Throttling,
    Trouble::Reset,
    Trouble::LateReset,
    Trouble::Truncation,
    Trouble::SlowHeaders,
];

/// Between the parts of headers that come slowly.
const SLOWLY: Duration = Duration::from_millis(20);

impl Upstream {
    pub(crate) async fn start(pace: Pace) -> Outcome<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (pace, seen) = watch::channel(pace);
        let asked = Arc::new(AtomicUsize::new(0));
        let failing = Arc::new(AtomicUsize::new(0));
        let (count, fail) = (Arc::clone(&asked), Arc::clone(&failing));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, seen.clone(), Arc::clone(&count), Arc::clone(&fail)));
            }
        });
        Ok(Self { address, pace, asked, failing })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests have been read.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Lets trouble befall one request in so many, of another kind each time.
    pub(crate) fn fail_each(&self, many: usize) {
        self.failing.store(many, Ordering::Relaxed);
    }

    /// Lets all answers go.
    pub(crate) fn release(&self) {
        self.pace.send_replace(Pace::Instant);
    }
}

async fn serve(
    mut stream: TcpStream,
    mut pace: watch::Receiver<Pace>,
    asked: Arc<AtomicUsize>,
    failing: Arc<AtomicUsize>,
) -> Outcome<()> {
    stream.set_nodelay(true)?;
    let [answer, nothing] = [BODY, "[]"].map(|body| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nopc-request-id: bench/bench/bench\r\n\
             etag: bench\r\ndate: Mon, 05 Jan 2026 21:31:40 GMT\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    });
    let mut read = Vec::with_capacity(8192);
    loop {
        while let Some(length) = message(&read) {
            let is_a_list = read.starts_with(b"GET ");
            read.drain(..length);
            if is_a_list {
                // What readiness asks before the first call.
                stream.write_all(nothing.as_bytes()).await?;
                continue;
            }
            let asked = asked.fetch_add(1, Ordering::Relaxed) + 1;
            pace.wait_for(|pace| *pace == Pace::Instant).await?;
            match trouble(asked, failing.load(Ordering::Relaxed)) {
                None => stream.write_all(answer.as_bytes()).await?,
                Some(trouble) => {
                    if !trouble.befall(&mut stream, answer.as_bytes()).await? {
                        return Ok(());
                    }
                }
            }
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
}

/// What befalls the request of this number, if one of so many is to be in trouble.
fn trouble(asked: usize, failing: usize) -> Option<Trouble> {
    let number = asked.checked_div(failing).filter(|number| number * failing == asked)?;
    TROUBLES.get(number % TROUBLES.len()).copied()
}

impl Trouble {
    /// Whether the connection lives on.
    async fn befall(self, stream: &mut TcpStream, answer: &[u8]) -> Outcome<bool> {
        match self {
            Self::Failure => {
                stream.write_all(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n").await?;
                Ok(true)
            }
            Self::Throttling => {
                let asks = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(asks).await?;
                Ok(true)
            }
            // As before the commit and after it, which this upstream does not have.
            Self::Reset => reset(stream),
            Self::LateReset => {
                tokio::time::sleep(SLOWLY).await;
                reset(stream)
            }
            Self::Truncation => {
                stream.write_all(answer.get(..answer.len() / 2).unwrap_or_default()).await?;
                Ok(false)
            }
            Self::SlowHeaders => {
                for part in answer.chunks(16) {
                    stream.write_all(part).await?;
                    tokio::time::sleep(SLOWLY / 4).await;
                }
                Ok(true)
            }
        }
    }
}

fn reset(stream: &TcpStream) -> Outcome<bool> {
    stream.set_zero_linger()?;
    Ok(false)
}

/// The length of the first request or answer in `read`, once it is all there.
pub(crate) fn message(read: &[u8]) -> Option<usize> {
    let head = read.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(read.get(..head)?).ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let whole = head + length.unwrap_or(0);
    (read.len() >= whole).then_some(whole)
}
