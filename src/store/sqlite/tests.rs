//! What only the real store can meet: locks, damage, full disks, states that went backwards; and how fast it is.

mod speed;
