//! Strict JSON text → value.
//!
//! A reader of our own, because the others at hand lose something: jaq's takes a superset of JSON and recurses without
//! end, `serde_json` makes floats of long numbers. Depth is counted on the way down, so no text can exhaust the stack.

use std::borrow::Cow;

use jaq_json::{Map, Num};

use crate::core::json::{JsonFault, VALUE_DEPTH_MAX, Value, text};
use crate::core::limits::JSON_DEPTH_MAX;

/// Integers with more digits stay text: turning digits into a number takes quadratic time.
const INTEGER_DIGITS_MAX: usize = 400;

/// Reads exactly one JSON value.
///
/// Half of a surrogate pair (`"\ud83d"`), which RFC 8259 lets pass but no UTF-8 text can hold, becomes U+FFFD: it is
/// what is left of an emoji that somebody cut in two, and no reason to lose the whole item.
///
/// # Errors
/// `not_json` with the line and column, or `too_deep` beyond [`JSON_DEPTH_MAX`] levels.
pub(crate) fn read(text: &str) -> Result<Value, JsonFault> {
    whole(text, JSON_DEPTH_MAX)
}

/// Reads what was written here: it may nest as deep as a value in memory.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_own(text: &str) -> Result<Value, JsonFault> {
    whole(text, VALUE_DEPTH_MAX)
}

fn whole(text: &str, depth_max: usize) -> Result<Value, JsonFault> {
    let mut reader = Reader { bytes: text.as_bytes(), text, at: 0 };
    let value = reader.value(depth_max)?;
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.wrong("the value ends before this, but the text goes on")),
    }
}

