//! Value → bytes that are equal exactly when the values are.

use jaq_json::{Num, Val};

use crate::core::json::Value;

/// Writes a value so that two values have the same bytes exactly when they are the same: whatever the order of their
/// keys, the spelling of their numbers (`1`, `1.0` and `10e-1` are one, `-0` is `0`) and the escapes of their strings.
/// Numbers are compared as decimals, digit by digit; nothing is rounded and no exponent is ever written out.
///
/// Every piece says where it ends, so that no two different values run together.
pub(crate) fn canonical(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    push(value, &mut out);
    out
}

fn push(value: &Value, out: &mut Vec<u8>) {
    match value {
        Val::Null => out.push(b'n'),
        Val::Bool(true) => out.push(b't'),
        Val::Bool(false) => out.push(b'f'),
        Val::Num(number) => push_number(number, out),
        Val::TStr(bytes) => push_bytes(b'"', bytes, out),
        Val::BStr(bytes) => push_bytes(b'b', bytes, out),
        Val::Arr(values) => {
            out.push(b'[');
            values.iter().for_each(|value| push(value, out));
            out.push(b']');
        }
        Val::Obj(map) => {
            out.push(b'{');
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by(|(left, _), (right, _)| match (left, right) {
                (Val::TStr(left), Val::TStr(right)) => left.cmp(right),
                // Only expressions make such keys. Their bytes start with another letter, so that this is one order.
                _ => canonical(left).cmp(&canonical(right)),
            });
            for (name, value) in entries {
                push(name, out);
                push(value, out);
            }
            out.push(b'}');
        }
    }
}

fn push_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(bytes.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(bytes);
}

fn push_number(number: &Num, out: &mut Vec<u8>) {
    let Decimal { negative, digits, exponent } = match number {
        Num::Float(float) if !float.is_finite() => {
            return push_bytes(b'x', number.to_string().as_bytes(), out);
        }
        number => Decimal::of(number),
    };
    out.push(b'#');
    if negative {
        out.push(b'-');
    }
    out.extend_from_slice(digits.as_bytes());
    out.push(b'e');
    out.extend_from_slice(exponent.text().as_bytes());
    out.push(b';');
}

/// A number's text as people write it, the same for every spelling: `42` for `42.0` and `4.2e1`; only numbers too long
/// to be written out keep an exponent. `None` for anything but a finite number.
pub(crate) fn number_text(value: &Value) -> Option<String> {
    /// Zeros that are written out rather than counted.
    const ZEROS_MAX: usize = 40;
    let Val::Num(number) = value else { return None };
    if matches!(number, Num::Float(float) if !float.is_finite()) {
        return None;
    }
    let Decimal { negative, digits, exponent } = Decimal::of(number);
    let sign = if negative { "-" } else { "" };
    let written = match exponent {
        Exponent::Exact(exponent) => {
            let zeros = usize::try_from(exponent.unsigned_abs()).ok();
            zeros.filter(|zeros| *zeros <= ZEROS_MAX).map(|zeros| (exponent < 0, zeros))
        }
        Exponent::Absurd(_) => None,
    };
    Some(match written {
        Some((false, zeros)) => format!("{sign}{digits}{}", "0".repeat(zeros)),
        Some((true, places)) => {
            let padded = format!("{digits:0>width$}", width = places + 1);
            let (whole, fraction) = padded.split_at(padded.len() - places);
            format!("{sign}{whole}.{fraction}")
        }
        None => format!("{sign}{digits}e{}", exponent.text()),
    })
}

/// A number as `digits` × 10^`exponent`. Digits have no zeros at either end; zero is `0` × 10^0.
struct Decimal {
    negative: bool,
    digits: String,
    exponent: Exponent,
}

enum Exponent {
    Exact(i128),
    /// More than 10^37 away from zero: as it was spelled, so that at least equal spellings are equal.
    Absurd(String),
}

impl Exponent {
    fn text(&self) -> String {
        match self {
            Self::Exact(exponent) => exponent.to_string(),
            Self::Absurd(text) => text.clone(),
        }
    }
}

impl Decimal {
    fn of(number: &Num) -> Self {
        match number {
            // The shortest text that reads back as the same float.
            Num::Float(float) => Self::parse(&format!("{float:e}")),
            Num::Dec(text) => Self::parse(text),
            Num::Int(_) | Num::BigInt(_) => Self::parse(&number.to_string()),
        }
    }

    fn parse(text: &str) -> Self {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let trimmed = digits.trim_end_matches('0');
        let shift = length(&digits) - length(trimmed) - length(fraction);
        let digits = trimmed.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Self { negative: false, digits: "0".into(), exponent: Exponent::Exact(0) };
        }
        let exact = exponent.parse::<i128>().ok().and_then(|exponent| exponent.checked_add(shift));
        let exponent = match exact {
            Some(exponent) => Exponent::Exact(exponent),
            None => Exponent::Absurd(format!("{}+{shift}", exponent.trim_start_matches('+'))),
        };
        Self { negative, digits, exponent }
    }
}

fn length(text: &str) -> i128 {
    i128::try_from(text.len()).expect("a text's length is far below 2^127")
}
