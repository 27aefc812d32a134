//! The list of all plugins.
//!
//! The one place that names them. Read next: `planned.rs`, for those that are part of the language and not of this build.

mod planned;

use karat_lake::LakePlugin;
use karat_plugin_api::Plugin;
use karat_spec::Catalog;

/// The plugins of this build, sorted by name.
pub static PLUGINS: &[&dyn Plugin] = &[&karat_delta::DELTA, &karat_files::FILES, &karat_mysql::MYSQL, &karat_postgres::POSTGRES, &karat_sqlite::SQLITE];

/// Those of them whose tables SQL reads natively, sorted by name.
pub static LAKES: &[&dyn LakePlugin] = &[&karat_delta::DELTA, &karat_files::FILES];

/// What every plugin of the language can do: those of this build, and those that are planned. Built from types alone, without I/O.
#[must_use]
pub fn catalog() -> Catalog {
    let mut plugins: Vec<_> = PLUGINS.iter().map(|plugin| plugin.manifest()).chain(planned::manifests()).collect();
    plugins.sort_by(|a, b| a.name.cmp(&b.name));
    Catalog { plugins: plugins.into_iter().map(|manifest| (manifest.name.clone(), manifest)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn every_plugin_of_the_language_is_in_the_catalog() {
        let catalog = catalog();
        for name in ["clickhouse", "delta", "files", "glue", "iceberg", "mysql", "postgres", "redshift", "sqlite", "sqlserver"] {
            assert!(catalog.plugins.contains_key(name), "{name}");
        }
    }

    #[test]
    fn plugins_of_this_build_are_available_and_agree_with_their_manifests() {
        let catalog = catalog();
        for plugin in PLUGINS {
            assert!(catalog.plugins[plugin.name()].available, "{}", plugin.name());
        }
        for lake in LAKES {
            assert!(PLUGINS.iter().any(|plugin| plugin.name() == lake.name()));
        }
        assert!(!catalog.plugins["clickhouse"].available);
    }

    #[test]
    fn schemas_refuse_keys_that_do_not_exist() {
        for (name, manifest) in &catalog().plugins {
            assert_eq!(manifest.config["type"], "object", "{name}");
            assert_eq!(manifest.config["additionalProperties"], false, "{name}");
            assert!(manifest.description.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn the_catalog_is_cheap_enough_for_every_lint() {
        let fastest = (0..20).map(|_| {
            let start = Instant::now();
            assert!(!catalog().plugins.is_empty());
            start.elapsed()
        });
        // Two milliseconds in a release build; this also runs unoptimised on busy machines.
        assert!(fastest.min() < Some(Duration::from_millis(20)));
    }
}
