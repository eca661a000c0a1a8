use std::ops::Deref;

use url::Url;

use super::*;
use crate::core::json::read;
use crate::core::secret::Secret;

/// `since`, `key`, `item` and `page` of the tests.
const VALUES: [&str; 4] = [
    r#""2026-11-21T03:00:00Z""#,
    r#""a/B c""#,
    r#"{"id":12345678901234567890,"tags":["x","y z"],"price":1.50,"ok":false,"none":null,"q":"a\"b","up":"..","url":"https://h.example/p?x=1#part"}"#,
    r#"{"cursor":"c=1&2"}"#,
];

fn with_words<T>(check: impl Fn(&Words) -> T) -> T {
    let values = VALUES.map(|text| read(text).unwrap());
    let [since, key, item, page] = &values;
    let context =
        Context { since: Some(since), key: Some(key), item: Some(item), page: Some(page) };
    check(&Words::new(&context, &Auth::Bearer(Secret::new("t0ken"))))
}

fn template(text: &str) -> Template {
    Template::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem:?}"))
}

#[track_caller]
fn problem(text: &str, at: &str, sentence: &str, hint: &str) {
    let problem = Template::parse(text).expect_err(text);
    assert_eq!(text.get(problem.at.clone()).unwrap(), at, "{text}: {problem:?}");
    assert_eq!(
        (problem.sentence.as_str(), problem.hint.as_deref().unwrap_or("")),
        (sentence, hint)
    );
}

