//! Ctrl-C and SIGTERM: the first asks the run to stop, the second ends the process at once.

use crate::error::CliError;
use crate::exit::Exit;
use karat_plugin_api::ErrorKind;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Hears signals until it is dropped.
pub(crate) struct Signals {
    pub(crate) cancel: CancellationToken,
    heard: Arc<AtomicU8>,
    listener: tokio::task::JoinHandle<()>,
}

impl Signals {
    /// Starts listening; needs a runtime.
    pub(crate) fn listen(tell: impl Fn(&str) + Send + 'static) -> Result<Self, CliError> {
        let cannot = |error: std::io::Error| CliError::failed(ErrorKind::Bug, format!("cannot listen for signals: {error}"));
        let is_asked = Arc::new(AtomicBool::new(false));
        for (number, exit) in [(SIGINT, Exit::Interrupted), (SIGTERM, Exit::Terminated)] {
            // In the handler itself, so that it works also when every thread is stuck: the one that prints, because nobody reads, to begin with.
            // Safe at any place: what is not committed was never visible.
            flag::register_conditional_shutdown(number, i32::from(exit.code()), Arc::clone(&is_asked)).map_err(cannot)?;
            flag::register(number, Arc::clone(&is_asked)).map_err(cannot)?;
        }
        let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
        let cancel = CancellationToken::new();
        let heard = Arc::new(AtomicU8::new(0));
        let (token, first) = (cancel.clone(), Arc::clone(&heard));
        let listener = tokio::spawn(async move {
            let exit = tokio::select! {
                _ = interrupt.recv() => Exit::Interrupted,
                _ = terminate.recv() => Exit::Terminated,
            };
            first.store(exit.code(), Ordering::SeqCst);
            token.cancel();
            tell("stopping at the last committed batches; once more to end at once");
        });
        Ok(Self { cancel, heard, listener })
    }

    /// The exit code of the first signal, if there was one.
    pub(crate) fn heard(&self) -> Option<Exit> {
        match self.heard.load(Ordering::SeqCst) {
            0 => None,
            code => Some(Exit::of_code(code)),
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.listener.abort();
    }
}
