use proptest::prelude::*;

use super::*;
use crate::core::json;
use crate::core::limits::{XML_DEPTH_MAX, XML_NAMES_MAX};

fn answer(content_type: &str, body: &[u8]) -> Response {
    let mut headers = HeaderMap::new();
    if !content_type.is_empty() {
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
    }
    Response { status: 200, headers, body: Bytes::copy_from_slice(body) }
}

fn read(content_type: &str, body: &[u8], declared: Option<&Format>) -> Result<String, Fault> {
    let response = answer(content_type, body);
    let document = document(&response, declared)?;
    let text = String::from_utf8_lossy(&document.response.body).into_owned();
    Ok(text)
}

fn table() -> Csv {
    Csv::default()
}

#[track_caller]
fn gives(content_type: &str, body: impl AsRef<[u8]>, declared: Option<&Format>, expected: &str) {
    let body = body.as_ref();
    let shown = String::from_utf8_lossy(body);
    let found =
        read(content_type, body, declared).unwrap_or_else(|fault| panic!("{shown}: {fault}"));
    assert_eq!(found, expected, "{content_type}: {shown}");
    if !expected.is_empty() && expected.is_ascii() {
        json::read(&found).unwrap_or_else(|fault| panic!("{shown}: {fault}"));
    }
}

#[track_caller]
fn fails(content_type: &str, body: impl AsRef<[u8]>, declared: Option<&Format>, expected: &str) {
    let body = body.as_ref();
    let fault = read(content_type, body, declared).expect_err(expected);
    assert_eq!(fault.to_string(), expected, "{content_type}: {}", String::from_utf8_lossy(body));
}

#[test]
fn the_format_is_declared_or_told_or_json() {
    let (json, lines) = ("[{\"id\":1}]", "{\"id\":1}\n");
    for content_type in [
        "",
        "application/json",
        "application/json; charset=utf-8",
        "application/vnd.api+json",
        "application/hal+json",
        "text/json",
        "text/plain",
        "text/javascript",
        "application/octet-stream",
        "nonsense",
    ] {
        gives(content_type, json, None, json);
        let response = answer(content_type, json.as_bytes());
        let document = document(&response, None).unwrap();
        assert!(matches!(document.response, Cow::Borrowed(_)), "{content_type} is copied");
    }
    for content_type in [
        "application/x-ndjson",
        "application/jsonl",
        "application/x-jsonlines; charset=utf-8",
        "APPLICATION/NDJSON",
    ] {
        gives(content_type, lines, None, json);
    }
    gives("application/json", lines, Some(&Format::Ndjson), json);
    gives("text/csv", "id\n1\n", None, "[{\"id\":\"1\"}]");
    gives("text/csv", json, Some(&Format::Json), json);
    gives("text/tab-separated-values", "a\tb\n1,\t2\n", None, "[{\"a\":\"1,\",\"b\":\"2\"}]");
    gives("application/xml", "<a>1</a>", None, "{\"a\":\"1\"}");
    gives("application/vnd.x+xml", "<a>1</a>", None, "{\"a\":\"1\"}");
    gives("application/octet-stream", "<a>1</a>", Some(&Format::Xml), "{\"a\":\"1\"}");
    // A feed is one whatever XML it is served as, unless XML is what was declared.
    let rss = "<rss><channel/></rss>";
    for content_type in ["application/rss+xml", "text/xml", "application/xml; charset=utf-8"] {
        gives(content_type, rss, None, "[]");
        assert!(document(&answer(content_type, rss.as_bytes()), None).unwrap().is_feed);
    }
    gives("text/xml", rss, Some(&Format::Xml), "{\"rss\":{\"channel\":\"\"}}");
}

#[test]
fn only_another_format_than_json_is_another_identity() {
    assert_eq!(Format::identity(None), None);
    assert_eq!(Format::identity(Some(&Format::Json)), None);
    let semicolon = Format::Csv(Csv { delimiter: b';', ..table() });
    let all = [Format::Ndjson, Format::Xml, Format::Feed, Format::Csv(table()), semicolon];
    let known: std::collections::HashSet<_> =
        all.iter().map(|format| Format::identity(Some(format)).unwrap()).collect();
    assert_eq!(known.len(), all.len());
}