#[test]
fn a_text_is_split_at_its_templates() {
    let check = |text: &str, expected: &[(&str, bool)]| {
        let spans = split(text).unwrap();
        let found: Vec<_> = spans
            .iter()
            .map(|span| match span {
                Span::Text(at) => (text.get(at.clone()).unwrap(), false),
                Span::Jq(at) => (text.get(at.clone()).unwrap(), true),
            })
            .collect();
        assert_eq!(found, expected, "{text}");
    };
    check("", &[]);
    check("plain } }} { text", &[("plain } }} { text", false)]);
    check("{{page}}", &[("page", true)]);
    check("a{{ key }}b{{item}}", &[("a", false), (" key ", true), ("b", false), ("item", true)]);
    check("{{{a: {b: 1}}}}", &[("{a: {b: 1}}", true)]);
    check(r#"{{"}}"}}}}"#, &[(r#""}}""#, true), ("}}", false)]);
    check(
        r#"{{"\"}}\(item | {a: "}}"})"}}x"#,
        &[(r#""\"}}\(item | {a: "}}"})""#, true), ("x", false)],
    );
    check("{{(key)}}", &[("(key)", true)]);
    check("ä{{key}}ö", &[("ä", false), ("key", true), ("ö", false)]);
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let hand = "at hand are `since`, `key`, `item`, `page`, `auth`";
    problem(
        "a {{ key",
        "{{",
        "this `{{` is never closed by a `}}`",
        "if the braces themselves are meant: `{{\"{{\"}}`",
    );
    problem(
        "a {{ \"x }}",
        "{{",
        "this `{{` is never closed by a `}}`",
        "if the braces themselves are meant: `{{\"{{\"}}`",
    );
    problem("x{{ }}", " ", "the expression is empty", "`.` is the whole value");
    problem("x {{ id }}", "id", "there is no filter `id` with no arguments", hand);
    problem("x {{ key | nope }}y", "nope", "there is no filter `nope` with no arguments", hand);
    problem(
        "{{key}} {{ env.HOME }}",
        "env",
        "`env` is not available: an expression sees its input and nothing else",
        "write `${NAME}` where the value is needed",
    );
    problem(
        "{{ .page }}",
        ".page",
        "a template has no input that `.` could be",
        "did you mean `page`?",
    );
    problem(
        "{{.id}}",
        ".id",
        "a template has no input that `.` could be",
        &format!("did you mean `item.id`? {hand}"),
    );
    problem("{{ . }}", ".", "a template has no input that `.` could be", hand);
    problem("{{ (item }}", "(", "this `(` is never closed", "");
}

#[test]
fn the_words_belong_to_templates_alone() {
    for word in WORDS {
        assert!(Expression::parse(word).is_err(), "{word}");
        assert!(Expression::parse(&format!(".a | {word}")).is_err(), "{word}");
        let template = template(&format!("x{{{{[1] | map({word})}}}}"));
        assert!(WORDS.iter().all(|other| template.uses(other) == (other == word)));
    }
}

#[test]
fn a_template_alone_keeps_its_value() {
    let check = |text: &str, expected: &str| {
        let value = with_words(|words| template(text).value(words, Spot::Body));
        let shown = value.map_or_else(
            |fault| fault.sentence,
            |value| compact(&value).unwrap().as_str().to_owned(),
        );
        assert_eq!(shown, expected, "{text}");
    };
    check("{{page}}", r#"{"cursor":"c=1&2"}"#);
    check("{{item.id}}", "12345678901234567890");
    check("{{ item.price }}", "1.50");
    check("{{key | ascii_downcase}}", r#""a/b c""#);
    check("{{since}}", r#""2026-11-21T03:00:00Z""#);
    check("{{ [item.tags[] | {tag: ., of: key}] | length }}", "2");
    check(
        "{{ item | .id, .ok }}",
        "`{{item | .id, .ok}}` in `body` fails: it gives more than one output, and exactly one is needed",
    );
    check("{{ if page then page.cursor else null end }}", r#""c=1&2""#);
    check("{{ {a: {b: page.cursor}}}}", r#"{"a":{"b":"c=1&2"}}"#);
    check("{{auth}}", r#"{"bearer":"t0ken"}"#);
    check("{{item.none}}", "null");
    check("{{item.tags | map({key: 1})}}", r#"[{"key":1},{"key":1}]"#);
    check("{{\"{{\"}}", r#""{{""#);
    check("id {{item.id}}, {{item.price}} {{item.ok}}", r#""id 12345678901234567890, 1.50 false""#);
    check("{{page.cursor}} ", r#""c=1&2 ""#);
    check("a{{item.none}}", "`{{item.none}}` in `body` is null, and only text fits there");
    check("a{{ item.tags }}", "`{{item.tags}}` in `body` is an array, and only text fits there");
    check("a{{item}}", "`{{item}}` in `body` is an object, and only text fits there");
    check("{{error(\"s3cret\")}}", "`{{ … }}` in `body` fails: it says: s3cret");
    check("{{item.id | .a}}", "`{{item.id | .a}}` in `body` fails: a value has no part \"a\"");
}

#[test]
fn what_is_not_set_is_null() {
    let words = Words::new(&Context::default(), &Auth::None);
    for word in WORDS {
        let value = template(&format!("{{{{{word}}}}}")).value(&words, Spot::Body);
        assert_eq!(value, Ok(null()), "{word}");
    }
}

#[test]
fn auth_is_at_hand_as_it_is_declared() {
    let check = |auth: Auth, text: &str, expected: &str| {
        let words = Words::new(&Context::default(), &auth);
        let value = template(text).value(&words, Spot::Body).unwrap();
        assert_eq!(as_text(&value), Some(expected), "{text}");
    };
    let basic = Auth::Basic { user: "u".into(), password: Secret::new("p") };
    check(basic, "{{auth.basic.user}}:{{auth.basic.password}}", "u:p");
    let header = vec![(HeaderName::from_static("x-key"), Secret::new("k"))];
    check(Auth::Header(header), "{{auth.header[\"x-key\"]}}", "k");
    check(Auth::Query(vec![("api_key".into(), Secret::new("q"))]), "{{auth.query.api_key}}", "q");
}

/// The words of the tests, as requests make them.
struct Made(Words);

impl Deref for Made {
    type Target = Words;

    fn deref(&self) -> &Words {
        &self.0
    }
}

fn url(address: &Address) -> String {
    with_words(|words| {
        let made = Made(Words(words.0.clone()));
        address.url(&made).map_or_else(|fault| fault.sentence, |url| url.as_str().to_owned())
    })
}

/// What is kept of a URL is its text: taken apart again, it says the same.
#[test]
fn a_url_without_templates_is_kept_whole() {
    let check = |text: &str, origin: Option<&str>, halves: (&str, &str)| {
        let address = Address::fixed(Url::parse(text).unwrap(), Vec::new());
        assert_eq!(url(&address), Url::parse(text).unwrap().as_str(), "{text}");
        assert_eq!(address.origin().as_deref(), origin, "{text}");
        assert_eq!(address.halves(), (halves.0.to_owned(), halves.1.to_owned()), "{text}");
    };
    check("http://a.example", Some("http://a.example"), ("http://a.example/", ""));
    check("HTTPS://A.example:443/p", Some("https://a.example"), ("https://a.example/p", ""));
    check(
        "http://a.example:81?x=a/b?c",
        Some("http://a.example:81"),
        ("http://a.example:81/", "x=a/b?c"),
    );
    check("https://[::1]:8443/p?", Some("https://[::1]:8443"), ("https://[::1]:8443/p", ""));
    check("https://a.example/@b?c=@", Some("https://a.example"), ("https://a.example/@b", "c=@"));
    check("https://u:p@a.example/", Some("https://a.example"), ("https://u:p@a.example/", ""));
    check("file:///var/parcels.json", None, ("file:///var/parcels.json", ""));
}

#[test]
fn values_in_urls_are_percent_encoded() {
    let check = |text: &str, expected: &str| {
        let address = Address::of_template(template(text), Vec::new()).unwrap();
        assert_eq!(url(&address), expected, "{text}");
    };
    check("https://a.example/p/{{key}}", "https://a.example/p/a%2FB%20c");
    check(
        "https://a.example/p/{{item.id}}.json?c={{page.cursor}}&a=ä",
        "https://a.example/p/12345678901234567890.json?c=c%3D1%262&a=%C3%A4",
    );
    check(
        "https://a.example/?since={{since}}",
        "https://a.example/?since=2026-11-21T03%3A00%3A00Z",
    );
    check(
        "https://a.example/{{item.none}}",
        "`{{item.none}}` in `url` is null, and only text fits there",
    );
    check(
        "https://a.example/{{item.up}}/x",
        "a template makes a segment of the URL's path `.` or `..`, which would lead elsewhere",
    );
    check(
        "https://a.example/.{{\".\"}}/x",
        "a template makes a segment of the URL's path `.` or `..`, which would lead elsewhere",
    );
    check("https://a.example/v{{item.up}}", "https://a.example/v..");
    check("{{item.url}}", "https://h.example/p?x=1");
    check("{{key}}", "what `url` is rendered to is no URL to ask: relative URL without a base");
    check(
        "{{\"ftp://a.example/\"}}",
        "what `url` is rendered to is no URL to ask: it does not begin with `https://` or `http://`",
    );
    check(
        "{{\"http://u:p@a.example/\"}}",
        "what `url` is rendered to is no URL to ask: it holds a user or password",
    );
    check("{{page.none}}", "`{{page.none}}` in `url` is null, and only text fits there");
    check("http://a.example/{{\"x\" * 40000}}", "`url` is rendered to more than 32768 bytes");
}

#[test]
fn the_origin_of_a_url_is_fixed() {
    for text in [
        "https://{{key}}.example/",
        "{{key}}://a.example/",
        "https://a.example:{{key}}/",
        "https://a.example{{key}}",
        "{{key}}{{page}}",
    ] {
        let sentence = Address::of_template(template(text), Vec::new()).unwrap_err();
        assert!(sentence.starts_with("scheme, host and port"), "{text}: {sentence}");
    }
    let dots = Address::of_template(template("https://a.example/../{{key}}"), Vec::new());
    assert_eq!(dots.unwrap_err(), "a path with templates cannot hold the segments `.` and `..`");
}

#[test]
fn parameters_are_added_in_order() {
    let fixed = |name: &str, value: &str| Parameter::Fixed(name.into(), value.into());
    let rendered = |name: &str, text: &str| Parameter::Rendered(name.into(), template(text));
    let base = Url::parse("https://a.example/?z=0").unwrap();
    let check = |query: Vec<Parameter>, expected: &str| {
        assert_eq!(
            url(&Address::fixed(base.clone(), query)),
            format!("https://a.example/?{expected}")
        );
    };
    check(vec![], "z=0");
    check(vec![fixed("q", "a b&c")], "z=0&q=a+b%26c");
    check(
        vec![fixed("q", "a b"), rendered("s", "{{since}}"), fixed("n", "1")],
        "z=0&q=a+b&s=2026-11-21T03%3A00%3A00Z&n=1",
    );
    check(
        vec![rendered("none", "{{item.none}}"), rendered("t[]", "{{item.tags}}")],
        "z=0&t%5B%5D=x&t%5B%5D=y%20z",
    );
    check(vec![rendered("q", "id:{{item.id}}")], "z=0&q=id%3A12345678901234567890");
    let plain = Url::parse("https://a.example/").unwrap();
    let none = vec![rendered("none", "{{item.none}}")];
    assert_eq!(url(&Address::fixed(plain.clone(), none)), "https://a.example/");
    let object = Address::fixed(plain, vec![rendered("o", "{{item}}")]);
    assert_eq!(
        url(&object),
        "`{{item}}` in the parameter `o` is an object, and only text fits there"
    );
}

#[test]
fn addresses_are_shown_without_what_may_be_secret() {
    let check = |text: &str, query: Vec<Parameter>, expected: &str| {
        let address = Address::of_template(template(text), query).unwrap();
        assert_eq!(address.shown(), expected);
        assert_eq!(format!("{address:?}"), expected);
    };
    let query = || vec![Parameter::Fixed("key".into(), "s3cret".into())];
    check("https://a.example/{{key}}", query(), "https://a.example/{{key}}?key=…");
    check(
        "https://a.example/{{ \"s3cret\" }}?k=s3cret",
        query(),
        "https://a.example/{{ … }}?…&key=…",
    );
    check("{{item.url}}", vec![], "{{item.url}}");
}

#[test]
fn headers_are_rendered_or_left_out() {
    let check = |text: &str, expected: Result<Option<&str>, &str>| {
        let templates = [(HeaderName::from_static("x-a"), template(text))];
        let mut headers = HeaderMap::new();
        let added = with_words(|words| add_headers(&templates, words, &mut headers.clone()));
        if added.is_ok() {
            with_words(|words| Some(words.0.clone()))
                .map(Words)
                .map(|words| add_headers(&templates, &words, &mut headers));
        }
        let value = headers.get("x-a");
        assert!(value.is_none_or(HeaderValue::is_sensitive));
        let found = added.map(|()| value.map(|value| value.to_str().unwrap()));
        assert_eq!(
            found.as_ref().map_err(|fault| fault.sentence.as_str()),
            expected.as_ref().map_err(|text| *text),
            "{text}"
        );
    };
    check("{{item.id}}", Ok(Some("12345678901234567890")));
    check("Token {{auth.bearer}}", Ok(Some("Token t0ken")));
    check("{{item.none}}", Ok(None));
    check(
        "x{{item.none}}",
        Err("`{{item.none}}` in the header `x-a` is null, and only text fits there"),
    );
    check(
        "{{item.tags}}",
        Err("`{{item.tags}}` in the header `x-a` is an array, and only text fits there"),
    );
    check(
        "a{{\"\\n\"}}b",
        Err("the header `x-a` would hold a line break or another control character"),
    );
}

#[test]
fn bodies_are_rendered() {
    let fixed = |json: &str| Node::Fixed(json.into());
    let jq = |text: &str| Node::Template(template(text));
    let check = |body: Body, expected: &str, kind: Option<&str>| {
        let mut headers = HeaderMap::new();
        let words = with_words(|words| words.0.clone());
        let sent = body.bytes(&Made(Words(words)), &mut headers);
        let sent = sent
            .map_or_else(|fault| fault.sentence, |sent| String::from_utf8(sent.to_vec()).unwrap());
        assert_eq!(sent, expected, "{body:?}");
        assert_eq!(headers.get("content-type").map(|value| value.to_str().unwrap()), kind);
    };
    check(Body::default(), "", None);
    check(Body::Text(template("{{page.cursor}}")), "c=1&2", None);
    check(Body::Text(template("a={{item.id}}")), "a=12345678901234567890", None);
    check(Body::Text(template("{{item.none}}")), "", None);
    check(Body::Text(template("{{page}}")), r#"{"cursor":"c=1&2"}"#, Some("application/json"));
    check(
        Body::Text(template("x{{page}}")),
        "`{{page}}` in `body` is an object, and only text fits there",
        None,
    );
    let tree = Node::Map(vec![
        ("z".into(), fixed("1.50")),
        ("gone".into(), jq("{{item.none}}")),
        ("a".into(), Node::List(vec![jq("{{item.none}}"), jq("{{item.price}}"), fixed("null")])),
        ("q".into(), jq("<{{item.q}}>")),
        (
            "in".into(),
            Node::Map(vec![("gone".into(), jq("{{page.none}}")), ("id".into(), jq("{{item.id}}"))]),
        ),
    ]);
    check(
        Body::Json(tree),
        r#"{"z":1.50,"a":[null,1.50,null],"q":"<a\"b>","in":{"id":12345678901234567890}}"#,
        None,
    );
    check(Body::Json(Node::Map(vec![("x".into(), jq("{{page.none}}"))])), "{}", None);
    check(
        Body::Json(jq("{{infinite}}")),
        "a template in `body` gives no JSON: the result holds a number that is not finite, which JSON cannot express",
        None,
    );
}

#[test]
fn nothing_in_debug_is_secret() {
    let template = template("s3cret {{\"s3cret\" + auth.bearer}}");
    assert_eq!(format!("{template:?}"), "Template([Formula([\"auth\"])])");
    assert!(template.uses("auth") && !template.uses("page"));
    assert_eq!(format!("{:?}", Body::Text(template)), "Body(a template)");
}
