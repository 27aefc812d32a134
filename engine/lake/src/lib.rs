//! Tables made of Parquet files: writing, committing, reading.
