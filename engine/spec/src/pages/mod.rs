//! The pages of this crate's codes, as `karat explain` prints them. Tests run their YAML.

mod places;
mod values;
mod yaml;

use karat_diagnostics::Explanation;
use std::sync::LazyLock;

/// The pages of all `S` codes, in order.
#[must_use]
pub fn explanations() -> &'static [Explanation] {
    static ALL: LazyLock<Vec<Explanation>> = LazyLock::new(|| [yaml::PAGES, values::PAGES, places::PAGES].concat());
    &ALL
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Capabilities, Catalog, Environment, PluginManifest, SourceSet, codes, parse};
    use serde_json::json;
    use std::collections::BTreeMap;

    fn codes_of(yaml: &str) -> Vec<&'static str> {
        let is_lock = yaml.starts_with("# karat.lock");
        let sources = SourceSet::from_texts("/project", &[(if is_lock { "karat.lock" } else { "shop.yaml" }, yaml)]);
        if is_lock {
            return crate::read_lock(&sources).1.iter().map(|finding| finding.code.0).collect();
        }
        let url = json!({"type": "object", "properties": {"url": {"type": "string"}}, "additionalProperties": false});
        let path = json!({"type": "object", "properties": {"path": {"type": "string"}}, "additionalProperties": false});
        let manifest = |name: &str, config| PluginManifest { name: name.to_owned(), description: String::new(), available: true, capabilities: Capabilities::default(), config };
        let plugins = [("postgres", url), ("sqlite", path)].map(|(name, config)| (name.to_owned(), manifest(name, config)));
        let catalog = Catalog { plugins: plugins.into_iter().collect() };
        let environment = Environment::Variables(BTreeMap::from([("DB_URL".to_owned(), "postgres://db/shop".to_owned())]));
        let (_, findings) = parse(&sources, &environment, &catalog);
        findings.iter().map(|finding| finding.code.0).collect()
    }

    #[test]
    fn every_code_has_its_page_and_every_page_its_code() {
        let pages: Vec<&str> = explanations().iter().map(|page| page.code).collect();
        let codes: Vec<&str> = codes::ALL.iter().map(|code| code.0).collect();
        assert_eq!(pages, codes);
    }

    #[test]
    fn examples_of_the_pages_do_what_the_pages_say() {
        for page in explanations() {
            let found = codes_of(page.fails);
            assert!(found.contains(&page.code), "{}: `fails` gives {found:?}", page.code);
            assert_eq!(codes_of(page.passes), Vec::<&str>::new(), "{}: `passes`", page.code);
            for text in [page.title, page.what, page.why, page.fix] {
                assert!(!text.is_empty(), "{} has an empty part", page.code);
            }
        }
    }
}
