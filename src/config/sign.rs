//! How an endpoint's requests are signed: `sign` and `secret`.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderName;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};

use crate::config::keys::{self, Table};
use crate::config::report::{Finding, Flaw};
use crate::config::template::Input;
use crate::config::tree::{Node, Value};
use crate::config::walk::Walk;
use crate::core::secret::Secret;
use crate::core::signature::{
    API_VERSION_HEADER, EVENT_HEADER, Encoding, ID_HEADER, Labels, Naming, SHOP_DOMAIN_HEADER,
    Scheme, SigningSecret, TIMESTAMP_HEADER, TOPIC_HEADER, is_label, is_private, private_key_flaw,
};
use crate::core::sink::REPLAY_HEADER;
use crate::core::time::Timestamp;

/// The schemes that name something, each as the one key of a map.
const PROFILES: [&str; 3] = ["github", "shopify", "http-message-signatures"];

/// The fields of `github` and `shopify`, and the headers that they stand in.
static GITHUB_FIELDS: [(&str, HeaderName); 1] = [("event", EVENT_HEADER)];
static SHOPIFY_FIELDS: [(&str, HeaderName); 3] = [
    ("topic", TOPIC_HEADER),
    ("shop_domain", SHOP_DOMAIN_HEADER),
    ("api_version", API_VERSION_HEADER),
];

/// Reads `sign`.
pub(super) fn scheme<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Scheme> {
    let Value::Map(entries) = &node.value else {
        return walk.word(node, keys::SIGN_WORDS).and_then(Scheme::named);
    };
    let word = |name: &str| keys::SIGN_WORDS.iter().any(|word| word.text == name);
    if let [(key, _)] = entries.as_slice()
        && word(&key.name)
        && !PROFILES.contains(&key.name.as_str())
    {
        let sentence = format!("`{}` has no fields", key.name);
        let hint = format!("write `sign: {}`", key.name);
        walk.report.add(Finding::error(key.place, sentence).hint(hint));
        return None;
    }
    let fields = walk.fields(node, keys::SIGN, node.place)?;
    if let Some(profile) = PROFILES.into_iter().find(|profile| fields.has(profile)) {
        if let Some((other, _)) = entries.iter().find(|(key, _)| key.name != profile) {
            let sentence = format!("`{}` does not go together with `{profile}`", other.name);
            walk.report.add(Finding::error(other.place, sentence));
            return None;
        }
        return fields.need(profile, |node| match profile {
            "github" => labels(walk, node, keys::GITHUB, &GITHUB_FIELDS).map(Scheme::Github),
            "shopify" => labels(walk, node, keys::SHOPIFY, &SHOPIFY_FIELDS).map(Scheme::Shopify),
            _ => naming(walk, node).map(Scheme::HttpMessage),
        });
    }
    let header = fields.need("header", |node| free_header(walk, node, &[TIMESTAMP_HEADER]));
    let prefix = fields.or("prefix", String::new(), |node| prefix(walk, node));
    let encoding =
        fields.or("encoding", Encoding::Hex, |node| match walk.word(node, keys::ENCODINGS)? {
            "base64" => Some(Encoding::Base64),
            _ => Some(Encoding::Hex),
        });
    let timestamp_header =
        fields.or("timestamp_header", None, |node| free_header(walk, node, &[]).map(Some));
    if !fields.has("header") {
        let sentence = "the key `header` is missing: which header carries the signature?";
        return walk.report.wrong(node, sentence, "such as `header: X-Signature`");
    }
    let (header, timestamp_header) = (header?, timestamp_header?);
    if timestamp_header.as_ref() == Some(&header)
        && let Some(node) = fields.get("timestamp_header")
    {
        let sentence = format!("`{header}` carries the signature already");
        return walk.report.wrong(node, sentence, "such as `timestamp_header: X-Timestamp`");
    }
    Some(Scheme::Custom { header, prefix: prefix?, encoding: encoding?, timestamp_header })
}

/// A header that says nothing else yet: others read an event's id or the body's type from theirs.
fn free_header<'a>(
    walk: &mut Walk<'a>,
    node: &'a Node,
    taken: &[HeaderName],
) -> Option<HeaderName> {
    const TAKEN: [HeaderName; 5] = [ID_HEADER, REPLAY_HEADER, CONTENT_TYPE, USER_AGENT, HOST];
    let name = walk.header_name_text(node)?;
    if TAKEN.contains(&name) || taken.contains(&name) {
        let sentence = format!("the header `{name}` is set by doorbell itself");
        return walk.report.wrong(node, sentence, "another one, such as `X-Signature`");
    }
    Some(name)
}

