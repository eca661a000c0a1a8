//! No secret is shown anywhere, whatever goes wrong: each one is a canary, and every output is searched for them.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::support::reply::Reply;
use crate::support::scene::items;
use crate::support::server::{Received, Server};
use crate::support::wait::wait_until;
use crate::support::{ApiServer, Daemon};

/// Where each secret stands; the secret is `canary-NAME-5ecret`.
const NAMES: &[&str] = &[
    "bearer",
    "password",
    "header-auth",
    "query-auth",
    "url-query",
    "query",
    "header",
    "body",
    "standard",
    "github",
    "from-file",
    "from-credential",
    "rotating",
    "endpoint-path",
    "endpoint-query",
    "endpoint-header",
    "server-token",
    "client-secret",
    "refresh-token",
    "rotated-token",
    "access-token",
    "token-param",
    "proxy-password",
];

fn canary(name: &str) -> String {
    format!("canary-{name}-5ecret")
}

/// Fails if any canary sings.
#[track_caller]
fn silent(place: &str, text: &str) {
    let basic = BASE64_STANDARD.encode(format!("clerk:{}", canary("password")));
    for secret in NAMES.iter().map(|name| canary(name)).chain([basic]) {
        if let Some(at) = text.find(&secret) {
            let from = text.floor_char_boundary(at.saturating_sub(200));
            let to = text.ceil_char_boundary((at + 120).min(text.len()));
            panic!("{place} shows {secret}: …{}…", text.get(from..to).unwrap());
        }
    }
}

/// Answers with everything it was told.
fn echo(received: &Received) -> String {
    let headers = received.headers.iter().map(|(name, value)| [name, ": ", value].concat());
    let headers = headers.collect::<Vec<_>>().join("\n");
    format!(
        "{} {}\n{headers}\n\n{}",
        received.method,
        received.target,
        String::from_utf8_lossy(&received.body)
    )
}

/// Everything that can hold a secret, with an API that answers each path in its own bad way.
struct Aviary {
    api: ApiServer,
    daemon: Daemon,
    /// Echoes what it is asked or told.
    _echo: Server,
}

impl Aviary {
    fn new() -> Self {
        let api = ApiServer::with_items(items(1));
        let echo = Server::start(std::sync::Arc::new(|received: Received| {
            let said = echo(&received);
            let place = format!("http://127.0.0.1:1/{}", received.target);
            match received.path() {
                "/redirect" => Reply::redirect(&place).append(said.as_bytes()),
                "/hang" => Reply::hang(),
                "/html" => Reply::text("text/html", format!("<html>{said}")),
                "/json" => Reply::json(&json!([{ "said": said }])),
                "/bad-json" => Reply::text("application/json", format!("[{{\"id\": {said}")),
                "/accepting" => Reply::text("text/plain", said),
                "/token" => Reply::json(&json!({
                    "access_token": canary("access-token"),
                    "refresh_token": canary("rotated-token"),
                    "said": said,
                })),
                "/no-token" => {
                    let refused =
                        json!({ "error": canary("client-secret"), "error_description": said });
                    Reply::json(&refused).with_status(400)
                }
                _ => Reply::text("text/plain", said).with_status(401),
            }
        }));
        let mut daemon = Daemon::new("");
        daemon.set_log("json,debug");
        daemon.set_env("BEARER", &canary("bearer"));
        daemon.set_env("SERVER_TOKEN", &canary("server-token"));
        let credentials = daemon.path("credentials");
        fs::create_dir(&credentials).unwrap();
        for (file, name) in [("credentials/hook", "from-credential"), ("secret.txt", "from-file")] {
            fs::write(daemon.path(file), format!("{}\n", canary(name))).unwrap();
            fs::set_permissions(daemon.path(file), fs::Permissions::from_mode(0o600)).unwrap();
        }
        daemon.set_env("CREDENTIALS_DIRECTORY", &credentials.to_string_lossy());
        let config = config(&api, &format!("http://{}", echo.address()));
        daemon.write_config(&config);
        Self { api, daemon, _echo: echo }
    }
}

