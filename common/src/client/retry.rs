//! Asking again, where that can do nothing twice.

use std::time::Duration;

use reqwest::{Request, RequestBuilder, Response};
use tokio::time::{Instant, sleep};

use super::ClientError;
use super::error::refusal;

/// The first pause where the server does not say how long to wait; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(75);

const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How often one tries to reach a server that cannot be reached.
const TRIES: u32 = 5;

/// What came of one try.
enum Failure {
    /// No connection came about: the server knows nothing of it.
    NotSent(reqwest::Error),
    /// It broke off, before the answer was there as a whole or before it began.
    Broken(reqwest::Error),
    /// The server said no.
    Refused(Box<super::Refusal>),
}

/// Sends a request and receives its answer, again and again as long as [`Client`](super::Client) promises it.
pub(super) async fn send<T, R>(
    request: RequestBuilder,
    patience: Duration,
    receive: impl Fn(Response) -> R,
) -> Result<T, ClientError>
where
    R: Future<Output = reqwest::Result<T>>,
{
    let (http, request) = request.build_split();
    let mut request = request?;
    let mut pauses = Pauses::within(patience);
    loop {
        let again = request.try_clone();
        let is_safe = request.method().is_safe();
        let failure = match attempt(&http, request, &receive).await {
            Ok(received) => return Ok(received),
            Err(failure) => failure,
        };
        match (again, pauses.after(&failure, is_safe)) {
            (Some(again), Some(pause)) => {
                sleep(pause).await;
                request = again;
            }
            _ => return Err(failure.into()),
        }
    }
}

async fn attempt<T, R>(http: &reqwest::Client, request: Request, receive: impl Fn(Response) -> R) -> Result<T, Failure>
where
    R: Future<Output = reqwest::Result<T>>,
{
    let answer = http.execute(request).await.map_err(|error| {
        if error.is_connect() {
            Failure::NotSent(error)
        } else {
            Failure::Broken(error)
        }
    })?;
    if answer.status().is_success() {
        return receive(answer).await.map_err(Failure::Broken);
    }
    let refusal = refusal(answer).await.map_err(Failure::Broken)?;
    Err(Failure::Refused(Box::new(refusal)))
}

/// The pauses between tries.
struct Pauses {
    deadline: Instant,
    next: Duration,
    tries: u32,
}

impl Pauses {
    fn within(patience: Duration) -> Self {
        let now = Instant::now();
        Self {
            // A patience without end is as good as a year.
            deadline: now
                .checked_add(patience)
                .unwrap_or(now + Duration::from_secs(31_536_000)),
            next: FIRST_PAUSE,
            tries: 1,
        }
    }

    /// How long to wait after a failure before asking again; `None` where that may do something twice, would not help,
    /// or would take too long.
    fn after(&mut self, failure: &Failure, is_safe: bool) -> Option<Duration> {
        let mut pause = self.next;
        match failure {
            // It was not carried out, whatever it was.
            Failure::Refused(refusal) if refusal.status == 429 => {
                pause = pause.max(refusal.retry_after.unwrap_or_default());
            }
            Failure::Refused(refusal) if refusal.status == 503 => {
                let is_ending = refusal.code.as_deref() == Some("shutting_down");
                self.try_again(is_ending && is_safe)?;
            }
            Failure::Refused(_) => return None,
            Failure::NotSent(_) => self.try_again(true)?,
            Failure::Broken(_) => self.try_again(is_safe)?,
        }
        self.next = (self.next * 2).min(LONGEST_PAUSE);
        (Instant::now() + pause <= self.deadline).then_some(pause)
    }

    fn try_again(&mut self, may: bool) -> Option<()> {
        self.tries += 1;
        (may && self.tries <= TRIES).then_some(())
    }
}

impl From<Failure> for ClientError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotSent(error) | Failure::Broken(error) => error.into(),
            Failure::Refused(refusal) => Self::Refused(refusal),
        }
    }
}
