//! A long listing, cut into runs of whole items while it is read, so that it is never held as a whole.
//!
//! Only the outline is looked at: strings, brackets and line ends. An item that is as before was read when it was
//! taken on; every other one is read now, by whoever gets it.

#[cfg(test)]
mod tests;

use std::ops::Range;

use http::HeaderMap;

use crate::core::fault::Fault;
use crate::core::format::{ContentType, Format};
use crate::core::jq::{Expression, Step};
use crate::core::limits::JSON_DEPTH_MAX;

/// What may stand before the list, and behind it.
const FRAME_BYTES_MAX: usize = 1024 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Where one of these is.
type Names<'a> = Vec<&'a str>;

/// Cuts one answer.
#[derive(Debug)]
pub(crate) struct Cutter<'a> {
    shape: Outline<'a>,
    /// Read, and not yet given away. Begins with an item, as soon as the first one is reached.
    text: Vec<u8>,
    /// How far it has been looked at.
    looked: usize,
    /// Where the item begins that is being looked at.
    item: usize,
    /// Items that are whole.
    whole: Vec<Range<usize>>,
    depth: usize,
    in_string: bool,
    /// What stands around the list: a document without its items.
    frame: Vec<u8>,
    stage: Stage,
}

#[derive(Debug)]
enum Outline<'a> {
    /// A JSON list at a path of names.
    List(Names<'a>),
    /// A value on each line.
    Lines,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Before,
    Inside,
    Behind,
}

/// How a look at the beginning ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It can be cut.
    Yes,
    /// It has to be read as a whole: what it is, or what is wrong with it, shows only then.
    No,
}

impl<'a> Cutter<'a> {
    /// For an answer with these headers; `None` if such a one cannot be cut.
    pub(crate) fn of(
        headers: &HeaderMap,
        declared: Option<&Format>,
        items: Option<&'a Expression>,
    ) -> Option<Self> {
        let typed = ContentType::of(headers);
        let told = typed.format();
        if typed.charset.is_some_and(|charset| !charset.eq_ignore_ascii_case("utf-8")) {
            return None;
        }
        let shape = match declared.unwrap_or(told.as_ref()) {
            Format::Json => Outline::List(names(items)?),
            Format::Ndjson if items.is_none() => Outline::Lines,
            _ => return None,
        };
        Some(Self {
            shape,
            text: Vec::new(),
            looked: 0,
            item: 0,
            whole: Vec::new(),
            depth: 0,
            in_string: false,
            frame: Vec::new(),
            stage: Stage::Before,
        })
    }

