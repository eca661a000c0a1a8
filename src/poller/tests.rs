//! Polls one by one: a scripted API, a store in memory, and a clock that goes on when it is told to.

mod checks;
mod desk;
mod histories;
mod incremental;
mod learn;
mod long;
mod news;
mod rules;
mod silence;
mod standing;
mod unkept;
