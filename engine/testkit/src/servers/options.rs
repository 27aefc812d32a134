//! What a test may ask of its server.

/// What a test may ask of its server; the default is a server that is fast and takes plain connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerOptions {
    /// Over TCP the server takes TLS connections only, with a certificate for `localhost` and `127.0.0.1` of an authority of its own.
    pub tls: bool,
    /// Settings of the server, as in its configuration file: name and value.
    pub settings: Vec<(String, String)>,
}

impl ServerOptions {
    /// These options, with TLS.
    #[must_use]
    pub fn with_tls(self) -> Self {
        Self { tls: true, ..self }
    }

    /// These options, with one more setting.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// The settings as arguments.
    pub(super) fn arguments(&self) -> impl Iterator<Item = String> {
        self.settings.iter().map(|(name, value)| format!("--{name}={value}"))
    }
}
