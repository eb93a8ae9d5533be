//! Ctrl-C, SIGTERM and a closed terminal.

use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::output;
use crate::error::StackError;
use crate::wait::Cancel;

/// What signals have asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// The first signal: stop, in order.
    pub(super) stop: Cancel,
    /// The second: at once.
    pub(super) hurry: Cancel,
}

/// Listens to the signals of this process from now on.
pub(super) fn listen() -> Result<Asked, StackError> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(StackError::io("listen to", "signals"))?;
    let asked = Asked::default();
    let listener = asked.clone();
    thread::spawn(move || {
        for _ in signals.forever() {
            if listener.stop.is_cancelled() {
                listener.hurry.cancel();
            } else {
                // The terminal has just shown ^C at the start of the line.
                output::say("");
                listener.stop.cancel();
            }
        }
    });
    Ok(asked)
}
