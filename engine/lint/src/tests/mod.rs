//! The registry as a whole.

mod cascades;
mod example;
mod pages;
mod several_faults;
mod shared_settings;

use crate::fixture::Project;
use expect_test::Expect;

fn check(files: &[(&str, &str)], expected: Expect) {
    expected.assert_eq(&Project::new(files, &[]).text());
}
