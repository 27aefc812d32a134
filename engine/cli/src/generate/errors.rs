//! The pages of error kinds.

use karat_plugin_api::ErrorKind;

/// One error kind: what it means, what Karat does about it, what a person can do.
struct ErrorText {
    what: &'static str,
    mend: &'static str,
}

/// The page of one error kind, as Markdown.
pub(crate) fn error_page(kind: ErrorKind) -> String {
    let text = text(kind);
    let retried = if kind.is_transient() {
        "It is tried again, with growing pauses, from the last committed batch."
    } else {
        "It is not tried again: the same request would fail the same way."
    };
    format!("# {}\n\n{}\n\n{retried}\n\n## How to fix\n\n{}\n", kind.as_str(), text.what, text.mend)
}

/// What an error kind means, in one sentence or two.
pub(super) fn what(kind: ErrorKind) -> &'static str {
    text(kind).what
}

fn text(kind: ErrorKind) -> ErrorText {
    let (what, mend) = match kind {
        ErrorKind::Unreachable => (
            "The system does not answer, or the connection broke.",
            "Look whether the server runs and can be reached from this machine, then run again: a run resumes at the last committed batch.",
        ),
        ErrorKind::Busy => ("The system is busy: somebody holds a lock, there was a deadlock, a queue is full.", "Find who holds the lock, or run at another time."),
        ErrorKind::NotFound => ("The file, folder, table or database does not exist.", "Correct its name; the help line names the nearest one that exists."),
        ErrorKind::PermissionDenied => ("The system refuses this user.", "Grant the right that the message names, or use another user."),
        ErrorKind::SchemaMismatch => (
            "What is there does not have the promised columns or types.",
            "Look at `karat plan`, which shows the changes of columns; correct `types` or `select`, or start anew with `karat run --full-refresh`.",
        ),
        ErrorKind::BadData => {
            ("A value cannot be represented in the promised type. Nothing is rounded or cut silently.", "Correct the row that the message names, or declare a type that holds it.")
        }
        ErrorKind::NoSpace => ("A disk or a quota is full. What was committed stays readable.", "Make room, then run again."),
        ErrorKind::OutOfMemory => {
            ("A query needs more than the memory limit even with spilling to disk.", "Raise `--memory-limit`, or lower `--jobs` so that fewer tables run at once.")
        }
        ErrorKind::BadConfiguration => ("A setting cannot work.", "Correct the setting that the message names; `karat lint` finds most of them without a database."),
        ErrorKind::Unsupported => ("The plugin does not do this.", "Choose what it does: `docs/reference/plugins` lists it."),
        ErrorKind::Conflict => ("Another run committed first, or holds the lease.", "Wait for the other run to end, then run again."),
        ErrorKind::Refused => ("Going on would destroy or lose data; a person must decide.", "Read the message: it says what would be lost. `--full-refresh` starts a table anew."),
        ErrorKind::Corrupt => (
            "What is stored contradicts itself: a checksum, a hole in a log, a foreign file.",
            "Do not delete anything yet. A damaged state file can be rebuilt from the targets: `karat state rebuild`.",
        ),
        ErrorKind::UnknownOutcome => ("A commit was sent, and nobody knows whether it took effect.", "Run again: the target is asked first, and the answer decides."),
        ErrorKind::Cancelled => ("The run was told to stop.", "Run again: it resumes at the last committed batch."),
        ErrorKind::CheckFailed => {
            ("A data-quality check failed: nothing of the batch became visible.", "Look at the rows that the message counts; correct them at the source, or the check.")
        }
        ErrorKind::Bug => ("A mistake in this program.", "Please report the message and what you ran. What was committed stays."),
    };
    ErrorText { what, mend }
}
