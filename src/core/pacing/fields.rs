//! Structured fields (RFC 9651), as far as rate limits need them: a list of items with parameters. Anything malformed
//! makes the whole field one that is not there.

/// An item or a value of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Bare {
    Integer(i64),
    /// A string or a token.
    Text(String),
    /// What rate limits have no use for: decimals, bytes, booleans, dates.
    Other,
}

/// An item with its parameters; of a dictionary's member, its key stands for the item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) bare: Bare,
    pub(super) parameters: Vec<(String, Bare)>,
}

impl Item {
    /// A parameter that is a whole number and not negative.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        let (_, value) = self.parameters.iter().rev().find(|(known, _)| known == name)?;
        match value {
            Bare::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// A parameter that is text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.parameters.iter().rev().find(|(known, _)| known == name)?;
        match value {
            Bare::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Reads a list of items.
pub(super) fn list(text: &str) -> Option<Vec<Item>> {
    members(text, |reader| {
        let bare = reader.bare()?;
        Some(Item { bare, parameters: reader.parameters()? })
    })
}

/// Reads a dictionary of whole numbers, `limit=100, remaining=4`, as pairs.
pub(super) fn dictionary(text: &str) -> Option<Vec<(String, i64)>> {
    let members = members(text, |reader| {
        let key = reader.key()?;
        reader.eat('=').then_some(())?;
        let bare = reader.bare()?;
        reader.parameters()?;
        Some((key, bare))
    })?;
    let numbers = members.into_iter().map(|(key, bare)| match bare {
        Bare::Integer(number) => Some((key, number)),
        _ => None,
    });
    numbers.collect()
}

fn members<T>(text: &str, read: impl Fn(&mut Reader<'_>) -> Option<T>) -> Option<Vec<T>> {
    let mut reader = Reader(text.trim());
    let mut members = Vec::new();
    while !reader.0.is_empty() {
        members.push(read(&mut reader)?);
        reader.0 = reader.0.trim_start();
        if reader.0.is_empty() {
            break;
        }
        reader.eat(',').then_some(())?;
        reader.0 = reader.0.trim_start();
        // A comma at the end is malformed.
        (!reader.0.is_empty()).then_some(())?;
    }
    Some(members)
}

struct Reader<'t>(&'t str);

impl<'t> Reader<'t> {
    fn eat(&mut self, wanted: char) -> bool {
        match self.0.strip_prefix(wanted) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'t str {
        let end = self.0.find(|c| !belongs(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at_checked(end).unwrap_or((self.0, ""));
        self.0 = rest;
        taken
    }

    fn key(&mut self) -> Option<String> {
        let starts = self.0.starts_with(|c: char| c.is_ascii_lowercase() || c == '*');
        let belongs = |c: char| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.' | '*')
        };
        starts.then(|| self.take_while(belongs).to_owned())
    }

    fn parameters(&mut self) -> Option<Vec<(String, Bare)>> {
        let mut parameters = Vec::new();
        while self.eat(';') {
            self.0 = self.0.trim_start_matches(' ');
            let key = self.key()?;
            let value = if self.eat('=') { self.bare()? } else { Bare::Other };
            parameters.push((key, value));
        }
        Some(parameters)
    }

    fn bare(&mut self) -> Option<Bare> {
        match self.0.chars().next()? {
            '"' => self.string(),
            ':' => {
                self.eat(':');
                self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '='));
                self.eat(':').then_some(Bare::Other)
            }
            '?' => {
                self.eat('?');
                (self.eat('0') || self.eat('1')).then_some(Bare::Other)
            }
            '-' | '0'..='9' => self.number(),
            c if c.is_ascii_alphabetic() || c == '*' => {
                let belongs =
                    |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/".contains(c);
                Some(Bare::Text(self.take_while(belongs).to_owned()))
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<Bare> {
        let is_negative = self.eat('-');
        let digits = self.take_while(|c| c.is_ascii_digit());
        let is_whole = !self.eat('.');
        let fraction = if is_whole { "" } else { self.take_while(|c| c.is_ascii_digit()) };
        // RFC 9651 §3.3.1: at most fifteen digits.
        if digits.is_empty() || digits.len() > 15 || (!is_whole && fraction.is_empty()) {
            return None;
        }
        let number: i64 = digits.parse().ok()?;
        let number = if is_negative { -number } else { number };
        Some(if is_whole { Bare::Integer(number) } else { Bare::Other })
    }

    fn string(&mut self) -> Option<Bare> {
        self.eat('"').then_some(())?;
        let mut text = String::new();
        let mut chars = self.0.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => text.push(chars.next().filter(|c| matches!(c, '"' | '\\'))?),
                c if c.is_ascii_graphic() || c == ' ' => text.push(c),
                _ => return None,
            }
        }
        self.0 = chars.as_str();
        Some(Bare::Text(text))
    }
}