/// One source for each way to authenticate and each way to fail; one endpoint for each place of a secret.
fn config(api: &ApiServer, echo: &str) -> String {
    // Nobody listens there.
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let source = |name: &str, url: &str, more: &str| {
        format!(
            "  {name}: {{ url: '{url}', key: .id, every: 150ms, timeout: 300ms, backoff: {{ first: 100ms, max: 300ms }}, {more} }}\n"
        )
    };
    let endpoint = |name: &str, url: &str, secret: &str, more: &str| {
        format!(
            "  {name}: {{ url: '{url}', secret: {secret}, timeout: 500ms, retry: {{ first: 50ms, max: 300ms, for: 1h }}{more} }}\n"
        )
    };
    let c = |name: &str| canary(name);
    let every_auth = [
        ("bearer", "auth: { bearer: '${BEARER}' }".to_owned()),
        ("basic", format!("auth: {{ basic: {{ user: clerk, password: {} }} }}", c("password"))),
        ("headerauth", format!("auth: {{ header: {{ X-Api-Key: {} }} }}", c("header-auth"))),
        ("queryauth", format!("auth: {{ query: {{ api_key: {} }} }}", c("query-auth"))),
        ("query", format!("query: {{ token: {} }}", c("query"))),
        ("headers", format!("headers: {{ X-Token: {} }}", c("header"))),
        ("body", format!("method: POST, body: {{ password: {} }}", c("body"))),
        ("oauth2", oauth2(&format!("{echo}/token?in_url={}", c("url-query")))),
        ("refused", oauth2(&format!("{echo}/no-token"))),
        ("proxied", proxied(echo)),
    ];
    let mut sources = source("tickets", &api.url(), "deletes: off");
    for (name, more) in &every_auth {
        for way in ["401", "redirect", "hang", "html", "json", "bad-json"] {
            let url = format!("{echo}/{way}?in_url={}", c("url-query"));
            sources += &source(&format!("{name}-{way}"), &url, more);
        }
        sources += &source(
            &format!("{name}-closed"),
            &format!("http://{closed}/?in_url={}", c("url-query")),
            more,
        );
    }
    let path = c("endpoint-path");
    let endpoints = [
        endpoint("standard", &format!("{echo}/{path}"), &c("standard"), ""),
        endpoint(
            "github",
            &format!("{echo}/{path}?q={}", c("endpoint-query")),
            &c("github"),
            ", sign: github",
        ),
        endpoint("file", &format!("{echo}/redirect/{path}"), "'${file:secret.txt}'", ""),
        endpoint("cred", &format!("{echo}/hang"), "'${cred:hook}'", ""),
        endpoint(
            "closed",
            &format!("http://{closed}/{path}"),
            &format!("[{}, other-old-one]", c("rotating")),
            "",
        ),
        endpoint(
            "accepting",
            &format!("{echo}/accepting?q={path}"),
            &c("standard"),
            &format!(", headers: {{ Authorization: 'Bearer {}' }}", c("endpoint-header")),
        ),
    ];
    format!(
        "server: {{ listen: 127.0.0.1:0, token: '${{SERVER_TOKEN}}' }}\nsources:\n{sources}endpoints:\n{}",
        endpoints.concat()
    )
}

fn proxied(echo: &str) -> String {
    let (password, place) = (canary("proxy-password"), echo.trim_start_matches("http://"));
    format!("proxy: 'http://clerk:{password}@{place}', redirects: 2")
}

/// A token from there.
fn oauth2(token_url: &str) -> String {
    format!(
        "auth: {{ oauth2: {{ token_url: '{token_url}', grant: refresh_token, client_id: clerk, client_secret: {}, refresh_token: {}, params: {{ extra: {} }} }} }}",
        canary("client-secret"),
        canary("refresh-token"),
        canary("token-param")
    )
}

#[test]
fn no_output_shows_a_secret() {
    let Aviary { api, mut daemon, _echo } = Aviary::new();
    daemon.start();
    daemon.wait_until_polled("tickets");
    api.set_items(items(3));
    let attempts = |daemon: &Daemon, endpoint: &str| {
        let rows = daemon.control_json(&format!("/v1/deliveries?endpoint={endpoint}"));
        rows[0]["attempts"].as_u64().unwrap_or(0)
    };
    for endpoint in ["standard", "github", "file", "cred", "closed"] {
        daemon.wait_until(endpoint, |daemon| attempts(daemon, endpoint) >= 2);
    }
    daemon.wait_until("every source having failed", |daemon| {
        let rows = daemon.control_json("/v1/sources");
        let failing = rows.as_array().unwrap().iter().filter(|row| !row["fault"].is_null()).count();
        failing >= 70
    });
    // A bad reload, with mistakes right beside the secrets.
    let good = fs::read_to_string(daemon.config_path()).unwrap();
    let log_end = daemon.log_end();
    let bad = beside_every_secret(&good);
    fs::write(daemon.config_path(), &bad).unwrap();
    daemon.hup();
    daemon.wait_until("a refused reload", |daemon| {
        !daemon.logged_since(log_end, &["old one stays in force"]).is_empty()
    });
    commands_are_silent(&daemon);
    fs::write(daemon.config_path(), &good).unwrap();

    commands_are_silent(&daemon);
    answers_are_silent(&daemon);
    let copy = daemon.path("copy.db");
    assert_eq!(daemon.cli(&["backup", &copy.to_string_lossy()]).code, Some(0));
    daemon.kill9();
    files_are_silent(&daemon);
    // Without a daemon, too: commands then open the state by themselves.
    commands_are_silent(&daemon);
    silent("the log", &daemon.log_text());
    silent("the output", &daemon.stdout_text());
    assert!(daemon.log_text().contains("\"DEBUG\""), "the log is not that of debugging");
}

