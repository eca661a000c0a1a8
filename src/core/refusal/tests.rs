use bytes::Bytes;
use http::HeaderMap;

use super::*;

fn answer(status: u16, body: &str) -> Response {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Response { status, headers: HeaderMap::new(), body }
}

fn jq(text: &str) -> Expression {
    Expression::parse(text).unwrap()
}

#[test]
fn what_fail_when_finds() {
    let check = |fail_when: &str, body: &str, expected: Option<&str>| {
        let fault = declared(&jq(fail_when), &answer(200, body));
        let sentence = fault.map(|fault| {
            assert_eq!(fault.code, "fail_when");
            fault.sentence
        });
        assert_eq!(sentence.as_deref(), expected, "{fail_when} {body}");
    };
    let holds = Some("the API answered 200, but `fail_when` holds");
    check(".ok == false", r#"{"ok":false}"#, holds);
    check(".ok == false", r#"{"ok":true}"#, None);
    check(".error", r#"{"items":[]}"#, None);
    check(".error", r#"{"error":{"code":7}}"#, holds);
    check(".error", r#"{"error":""}"#, holds);
    let says = Some("the API answered 200, but `fail_when` holds; it says: not  today");
    check(".error", "{\"error\":\" not\\n\\ttoday \"}", says);
    check(". == \"busy\"", "busy", holds);
    check(".error", "[]", Some("`fail_when`: an array has no field \"error\""));
    check("empty", "[]", Some("`fail_when`: it gives no output, and exactly one is needed"));
    let long = format!(r#"{{"error":"{}"}}"#, "x".repeat(1000));
    let fault = declared(&jq(".error"), &answer(200, &long)).unwrap();
    assert!(fault.sentence.ends_with("xxx…") && fault.sentence.len() < 300, "{fault}");
}

#[test]
fn errors_of_graphql() {
    let check = |method: Method, body: &str, expected: &str| {
        let told = match graphql(&method, &answer(200, body)) {
            Ok(None) => String::from("fine"),
            Ok(Some(fault)) => format!("doubtful: {}", fault.sentence),
            Err(fault) => format!("failed: {}", fault.sentence),
        };
        assert_eq!(told, expected, "{method} {body}");
    };
    let failed = "failed: the API answered 200, but with errors and without data; it says: no";
    let doubtful =
        "doubtful: the answer holds errors beside its data; nothing counts as absent; it says: no";
    let (get, post) = (Method::GET, Method::POST);
    check(get.clone(), r#"{"errors":[{"message":"no"}]}"#, failed);
    check(get.clone(), "\u{feff} {\"errors\":[{\"message\":\"no\"},{}],\"data\":null}", failed);
    check(post.clone(), r#"{"errors":[{"message":"no","path":["a"]}],"extensions":{}}"#, failed);
    check(post.clone(), r#"{"errors":[{"message":"no"}],"account":7}"#, failed);
    check(get.clone(), r#"{"errors":[{"message":"no"}],"data":null,"account":7}"#, failed);
    check(get.clone(), r#"{"data":{"a":null},"errors":[{"message":"no"}]}"#, doubtful);
    for fine in [
        r#"{"data":{"a":[]}}"#,
        r#"{"data":{"a":[]},"errors":[]}"#,
        r#"{"data":{"errors":[{"message":"no"}]}}"#,
        // Items of other APIs that happen to have errors.
        r#"{"id":7,"errors":[{"message":"no"}]}"#,
        r#"{"errors":["no"]}"#,
        r#"[{"errors":[{"message":"no"}]}]"#,
        r#"{"errors":[{"message":"no"}]"#,
        "",
    ] {
        check(get.clone(), fine, "fine");
    }
}

#[test]
fn a_bad_status_is_explained() {
    let check = |fail_when: Option<&str>, body: &str, expected: &str| {
        let (fail_when, fault) = (fail_when.map(jq), Fault::source("http_400", "it is bad"));
        let fault = explained(fault, &Method::GET, fail_when.as_ref(), &answer(400, body));
        assert_eq!((fault.code.as_str(), fault.sentence.as_str()), ("http_400", expected));
    };
    check(None, r#"{"error":"why"}"#, "it is bad");
    check(Some(".error"), r#"{"error":"why"}"#, "it is bad; it says: why");
    check(Some(".error"), r#"{"error":{"a":1}}"#, "it is bad");
    check(Some(".error"), "<html>", "it is bad");
    check(None, r#"{"errors":[{"message":"why"}]}"#, "it is bad; it says: why");
}