/// What a profile names, each by a text or by templates over the envelope.
fn labels<'a>(
    walk: &mut Walk<'a>,
    node: &'a Node,
    table: Table,
    headers: &[(&'static str, HeaderName)],
) -> Option<Labels> {
    let fields = walk.fields(node, table, node.place)?;
    let (mut labels, mut complete) = (Vec::new(), true);
    for (name, header) in headers {
        let label = fields.or(name, None, |node| {
            walk.text(node)?;
            let label = walk.template_over(node, Input::Envelope)?;
            if label.is_fixed() {
                prefix(walk, node)?;
            }
            Some(Some(label))
        });
        complete &= label.is_some();
        labels.extend(label.flatten().map(|label| (header.clone(), label)));
    }
    complete.then(|| Arc::from(labels))
}

fn naming<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Naming> {
    let fields = walk.fields(node, keys::HTTP_MESSAGE, node.place)?;
    let label = fields.or("label", Naming::default().label, |node| {
        let text = walk.text(node)?;
        if is_label(text) {
            return Some(text.to_owned());
        }
        let hint = "lower-case letters, digits, `_`, `-`, `.` and `*`, a letter first";
        walk.flaw(node, "a label", &Flaw::new("this is not the label of a signature", hint))
    });
    let key_ids = fields.or("keyid", Vec::new(), |node| walk.each(node, parameter));
    let tag = fields.or("tag", None, |node| parameter(walk, node).map(Some));
    Some(Naming { label: label?, key_ids: key_ids?, tag: tag? })
}

/// Text that stands in quotes beside a signature.
fn parameter<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<String> {
    let text = walk.text(node)?;
    let is_plain = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if is_plain && !text.contains(['"', '\\']) {
        return Some(text.to_owned());
    }
    let sentence = "this is not plain ASCII without quotes and backslashes";
    walk.report.wrong(node, sentence, "")
}

/// Text that goes into a header.
fn prefix<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<String> {
    let text = node.text()?;
    if text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        return Some(text.to_owned());
    }
    let sentence = "text in a header is plain ASCII without control characters";
    walk.report.wrong(node, sentence, "")
}

/// Reads `secret`: one, or several with the newest first, of which the older may have an end.
pub(super) fn secrets<'a>(
    walk: &mut Walk<'a>,
    node: &'a Node,
    sign: Option<&Scheme>,
) -> Option<Vec<SigningSecret>> {
    let secrets = walk.each(node, |walk, node| {
        let Value::Map(entries) = &node.value else {
            return secret(walk, node, sign).map(SigningSecret::from);
        };
        // A secret that something is wrong around may look like a key: no other key is shown here.
        if entries.iter().any(|(key, _)| keys::SECRET.iter().all(|known| known.name != key.name)) {
            walk.report.conceal(node);
            let hint = "such as `{secret: ${OLD_SECRET}, until: 2026-12-01}`";
            let sentence = "a secret with an end has the keys `secret` and `until`, and no other";
            return walk.report.wrong(node, sentence, hint);
        }
        let fields = walk.fields(node, keys::SECRET, node.place)?;
        let secret = fields.need("secret", |node| secret(walk, node, sign));
        let until = fields.need("until", |node| until(walk, node));
        Some(SigningSecret { secret: secret?, until: Some(until?) })
    })?;
    let (Some(newest), Some(count)) = (secrets.first(), Some(secrets.len())) else { return None };
    if newest.until.is_some() {
        let hint = "put the one that stays before it";
        return walk.report.wrong(node, "the newest secret, which stands first, has an end", hint);
    }
    if sign == Some(&Scheme::StandardEd25519) && !is_private(&newest.secret) {
        let sentence = "`standard-ed25519` signs with a private key, which begins with `whsk_`";
        return walk.report.wrong(node, sentence, "`doorbell secret --ed25519` makes one");
    }
    if let Some(Scheme::HttpMessage(Naming { key_ids, .. })) = sign
        && !key_ids.is_empty()
        && key_ids.len() != count
    {
        let sentence = format!("`keyid` names {} keys, and here stand {count}", key_ids.len());
        return walk.report.wrong(node, sentence, "name every key, in the same order");
    }
    Some(secrets)
}

fn secret<'a>(walk: &mut Walk<'a>, node: &'a Node, sign: Option<&Scheme>) -> Option<Secret> {
    let secret = walk.secret_text(node)?;
    if sign.is_some_and(Scheme::knows_private_keys) && is_private(&secret) {
        return match private_key_flaw(&secret) {
            None => Some(secret),
            Some(sentence) => {
                walk.report.wrong(node, sentence, "`doorbell secret --ed25519` makes a good one")
            }
        };
    }
    if sign == Some(&Scheme::Standard) && is_private(&secret) {
        let sentence =
            "this is a private key, which `standard` takes as a text that both sides know";
        let finding = Finding::warning(node.place, sentence);
        walk.report.add(finding.hint("meant is probably `sign: standard-ed25519`"));
    }
    let is_standard = matches!(sign, Some(Scheme::Standard | Scheme::StandardEd25519));
    let encoded = secret.expose().strip_prefix("whsec_").filter(|_| is_standard);
    let Some(encoded) = encoded else { return Some(secret) };
    match BASE64_STANDARD.decode(encoded) {
        Ok(key) if !key.is_empty() => Some(secret),
        _ => {
            let sentence = "what follows `whsec_` is not base64";
            walk.report.wrong(node, sentence, "`doorbell secret` makes a good one")
        }
    }
}

/// A moment: a day stands for its beginning in UTC.
fn until<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Timestamp> {
    let text = walk.text(node)?;
    let moment = text.parse::<jiff::Timestamp>().or_else(|_| {
        let day = text.parse::<jiff::civil::Date>()?;
        Ok::<_, jiff::Error>(day.to_zoned(jiff::tz::TimeZone::UTC)?.timestamp())
    });
    if let Ok(moment) = moment {
        return Some(Timestamp::from_millis(moment.as_millisecond()));
    }
    let hint = "such as `2026-12-01`, when that day begins in UTC, or `2026-12-01T08:00:00Z`";
    walk.flaw(node, "a day or a time", &Flaw::new("this is not a day or a time", hint))
}
