//! What people do meanwhile: they pause and resume endpoints, send old events again, and edit the file.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::world::{ENDPOINTS, FRAIL, HANDLED, SOURCES, World};
use crate::support::daemon::Output;
use crate::support::{Daemon, ask};

/// What was done.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Done {
    pub(super) pauses: u64,
    pub(super) reloads: u64,
    /// Replays, and what they said that they made again. A killed process may have made some more.
    pub(super) replays: u64,
    pub(super) replayed: u64,
}

pub(super) struct Hands {
    random: fastrand::Rng,
    is_second_edition: bool,
    pub(super) done: Done,
}

impl Hands {
    pub(super) fn new(seed: u64) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { random, is_second_edition: false, done: Done::default() }
    }

    /// While no process runs, by command: that works on the state itself.
    pub(super) fn between_lives(&mut self, daemon: &Daemon, world: &World) {
        match self.random.u8(..12) {
            0 | 1 => self.pause_or_resume(daemon, world),
            2 => drop(command(daemon, &["endpoints", "resume", FRAIL])),
            3 => self.replay(daemon, world),
            _ => {}
        }
    }

    fn pause_or_resume(&mut self, daemon: &Daemon, world: &World) {
        let was_paused = std::mem::take(&mut world.scenery().is_paused);
        if was_paused {
            command(daemon, &["endpoints", "resume", HANDLED]);
            return;
        }
        command(daemon, &["endpoints", "pause", HANDLED]);
        world.scenery().is_paused = true;
        self.done.pauses += 1;
    }

    fn replay(&mut self, daemon: &Daemon, world: &World) {
        let (endpoint, source, key) = self.some_item(world);
        let filter = ["--endpoint", endpoint, "--source", source, "--key", &key];
        let words = [&["replay", "--yes", "--json"], &filter[..]].concat();
        let answer = command(daemon, &words).json();
        self.done.replays += 1;
        self.done.replayed += answer["count"].as_u64().unwrap();
    }

    /// An endpoint, and an item that it hears of.
    fn some_item(&mut self, world: &World) -> (&'static str, &'static str, String) {
        let of_sources = ENDPOINTS.iter().filter(|it| SOURCES.contains(&it.sources[0]));
        let endpoint = self.random.choice(of_sources.collect::<Vec<_>>()).unwrap();
        let source = self.random.choice(endpoint.sources).unwrap();
        let scenery = world.scenery();
        let keys: Vec<_> = scenery.sources[*source].items.keys().cloned().collect();
        (endpoint.name, *source, self.random.choice(keys).unwrap_or_default())
    }

    /// While a process runs that may be killed meanwhile. The handle gives how many were replayed, if that was wanted
    /// and said.
    pub(super) fn in_a_life(
        &mut self,
        daemon: &Daemon,
        world: &World,
    ) -> Option<thread::JoinHandle<Option<u64>>> {
        let socket = daemon.state_path().join("control.sock");
        match self.random.u8(..12) {
            0 => {
                self.edit(daemon, world);
                daemon.hup();
                self.done.reloads += 1;
                None
            }
            1 => {
                let (endpoint, source, key) = self.some_item(world);
                let filter = json!({ "endpoint": endpoint, "source": source, "key": key });
                self.done.replays += 1;
                Some(thread::spawn(move || post(&socket, "/v1/replay", &filter)))
            }
            2 => {
                world.scenery().is_paused = false;
                let path = format!("/v1/endpoints/{HANDLED}/resume");
                Some(thread::spawn(move || post(&socket, &path, &json!({}))))
            }
            3 => {
                let path = format!("/v1/endpoints/{FRAIL}/resume");
                Some(thread::spawn(move || post(&socket, &path, &json!({}))))
            }
            _ => None,
        }
    }

    /// Puts the other edition of the file in its place, as a whole: a process that starts never reads half of one.
    fn edit(&mut self, daemon: &Daemon, world: &World) {
        self.is_second_edition = !self.is_second_edition;
        let draft = daemon.path("draft.yaml");
        fs::write(&draft, world.sources_yaml(self.is_second_edition)).unwrap();
        fs::rename(&draft, daemon.config_path()).unwrap();
    }
}

/// A disk that is busy with other things makes anybody wait who wants to be sure.
fn command(daemon: &Daemon, words: &[&str]) -> Output {
    let output = daemon.cli_within(Duration::from_mins(2), words);
    assert_eq!(output.code, Some(0), "{words:?}: {output:?}");
    output
}

/// What a process that is still there says to it.
fn post(socket: &Path, path: &str, body: &Value) -> Option<u64> {
    let answer = ask::ask_socket(socket, "POST", path, Some(body))?;
    // Killed in the middle of a word, it has said nothing.
    let said: Value = serde_json::from_str(&answer.text).ok()?;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    said["count"].as_u64()
}
