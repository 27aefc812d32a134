//! What reads of a real MariaDB deliver, seen from outside.

#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod faults;
mod full;
mod keyset;
mod late;
mod login;
mod values;
mod windows;
mod world;