    /// Takes the beginning of the answer, which should be some hundred kilobytes or all of it.
    pub(crate) fn begin(&mut self, bytes: &[u8]) -> Begun {
        self.text.extend_from_slice(bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes));
        let start = match &self.shape {
            Outline::Lines => Some(0),
            Outline::List(names) => list_start(&self.text, names),
        };
        let Some(start) = start else { return Begun::No };
        self.frame.extend(self.text.drain(..start));
        self.stage = Stage::Inside;
        Begun::Yes
    }

    /// Takes more of it.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
    }

    /// Looks at what is new and gives the text and those items in it that are whole.
    ///
    /// # Errors
    /// Brackets that do not match, or are nested too deep.
    pub(crate) fn cut(&mut self) -> Result<(&[u8], &[Range<usize>]), Fault> {
        match (&self.shape, self.stage) {
            (Outline::List(_), Stage::Inside) => self.look_at_list()?,
            (Outline::Lines, _) => self.look_at_lines(),
            _ => {}
        }
        Ok((&self.text, &self.whole))
    }

    /// Lets go of the items that [`Cutter::cut`] gave.
    ///
    /// # Errors
    /// When there is too much behind the list.
    pub(crate) fn drop_cut(&mut self) -> Result<(), Fault> {
        self.whole.clear();
        self.text.drain(..self.item);
        self.looked -= self.item;
        self.item = 0;
        if self.stage == Stage::Behind {
            self.frame.append(&mut self.text);
            self.looked = 0;
        }
        if self.frame.len() > 2 * FRAME_BYTES_MAX {
            return Err(Fault::source("body_too_large", "too much stands behind the list"));
        }
        Ok(())
    }

    /// Says that there is no more to come, before the last cut: the last line may have no line end.
    pub(crate) fn close(&mut self) {
        if matches!(self.shape, Outline::Lines) {
            self.text.push(b'\n');
        }
    }

    /// The end: for JSON, what stood around the list, as a document without items.
    ///
    /// # Errors
    /// When the list is not at its end.
    pub(crate) fn end(self) -> Result<Option<Vec<u8>>, Fault> {
        match self.shape {
            Outline::Lines => Ok(None),
            Outline::List(_) if self.stage == Stage::Behind => Ok(Some(self.frame)),
            Outline::List(_) => {
                let sentence = "the answer ends before its list does: was it cut?";
                Err(Fault::source("not_json", sentence))
            }
        }
    }

    fn look_at_lines(&mut self) {
        while let Some(length) = rest(&self.text, self.looked).iter().position(|it| *it == b'\n') {
            let end = self.looked + length;
            self.add(end);
            self.looked = end + 1;
            self.item = self.looked;
        }
        self.looked = self.text.len();
    }

    /// An item ends here.
    fn add(&mut self, end: usize) {
        let text = self.text.get(self.item..end).unwrap_or_default();
        let start = end - text.trim_ascii_start().len();
        let length = text.trim_ascii().len();
        if length > 0 {
            self.whole.push(start..start + length);
        }
    }

    fn look_at_list(&mut self) -> Result<(), Fault> {
        loop {
            if self.in_string && !self.leave_string() {
                return Ok(());
            }
            let is_sign = |byte: &u8| matches!(byte, b'"' | b'{' | b'[' | b'}' | b']' | b',');
            let ahead = rest(&self.text, self.looked);
            let Some(length) = ahead.iter().position(is_sign) else {
                self.looked = self.text.len();
                return Ok(());
            };
            let (at, sign) = (self.looked + length, ahead.get(length).copied());
            self.looked = at + 1;
            match sign {
                Some(b'"') => self.in_string = true,
                Some(b'{' | b'[') if self.depth == JSON_DEPTH_MAX => {
                    let sentence =
                        format!("the answer is nested more than {JSON_DEPTH_MAX} levels deep");
                    return Err(Fault::source("too_deep", sentence));
                }
                Some(b'{' | b'[') => self.depth += 1,
                Some(b',') if self.depth == 0 => {
                    self.add_value(at)?;
                    self.item = at + 1;
                }
                Some(b']') if self.depth == 0 => {
                    let last = self.text.get(self.item..at).unwrap_or_default();
                    if !self.frame.ends_with(b"[") || !last.trim_ascii().is_empty() {
                        self.add_value(at)?;
                    }
                    self.item = at;
                    self.looked = at;
                    self.stage = Stage::Behind;
                    return Ok(());
                }
                Some(b'}') if self.depth == 0 => {
                    return Err(Fault::source("not_json", "the brackets of the list do not match"));
                }
                Some(b'}' | b']') => self.depth -= 1,
                _ => {}
            }
        }
    }

    fn add_value(&mut self, end: usize) -> Result<(), Fault> {
        let before = self.whole.len();
        self.add(end);
        if self.whole.len() == before {
            return Err(Fault::source("not_json", "the list has a comma without an item"));
        }
        // From now on the list is not empty, whatever is given away.
        if self.frame.ends_with(b"[") {
            self.frame.push(b' ');
        }
        Ok(())
    }

    /// Goes on behind the string's end; false when that is not there yet.
    fn leave_string(&mut self) -> bool {
        loop {
            let ahead = rest(&self.text, self.looked);
            let Some(length) = memchr::memchr2(b'"', b'\\', ahead) else {
                self.looked = self.text.len();
                return false;
            };
            if ahead.get(length) == Some(&b'"') {
                self.looked += length + 1;
                self.in_string = false;
                return true;
            }
            if length + 1 == ahead.len() {
                // What is escaped comes with the next bytes.
                self.looked += length;
                return false;
            }
            self.looked += length + 2;
        }
    }
}

fn rest(text: &[u8], from: usize) -> &[u8] {
    text.get(from..).unwrap_or_default()
}

/// The path to the list, if it is one of names only.
fn names(items: Option<&Expression>) -> Option<Names<'_>> {
    let steps = items.map_or(Some([].as_slice()), Expression::steps)?;
    let steps = steps.strip_suffix(&[Step::Each]).unwrap_or(steps);
    steps.iter().map(name).collect()
}

fn name(step: &Step) -> Option<&str> {
    match step {
        Step::Field { name, .. } => Some(name.as_str()),
        Step::Element(_) | Step::Each => None,
    }
}

/// Where the inside of the list at a path begins.
fn list_start(text: &[u8], path: &[&str]) -> Option<usize> {
    let mut look = Look { text: text.get(..text.len().min(FRAME_BYTES_MAX))?, at: 0 };
    for wanted in path {
        look.sign(b'{')?;
        while look.name()?.as_str() != *wanted {
            look.skip_value()?;
            look.sign(b',')?;
        }
    }
    look.sign(b'[')?;
    Some(look.at)
}

/// A look at the beginning of a document; everything in it is `None` at the end, or where it is no JSON.
struct Look<'a> {
    text: &'a [u8],
    at: usize,
}

impl Look<'_> {
    fn peek(&mut self) -> Option<u8> {
        let ahead = rest(self.text, self.at);
        self.at += ahead.len() - ahead.trim_ascii_start().len();
        self.text.get(self.at).copied()
    }

    fn sign(&mut self, sign: u8) -> Option<()> {
        (self.peek()? == sign).then(|| self.at += 1)
    }

    /// A name with its colon.
    fn name(&mut self) -> Option<String> {
        self.peek()?;
        let start = self.at;
        self.skip_string()?;
        let name = serde_json::from_slice(self.text.get(start..self.at)?).ok()?;
        self.sign(b':')?;
        Some(name)
    }

    fn skip_string(&mut self) -> Option<()> {
        self.sign(b'"')?;
        loop {
            let byte = *self.text.get(self.at)?;
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return Some(());
            }
        }
    }

    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => self.skip_string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' if depth == 0 => return Some(()),
                _ => self.at += 1,
            }
            if depth == 0 && matches!(self.peek()?, b',' | b'}') {
                return Some(());
            }
        }
    }
}