/// How many bytes the number at the start of `bytes` takes, and whether it is an integer; `None` if there is none.
pub(super) fn number_length(bytes: &[u8]) -> Option<(usize, bool)> {
    let digits =
        |from: usize| bytes.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
    let mut length = usize::from(bytes.first() == Some(&b'-'));
    let whole = digits(length);
    if whole == 0 || (whole > 1 && bytes.get(length) == Some(&b'0')) {
        return None;
    }
    length += whole;
    let mut is_integer = true;
    if bytes.get(length) == Some(&b'.') {
        let fraction = digits(length + 1);
        if fraction == 0 {
            return None;
        }
        length += 1 + fraction;
        is_integer = false;
    }
    if matches!(bytes.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
        let exponent = digits(length + 1 + sign);
        if exponent == 0 {
            return None;
        }
        length += 1 + sign + exponent;
        is_integer = false;
    }
    Some((length, is_integer))
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    /// Always at the start of a character.
    at: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth_left: usize) -> Result<Value, JsonFault> {
        match self.peek() {
            Some(b'{') => self.object(self.deeper(depth_left)?),
            Some(b'[') => self.array(self.deeper(depth_left)?),
            Some(b'"') => {
                self.at += 1;
                Ok(text(&self.string()?))
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            _ => Err(self.wrong("expected a value")),
        }
    }

    fn object(&mut self, depth_left: usize) -> Result<Value, JsonFault> {
        self.at += 1;
        let mut map = Map::default();
        if self.take(b'}') {
            return Ok(Value::obj(map));
        }
        loop {
            if !self.take(b'"') {
                return Err(self.wrong("expected a name in double quotes"));
            }
            let name = text(&self.string()?);
            if !self.take(b':') {
                return Err(self.wrong("expected a colon"));
            }
            map.insert(name, self.value(depth_left)?);
            if self.take(b'}') {
                return Ok(Value::obj(map));
            }
            if !self.take(b',') {
                return Err(self.wrong("expected a comma or a closing brace"));
            }
        }
    }

    fn array(&mut self, depth_left: usize) -> Result<Value, JsonFault> {
        self.at += 1;
        let mut values = Vec::new();
        if self.take(b']') {
            return Ok(Value::Arr(values.into()));
        }
        loop {
            values.push(self.value(depth_left)?);
            if self.take(b']') {
                return Ok(Value::Arr(values.into()));
            }
            if !self.take(b',') {
                return Err(self.wrong("expected a comma or a closing bracket"));
            }
        }
    }

    fn number(&mut self) -> Result<Value, JsonFault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (length, is_integer) =
            number_length(rest).ok_or_else(|| self.wrong("expected a number as JSON writes it"))?;
        let digits = self.text.get(self.at..self.at + length).unwrap_or_default();
        self.at += length;
        let exact = || Num::Dec(digits.to_owned().into());
        let number = match digits.parse() {
            // As an integer it would lose its sign.
            Ok(0) if digits.starts_with('-') => exact(),
            Ok(small) => Num::Int(small),
            Err(_) if is_integer && length <= INTEGER_DIGITS_MAX => {
                Num::from_str_radix(digits, 10).unwrap_or_else(exact)
            }
            Err(_) => exact(),
        };
        Ok(Value::Num(number))
    }

    /// The rest of a string, from behind its opening quote to behind its closing one.
    fn string(&mut self) -> Result<Cow<'a, str>, JsonFault> {
        let mut decoded: Option<String> = None;
        loop {
            let run = self.run();
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(match decoded {
                        None => Cow::Borrowed(run),
                        Some(text) => Cow::Owned(text + run),
                    });
                }
                Some(b'\\') => {
                    let text = decoded.get_or_insert_default();
                    text.push_str(run);
                    text.push(self.escape()?);
                }
                Some(_) => return Err(self.wrong("a control character in a string")),
                None => return Err(self.wrong("the text ends inside a string")),
            }
        }
    }

    /// What a string says as it is, up to a quote, a backslash or a control character.
    fn run(&mut self) -> &'a str {
        let from = self.at;
        let rest = self.bytes.get(from..).unwrap_or_default();
        let length = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
        self.at += length.unwrap_or(rest.len());
        self.text.get(from..self.at).unwrap_or_default()
    }

    fn escape(&mut self) -> Result<char, JsonFault> {
        let escaped = match self.bytes.get(self.at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.wrong("a backslash that escapes nothing JSON knows")),
        };
        self.at += 2;
        Ok(escaped)
    }

    fn unicode(&mut self) -> Result<char, JsonFault> {
        let wrong = |reader: &Self| reader.wrong("expected four hexadecimal digits after \\u");
        let unit = self.unit(self.at).ok_or_else(|| wrong(self))?;
        self.at += 6;
        let pair = match unit {
            0xd800..0xdc00 => self.unit(self.at).filter(|low| (0xdc00..0xe000).contains(low)),
            _ => None,
        };
        let code = match pair {
            Some(low) => {
                self.at += 6;
                0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
            }
            None => unit,
        };
        Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// The UTF-16 unit of a `\uXXXX` at `at`.
    fn unit(&self, at: usize) -> Option<u32> {
        let digits = self.bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        digits.iter().try_fold(0, |unit, digit| Some(unit * 16 + char::from(*digit).to_digit(16)?))
    }

    fn word(&mut self, word: &str, value: Value) -> Result<Value, JsonFault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.wrong("expected a value"));
        }
        self.at += word.len();
        Ok(value)
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.bytes.get(self.at..)?;
        self.at +=
            rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn deeper(&self, depth_left: usize) -> Result<usize, JsonFault> {
        depth_left.checked_sub(1).ok_or_else(|| {
            let place = self.place();
            let sentence = format!("nested more than {JSON_DEPTH_MAX} levels deep at {place}");
            JsonFault::new("too_deep", sentence)
        })
    }

    fn wrong(&self, what: &str) -> JsonFault {
        let what = if self.at >= self.bytes.len() && what.starts_with("expected") {
            format!("the text ends too early, {what}")
        } else {
            what.to_owned()
        };
        JsonFault::new("not_json", format!("not JSON at {}: {what}", self.place()))
    }

    /// Where the reader stands, for people: lines and characters count from one.
    fn place(&self) -> String {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("line {line}, column {column}")
    }
}
