//! Connections to external systems.

use std::collections::BTreeSet;
use std::fmt;

/// One connection of a pipeline or of the project.
#[derive(Debug, Clone)]
pub struct ConnectionSpec {
    /// The name that tables refer to.
    pub name: String,
    /// The plugin, as `type` names it.
    pub plugin: String,
    /// Everything besides `type`, already interpolated and validated against the plugin's manifest.
    pub settings: Settings,
    /// Where each key and value stands.
    pub spans: crate::SpanIndex,
    /// True for the built-in `warehouse`, which no file defines.
    pub built_in: bool,
}

/// The settings of a connection. Never printed: a value may be a secret.
#[derive(Clone, Default)]
pub struct Settings {
    value: serde_json::Map<String, serde_json::Value>,
    unresolved: BTreeSet<String>,
    from_environment: BTreeSet<String>,
}

impl Settings {
    /// Settings with the top-level keys that hold a `${NAME}` without a value, and those that hold a value from the environment.
    #[must_use]
    pub fn new(value: serde_json::Map<String, serde_json::Value>, unresolved: BTreeSet<String>, from_environment: BTreeSet<String>) -> Self {
        Self { value, unresolved, from_environment }
    }

    /// One value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&serde_json::Value> {
        self.value.get(key)
    }

    /// One text that is known now: not one that waits for the environment.
    #[must_use]
    pub fn known_text(&self, key: &str) -> Option<&str> {
        self.value.get(key)?.as_str().filter(|_| !self.unresolved.contains(key))
    }

    /// True when the key's value waits for the environment, or came from it.
    #[must_use]
    pub fn is_secret(&self, key: &str) -> bool {
        self.unresolved.contains(key) || self.from_environment.contains(key)
    }

    /// True when some value waits for the environment.
    #[must_use]
    pub fn is_unresolved(&self) -> bool {
        !self.unresolved.is_empty()
    }

    /// The settings for the plugin itself. Whoever takes them must not print them.
    #[must_use]
    pub fn expose(&self) -> &serde_json::Map<String, serde_json::Value> {
        &self.value
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_set().entries(self.value.keys()).finish()
    }
}
