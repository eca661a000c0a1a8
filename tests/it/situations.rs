//! What people want doorbell for, each as the story that they would tell, with the real executable between an API that
//! behaves as theirs does and a receiver that checks what theirs checks.

mod balance;
mod contact;
mod crowd;
mod listeners;
mod orders;
mod outage;
mod parcels;
mod sale;
mod tickets;
mod vendors;