#[test]
fn lines_of_json() {
    let ndjson = "application/x-ndjson";
    let good = |body: &str, expected: &str| gives(ndjson, body, None, expected);
    good("{\"id\":1}\n{\"id\":2}\n", "[{\"id\":1},{\"id\":2}]");
    good("{\"id\":1}\r\n\r\n \n{\"id\":2}", "[{\"id\":1},{\"id\":2}]");
    good("\u{feff}{\"id\":1.10}\n", "[{\"id\":1.10}]");
    good("[1,2]\n\"x\"\nnull", "[[1,2],\"x\",null]");
    // Nothing is a listing where the server says what it is, and a failure elsewhere.
    good("", "[]");
    good("\n", "[]");
    let nothing = "the answer is empty, and no JSON lines (not_json)";
    fails("", "", Some(&Format::Ndjson), nothing);
    fails("text/plain", "\n", Some(&Format::Ndjson), nothing);
    let bad = |body: &str, expected: &str| fails(ndjson, body, None, expected);
    bad(
        "{\"id\":1}\n{\"id\":2,\"na",
        "line 2 is no JSON value: not JSON at line 1, column 12: the text ends inside a string; \
         was the answer cut? (not_json)",
    );
    bad(
        "{\"id\":1}\n\n{\"id\":2} {\"id\":3}\n",
        "line 3 is no JSON value: not JSON at line 1, column 10: the value ends before this, but \
         the text goes on (not_json)",
    );
    bad(
        "[\n  {\"id\":1}\n]",
        "line 1 is no JSON value: not JSON at line 1, column 2: the text ends too early, expected \
         a value; is it JSON, and not JSON lines? (not_json)",
    );
    bad(
        "{\"id\":1}\n<html>",
        "line 2 is no JSON value: not JSON at line 1, column 1: expected a value (not_json)",
    );
    fails(
        ndjson,
        b"{\"a\":\"\xff\"}",
        None,
        "the answer is not UTF-8: invalid byte at 6, line 1 (not_utf8)",
    );
}

/// So many elements, each of another name.
fn names(count: usize) -> String {
    (0..count).fold(String::new(), |names, n| names + "<n" + &n.to_string() + "/>")
}

