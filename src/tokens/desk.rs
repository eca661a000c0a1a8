//! One token: what is known of it, and its renewal.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tracing::{debug, error, info};

use crate::core::auth::oauth2::{Grant, Granted, OAuth2, TokenKey, no_token, renewed_after};
use crate::core::fault::Fault;
use crate::core::hex::hex;
use crate::core::http::{Request, TransportFault};
use crate::core::limits::{TOKEN_PAUSE_MAX, TOKEN_PAUSE_MIN, TOKEN_REFUSALS_PERIOD};
use crate::core::secret::Secret;
use crate::core::time::Timestamp;
use crate::store::Write;

use super::{Ports, seal};

/// A token that was granted. Clones are the same token.
#[derive(Debug, Clone)]
pub(super) struct Token(Arc<Grantee>);

#[derive(Debug)]
struct Grantee {
    secret: Secret,
    /// When to ask for the next one, and when this one ends; `None` if the server did not say.
    ends: Option<(Timestamp, Timestamp)>,
}

impl Token {
    pub(super) fn secret(&self) -> &Secret {
        &self.0.secret
    }

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.0.ends.is_some_and(|(renew, _)| now >= renew)
    }

    fn has_ended(&self, now: Timestamp) -> bool {
        self.0.ends.is_some_and(|(_, end)| now >= end)
    }
}

/// What a renewal came to.
pub(super) type Outcome = Result<Token, TransportFault>;

/// Told once, to all who wait.
pub(super) type Told = watch::Receiver<Option<Outcome>>;

/// Where a token is kept.
pub(super) struct Desk {
    book: Mutex<Book>,
}

struct Book {
    /// One of those who declare it.
    declared: Weak<OAuth2>,
    token: Option<Token>,
    under_way: Option<Told>,
    /// The last failure, how many there were in a row, and until when nobody asks again.
    failed: Option<(TransportFault, u32, Timestamp)>,
    /// When a token was last renewed because it was refused.
    refused_at: Option<Timestamp>,
    /// What the refresh token is by now; `None` before the state was asked.
    refresh: Option<Secret>,
    /// Granted, but its refresh token is not in the state yet: it may not be used.
    unkept: Option<Granted>,
}

/// What there is at a desk.
pub(super) enum Found {
    Token(Token),
    Fault(TransportFault),
    UnderWay(Told),
    /// Nothing: whoever gets this must make it.
    Renew(Renewal),
}

