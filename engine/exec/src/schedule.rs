//! Which table's turn it is: a table is ready as soon as the tables it needs are done; there are no barriers between waves.

use indexmap::IndexMap;
use std::collections::BTreeSet;

/// Tables that wait, with the tables each one still waits for. Pure; the caller runs them.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    waiting: IndexMap<String, BTreeSet<String>>,
}

impl Schedule {
    /// A schedule of `tables`, in running order; needs outside of it count as done.
    pub(crate) fn new<'a>(tables: impl Iterator<Item = (&'a String, &'a [String])> + Clone) -> Self {
        let names: BTreeSet<&String> = tables.clone().map(|(name, _)| name).collect();
        let waiting = tables.map(|(name, needs)| (name.clone(), needs.iter().filter(|need| names.contains(need)).cloned().collect()));
        Self { waiting: waiting.collect() }
    }

    /// Takes the first table that waits for nothing.
    pub(crate) fn take_ready(&mut self) -> Option<String> {
        let name = self.waiting.iter().find(|(_, needs)| needs.is_empty()).map(|(name, _)| name.clone())?;
        self.waiting.shift_remove(&name);
        Some(name)
    }

    /// A table is done: others no longer wait for it.
    pub(crate) fn done(&mut self, table: &str) {
        for needs in self.waiting.values_mut() {
            needs.remove(table);
        }
    }

    /// A table failed: takes out everything that needs it, however indirectly; each with the table it misses.
    pub(crate) fn failed(&mut self, table: &str) -> Vec<(String, String)> {
        let mut lost = vec![(table.to_owned(), String::new())];
        let mut at = 0;
        while at < lost.len() {
            let missing = lost[at].0.clone();
            let next: Vec<String> = self.waiting.iter().filter(|(_, needs)| needs.contains(&missing)).map(|(name, _)| name.clone()).collect();
            for name in next {
                self.waiting.shift_remove(&name);
                lost.push((name, missing.clone()));
            }
            at += 1;
        }
        lost.split_off(1)
    }

    /// Takes out everything that still waits.
    pub(crate) fn drain(&mut self) -> Vec<String> {
        self.waiting.drain(..).map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(tables: &[(&str, &[&str])]) -> Schedule {
        let owned: Vec<(String, Vec<String>)> = tables.iter().map(|(name, needs)| ((*name).to_owned(), needs.iter().map(|need| (*need).to_owned()).collect())).collect();
        Schedule::new(owned.iter().map(|(name, needs)| (name, needs.as_slice())))
    }

    #[test]
    fn a_table_is_ready_when_the_tables_it_needs_are_done() {
        let mut schedule = schedule(&[("b", &[]), ("s", &["b", "elsewhere"]), ("g", &["s", "b"])]);

        assert_eq!(schedule.take_ready().as_deref(), Some("b"));
        assert_eq!(schedule.take_ready(), None);
        schedule.done("b");
        assert_eq!(schedule.take_ready().as_deref(), Some("s"));
        schedule.done("s");
        assert_eq!(schedule.take_ready().as_deref(), Some("g"));
        assert!(schedule.drain().is_empty());
    }

    #[test]
    fn a_failure_takes_its_descendants_and_nothing_else() {
        let mut schedule = schedule(&[("b", &[]), ("s", &["b"]), ("g", &["s"]), ("other", &[])]);
        schedule.take_ready();

        let lost = schedule.failed("b");

        assert_eq!(lost, [("s".to_owned(), "b".to_owned()), ("g".to_owned(), "s".to_owned())]);
        assert_eq!(schedule.take_ready().as_deref(), Some("other"));
    }
}