#[test]
fn xml_becomes_objects() {
    let check = |body: &str, expected: &str| gives("application/xml", body, None, expected);
    check("<a/>", r#"{"a":""}"#);
    check("<?xml version=\"1.0\"?>\n<!-- c --><a> x </a>\n<!-- d -->", r#"{"a":"x"}"#);
    check("<a b='1' c=\"&lt;2&#33;\"/>", r#"{"a":{"@b":"1","@c":"<2!"}}"#);
    check("<a b='1'>x</a>", r##"{"a":{"@b":"1","#text":"x"}}"##);
    check("<a><b>1</b><c/><b>2</b></a>", r#"{"a":{"b":["1","2"],"c":""}}"#);
    check("<a><b><c>1</c></b><b><c>2</c></b></a>", r#"{"a":{"b":[{"c":"1"},{"c":"2"}]}}"#);
    check("<a>one<b>2</b>three</a>", r##"{"a":{"b":"2","#text":"onethree"}}"##);
    check("<a>x &amp; &lt;y&gt; &quot;&apos; &#x41;&#66;</a>", r#"{"a":"x & <y> \"' AB"}"#);
    check("<a><![CDATA[<b>&amp;</b>]]></a>", r#"{"a":"<b>&amp;</b>"}"#);
    check("<x:a xmlns:x='u'><x:b/></x:a>", r#"{"x:a":{"@xmlns:x":"u","x:b":""}}"#);
    check("<a><?php echo ?>1</a>", r#"{"a":"1"}"#);
    check("<a>1\r\n2</a>", r#"{"a":"1\n2"}"#);
    // So many names that they are found by an index, and repeated at the far end.
    let children = names(40);
    let found = read("text/xml", format!("<a>{children}{children}</a>").as_bytes(), None).unwrap();
    assert_eq!(found.matches("[\"\",\"\"]").count(), 40, "{found}");
}

#[test]
fn xml_that_is_none_or_too_much() {
    let check = |body: &str, expected: &str| fails("application/xml", body, None, expected);
    check("", "the answer is empty, and no XML: it holds no element (not_xml)");
    check("hello", "the XML holds text outside of any element, at line 1 (not_xml)");
    check("{\"a\":1}", "the XML holds text outside of any element, at line 1 (not_xml)");
    check("<a/><b/>", "the XML holds a second root element, at line 1 (not_xml)");
    check("<a/>x", "the XML holds text outside of any element, at line 1 (not_xml)");
    let cut = "the XML ends before its elements are closed: was the answer cut? (not_xml)";
    check("<a>\n<b>1</b>\n", cut);
    check(
        "<a><b>1</b",
        "the answer is not XML at line 1: something is not closed before its end (not_xml)",
    );
    check(
        "<a>\n<b>\n</a>",
        "the answer is not XML at line 3: opening and closing tags do not match (not_xml)",
    );
    check(
        "</a>",
        "the answer is not XML at line 1: opening and closing tags do not match (not_xml)",
    );
    check(
        "<a b='1' b='2'/>",
        "the XML holds a malformed or repeated attribute, at line 1 (not_xml)",
    );
    check("<a b=1/>", "the XML holds a malformed or repeated attribute, at line 1 (not_xml)");
    let entity = "the XML holds an unknown entity; only the five of XML itself are read, at line 1 (not_xml)";
    check("<a>&nbsp;</a>", entity);
    check("<a>&#xd800;</a>", entity);
    check(
        "<a b='&nbsp;'/>",
        "the XML holds an attribute with an unknown entity, at line 1 (not_xml)",
    );
    let doctype =
        "the XML holds a document type (DOCTYPE), which is refused, at line 1 (xml_doctype)";
    check("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", doctype);
    let laughs = "<!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\">]><l>&b;</l>";
    check(laughs, doctype);
    let deep = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
    let found = read("text/xml", deep(XML_DEPTH_MAX).as_bytes(), None).unwrap();
    json::read(&found).unwrap();
    check(
        &deep(XML_DEPTH_MAX + 1),
        "the XML holds more than 60 levels of elements, at line 1 (too_deep)",
    );
    check(
        &"<a>".repeat(100_000),
        "the XML holds more than 60 levels of elements, at line 1 (too_deep)",
    );
    let names = names(XML_NAMES_MAX + 1);
    check(
        &format!("<a>{names}</a>"),
        "the XML holds an element with more than 10000 different names, at line 1 (xml_too_large)",
    );
}

#[test]
fn charsets_are_read_as_declared_or_refused() {
    let csv = Format::Csv(table());
    let latin = |charset: &str| Csv { charset: Charset::parse(charset), ..table() };
    let cafe = "[{\"name\":\"café\"}]";
    gives("text/csv; charset=iso-8859-1", b"name\ncaf\xe9\n", None, cafe);
    gives("text/csv; charset=\"ISO-8859-1\"", b"name\ncaf\xe9\n", None, cafe);
    gives("text/csv", b"name\ncaf\xe9\n", Some(&Format::Csv(latin("windows-1252"))), cafe);
    gives(
        "text/csv",
        b"\xef\xbb\xbfname\ncaf\xc3\xa9\n",
        Some(&Format::Csv(latin("latin1"))),
        cafe,
    );
    gives("text/csv", b"\xff\xfen\0\n\0\xe9\0\n\0", None, "[{\"n\":\"é\"}]");
    fails(
        "text/csv",
        b"name\ncaf\xe9\n",
        None,
        "the answer is not UTF-8: invalid byte at 8, line 2 (not_utf8)",
    );
    let unknown = "the answer is in a charset that is not known: \"klingon\" (charset)";
    fails("text/csv; charset=klingon", "a\n", Some(&csv), unknown);
    fails(
        "text/csv; charset=shift_jis",
        b"a\n\x81\xff\n",
        None,
        "the answer is not Shift_JIS: invalid byte at 2, line 2 (charset)",
    );
    // XML says it itself, but its type comes first.
    let declared = b"<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe9</a>";
    gives("application/xml", declared, None, "{\"a\":\"é\"}");
    gives("application/xml; charset=iso-8859-5", declared, None, "{\"a\":\"щ\"}");
    gives(
        "application/xml",
        "<?xml version='1.0' encoding='utf-8'?><a>é</a>",
        None,
        "{\"a\":\"é\"}",
    );
    gives(
        "application/xml",
        "<?xml version='1.0' encoding='utf-16'?><a>é</a>",
        None,
        "{\"a\":\"é\"}",
    );
    let utf16: Vec<u8> =
        "<?xml version='1.0'?><a>é</a>".encode_utf16().flat_map(u16::to_be_bytes).collect();
    gives("application/xml", &utf16, None, "{\"a\":\"é\"}");
    fails(
        "application/xml",
        b"<a>\xe9</a>",
        None,
        "the answer is not UTF-8: invalid byte at 3, line 1 (not_utf8)",
    );
    let unknown = "the answer is in a charset that is not known: \"x-no\" (charset)";
    fails("text/xml", b"<?xml version='1.0' encoding='x-no'?><a/>", None, unknown);
    // JSON is UTF-8, whatever it is declared as, unless it cannot be.
    gives("application/json; charset=iso-8859-1", "[\"é\"]", None, "[\"é\"]");
    gives("application/json; charset=iso-8859-1", b"[\"\xe9\"]", None, "[\"é\"]");
    gives("application/json", b"\xff\xfe[\0]\0", None, "[]");
    gives("application/json; charset=utf-16le", b"[\0]\0", None, "[]");
}

#[test]
fn tables_become_objects() {
    let check = |body: &str, expected: &str| gives("text/csv", body, None, expected);
    check("id,name\n1,a\n2,b\n", r#"[{"id":"1","name":"a"},{"id":"2","name":"b"}]"#);
    check("id,name\r\n1,a\r\n2,b", r#"[{"id":"1","name":"a"},{"id":"2","name":"b"}]"#);
    check("\u{feff}id\n1\n", r#"[{"id":"1"}]"#);
    check("id,name\n", "[]");
    check("id,name", "[]");
    check("id,name\n\n1,\n\n", r#"[{"id":"1","name":""}]"#);
    check("id,name\n1,\"a, \"\"b\"\"\nc\"\n", r#"[{"id":"1","name":"a, \"b\"\nc"}]"#);
    check("\"id\",\"na\"\"me\"\r\n\"1\",\"\"\r\n", r#"[{"id":"1","na\"me":""}]"#);
    check("id,name\n1,5\" disk\n", r#"[{"id":"1","name":"5\" disk"}]"#);
    check("id, name ,\n 1 , a ,x\n", r#"[{"id":" 1 ","name":" a ","c3":"x"}]"#);
    let declared = |csv: Csv, body: &str, expected: &str| {
        gives("", body, Some(&Format::Csv(csv)), expected);
    };
    let names = Header::Names(vec![String::from("sku"), String::from("price")]);
    declared(Csv { header: names, ..table() }, "x,1\n", r#"[{"sku":"x","price":"1"}]"#);
    declared(Csv { header: Header::None, ..table() }, "x,1\n", r#"[{"c1":"x","c2":"1"}]"#);
    declared(Csv { header: Header::None, ..table() }, "", "[]");
    declared(Csv { delimiter: b';', ..table() }, "a;b\n1,5;2\n", r#"[{"a":"1,5","b":"2"}]"#);
    declared(Csv { delimiter: b'|', ..table() }, "a|b\n\"1|\"|2\n", r#"[{"a":"1|","b":"2"}]"#);
}

#[test]
fn tables_that_are_none() {
    let check = |body: &str, expected: &str| fails("text/csv", body, None, expected);
    check("", "the answer is empty, and no CSV: no row of names (not_csv)");
    check("\r\n\n", "the answer is empty, and no CSV: no row of names (not_csv)");
    check("id,name\n1,a\n2\n", "the row at line 3 has 1 field instead of 2 (not_csv)");
    check("id,name\n1,\"a\nb\"\n2,b,c\n", "the row at line 4 has 3 fields instead of 2 (not_csv)");
    check(
        "id,name\n1,\"a\n2,b\n",
        "a quote in the row at line 2 is never closed: was the answer cut? (not_csv)",
    );
    check(
        "id,name\n1,\"a\"b\n",
        "in the row at line 2, something follows a closing quote directly (not_csv)",
    );
    check("id,id\n", "the name of column 2 stands twice in the header (not_csv)");
    check("id,c3,\n", "the name of column 3 stands twice in the header (not_csv)");
    check(&format!("{}\n", ",".repeat(20_000)), "line 1 has more than 10000 fields (not_csv)");
    // Long names and many rows of nothing: what comes out is bounded by what came in.
    let names: Vec<_> = (0..1000).map(|n| format!("{n:0>1000}")).collect();
    let rows = format!("{}\n", ",".repeat(999)).repeat(10_000);
    check(
        &format!("{}\n{rows}", names.join(",")),
        "the names of the columns are too long for so many rows (body_too_large)",
    );
}

/// An entry as it is written, from `id title link published updated summary`.
fn entry(members: [&str; 6]) -> String {
    let names = ["id", "title", "link", "published", "updated", "summary"];
    let members: Vec<_> = names
        .iter()
        .zip(members)
        .map(|(name, value)| {
            let value = if value.is_empty() { "null".into() } else { format!("{value:?}") };
            format!("\"{name}\":{value}")
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

/// Checks a feed's entries.
fn lists(body: &str, expected: &[[&str; 6]]) {
    let expected: Vec<_> = expected.iter().map(|members| entry(*members)).collect();
    gives("", body, Some(&Format::Feed), &format!("[{}]", expected.join(",")));
}

#[test]
fn rss_has_entries() {
    let check = lists;
    let rss = |item: &str| {
        format!(
            "<?xml version=\"1.0\"?><rss version=\"2.0\"><channel><title>T</title><link>l</link>{item}</channel></rss>"
        )
    };
    check(
        &rss(
            "<item><title>A &amp; B</title><link>https://x.example/1</link><guid isPermaLink=\"false\">g1</guid>\
              <pubDate>Wed, 02 Oct 2002 13:00:00 GMT</pubDate><description><![CDATA[<p>hi</p>]]></description>\
              <media:title>no</media:title><itunes:summary>no</itunes:summary></item>\
              <item><guid>https://x.example/2</guid><pubDate>Wed, 02 Oct 2002 15:00:00 +0200</pubDate>\
              <content:encoded>all</content:encoded></item>",
        ),
        &[
            ["g1", "A & B", "https://x.example/1", "2002-10-02T13:00:00Z", "", "<p>hi</p>"],
            ["https://x.example/2", "", "https://x.example/2", "2002-10-02T13:00:00Z", "", "all"],
        ],
    );
    // Without a guid the link identifies, without both what does not change.
    check(
        &rss("<item><title>A</title><link>https://x.example/1</link></item>"),
        &[["https://x.example/1", "A", "https://x.example/1", "", "", ""]],
    );
    check(
        &rss("<item><title>A</title><pubDate>yesterday</pubDate></item>"),
        &[["a2facbbcdfffb11c3d7a1e1c2105cab5", "A", "", "", "", ""]],
    );
    check(&rss("<item><description>x</description></item>"), &[["", "", "", "", "", "x"]]);
    check(&rss(""), &[]);
    check(
        "<rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\" xmlns=\"http://purl.org/rss/1.0/\">\
         <channel rdf:about=\"c\"><title>T</title></channel>\
         <item rdf:about=\"https://x.example/1\"><title>A</title><link>https://x.example/1?r</link>\
         <dc:date>2024-05-01T10:00:00+02:00</dc:date><description>d</description></item></rdf:RDF>",
        &[["https://x.example/1", "A", "https://x.example/1?r", "2024-05-01T08:00:00Z", "", "d"]],
    );
}

#[test]
fn atom_and_json_feeds_have_the_same_entries() {
    let check = lists;
    check(
        "<feed xmlns=\"http://www.w3.org/2005/Atom\"><id>f</id><title>T</title><updated>2024-01-01T00:00:00Z</updated>\
         <entry><id>urn:1</id><title type=\"html\">A &lt;b&gt;</title>\
         <link rel=\"self\" href=\"s\"/><link href=\"https://x.example/1\"/><link rel=\"alternate\" href=\"no\"/>\
         <published>2024-05-01T10:00:00.5+02:00</published><updated>2024-05-02</updated>\
         <author><name>N</name><id>no</id></author><source><title>no</title></source>\
         <content type=\"xhtml\"><div>one <b>two</b> three</div></content></entry></feed>",
        &[[
            "urn:1",
            "A <b>",
            "https://x.example/1",
            "2024-05-01T08:00:00.5Z",
            "2024-05-02T00:00:00Z",
            "one two three",
        ]],
    );
    check(
        "<a:feed xmlns:a=\"http://www.w3.org/2005/Atom\"><a:entry><a:id>1</a:id><a:summary>s</a:summary></a:entry></a:feed>",
        &[["1", "", "", "", "", "s"]],
    );
    check(
        r#"{"version":"https://jsonfeed.org/version/1.1","title":"T","items":[
            {"id":7,"url":"https://x.example/7","title":"A","date_published":"2024-05-01T10:00:00Z",
             "date_modified":"2024-05-01 11:00:00","content_html":"<p>x"},
            {"external_url":"https://y.example/"}]}"#,
        &[
            [
                "7",
                "A",
                "https://x.example/7",
                "2024-05-01T10:00:00Z",
                "2024-05-01T11:00:00Z",
                "<p>x",
            ],
            ["https://y.example/", "", "https://y.example/", "", "", ""],
        ],
    );
}

#[test]
fn what_is_no_feed() {
    let check = |body: &str, expected: &str| fails("", body, Some(&Format::Feed), expected);
    check(
        "<html><body/></html>",
        "the answer is no feed: its root element is none of <rss>, <rdf:RDF> of RSS 1.0 and <feed> of Atom (not_feed)",
    );
    check(
        "{\"error\":1}",
        "the answer is no feed: it is JSON without a list of `items` (not_feed)",
    );
    check(
        "{\"items\":[1",
        "not JSON at line 1, column 12: the text ends too early, expected a comma or a closing bracket (not_json)",
    );
    check("[]", "the XML holds text outside of any element, at line 1 (not_xml)");
    check("", "the answer is empty, and no XML: it holds no element (not_xml)");
    check(
        "<rss><channel><item><title>x</title>",
        "the XML ends before its elements are closed: was the answer cut? (not_xml)",
    );
}

#[test]
fn dates_of_feeds() {
    let check = |text: &str, expected: &str| {
        let body = format!("<rss><item><guid>1</guid><pubDate>{text}</pubDate></item></rss>");
        gives(
            "",
            body,
            Some(&Format::Feed),
            &format!("[{}]", entry(["1", "", "", expected, "", ""])),
        );
    };
    check("Sat, 07 Sep 2002 00:00:01 GMT", "2002-09-07T00:00:01Z");
    check("Sat, 07 Sep 2002 00:00:01 EST", "2002-09-07T05:00:01Z");
    check("7 Sep 2002 09:42 +0000", "2002-09-07T09:42:00Z");
    // The wrong day of the week.
    check("Mon, 07 Sep 2002 00:00:01 GMT", "2002-09-07T00:00:01Z");
    check("2002-09-07T02:00:01+02:00", "2002-09-07T00:00:01Z");
    check("2002-09-07T02:00:01", "2002-09-07T02:00:01Z");
    check("2002-09-07", "2002-09-07T00:00:00Z");
    for unreadable in ["", "yesterday", "07/09/2002", "2002-13-07", "99999999999999999999"] {
        check(unreadable, "");
    }
}

proptest! {
    #[test]
    fn nothing_breaks_a_reader(body in proptest::collection::vec(any::<u8>(), 0..200), at in 0_usize..6) {
        let formats = [Format::Json, Format::Ndjson, Format::Xml, Format::Feed, Format::Csv(table())];
        let declared = formats.get(at);
        if let (Ok(text), Some(format)) = (read("text/xml", &body, declared), declared)
            && *format != Format::Json
        {
            json::read(&text).unwrap();
        }
    }

    #[test]
    fn any_markup_is_json_or_a_fault(body in "(<(/)?[ab]( x='1')?(/)?>|t|&amp;|<!\\[CDATA\\[|\\]\\]>|<!--|-->|&#1;|\"){0,30}") {
        if let Ok(text) = read("text/xml", body.as_bytes(), Some(&Format::Xml)) {
            json::read(&text).unwrap();
        }
    }

    #[test]
    fn a_table_is_read_as_it_was_written(
        rows in proptest::collection::vec(proptest::collection::vec("[a\",;\r\n é]{0,6}", 3), 1..6),
    ) {
        let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
        let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(",");
        let body = format!("a,b,c\r\n{}", rows.iter().map(line).collect::<Vec<_>>().join("\r\n"));
        let text = read("text/csv", body.as_bytes(), None).unwrap();
        let names = ["a", "b", "c"];
        let objects = rows.iter().map(|row| {
            json::object(names.into_iter().zip(row.iter().map(|field| json::text(field))).collect())
        });
        let expected = json::compact(&json::array(objects.collect())).unwrap();
        prop_assert_eq!(text.as_str(), expected.as_str());
    }
}
