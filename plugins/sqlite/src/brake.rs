//! What stops the queries of one read, from wherever it is pulled.

use rusqlite::{Connection, InterruptHandle};
use std::sync::{Mutex, PoisonError};

/// Stops every query of a read at once: when nobody wants the rows any more, or when one of several readers failed.
#[derive(Default)]
pub(crate) struct Brake {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    is_pulled: bool,
    reading: Vec<InterruptHandle>,
}

/// The brake was pulled before.
#[derive(Debug)]
pub(crate) struct Pulled;

impl Brake {
    /// Puts the brake on a connection.
    pub(crate) fn engage(&self, connection: &Connection) -> Result<(), Pulled> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_pulled {
            return Err(Pulled);
        }
        state.reading.push(connection.get_interrupt_handle());
        Ok(())
    }

    /// An interrupt reaches only the statement that runs; this is asked between two.
    pub(crate) fn check(&self) -> Result<(), Pulled> {
        if self.state.lock().unwrap_or_else(PoisonError::into_inner).is_pulled { Err(Pulled) } else { Ok(()) }
    }

    pub(crate) fn pull(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_pulled = true;
        for handle in &state.reading {
            handle.interrupt();
        }
    }
}
