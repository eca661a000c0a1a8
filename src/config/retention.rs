//! `retention`: how long events, deliveries and attempts are kept.

use std::time::Duration;

use crate::config::keys;
use crate::config::tree::Node;
use crate::config::walk::Walk;
use crate::core::retention::Retention;

/// Less would be gone before it is delivered.
const AGE_MIN: Duration = Duration::from_secs(1);
/// Less would hold next to nothing.
const BYTES_MIN: usize = 1 << 20;

/// Reads `retention`.
pub(super) fn read<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Retention> {
    let fields = walk.fields(node, keys::RETENTION, node.place)?;
    let default = Retention::default();
    let age_max = fields.or("for", default.age_max, |node| age(walk, node));
    let bytes_max = fields.or("size", default.bytes_max, |node| bytes(walk, node));
    Some(Retention { age_max: age_max?, bytes_max: bytes_max? })
}

fn age<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Duration> {
    let age = walk.duration(node)?;
    if age < AGE_MIN {
        let sentence = "nothing would be kept until it is delivered";
        return walk.report.wrong(node, sentence, "such as `30d`");
    }
    Some(age)
}

fn bytes<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<u64> {
    let bytes = walk.size(node, usize::MAX)?;
    if bytes < BYTES_MIN {
        return walk.report.wrong(node, "less than 1MiB holds next to nothing", "such as `10GiB`");
    }
    u64::try_from(bytes).ok()
}