/// The configuration with a mistake on every line that holds a secret, and broken at its end.
fn beside_every_secret(good: &str) -> String {
    good.replace("timeout: 300ms", "timeout: 300").replace("timeout: 500ms", "tiemout: 500ms")
}

/// Runs every command that looks at something, with and without `--json`.
fn commands_are_silent(daemon: &Daemon) {
    let deliveries = daemon.cli(&["deliveries", "--json", "--limit", "100"]);
    let rows = if deliveries.code == Some(0) { deliveries.json() } else { json!([]) };
    let ids: Vec<String> =
        rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    let mut commands: Vec<Vec<&str>> = vec![
        vec!["check"],
        vec!["events"],
        vec!["deliveries"],
        vec!["held"],
        vec!["endpoints"],
        vec!["replay", "--dry-run"],
        vec!["poll", "tickets"],
        vec!["--log", "debug", "poll", "bearer-401"],
        vec!["--log", "debug", "poll", "basic-redirect"],
        vec!["--log", "debug", "poll", "queryauth-closed"],
        vec!["--log", "debug", "poll", "query-html"],
        vec!["--log", "debug", "poll", "headers-hang"],
        vec!["--log", "debug", "poll", "body-bad-json"],
        vec!["--log", "debug", "poll", "oauth2-json"],
        vec!["--log", "debug", "poll", "refused-401"],
        vec!["--log", "debug", "poll", "proxied-redirect"],
        vec!["backup", "/nowhere/at/all"],
    ];
    commands.extend(ids.iter().map(|id| vec!["deliveries", "show", id]));
    for command in commands {
        for json in [&[][..], &["--json"]] {
            let told = daemon.cli(&[&command, json].concat());
            silent(&format!("{command:?} {json:?}"), &format!("{}\n{}", told.stdout, told.stderr));
        }
    }
}

fn answers_are_silent(daemon: &Daemon) {
    for path in [
        "/v1/sources",
        "/v1/endpoints",
        "/v1/events",
        "/v1/deliveries",
        "/v1/held",
        "/metrics",
        "/nothing",
    ] {
        let answer = daemon.control("GET", path, None).unwrap();
        silent(path, &answer.text);
    }
    for source in daemon.control_json("/v1/sources").as_array().unwrap() {
        let path = format!("/v1/sources/{}", source["name"].as_str().unwrap());
        silent(&path, &daemon.control("GET", &path, None).unwrap().text);
        let path = format!("{path}/items");
        silent(&path, &daemon.control("GET", &path, None).unwrap().text);
    }
    for path in ["/healthz", "/readyz", "/metrics", "/nothing"] {
        silent(path, &daemon.get(path).unwrap().text);
    }
    let reloaded = daemon.control("POST", "/v1/reload", Some(&json!({}))).unwrap();
    silent("/v1/reload", &reloaded.text);
}

/// The state and the copy of it hold no secret either: whoever finds them cannot sign anything.
fn files_are_silent(daemon: &Daemon) {
    let state = fs::read_dir(daemon.state_path()).unwrap().map(|entry| entry.unwrap().path());
    let mut searched = 0;
    for path in state.chain([daemon.path("copy.db")]) {
        let metadata = fs::metadata(&path).unwrap();
        if metadata.is_file() {
            let bytes = fs::read(&path).unwrap();
            silent(&path.to_string_lossy(), &String::from_utf8_lossy(&bytes));
            let others = metadata.permissions().mode() & 0o077;
            assert_eq!(others, 0, "{} is open to others", path.display());
            searched += 1;
        }
    }
    assert!(searched >= 3, "only {searched} files");
    assert_eq!(fs::metadata(daemon.state_path()).unwrap().permissions().mode() & 0o077, 0);
}

