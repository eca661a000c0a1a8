//! The one black-box test binary: the real executable, real sockets, files, signals.
#![cfg(test)]

mod auth;
mod bad_input;
mod budgets;
mod changes;
mod cli;
mod cookbook;
mod crash;
mod crash_points;
mod example;
mod examples;
mod fanout;
mod formats;
mod great_lists;
mod hostile_content;
mod internet;
mod known_pages;
mod long_listings;
mod misbehaviour;
mod moving_pages;
mod newcomers;
mod oddities;
mod operations;
mod pages;
mod plan;
mod real;
mod reload;
mod restart;
mod secrets;
mod silent_losses;
mod situations;
mod storage;
mod support;
mod systemd;
mod templates;
mod tidy;
