use super::*;
use crate::core::json::{canonical, compact, read};

fn parse(text: &str) -> Expression {
    Expression::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem:?}"))
}

/// All outputs, as JSON texts; or the fault.
fn outputs(expression: &str, input: &str) -> Result<Vec<String>, String> {
    let outputs = parse(expression).each(&read(input).unwrap()).map_err(|fault| fault.sentence)?;
    outputs
        .iter()
        .map(|output| {
            compact(output).map(|text| text.as_str().to_owned()).map_err(|fault| fault.sentence)
        })
        .collect()
}

#[track_caller]
fn gives(expression: &str, input: &str, expected: &[&str]) {
    assert_eq!(
        outputs(expression, input).as_deref(),
        Ok(&expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
        "{expression}"
    );
}

#[track_caller]
fn fails(expression: &str, input: &str, expected: &str) {
    assert_eq!(outputs(expression, input), Err(expected.to_owned()), "{expression}");
}

#[test]
fn ordinary_programs_run() {
    let input =
        r#"{"a":{"b":[1,2.50,{"c":"x"}]},"n":null,"x y":7,"big":123456789012345678901234567890}"#;
    for (expression, expected) in [
        (".a.b[0] + 1", &["2"][..]),
        (".a | .b[1]", &["2.50"]),
        (".big, .n?", &["123456789012345678901234567890", "null"]),
        ("[.a.b[] | numbers]", &["[1,2.50]"]),
        ("{id: .\"x y\", n}", &[r#"{"id":7,"n":null}"#]),
        ("{(\"a\", \"b\"): 1}", &[r#"{"a":1}"#, r#"{"b":1}"#]),
        (".a.b | map(select(type == \"object\")) | length", &["1"]),
        ("if .n then 1 elif .n == null then 2 else 3 end", &["2"]),
        ("[range(3)] | add", &["3"]),
        ("[range(0; 10; 3)]", &["[0,3,6,9]"]),
        ("reduce .a.b[:2][] as $x (0; . + $x)", &["3.5"]),
        ("[foreach range(4) as $i (0; . + $i; [$i, .])] | length", &["4"]),
        (".a.b[2].c |= \"<\\(.)>\" | .a.b[2].c", &["\"<x>\""]),
        (".[\"x y\"] += 1 | .[\"x y\"]", &["8"]),
        (".[\"x y\"] *= 2 | .[\"x y\"]", &["14"]),
        (".\"x y\" -= 2 | .\"x y\"", &["5"]),
        (".n //= 3 | .n", &["3"]),
        (".a.b[] |= 1 | .a.b", &["[1,1,1]"]),
        ("(.a.b[] | numbers) |= . + 1 | .a.b[:2]", &["[2,3.5]"]),
        ("del(.a, .n) | keys", &[r#"["big","x y"]"#]),
        ("del(.a.b[0]) | .a.b[0]", &["2.50"]),
        ("to_entries | map(.key) | sort | join(\"-\")", &["\"a-big-n-x y\""]),
        ("with_entries(select(.key == \"n\"))", &[r#"{"n":null}"#]),
        ("[paths] | length", &["9"]),
        ("[path(.a.b[0])]", &[r#"[["a","b",0]]"#]),
        ("[..] | length", &["10"]),
        ("[recurse] | length", &["10"]),
        ("[.. | strings]", &[r#"["x"]"#]),
        ("getpath([\"a\",\"b\",0])", &["1"]),
        ("pick(.n, .a.b) | keys", &[r#"["a","n"]"#]),
        ("[limit(2; .a.b[])] | length", &["2"]),
        ("first(.a.b[])", &["1"]),
        ("\"aXbX\" | gsub(\"X\"; \"-\"), test(\"x\"; \"i\")", &["\"a-b-\"", "true"]),
        ("\"2026-11-21T03:00:00Z\" | fromdate", &["1795230000"]),
        ("\"a,b\" | split(\",\")", &[r#"["a","b"]"#]),
        ("[[1,[2]],[[[3]]]] | flatten, flatten(1)", &["[1,2,3]", "[1,[2],[[3]]]"]),
        ("[\"a\",1,null,true] | join(\"/\")", &["\"a/1//true\""]),
        ("\"ab\" * 3", &["\"ababab\""]),
        ("{a:{b:1}} * {a:{c:2}}", &[r#"{"a":{"b":1,"c":2}}"#]),
        ("[[1,2],[3]] | transpose", &["[[1,3],[2,null]]"]),
        ("[[[1,2],[3,4]] | combinations] | length", &["4"]),
        ("[[0,1] | combinations(2)] | length", &["4"]),
        ("\"[1, 2.0]\" | fromjson", &["[1,2.0]"]),
        ("\"12\" | tonumber", &["12"]),
        (".a.b | any(. == 1), all(. == 1), IN([1])", &["true", "false", "false"]),
        ("2 | IN(1, 2), IN(3)", &["true", "false"]),
        ("[{\"k\":\"a\"},{\"k\":\"b\"}] | INDEX(.k) | keys", &[r#"["a","b"]"#]),
        (
            "[3,1,2] | sort, min, max, unique, (group_by(. > 1) | length)",
            &["[1,2,3]", "1", "3", "[1,2,3]", "2"],
        ),
        ("try error(\"no\") catch .", &["\"no\""]),
        (".a.b[2].c.d? // \"gone\"", &["\"gone\""]),
        ("label $out | 1, break $out, 2", &["1"]),
        ("@base64 \"\\(.n)\", @uri \"\\(\"a b\")\"", &["\"bnVsbA==\"", "\"a%20b\""]),
        (". as {a: {b: [$first]}} | $first", &["1"]),
        (". as {$n, \"x y\": $m} | [$n, $m]", &["[null,7]"]),
        ("6 / 2, 7 % 4, -(1)", &["3", "3", "-1"]),
        ("empty", &[]),
        ("tojson | length > 10", &["true"]),
    ] {
        gives(expression, input, expected);
    }
}

#[test]
fn paths_are_walked_natively_as_jq_would() {
    let input = r#"{"a":{"b":[1,{"c":2}]},"x y":3,"n":null,"s":"t"}"#;
    for (expression, expected) in [
        (".", &[r#"{"a":{"b":[1,{"c":2}]},"x y":3,"n":null,"s":"t"}"#][..]),
        (".a.b[0]", &["1"]),
        (".a | .b | .[1].c", &["2"]),
        (".a.b[-1].c", &["2"]),
        (".a.b[9]", &["null"]),
        (".a.b[-9]", &["null"]),
        (".\"x y\"", &["3"]),
        (".[\"x y\"]", &["3"]),
        (".[\"x\\u0020y\"]", &["3"]),
        (".a[\"b\"][1].c", &["2"]),
        (".missing.deeper[3]", &["null"]),
        (".n.a", &["null"]),
        (".a.b[]", &["1", "{\"c\":2}"]),
        (".a[][1].c", &["2"]),
        ("  .s # the comment", &["\"t\""]),
    ] {
        assert!(parse(expression).is_path(), "{expression}");
        gives(expression, input, expected);
    }
    for (expression, expected) in [
        (".s.a", "a string has no field \"a\""),
        (".a[0]", "an object has no element [0]"),
        (".a.b.c", "an array has no field \"c\""),
        (".n[]", "null has no elements"),
        (".s[]", "a string has no elements"),
    ] {
        assert!(parse(expression).is_path(), "{expression}");
        fails(expression, input, expected);
    }
    for expression in
        [".a?", ".a[1:]", ".a, .b", "..", ".[\"a\\(1)\"]", ".a + 1", "first(.a)", ".[.a]", "$x.a"]
    {
        let is_path = Expression::parse(expression).is_ok_and(|expression| expression.is_path());
        assert!(!is_path, "{expression}");
    }
}

#[test]
fn refusals_and_mistakes_have_their_place() {
    let check = |text: &str, at: &str, sentence: &str| {
        let problem = Expression::parse(text).expect_err(text);
        let found = text.get(problem.at.clone()).unwrap_or("outside the text");
        assert_eq!((found, problem.sentence.as_str()), (at, sentence), "{text}");
    };
    let outside = "an expression sees its input and nothing else";
    let endless = "an expression must not be able to run for ever";
    for name in ["env", "input", "inputs", "$ENV", "$__loc__", "input_line_number"] {
        check(&format!(".a | {name}"), name, &format!("`{name}` is not available: {outside}"));
    }
    for call in
        ["repeat(1)", "while(true; .)", "until(false; .)", "recurse(.a)", "recurse(.a; . < 3)"]
    {
        let name = call.split('(').next().unwrap();
        check(&format!("[{call}]"), name, &format!("`{name}` is not available: {endless}"));
    }
    for name in ["now", "localtime", "mktime", "gmtime", "strftime(\"%Y\")", "strptime(\"%Y\")"] {
        let problem = Expression::parse(&format!("{{a: {name}}}")).expect_err(name);
        assert!(problem.sentence.contains("the clock"), "{problem:?}");
    }
    for name in ["halt", "halt_error", "halt(1)", "debug", "debug(.)", "stderr"] {
        Expression::parse(&format!("try {name}")).expect_err(name);
    }
    check("\"\\(env)\"", "env", &format!("`env` is not available: {outside}"));
    check("def f: f; f", "def f", &format!("`def` is not available: {endless}"));
    check("1 + (def g($x): 1; g(2))", "def g", &format!("`def` is not available: {endless}"));
    check("import \"a\" as a; .", "import", &format!("`import` is not available: {outside}"));
    check("include \"a\"; .", "include", &format!("`include` is not available: {outside}"));
    check(
        "doorbell__main",
        "doorbell__main",
        "`doorbell__main` is not available: an expression cannot call itself",
    );
    check(".a | fooo", "fooo", "there is no filter `fooo` with no arguments");
    check("select(.a; 1)", "select", "there is no filter `select` with 2 arguments");
    check("[.[] | $nope]", "$nope", "there is no variable `$nope`");
    check("break $out", "$out", "there is no label `$out`");
    check("a::b", "a", "there is no module `a`");
    check("reduce . as $x (1)", "reduce", "there is no filter `reduce` with 1 argument");
    check("(.a", "(", "this `(` is never closed");
    check("(.a]", "]", "expected a closing parenthesis, found `]`");
    check("(.a & 1)", "&", "found `&`, which jq does not know, after `(`");
    check(".a & 1", "&", "found `&`, which jq does not know here");
    check("\"abc", "\"", "this `\"` is never closed");
    check("\"\\x\"", "x", "expected a string escape sequence, found `x`");
    check(".a +", "", "expected a term, the expression ends");
    check(".a .b 1", "1", "expected an operator, found `1`");
    check("if . then 1", "", "expected a else or end, the expression ends");
    check("🔔", "🔔", "found `🔔`, which jq does not know here");
    check("  ", "  ", "the expression is empty");
    check("", "", "the expression is empty");
    check("# only a comment", "# only a comment", "the expression is empty");
    assert_eq!(
        Expression::parse("select(1; 2)").unwrap_err().hint.as_deref(),
        Some("`select` takes 1 argument")
    );
    let long = format!("\"{}\"", "a".repeat(crate::core::limits::JQ_TEXT_BYTES_MAX));
    assert!(Expression::parse(&long).unwrap_err().sentence.contains("longer than"));
}

#[test]
fn no_expression_exhausts_half_a_stack() {
    // Without optimisation a level takes many times the room, and how much changes with whatever is compiled beside it.
    let bytes = if cfg!(debug_assertions) { 8 } else { 1 } * 1024 * 1024;
    let half = std::thread::Builder::new().stack_size(bytes).spawn(deep_expressions);
    half.unwrap().join().unwrap();
}

fn deep_expressions() {
    for (part, tail) in [
        ("(", ")"),
        ("[", "]"),
        ("{a:", "}"),
        ("\"\\(", ")\""),
        ("-", "1"),
        ("try ", "1"),
        ("if 1 then ", "1 end"),
        (".a|", "."),
        (".a,", "."),
        (".a+", "."),
        (".=", "."),
        (". as $x|", "."),
        ("label $x|", "."),
        ("1//", "1"),
        (".[", "0]"),
        ("reduce . as $x(0;", "1)"),
        (".a", ""),
        ("1 as [", "$x]|1"),
        ("first(", ".)"),
        (".a|=", "."),
        ("..|", "."),
        (".a?", "?"),
        ("{a:1}+", "{}"),
        ("not|", "."),
    ] {
        for count in [60, 140, 190, 290, 590, 2000, 20_000] {
            let closing = if tail.len() > 1 || ")]}".contains(tail) {
                tail.repeat(count)
            } else {
                tail.to_owned()
            };
            let text = format!("{}1{closing}", part.repeat(count));
            for text in [&text, &format!("{}{tail}", part.repeat(count)), &part.repeat(count)] {
                if let Ok(expression) = Expression::parse(text) {
                    let input = read(r#"{"a":{"a":1}}"#).unwrap();
                    drop(expression.each(&input));
                    drop(without(&input, &[expression]));
                }
            }
        }
    }
}

#[test]
fn no_expression_runs_for_ever_or_builds_without_end() {
    let too_much = "it does too much work for the size of its input";
    let too_deep = "it builds a value of more than 256 levels";
    for (expression, expected) in [
        ("[range(1e10)]", too_much),
        ("last(range(1e18))", too_much),
        ("last(range(0; 1; 0))", too_much),
        ("[range(1e9) | try error(1) catch .] | length", too_much),
        ("try last(range(1e18)) catch 1", too_much),
        ("[limit(1e18; range(1e18))]", too_much),
        ("first(range(1e18) | select(. < 0))", too_much),
        ("isempty(range(1e18) | empty)", too_much),
        ("any(range(1e18); false)", too_much),
        ("[.[range(1e18)]?]", too_much),
        ("reduce range(1e18) as $i (0; .)", too_much),
        ("reduce range(60) as $i (\"a\"; . + .)", too_much),
        ("reduce range(60) as $i ([1]; . + .)", too_much),
        ("reduce range(60) as $i (1; [., .])", too_much),
        ("reduce range(60) as $i (1; {a: ., b: .})", too_much),
        ("reduce range(60) as $i (\"ab\"; \"\\(.)\\(.)\")", too_much),
        ("reduce range(60) as $i ({a: \"ab\"}; .a += .a)", too_much),
        ("reduce range(60) as $i ({a: 1}; .a = [.a, .a])", too_much),
        ("reduce range(60) as $i ([1, 1]; . as $x | map($x))", too_much),
        ("reduce range(60) as $i ([1, 1]; . as $x | .[] |= $x)", too_much),
        ("reduce range(60) as $i (10; . * .)", too_much),
        ("reduce range(60) as $i (\"aa\"; . * 100)", too_much),
        ("\"a\" * 1e15, \"a\" * 1000000000000000", too_much),
        ("1000000000000000 * \"abcdefgh\"", too_much),
        ("\"abcdefgh\" * 100000000000000000000000000", too_much),
        ("[range(100000)] | [.[] as $a | .[] as $b | .[] as $c | 1] | length", too_much),
        ("[[range(1000000)], ([range(1000000)] | map([]) | .[])] | transpose", too_much),
        ("[range(60) | [0, 1]] | last(combinations)", too_much),
        ("[range(60) | [0, 1]] + [[]] | [combinations]", too_much),
        ("[range(100000) | \"a\"] | join(\"a\" * 10000)", too_much),
        ("\"a\" * 100000 | gsub(\"a\"; \"b\" * 10000)", too_much),
        ("[range(200000)] as $big | [range(200000) | $big + [.]] | length", too_much),
        ("(\"a\" * 10000000) as $big | [range(200000) | $big + \"x\"] | length", too_much),
        ("[range(100000)] as $big | [range(100000) | $big[1:]] | length", too_much),
        ("[range(1000)] as $big | [range(100000) | 0] | .[] = $big | length", too_much),
        ("reduce range(100000) as $i (0; [.])", too_deep),
        ("reduce range(100000) as $i (0; {a: .})", too_deep),
        ("reduce range(20) as $i (0; [.] | walk([.]))", too_deep),
        ("reduce range(100000) as $i ({}; .a = .)", too_deep),
        ("reduce range(100000) as $i ([0]; (.. | numbers) |= [.])", too_deep),
        ("reduce range(100000) as $i ([0]; to_entries)", too_deep),
        ("reduce range(100000) as $i ([0]; group_by(.))", too_deep),
        ("reduce range(100000) as $i ([0]; map([.]))", too_deep),
        ("null | pick(getpath([range(100000) | tostring]))", too_deep),
        ("path(getpath([range(100000) | tostring])) | length", too_deep),
        ("path(reduce range(100000) as $i (.; .a)) | length", too_deep),
        (
            "[limit(5; path(foreach range(100000) as $i (.; .a; select($i > 90000))))] | length",
            too_deep,
        ),
        ("try reduce range(100000) as $i (0; [.]) catch 1", too_deep),
    ] {
        fails(expression, "null", expected);
    }
    // Long texts of brackets in a text.
    let hostile = format!("\"{}\"", "[".repeat(200_000));
    assert!(outputs("fromjson", &hostile).is_err());
    assert!(outputs("try fromjson catch 1", &hostile).is_ok());
    assert!(outputs("tonumber", &hostile).is_err());
    // A panic inside the engine is a fault.
    fails("length", "-9223372036854775808", "the jq engine does not cope with this input");
    fails(
        "[.[] | length]",
        "[-9223372036854775808]",
        "the jq engine does not cope with this input",
    );
}

#[test]
fn common_programs_over_large_inputs_are_within_bounds() {
    let items: Vec<_> = (0..5000)
        .map(|id| {
            format!(r#"{{"id":{id},"state":"open","tags":["a","b"],"user":{{"name":"n{id}"}}}}"#)
        })
        .collect();
    let input = format!("{{\"items\":[{}]}}", items.join(","));
    for expression in [
        ".items | map(select(.state == \"open\" and .id > 3) | {id, name: .user.name})",
        "[.items[] | select(.tags | contains([\"a\"])) | .user.name |= ascii_upcase]",
        "reduce .items[] as $item ([]; . + [$item.id])",
        "reduce .items[] as $item ({}; .[$item.user.name] = $item)",
        ".items | group_by(.state) | map({state: .[0].state, count: length})",
        ".items | sort_by(.user.name) | map(del(.tags)) | unique_by(.id)",
        "[.items[] | to_entries[] | .key] | unique",
        ".items | INDEX(.id) | length",
        "[.. | strings] | length",
    ] {
        assert_eq!(outputs(expression, &input).map(|outputs| outputs.len()), Ok(1), "{expression}");
    }
}

#[test]
fn faults_hold_no_content() {
    let input = r#"{"secret":"hunter2","list":[1],"n":1}"#;
    for (expression, expected) in [
        (".secret + 1", "it calculates with values of the wrong kinds"),
        (".secret | keys", "a value is no iterable (array or object)"),
        ("[.[] | .foo]", "a value has no part \"foo\""),
        (".list[.secret]", "a value has no part of that name or number"),
        ("error(.secret)", "it fails with an error of its own"),
        ("error(\"no list\")", "it says: no list"),
        ("error", "it fails with an error of its own"),
        (".secret | fromjson", "it fails with an error of its own"),
        ("path(1)", "it names no places in its input"),
        ("infinite", "the result holds a number that is not finite, which JSON cannot express"),
        ("{(1): 2}", "the result holds a key that is no text, which JSON cannot express"),
    ] {
        fails(expression, input, expected);
    }
}

#[test]
fn one_means_exactly_one() {
    let one = |expression: &str| {
        parse(expression).one(&read("[1,2]").unwrap()).map_err(|fault| fault.sentence)
    };
    assert_eq!(one(".[0]").unwrap(), read("1").unwrap());
    assert_eq!(one("add").unwrap(), read("3").unwrap());
    let none = "it gives no output, and exactly one is needed";
    let more = "it gives more than one output, and exactly one is needed";
    assert_eq!(one("empty").unwrap_err(), none);
    assert_eq!(one(".[] | select(. > 5)").unwrap_err(), none);
    assert_eq!(one(".[]").unwrap_err(), more);
    assert_eq!(one("1, error").unwrap_err(), "it fails with an error of its own");
    // More than one is known at the second: the rest is not computed.
    assert_eq!(one("range(1e18)").unwrap_err(), more);

    let test = |expression: &str| parse(expression).test(&read("[1,2]").unwrap());
    assert_eq!(test(".[0] == 1"), Ok(true));
    assert_eq!(test(".[5]"), Ok(false));
    assert_eq!(test("false"), Ok(false));
    assert_eq!(test("0"), Ok(true));
    assert!(test("empty").is_err());
}

#[test]
fn taking_away_leaves_the_rest_as_it_was() {
    let check = |value: &str, paths: &[&str], expected: &str| {
        let paths: Vec<_> = paths.iter().map(|path| parse(path)).collect();
        let kept = without(&read(value).unwrap(), &paths).unwrap();
        assert_eq!(
            canonical(&kept),
            canonical(&read(expected).unwrap()),
            "{paths:?} of {value}: {kept}"
        );
    };
    let value = r#"{"b":1,"a":{"c":[1,2,3],"d":2},"e":[{"t":1,"k":2},{"t":3}]}"#;
    check(value, &[], value);
    check(value, &[".b"], r#"{"a":{"c":[1,2,3],"d":2},"e":[{"t":1,"k":2},{"t":3}]}"#);
    check(value, &[".b", ".a.d", ".e"], r#"{"a":{"c":[1,2,3]}}"#);
    check(value, &[".a, .e"], r#"{"b":1}"#);
    check(value, &[".e[].t", ".a"], r#"{"b":1,"e":[{"k":2},{}]}"#);
    check(value, &[".a.c[0]", ".a.c[1]", ".b", ".e"], r#"{"a":{"c":[3],"d":2}}"#);
    check(value, &[".a.c[-1]", ".b, .e"], r#"{"a":{"c":[1,2],"d":2}}"#);
    check(value, &[".a[]", ".e[]"], r#"{"b":1,"a":{},"e":[]}"#);
    check(value, &["."], "null");
    // Nothing there, or nothing of that kind there.
    for path in [".x", ".x.y", ".b.c", ".a[0]", ".e.x", ".b[]", ".a.c[9]", ".x?", ".b.c?, .e[7]"] {
        check(value, &[path], value);
    }
    // More than paths: through the engine.
    check(value, &["..|.t?"], r#"{"b":1,"a":{"c":[1,2,3],"d":2},"e":[{"k":2},{}]}"#);
    check(value, &[".a.c[1:]", ".e"], r#"{"b":1,"a":{"c":[1],"d":2}}"#);
    check(value, &[".e[] | select(.k == 2)"], r#"{"b":1,"a":{"c":[1,2,3],"d":2},"e":[{"t":3}]}"#);
    check(value, &["(.a, .e)"], r#"{"b":1}"#);
    let fault = without(&read(value).unwrap(), &[parse(".b + 1")]).unwrap_err();
    assert_eq!(fault.sentence, "it names no places in its input");
    // Order is kept.
    let kept = without(&read(value).unwrap(), &[parse(".a.c")]).unwrap();
    assert_eq!(
        compact(&kept).unwrap().as_str(),
        r#"{"b":1,"a":{"d":2},"e":[{"t":1,"k":2},{"t":3}]}"#
    );
}

#[test]
fn expressions_are_shared_between_threads_and_equal_by_text() {
    fn shared<T: Clone + Send + Sync>(_: &T) {}
    let expression = parse(".a + 1");
    shared(&expression);
    assert_eq!(expression, parse(".a + 1"));
    assert_ne!(expression, parse(".a+1"));
    assert_eq!(format!("{expression:?} {}", expression.text()), ".a + 1 .a + 1");
}