#[test]
fn a_secret_in_a_url_is_refused_without_being_shown() {
    let daemon = Daemon::new("");
    let secret = canary("password");
    let cases = [
        format!("sources: {{ a: {{ url: 'http://clerk:{secret}@127.0.0.1/', key: .id }} }}\n"),
        format!("endpoints: {{ a: {{ url: 'https://clerk:{secret}@a.example/', secret: x }} }}\n"),
        format!("endpoints: {{ a: {{ url: 'nonsense {secret}', secret: x }} }}\n"),
        format!(
            "endpoints: {{ a: {{ url: 'https://a.example/{secret}', secret: [{secret}], sign: nonsense }} }}\n"
        ),
        format!(
            "sources: {{ a: {{ url: 'https://a.example/?x={secret}', auth: {{ bearer: [{secret}] }} }} }}\n"
        ),
        format!(
            "sources: {{ a: {{ url: 'https://a.example/', key: .id, auth: {{ bearer: {secret}, basic: 1 }} }} }}\n"
        ),
        format!(
            "sources: {{ a: {{ url: 'https://a.example/', key: .id, auth: {{ baerer: {secret} }} }} }}\n"
        ),
        format!("sources:\n  a: {{ url: 'https://a.example/', auth: {{ bearer: \"{secret} }} }}\n"),
        format!("server:\n  token: {secret}\n  listen: nonsense\n"),
        format!("server: {{ token: {{ a: {secret} }} }}\n"),
        format!(
            "endpoints:\n  a:\n    url: https://a.example/\n    secret: {secret}\n   sign: none\n"
        ),
        format!("{secret}\n"),
        format!(
            "sources: {{ a: {{ url: '${{file:/nowhere/{secret}}}', key: .id }} }}\nendpoints: {{ b: {{ url: 'stdout:', headers: {{ X: {secret} }} }} }}"
        ),
    ];
    for text in cases {
        fs::write(daemon.config_path(), &text).unwrap();
        for command in [&["check"][..], &["check", "--json"], &["run"]] {
            let told = daemon.cli(command);
            let said = format!("{}{}", told.stdout, told.stderr);
            assert_eq!(told.code, Some(2), "{text}: {said}");
            // A path of a file is no secret: it is what has to be mended.
            if !text.contains("${file:") {
                silent(&text.replace(&secret, "CANARY"), &said);
            }
        }
    }
}

#[test]
fn an_echo_is_recorded_without_the_secrets_in_it() {
    let Aviary { api, mut daemon, _echo } = Aviary::new();
    daemon.start();
    daemon.wait_until_polled("tickets");
    api.set_items(items(2));
    let shown = |daemon: &Daemon| {
        let rows = daemon.control_json("/v1/deliveries?endpoint=accepting&status=delivered");
        let id = rows[0]["id"].as_str()?.to_owned();
        Some(daemon.control_json(&format!("/v1/deliveries/{id}")))
    };
    let detail = daemon.wait_for("a delivery", shown);
    let answer = detail["attempts"][0]["answer"].as_str().unwrap();
    // It is there, so that the search in the other test searches something.
    assert!(
        answer.contains("webhook-id: evt_") && answer.contains("authorization: •••"),
        "{answer}"
    );
    silent("the recorded answer", answer);
    wait_until("the canaries' fault", || {
        let rows = daemon.control_json("/v1/sources");
        rows.as_array().unwrap().iter().any(|row| row["fault"]["sentence"].is_string())
    });
}

#[test]
fn a_secret_file_holds_one_line() {
    let daemon = Daemon::new(
        "sources: { a: { url: 'https://a.example/', key: .id } }
endpoints: { a: { url: 'https://a.example/', secret: '${file:a.secret}' } }
",
    );
    let secret = canary("from-file");
    let cases = [
        (None, "a.secret"),
        (Some(String::new()), "empty"),
        (Some("\n".to_owned()), "empty"),
        (Some(format!("{secret}\nmore")), "control character"),
        (Some(format!("{secret}\r\nmore")), "control character"),
        (Some(format!("{secret}\u{0}")), "control character"),
        (Some(secret.clone()), "is valid"),
        (Some(format!("{secret}\n")), "is valid"),
        (Some(format!("{secret}\r\n")), "is valid"),
    ];
    for (content, expected) in cases {
        if let Some(content) = &content {
            fs::write(daemon.path("a.secret"), content).unwrap();
        }
        let told = daemon.cli(&["check"]);
        let said = format!("{}{}", told.stdout, told.stderr);
        assert!(said.contains(expected), "{content:?}: no {expected:?} in {said}");
        assert_eq!(told.code, Some(if expected == "is valid" { 0 } else { 2 }), "{content:?}");
        silent("check", &said);
    }
}
