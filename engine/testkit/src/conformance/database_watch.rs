//! A reader that looks at a table again and again while something else writes to it.

use super::database_sink::DatabaseSinkUnderTest;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// The reader. Dropping it ends the thread, also when the case panics.
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    answers: Option<JoinHandle<Vec<String>>>,
}

impl Watch {
    /// Counts the rows of the target and takes its least and greatest name, as fast as the database answers.
    pub(super) fn names(under_test: &DatabaseSinkUnderTest) -> Self {
        let query = format!("SELECT count(*), min(name), max(name) FROM {};", under_test.reader.table(&under_test.target().table));
        let mut session = under_test.reader.database().session();
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let answers = std::thread::spawn(move || {
            let mut seen = Vec::new();
            while !is_over.load(Ordering::SeqCst) {
                seen.push(session.execute(&query));
            }
            seen
        });
        Self { stop, answers: Some(answers) }
    }

    /// Every look found `rows` rows, all of one name.
    pub(super) fn saw_one_name_in(mut self, rows: i64) {
        self.stop.store(true, Ordering::SeqCst);
        let seen = self.answers.take().unwrap().join().unwrap();
        assert!(seen.len() > 10, "the reader looked only {} times", seen.len());
        for answer in &seen {
            let fields: Vec<&str> = answer.trim().split(['\t', '|']).collect();
            assert!(fields[0] == rows.to_string() && fields[1] == fields[2], "a reader saw {answer}");
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}
