//! What a user sees of a mistake in this program.

use std::io::Write;

/// Replaces the default message by one that says whose fault it is and what to report.
pub(crate) fn install_hook() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(|location| format!(" at {}:{}", location.file(), location.line())).unwrap_or_default();
        let message = info.payload().downcast_ref::<&str>().copied().or_else(|| info.payload().downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        // Nobody is left to tell if this fails too.
        let _ = writeln!(
            std::io::stderr(),
            "error[bug]: this is a mistake in karat {}{place}: {message}\nhelp: what was committed stays; please report this line and what you ran",
            env!("CARGO_PKG_VERSION")
        );
    }));
}
