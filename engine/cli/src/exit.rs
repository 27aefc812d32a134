//! Exit codes: how a command ended, for scripts.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    Findings,
    Usage,
    Failed,
    Partial,
    Refused,
    Held,
    Different,
    Interrupted,
    Terminated,
}

impl Exit {
    pub(crate) const ALL: [Self; 10] =
        [Self::Done, Self::Findings, Self::Usage, Self::Failed, Self::Partial, Self::Refused, Self::Held, Self::Different, Self::Interrupted, Self::Terminated];

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Findings => 1,
            Self::Usage => 2,
            Self::Failed => 3,
            Self::Partial => 4,
            Self::Refused => 5,
            Self::Held => 6,
            Self::Different => 7,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// What it says, for the reference.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Findings => "findings at error level (or warnings under `--deny warnings`): nothing was started",
            Self::Usage => "the command line cannot be followed",
            Self::Failed => "failed, and nothing of this run was committed",
            Self::Partial => "partly committed: the report says which tables",
            Self::Refused => "refused, to protect data: a person must decide",
            Self::Held => "another run holds the lease",
            Self::Different => "`verify` or `lock --check` found differences",
            Self::Interrupted => "interrupted (Ctrl-C), cleanly: every table is at its last committed batch",
            Self::Terminated => "terminated (SIGTERM), cleanly: every table is at its last committed batch",
        }
    }

    /// The exit of a code that the executor chose.
    pub(crate) fn of_code(code: u8) -> Self {
        Self::ALL.into_iter().find(|exit| exit.code() == code).unwrap_or(Self::Failed)
    }

    /// The graver of two: of several projects, the worst one counts. An interruption outweighs everything.
    pub(crate) fn worst(self, other: Self) -> Self {
        if other.code() > self.code() { other } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
