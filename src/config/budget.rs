//! `limit` and `concurrency`: what a source may spend, and what the sources of one API may spend together.

use std::num::NonZeroU32;

use crate::config::keys;
use crate::config::measures;
use crate::config::tree::{Node, Value};
use crate::config::walk::{Fields, Walk};
use crate::core::budget::{Allowance, Holder, Rate};
use crate::core::ids::SourceName;

/// The budgets of a source, the narrowest first: its own, and those of the blocks of `apis` that it shares.
pub(super) fn read<'a>(
    walk: &mut Walk<'a>,
    name: &SourceName,
    fields: &Fields<'a>,
    apis: &[String],
) -> Option<Vec<Allowance>> {
    let own =
        own(walk, Holder::Source(name.clone()), fields.get("limit"), fields.get("concurrency"));
    let is_good = |key| !fields.has(key) || fields.get(key).is_some();
    let own = own.filter(|_| is_good("limit") && is_good("concurrency"));
    let shared: Vec<Option<Allowance>> = apis.iter().map(|api| of_api(walk, api)).collect();
    let all = std::iter::once(own).chain(shared).collect::<Option<Vec<_>>>()?;
    Some(all.into_iter().filter(|it| !it.limit.is_empty() || it.concurrency.is_some()).collect())
}

/// The budget of a block of `apis`; read once, whoever asks first.
pub(super) fn of_api(walk: &mut Walk<'_>, name: &str) -> Option<Allowance> {
    if let Some(known) = walk.budgets.get(name) {
        return known.clone();
    }
    let apis = walk.apis;
    let (limit, concurrency) = apis.budget(name);
    let allowance = own(walk, Holder::Api(name.to_owned()), limit, concurrency);
    walk.budgets.insert(name.to_owned(), allowance.clone());
    allowance
}

fn own<'a>(
    walk: &mut Walk<'a>,
    holder: Holder,
    limit: Option<&'a Node>,
    concurrency: Option<&'a Node>,
) -> Option<Allowance> {
    let limit = limit.map_or(Some(Vec::new()), |node| rates(walk, node));
    let concurrency = match concurrency {
        Some(node) => walk.count(node, keys::SOURCE, "concurrency").map(Some),
        None => Some(None),
    };
    Some(Allowance { holder, limit: limit?, concurrency: concurrency? })
}

/// One rate, or several that all hold.
pub(super) fn rates<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Vec<Rate>> {
    walk.each(node, rate)
}

/// `20/s`, or `{rate: 2/s, burst: 40}`.
fn rate<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Rate> {
    let Value::Map(_) = node.value else { return plain_rate(walk, node) };
    let fields = walk.fields(node, keys::RATE, node.place)?;
    let burst = fields.or("burst", None, |node| walk.count(node, keys::RATE, "burst").map(Some));
    let rate = fields.need("rate", |node| plain_rate(walk, node))?;
    let burst = burst?.and_then(|burst| NonZeroU32::new(u32::try_from(burst).ok()?));
    Some(Rate { burst, ..rate })
}

fn plain_rate<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Rate> {
    let text = walk.text(node)?;
    measures::rate(text).map_or_else(|flaw| walk.flaw(node, "a rate", &flaw), Some)
}
