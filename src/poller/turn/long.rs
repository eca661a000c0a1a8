//! A long page, compared as it is read: part by part from memory or from a file, never as a whole.

use std::io::{self, Read};

use bytes::Bytes;

use super::{Asked, Next, Place, Trail, Turn};
use crate::core::extract::{self, Shape};
use crate::core::fault::Fault;
use crate::core::format::{Begun, Cutter};
use crate::core::http::{Request, Response, TransportFault};
use crate::core::limits::{
    BODY_PART_BYTES, COMMIT_BYTES_MAX, COMMIT_ITEMS_MAX, LIGHT_BODY_BYTES_MAX,
};
use crate::core::listing::{Listing, Noted};
use crate::core::pages::Pages;
use crate::core::refusal;
use crate::core::snapshot::BodyHash;
use crate::core::source::{Common, Source};
use crate::http::spool::Spool;
use crate::poller::PollError;

impl Turn<'_> {
    /// Whether nothing needs its body as a whole.
    fn may_be_long(&self) -> bool {
        let Common { pages, fail_when, since, until, for_each, .. } = &*self.source.common;
        let is_plain = fail_when.is_none() && since.is_none() && until.is_none();
        *pages == Pages::One && is_plain && for_each.is_none()
    }

    /// Sends a request; the body of a long listing goes to a file.
    pub(super) async fn send(
        &self,
        request: Request,
        asked: Asked,
    ) -> Result<(Response, Option<Spool>), TransportFault> {
        let http = &self.ports.http;
        if asked == Asked::Item || !self.may_be_long() {
            return Ok((http.exchange(request).await?, None));
        }
        http.exchange_long(request, self.ports.store.seed()).await
    }

    /// The hash of the body of the last page.
    pub(super) fn body_hash(&self, response: &Response) -> BodyHash {
        let in_memory = || BodyHash::of(&response.body, self.ports.store.seed());
        self.spool.as_ref().map_or_else(in_memory, |spool| spool.hash)
    }

    /// Takes up a page, in parts if it is long and can be cut. Commits all of it but the listing's last part.
    pub(super) async fn take(
        &mut self,
        (listing, trail): (&mut Listing<'_>, &mut Trail),
        place: &Place,
        response: &Response,
    ) -> Result<Result<Next, Fault>, PollError> {
        let spool = self.spool.take();
        let is_long =
            self.may_be_long() && (spool.is_some() || response.body.len() > LIGHT_BODY_BYTES_MAX);
        let taken = if is_long {
            Box::pin(self.take_parts(listing, response, spool.as_ref())).await?
        } else {
            None
        };
        let taken = match (taken, &spool) {
            (Some(taken), _) => taken,
            (None, None) => self.take_page((listing, trail), place, response).await?,
            (None, Some(spool)) => match off_the_loop(spool.bytes, || in_memory(response, spool)) {
                Ok(whole) => self.take_page((listing, trail), place, &whole).await?,
                Err(fault) => Err(fault),
            },
        };
        self.spool = spool;
        Ok(taken)
    }

    /// Takes up a page in parts; `None`, and nothing done, if it cannot be cut.
    async fn take_parts(
        &mut self,
        listing: &mut Listing<'_>,
        response: &Response,
        spool: Option<&Spool>,
    ) -> Result<Option<Result<Next, Fault>>, PollError> {
        let mut parts = match LongPage::begin(self.source, response, spool) {
            Ok(None) => return Ok(None),
            Ok(Some(parts)) => parts,
            Err(fault) => return Ok(Some(Err(unread(&fault)))),
        };
        if let Err(fault) = listing.begin_list() {
            return Ok(Some(Err(fault)));
        }
        let (mut noted, mut noted_bytes) = (Vec::new(), 0);
        loop {
            match off_the_loop(BODY_PART_BYTES, || parts.note_next(listing)) {
                Ok(None) => break,
                Ok(Some((part, bytes))) => {
                    noted.extend(part);
                    noted_bytes += bytes;
                }
                Err(fault) => return Ok(Some(Err(fault))),
            }
            if noted.len() > COMMIT_ITEMS_MAX || noted_bytes > COMMIT_BYTES_MAX {
                noted_bytes = 0;
                self.commit_part(listing, std::mem::take(&mut noted)).await?;
            }
        }
        match parts.end(response).map_err(|fault| self.masked(fault)) {
            Ok(doubt) => listing.set_fault(doubt.map(|fault| self.masked(fault))),
            Err(fault) => return Ok(Some(Err(fault))),
        }
        self.report.pages += 1;
        Ok(Some(Ok(Next::End(self.delta(listing, noted).await?))))
    }
}

