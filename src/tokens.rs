//! Tokens: an HTTP client that fetches, shares and renews the tokens of the requests it makes. Who asks need not know.
//!
//! One token for all requests with equal settings, one renewal at a time; whoever needs it waits for that one inside
//! its own deadline. A renewal is a task of its own: a poll that is given up in the middle of one must not lose the
//! refresh token that the server just gave in the place of the last one.

mod desk;
mod seal;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::Instrument as _;

use crate::clock::{Clock, Entropy};
use crate::core::auth;
use crate::core::auth::oauth2::OAuth2;
use crate::core::http::{Request, Response, TransportFault};
use crate::core::limits::TOKEN_GRACE;
use crate::http::{Exchange, HttpClient, LongExchange};
use crate::store::handle::StoreHandle;
use crate::telemetry::Redactor;

use desk::{Desk, Found, Token};

/// Everything the tokens touch.
pub(crate) struct Ports {
    pub(crate) store: StoreHandle,
    pub(crate) http: Arc<dyn HttpClient>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) redactor: Redactor,
}

/// Makes exchanges, with a token where a request wants one.
pub(crate) struct Tokens {
    ports: Arc<Ports>,
    desks: Mutex<HashMap<[u8; 16], Arc<Desk>>>,
    renewals: Mutex<JoinSet<()>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Tokens")
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tokens {
    /// A client over these ports.
    pub(crate) fn new(ports: Ports) -> Self {
        Self { ports: Arc::new(ports), desks: Mutex::default(), renewals: Mutex::default() }
    }

    /// Waits, not for long, until tokens that were just granted are written down.
    pub(crate) async fn drain(&self) {
        let mut renewals = std::mem::take(&mut *locked(&self.renewals));
        let all = async { while renewals.join_next().await.is_some() {} };
        if timeout(TOKEN_GRACE, all).await.is_err() {
            tracing::warn!("a token server does not answer; its renewal is given up");
        }
    }

    async fn authorized(
        &self,
        oauth2: Arc<OAuth2>,
        mut request: Request,
    ) -> Result<Response, TransportFault> {
        request.way.oauth2 = None;
        let until = Instant::now().checked_add(request.deadline);
        let desk = self.desk(&oauth2);
        let token = self.token(desk.look(self.ports.clock.now()), &request, until).await?;
        let answer = self.ports.http.exchange(shown(&request, &token, until)).await;
        if !answer.as_ref().is_ok_and(|response| response.status == 401) {
            return answer;
        }
        // Once: if the next one is refused too, it is not for the token.
        let Some(found) = desk.look_beyond(&token, self.ports.clock.now()) else { return answer };
        let token = self.token(found, &request, until).await?;
        self.ports.http.exchange(shown(&request, &token, until)).await
    }

    /// The token that was found, or that others wait for, or a new one.
    async fn token(
        &self,
        found: Found,
        request: &Request,
        until: Option<Instant>,
    ) -> Result<Token, TransportFault> {
        let mut told = match found {
            Found::Token(token) => return Ok(token),
            Found::Fault(fault) => return Err(fault),
            Found::UnderWay(told) => told,
            Found::Renew(renewal) => {
                let told = renewal.told();
                let (ports, request) = (Arc::clone(&self.ports), remaining(request, until));
                let work = async move { renewal.make(&ports, &request).await }.in_current_span();
                let mut renewals = locked(&self.renewals);
                while renewals.try_join_next().is_some() {}
                renewals.spawn(work);
                told
            }
        };
        let done = told.wait_for(Option::is_some);
        let done = match until {
            Some(until) => timeout_at(until, done).await.map_err(|_| TransportFault::Timeout {
                phase: "waiting for a token",
                after: request.deadline,
            })?,
            None => done.await,
        };
        match done.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            // The renewal was given up: doorbell is stopping.
            _ => Err(TransportFault::Interrupted),
        }
    }

    /// Where the token of these settings is kept.
    fn desk(&self, oauth2: &Arc<OAuth2>) -> Arc<Desk> {
        let mut desks = locked(&self.desks);
        let digest = oauth2.digest();
        if !desks.contains_key(&digest) {
            desks.retain(|_, desk| desk.is_used());
        }
        let desk = desks.entry(digest).or_insert_with(|| Arc::new(Desk::new(oauth2)));
        desk.used_by(oauth2);
        Arc::clone(desk)
    }
}

impl HttpClient for Tokens {
    fn exchange(&self, request: Request) -> Exchange<'_> {
        match &request.way.oauth2 {
            None => self.ports.http.exchange(request),
            Some(oauth2) => Box::pin(self.authorized(Arc::clone(oauth2), request)),
        }
    }

    fn exchange_long(&self, request: Request, seed: u64) -> LongExchange<'_> {
        match &request.way.oauth2 {
            None => self.ports.http.exchange_long(request, seed),
            Some(oauth2) => {
                let authorized = self.authorized(Arc::clone(oauth2), request);
                Box::pin(async move { Ok((authorized.await?, None)) })
            }
        }
    }
}

/// The request with its token, and what is left of its time.
fn shown(request: &Request, token: &Token, until: Option<Instant>) -> Request {
    let mut request = remaining(request, until);
    auth::bear(&mut request.headers, token.secret());
    request
}

fn remaining(request: &Request, until: Option<Instant>) -> Request {
    let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
    Request { deadline: left.min(request.deadline), ..request.clone() }
}
