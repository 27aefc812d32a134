//! Small files: every change of a few rows leaves one more, so a change now and then merges them.

use crate::DataFile;
use crate::rewrite::Rewrite;
use karat_plugin_api::FileLayout;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Small files of one partition that may lie beside each other. Merging this many at once writes a row about as often as the table grows eightfold.
const MAX_SMALL_FILES: usize = 8;

/// Adds the small files to `rewrites` where a partition has too many of them.
pub(crate) fn merge_small(rewrites: &mut Vec<Rewrite>, files: Vec<Arc<DataFile>>, layout: &FileLayout) {
    let touched: BTreeSet<String> = rewrites.iter().map(|rewrite| rewrite.file.path.clone()).collect();
    let is_small = |file: &DataFile| file.rows < layout.min_file_rows / 2 && file.size < layout.target_file_bytes / 2;
    let mut by_folder: BTreeMap<String, Vec<Arc<DataFile>>> = BTreeMap::new();
    for file in files {
        if is_small(&file) && !touched.contains(&file.path) {
            let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            by_folder.entry(folder.to_owned()).or_default().push(file);
        }
    }
    let too_many = by_folder.into_values().filter(|small| small.len() >= MAX_SMALL_FILES);
    rewrites.extend(too_many.flatten().map(Rewrite::whole));
}
