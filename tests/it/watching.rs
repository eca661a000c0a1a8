//! `server.reload: watch`: an edit is taken on without a signal, whatever file it was made in; a broken one changes nothing.

use std::fs;

use crate::support::scene::items;
use crate::support::{ApiServer, Daemon};

const SERVER: &str = "server: { listen: 127.0.0.1:0, reload: watch }\ninclude: more/*.yaml\n";

fn sources(api: &ApiServer, names: &[&str]) -> String {
    let source = |name: &&str| {
        format!(
            "  {name}: {{ url: '{}', key: .id, every: 100ms, headers: {{ X-Word: '${{file:word}}' }} }}\n",
            api.url()
        )
    };
    format!("sources:\n{}", names.iter().map(source).collect::<String>())
}

fn daemon(api: &ApiServer, server: &str) -> Daemon {
    let mut daemon = Daemon::new(&format!("{server}{}", sources(api, &["one"])));
    fs::create_dir(daemon.path("more")).unwrap();
    fs::write(daemon.path("word"), "first\n").unwrap();
    fs::write(daemon.path("more/a.yaml"), "endpoints: { screen: { url: 'stdout:' } }\n").unwrap();
    daemon.start();
    daemon.wait_until_polled("one");
    daemon
}

fn wait_for_source(daemon: &mut Daemon, name: &str) {
    daemon.wait_until(name, |daemon| {
        daemon
            .control("GET", &format!("/v1/sources/{name}"), None)
            .is_some_and(|it| it.status == 200)
    });
}

/// Whether the last reload went well, as the metric says.
fn is_valid(daemon: &Daemon) -> bool {
    daemon.metric("doorbell_config_last_reload_successful", &[]) > 0.5
}

#[test]
fn every_file_is_watched_and_a_broken_edit_changes_nothing() {
    let api = ApiServer::with_items(items(1));
    let mut daemon = daemon(&api, SERVER);
    // The file itself, as most editors do it: another file in its place.
    let edited = daemon.path("sources.yaml.new");
    fs::write(&edited, format!("{SERVER}{}", sources(&api, &["one", "two"]))).unwrap();
    fs::rename(&edited, daemon.config_path()).unwrap();
    wait_for_source(&mut daemon, "two");
    // One that an `include` finds from now on.
    let more = sources(&api, &["three"]).replace("file:word", "file:../word");
    fs::write(daemon.path("more/b.yaml"), more).unwrap();
    wait_for_source(&mut daemon, "three");
    // A value's file.
    fs::write(daemon.path("word"), "second\n").unwrap();
    daemon.wait_until("the other word", |_| {
        api.requests().last().is_some_and(|asked| asked.header("x-word") == Some("second"))
    });
    // Broken: what is in force stays, and people can see why.
    assert!(is_valid(&daemon));
    let log_end = daemon.log_end();
    fs::write(daemon.path("more/b.yaml"), "sources: { three: { urll: x } }\n").unwrap();
    daemon.wait_until("the problem", |daemon| {
        !daemon.logged_since(log_end, &["unknown key", "b.yaml"]).is_empty()
    });
    assert!(!is_valid(&daemon));
    daemon.wait_for_good_polls("three", 2);
    // Once for each edit, not once for each look.
    daemon.wait_for_good_polls("three", 20);
    assert_eq!(daemon.logged_since(log_end, &["is not valid"]).len(), 1);
    // Taken away again, so is the source.
    let log_end = daemon.log_end();
    fs::remove_file(daemon.path("more/b.yaml")).unwrap();
    daemon.wait_until("the removal", |daemon| {
        !daemon.logged_since(log_end, &["three", "removed"]).is_empty()
    });
    assert!(is_valid(&daemon));
}

#[test]
fn without_it_an_edit_waits_for_the_signal_which_may_turn_it_on() {
    let api = ApiServer::with_items(items(1));
    let server = "server: { listen: 127.0.0.1:0 }\ninclude: more/*.yaml\n";
    let mut daemon = daemon(&api, server);
    daemon.write_config(&format!("{server}{}", sources(&api, &["one", "two"])));
    daemon.wait_for_good_polls("one", 25);
    assert_eq!(daemon.control("GET", "/v1/sources/two", None).unwrap().status, 404);
    daemon.write_config(&format!("{SERVER}{}", sources(&api, &["one", "two"])));
    daemon.hup();
    wait_for_source(&mut daemon, "two");
    assert!(daemon.logged_since(0, &["`server` changed"]).is_empty());
    daemon.write_config(&format!("{SERVER}{}", sources(&api, &["one", "two", "three"])));
    wait_for_source(&mut daemon, "three");
}
