//! The program `local-stack`, as it is typed.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failure anywhere in here is the test's failure")]

mod background;
mod run;
mod site;
mod stand_in;