/// Runs heavy work without holding up the other polls of this thread, where the runtime has other threads.
pub(super) fn off_the_loop<T>(body_bytes: usize, work: impl FnOnce() -> T) -> T {
    let flavor = tokio::runtime::Handle::current().runtime_flavor();
    if body_bytes > LIGHT_BODY_BYTES_MAX && flavor == tokio::runtime::RuntimeFlavor::MultiThread {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}

/// A page on its way through the cutter.
pub(crate) struct LongPage<'a> {
    source: &'a Source,
    cutter: Cutter<'a>,
    input: Box<dyn Read + Send + 'a>,
    /// What is read at once.
    piece: Vec<u8>,
    /// Items so far.
    count: usize,
    is_begun: bool,
    is_read: bool,
}

impl<'a> LongPage<'a> {
    /// An answer, in memory or in a file; `None` if it cannot be cut.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn begin(
        source: &'a Source,
        response: &'a Response,
        spool: Option<&'a Spool>,
    ) -> io::Result<Option<Self>> {
        let (format, items) = (source.format.as_ref(), source.items.as_ref());
        let Some(cutter) = Cutter::of(&response.headers, format, items) else { return Ok(None) };
        let input: Box<dyn Read + Send + 'a> = match spool {
            Some(spool) => Box::new(spool.reader()?),
            None => Box::new(response.body.as_ref()),
        };
        let piece = vec![0; BODY_PART_BYTES];
        let mut parts =
            Self { source, cutter, input, piece, count: 0, is_begun: false, is_read: false };
        let bytes = parts.read()?;
        let begun = parts.cutter.begin(parts.piece.get(..bytes).unwrap_or_default());
        Ok((begun == Begun::Yes).then_some(parts))
    }

    /// Fills the piece, as far as there is something.
    fn read(&mut self) -> io::Result<usize> {
        let mut bytes = 0;
        while let Some(room) = self.piece.get_mut(bytes..).filter(|room| !room.is_empty()) {
            match self.input.read(room) {
                Ok(0) => break,
                Ok(more) => bytes += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }

    /// Notes the next items, and tells about how long the noted ones are; `None` at the end.
    ///
    /// # Errors
    /// An answer that is no list, cannot be read, or does not belong to the listing.
    pub(crate) fn note_next(
        &mut self,
        listing: &mut Listing<'_>,
    ) -> Result<Option<(Vec<Noted>, usize)>, Fault> {
        if self.is_read {
            return Ok(None);
        }
        if std::mem::replace(&mut self.is_begun, true) {
            let bytes = self.read().map_err(|error| unread(&error))?;
            self.cutter.push(self.piece.get(..bytes).unwrap_or_default());
            self.is_read = bytes == 0;
            if self.is_read {
                self.cutter.close();
            }
        }
        let (text, places) = self.cutter.cut()?;
        let (mut noted, mut noted_bytes) = (Vec::new(), 0);
        for place in places {
            self.count += 1;
            if listing.note_as_before(text.get(place.clone()).unwrap_or_default()) {
                continue;
            }
            let item = extract::part(text, (self.count, place.clone()), &self.source.key)?;
            noted.extend(listing.note_part(&item)?);
            noted_bytes += place.len();
        }
        self.cutter.drop_cut()?;
        Ok(Some((noted, noted_bytes)))
    }

    /// Looks at what stands around the list, which must be sound, too. Gives what makes the listing doubtful.
    ///
    /// # Errors
    /// When they are not.
    pub(crate) fn end(self, response: &Response) -> Result<Option<Fault>, Fault> {
        let Some(frame) = self.cutter.end()? else { return Ok(None) };
        let body = Bytes::from(frame);
        let page = extract::page(&body, self.source.items.as_ref(), &self.source.key)?;
        if page.shape != Shape::List || page.count > 0 {
            let sentence = "the answer has its list twice under one name";
            return Err(Fault::source("not_json", sentence));
        }
        let frame = Response { body, headers: response.headers.clone(), ..*response };
        refusal::graphql(&self.source.method, &frame)
    }
}

/// The answer with its body in memory after all.
fn in_memory(response: &Response, spool: &Spool) -> Result<Response, Fault> {
    let mut body = Vec::with_capacity(spool.bytes);
    let read = spool.reader().and_then(|mut file| file.read_to_end(&mut body));
    read.map_err(|error| unread(&error))?;
    Ok(Response { body: body.into(), ..response.clone() })
}

fn unread(error: &io::Error) -> Fault {
    Fault::us("local", format!("the body could not be read from its file: {error}"))
}
