//! THE loop: what failed decides whether another attempt starts.
//!
//! It never sleeps by itself and never looks at a clock: whether an attempt may start is asked, and what a
//! failure means is told.

/// What a failed attempt means for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Another attempt would end the same way.
    Permanent,
    /// The cause was on our side and has been put right: one more attempt, at once.
    Corrected,
}

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Answer with the failure: no attempt would help.
    Permanent,
    /// Answer with the failure: an attempt might help, but the call has used up its own.
    Exhausted,
    /// Make another attempt.
    Continue,
}

/// Decides, from the failure's fate and how many corrections this call has already seen.
#[must_use]
pub fn decide(fate: Fate, corrections: u32) -> Decision {
    match (fate, corrections) {
        (Fate::Permanent, _) => Decision::Permanent,
        (Fate::Corrected, 0) => Decision::Continue,
        (Fate::Corrected, _) => Decision::Exhausted,
    }
}

/// Runs attempts until one succeeds, [`decide`] says stop, or none may start any more, and returns how the
/// last one ended. `None`: not even the first could start.
pub async fn run<T, E, A>(
    may_start: impl Fn() -> bool,
    mut attempt: impl FnMut() -> A,
    fate: impl Fn(&E) -> Fate,
) -> Option<Result<T, E>>
where
    A: Future<Output = Result<T, E>>,
{
    let mut last = None;
    let mut corrections = 0;
    while may_start() {
        let result = attempt().await;
        let decision = result.as_ref().err().map(|error| decide(fate(error), corrections));
        last = Some(result);
        match decision {
            Some(Decision::Continue) => corrections += 1,
            None | Some(Decision::Permanent | Decision::Exhausted) => break,
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    async fn attempts(fates: &[Fate], may_start: u32) -> u32 {
        let made = Cell::new(0);
        let attempt = || async {
            made.set(made.get() + 1);
            fates.get(made.get() as usize - 1).map_or(Ok(()), |fate| Err(*fate))
        };
        run(|| made.get() < may_start, attempt, |fate| *fate).await;
        made.get()
    }

    #[tokio::test]
    async fn makes_one_more_attempt_after_a_correction_and_none_after_anything_else() {
        assert_eq!(attempts(&[], 9).await, 1);
        assert_eq!(attempts(&[Fate::Permanent], 9).await, 1);
        assert_eq!(attempts(&[Fate::Corrected], 9).await, 2);
        assert_eq!(attempts(&[Fate::Corrected, Fate::Permanent], 9).await, 2);
        assert_eq!(attempts(&[Fate::Corrected, Fate::Corrected], 9).await, 2);
    }

    #[tokio::test]
    async fn starts_nothing_that_may_not_start() {
        assert_eq!(attempts(&[], 0).await, 0);
        assert_eq!(attempts(&[Fate::Corrected], 1).await, 1);
    }
}
