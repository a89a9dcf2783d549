//! Lines of the log about what may happen a thousand times a second.

use std::time::Duration;
use tokio::time::Instant;

/// Whatever happens to many connections is told so often.
const TOLD_AGAIN: Duration = Duration::from_secs(1);

/// What is told at most once in [`TOLD_AGAIN`], with how often it has happened since.
#[derive(Default)]
pub(super) struct Seldom {
    told: Option<Instant>,
    times: u64,
}

impl Seldom {
    /// How often it has happened since it was told last, if it is to be told now.
    pub(super) fn due(&mut self) -> Option<u64> {
        self.times += 1;
        let due = self.told.is_none_or(|told| told.elapsed() >= TOLD_AGAIN);
        due.then(|| {
            self.told = Some(Instant::now());
            std::mem::take(&mut self.times)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_happens_a_thousand_times_is_told_once_a_second_and_counted() {
        let mut seldom = Seldom::default();
        let mut told = Vec::new();
        for _ in 0..1000 {
            told.extend(seldom.due());
            tokio::time::advance(Duration::from_millis(2)).await;
        }
        assert_eq!(told, [1, 500]);
        tokio::time::advance(TOLD_AGAIN).await;
        assert_eq!(seldom.due(), Some(500));
    }
}