impl Desk {
    pub(super) fn new(oauth2: &Arc<OAuth2>) -> Self {
        Self {
            book: Mutex::new(Book {
                declared: Arc::downgrade(oauth2),
                token: None,
                under_way: None,
                failed: None,
                refused_at: None,
                refresh: None,
                unkept: None,
            }),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes who declares it now.
    pub(super) fn used_by(&self, oauth2: &Arc<OAuth2>) {
        self.book().declared = Arc::downgrade(oauth2);
    }

    /// Whether anybody still declares it, or something is being done here.
    pub(super) fn is_used(&self) -> bool {
        let book = self.book();
        book.declared.strong_count() > 0 || book.under_way().is_some() || book.unkept.is_some()
    }

    /// What there is at `now`.
    pub(super) fn look(self: &Arc<Self>, now: Timestamp) -> Found {
        self.look_in(&mut self.book(), now, None)
    }

    /// What there is beside a token that was refused. `None` when it was renewed for that a moment ago already.
    pub(super) fn look_beyond(self: &Arc<Self>, refused: &Token, now: Timestamp) -> Option<Found> {
        let mut book = self.book();
        let is_current = book.token.as_ref().is_none_or(|token| token.is(refused));
        if is_current && book.under_way().is_none() {
            if book.refused_at.is_some_and(|at| now.since(at) < TOKEN_REFUSALS_PERIOD) {
                return None;
            }
            book.refused_at = Some(now);
        }
        Some(self.look_in(&mut book, now, Some(refused)))
    }

    fn look_in(
        self: &Arc<Self>,
        book: &mut Book,
        now: Timestamp,
        refused: Option<&Token>,
    ) -> Found {
        let is_refused = |token: &Token| refused.is_some_and(|refused| refused.is(token));
        let token = book.token.clone().filter(|token| !is_refused(token) && !token.has_ended(now));
        if let Some(token) = token.clone().filter(|token| !token.is_due(now)) {
            return Found::Token(token);
        }
        if let Some(told) = book.under_way() {
            return Found::UnderWay(told);
        }
        if let Some((fault, _, until)) = &book.failed
            && now < *until
        {
            // Renewed too early rather than too late: the old one is still good.
            return token.map_or_else(|| Found::Fault(fault.clone()), Found::Token);
        }
        let Some(oauth2) = book.declared.upgrade() else {
            return Found::Fault(TransportFault::Interrupted);
        };
        let (tell, told) = watch::channel(None);
        book.under_way = Some(told);
        Found::Renew(Renewal { desk: Arc::clone(self), oauth2, fallback: token, tell })
    }
}

impl Book {
    /// The renewal under way; one that was given up is none.
    fn under_way(&self) -> Option<Told> {
        self.under_way.clone().filter(|told| told.has_changed().is_ok())
    }
}

/// A renewal to make.
pub(super) struct Renewal {
    desk: Arc<Desk>,
    oauth2: Arc<OAuth2>,
    /// The old token, if it has not ended.
    fallback: Option<Token>,
    tell: watch::Sender<Option<Outcome>>,
}

impl Renewal {
    /// To hear of its outcome.
    pub(super) fn told(&self) -> Told {
        self.tell.subscribe()
    }

    /// Makes it on behalf of a request, and tells everybody who waits.
    pub(super) async fn make(self, ports: &Ports, request: &Request) {
        let outcome = self.granted(ports, request).await;
        let now = ports.clock.now();
        let mut book = self.desk.book();
        book.under_way = None;
        let outcome = match outcome {
            Ok(token) => {
                let old = book.token.replace(token.clone());
                ports.redactor.replace(old.as_ref().map(Token::secret), token.secret());
                book.failed = None;
                Ok(token)
            }
            Err(TransportFault::Interrupted) => Err(TransportFault::Interrupted),
            Err(fault) => {
                let failures = book.failed.as_ref().map_or(0, |(_, failures, _)| *failures);
                let until = now.after(pause(&fault, failures));
                book.failed = Some((fault.clone(), failures.saturating_add(1), until));
                self.fallback.clone().filter(|token| !token.has_ended(now)).ok_or(fault)
            }
        };
        drop(book);
        self.tell.send_replace(Some(outcome));
    }

    async fn granted(&self, ports: &Ports, request: &Request) -> Outcome {
        let asked_at = ports.clock.now();
        let unkept = self.desk.book().unkept.clone();
        let granted = match unkept {
            Some(granted) => granted,
            None => self.ask(ports, request).await?,
        };
        if let (Some(rotated), Some(key)) = (&granted.rotated, self.oauth2.key()) {
            self.desk.book().unkept = Some(granted.clone());
            self.keep(ports, rotated, key).await?;
            let mut book = self.desk.book();
            ports.redactor.replace(book.refresh.as_ref(), rotated);
            book.refresh = Some(rotated.clone());
            book.unkept = None;
            drop(book);
            info!(server = self.oauth2.token_url.host_str(), "the refresh token was replaced");
        }
        debug!(server = self.oauth2.token_url.host_str(), "a token was granted");
        let ends = granted
            .lifetime
            .map(|lifetime| (asked_at.after(renewed_after(lifetime)), asked_at.after(lifetime)));
        Ok(Token(Arc::new(Grantee { secret: granted.access, ends })))
    }

    async fn ask(&self, ports: &Ports, request: &Request) -> Result<Granted, TransportFault> {
        let refresh = self.refresh_token(ports).await?;
        let wall = ports.clock.wall();
        let asked = self.oauth2.token_request(request, refresh.as_ref(), wall, &unique(ports));
        let asked = asked.map_err(|fault| no_token(fault, None))?;
        let answer = ports.http.exchange(asked).await;
        self.oauth2.read(answer, refresh.as_ref(), wall)
    }

    /// The refresh token that came in the place of the configured one, if any did.
    async fn refresh_token(&self, ports: &Ports) -> Result<Option<Secret>, TransportFault> {
        let (Some(key), Grant::RefreshToken(configured)) = (self.oauth2.key(), &self.oauth2.grant)
        else {
            return Ok(None);
        };
        let known = self.desk.book().refresh.clone();
        if known.is_some() {
            return Ok(known);
        }
        let sealed = ports.store.read(move |store| store.token(&key)).await.map_err(|failure| {
            let sentence = format!("the refresh token cannot be read from the state: {failure}");
            no_token(Fault::us("oauth2_state", sentence), None)
        })?;
        let Some(sealed) = sealed else { return Ok(None) };
        let Some(kept) = seal::open(&sealed, configured, &key) else {
            error!("the refresh token in the state is damaged; the configured one is tried");
            return Ok(None);
        };
        ports.redactor.replace(None, &kept);
        self.desk.book().refresh = Some(kept.clone());
        Ok(Some(kept))
    }

    /// Makes a refresh token durable. Before that, nothing that came with it is used: the old one may be gone already.
    async fn keep(
        &self,
        ports: &Ports,
        rotated: &Secret,
        key: TokenKey,
    ) -> Result<(), TransportFault> {
        let Grant::RefreshToken(configured) = &self.oauth2.grant else { return Ok(()) };
        let failed = |why: String| {
            let sentence = format!("the new refresh token could not be kept: {why}");
            no_token(Fault::us("oauth2_state", sentence), None)
        };
        let sealed = seal::seal(rotated, configured, &key)
            .ok_or_else(|| failed(String::from("it could not be sealed")))?;
        let write = Write::Token { key, sealed, at: ports.clock.wall() };
        match ports.store.write(write).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(refusal)) => Err(failed(refusal.to_string())),
            Err(failure) => Err(failed(failure.to_string())),
        }
    }
}

/// How long a server that failed is left alone: what it says, else twice as long each time.
fn pause(fault: &TransportFault, failures: u32) -> Duration {
    let asked = match fault {
        TransportFault::NoToken { wait, .. } => wait.unwrap_or_default(),
        _ => Duration::ZERO,
    };
    let doubled = TOKEN_PAUSE_MIN.saturating_mul(2_u32.saturating_pow(failures));
    doubled.clamp(TOKEN_PAUSE_MIN, TOKEN_PAUSE_MAX).max(asked.min(TOKEN_PAUSE_MAX))
}

/// Text that does not come again.
fn unique(ports: &Ports) -> String {
    let (now, chance) = (ports.clock.wall().as_millis(), ports.entropy.unit());
    let digest = Sha256::new()
        .chain_update(now.to_le_bytes())
        .chain_update(chance.to_le_bytes())
        .chain_update(ports.entropy.unit().to_le_bytes())
        .finalize();
    hex(digest.get(..16).unwrap_or(&digest))
}
