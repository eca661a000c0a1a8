//! RFC 8288 `Link` headers.
//!
//! An unreadable header is a fault and not the end: it hides whether there is more, and half a listing taken for the
//! whole would delete the rest.

#[cfg(test)]
mod tests;

use url::Url;

use crate::core::fault::Fault;
use crate::core::http::Response;
use crate::core::pages::target;

/// Where `rel="next"` of a response to `url` leads; `None` at the end.
///
/// # Errors
/// `link_header` when a header cannot be read or names several next pages, `page_off_origin` when the next page lies
/// elsewhere. The sentences name origins only, because queries may hold tokens.
pub(super) fn next(url: &Url, response: &Response) -> Result<Option<Url>, Fault> {
    let mut next: Option<Url> = None;
    for header in response.headers.get_all("link") {
        let text = std::str::from_utf8(header.as_bytes())
            .map_err(|_| unreadable("it holds bytes that are no text"))?;
        for link in links(text)? {
            let Some(target) = next_target(url, &link)? else { continue };
            match &next {
                Some(other) if *other != target => {
                    return Err(unreadable("it names more than one next page"));
                }
                _ => next = Some(target),
            }
        }
    }
    Ok(next)
}

/// One link as it stands in the header, unresolved.
#[derive(Debug, Default, PartialEq, Eq)]
struct Link<'a> {
    target: &'a str,
    /// Of a parameter that is repeated, the first counts.
    rel: Option<String>,
    anchor: Option<String>,
}

/// The page a link leads to, if it is the next one of this document.
fn next_target(url: &Url, link: &Link<'_>) -> Result<Option<Url>, Fault> {
    let rels = link.rel.as_deref().unwrap_or_default().split_ascii_whitespace();
    if !rels.into_iter().any(|rel| rel.eq_ignore_ascii_case("next")) {
        return Ok(None);
    }
    // A link with an anchor says something about that other document.
    if let Some(anchor) = &link.anchor
        && resolve(url, anchor)? != resolve(url, "")?
    {
        return Ok(None);
    }
    let mut target = resolve(url, link.target)?;
    target::adopt(url, &mut target)?;
    Ok(Some(target))
}

fn resolve(url: &Url, reference: &str) -> Result<Url, Fault> {
    let mut resolved = url.join(reference).map_err(|_| unreadable("its target is no URL"))?;
    resolved.set_fragment(None);
    Ok(resolved)
}

fn unreadable(why: &str) -> Fault {
    Fault::source("link_header", format!("the Link header cannot be read: {why}"))
}

/// Reads one header: `<target>; name=value; name="quoted \" value", <target>…`. Empty elements are allowed.
fn links(text: &str) -> Result<Vec<Link<'_>>, Fault> {
    let mut links = Vec::new();
    let mut rest = skip_blank(text);
    while !rest.is_empty() {
        if let Some(behind) = rest.strip_prefix(',') {
            rest = skip_blank(behind);
            continue;
        }
        let inner = rest.strip_prefix('<').ok_or_else(|| unreadable("a link without `<`"))?;
        let (target, behind) =
            inner.split_once('>').ok_or_else(|| unreadable("a target without `>`"))?;
        let mut link = Link { target: target.trim(), ..Link::default() };
        rest = skip_blank(behind);
        while let Some(behind) = rest.strip_prefix(';') {
            rest = parameter(skip_blank(behind), &mut link)?;
        }
        if !(rest.is_empty() || rest.starts_with(',')) {
            return Err(unreadable("something else than `;` or `,` behind a link"));
        }
        links.push(link);
    }
    Ok(links)
}

/// Reads one parameter into `link`; gives what follows it.
fn parameter<'a>(text: &'a str, link: &mut Link<'_>) -> Result<&'a str, Fault> {
    let end = text.find(|c: char| "=;, \t".contains(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let rest = skip_blank(rest);
    let (value, rest) = match rest.strip_prefix('=').map(skip_blank) {
        None => (String::new(), rest),
        Some(rest) => {
            let plain = || {
                let end = rest.find(|c: char| ";, \t".contains(c)).unwrap_or(rest.len());
                let (value, rest) = rest.split_at(end);
                Ok((value.to_owned(), rest))
            };
            rest.strip_prefix('"').map_or_else(plain, unquote)?
        }
    };
    if name.eq_ignore_ascii_case("rel") {
        link.rel.get_or_insert(value);
    } else if name.eq_ignore_ascii_case("anchor") {
        link.anchor.get_or_insert(value);
    }
    Ok(skip_blank(rest))
}

/// Reads a quoted text from behind its opening quote; gives what follows it.
fn unquote(text: &str) -> Result<(String, &str), Fault> {
    let mut value = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next() {
            Some('"') => return Ok((value, characters.as_str())),
            Some('\\') => value.extend(characters.next()),
            Some(character) => value.push(character),
            None => return Err(unreadable("a quoted value without its closing quote")),
        }
    }
}

fn skip_blank(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}
