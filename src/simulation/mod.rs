//! The simulation: the real poller and deliverer over a real store, between an API and receivers that are values, in
//! virtual time. One seed is one hour: everything that happens in it – edits, faults, crashes, reloads – is drawn from
//! the seed, so that a seed that fails fails again.
//!
//! | module | is |
//! |---|---|
//! | `plan` | what is declared, and its reloads |
//! | `truth` | what really is at the API |
//! | `api`, `answers`, `watch` | the API: how it misbehaves, what it says, and what polls of it must come to |
//! | `receivers` | the receivers, their faults, and what arrived |
//! | `witness` | the store as the loops see it: fails when it shall, and shows every commit to the books |
//! | `books` | what must hold after every commit |
//! | `stage` | all of that, joined; the virtual clock; the HTTP client |
//! | `process`, `hour` | one life of the process; one simulated hour of lives |
//! | `audit` | what must hold from time to time, and at the end |
//! | `bugs` | faults planted in the ports, to see that the books find them |

mod answers;
mod api;
mod audit;
mod books;
mod bugs;
mod hour;
mod notes;
mod plan;
mod process;
mod receivers;
mod stage;
mod tests;
mod truth;
mod watch;
mod witness;
