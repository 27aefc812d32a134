//! From paths to projects, and from projects to texts.

mod discover;
mod load;

pub(crate) use discover::{Project, discover};
pub(crate) use load::{CANNOT_READ_PAGE, load, load_lock, shown};
