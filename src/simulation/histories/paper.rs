//! How a listing looks on paper: the same items, spelled and ordered as the dice fall.

use fastrand::Rng;

use super::story::{Content, IDS, VALUES};

/// An item of the API, and what it says.
pub(super) type Shown = (usize, Content);

/// One page as a JSON text; `is_keyless` adds an item without an id.
pub(super) fn page(items: &[Shown], is_wrapped: bool, is_keyless: bool, dice: &mut Rng) -> String {
    let mut texts: Vec<_> = items.iter().map(|shown| item(*shown, dice)).collect();
    if is_keyless {
        let at = dice.usize(..=texts.len());
        texts.insert(at, String::from("{\"name\":\"nobody\"}"));
    }
    let list =
        format!("[{}{}]", blank(dice), texts.join(&format!("{},{}", blank(dice), blank(dice))));
    if !is_wrapped {
        return list;
    }
    let now = dice.u32(..);
    if dice.bool() {
        format!("{{\"now\":{now},{}\"rows\":{list}}}\n", blank(dice))
    } else {
        format!("{{\"r\\u006fws\" :{list}, \"now\" : {now}}}")
    }
}

fn item((item, Content { value, note }): Shown, dice: &mut Rng) -> String {
    let id = IDS[item][dice.usize(..IDS[item].len())];
    let mut members = vec![
        format!("\"{}\":{}{id}", ["id", "\\u0069d"][dice.usize(..2)], blank(dice)),
        format!("\"note\":{}", ["0", "0.0", "1", "1e0"][note * 2 + dice.usize(..2)]),
        // Another at every look.
        format!("\"seen\"{}:{{\"at\":{}}}", blank(dice), dice.u16(..)),
    ];
    let spellings = VALUES[value];
    if !spellings.is_empty() {
        members.push(format!("\"value\":{}", spellings[dice.usize(..spellings.len())]));
    }
    dice.shuffle(&mut members);
    format!("{{{}{}}}", members.join(&format!(",{}", blank(dice))), blank(dice))
}

fn blank(dice: &mut Rng) -> &'static str {
    ["", "", " ", "\r\n\t"][dice.usize(..4)]
}
