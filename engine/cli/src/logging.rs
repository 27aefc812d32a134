//! Logs for whoever looks for a mistake: off unless asked for.

use tracing_subscriber::EnvFilter;

/// Variable that says what is logged, such as `karat_exec=debug`.
const VARIABLE: &str = "KARAT_LOG";

/// Sends logs to stderr if the variable asks for some.
pub(crate) fn start() {
    let Ok(filter) = EnvFilter::try_from_env(VARIABLE) else { return };
    // There is one process and one start: a second subscriber is impossible.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}
