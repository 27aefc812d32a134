//! Certificates of an authority that nobody else trusts.

use super::home::Home;
use super::programs::{find, run};
use crate::skip::Skip;
use std::path::PathBuf;
use std::process::Command;

/// Files in PEM form, in the server's folder.
pub(super) struct Certificates {
    pub(super) authority: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Certificates {
    /// A new authority, and a certificate of it for `localhost` and `127.0.0.1`.
    pub(super) fn make(home: &Home) -> Result<Self, Skip> {
        let openssl = find("openssl", "openssl")?;
        let folder = home.path();
        let at = |name: &str| folder.join(name);
        home.write("authority.cnf", "[req]\ndistinguished_name=name\nx509_extensions=authority\nprompt=no\n[name]\nCN=Karat test authority\n[authority]\nbasicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign\nsubjectKeyIdentifier=hash\n");
        home.write(
            "server.cnf",
            "basicConstraints=critical,CA:false\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n",
        );
        let openssl = |arguments: &[&str]| run(Command::new(&openssl).current_dir(folder).args(arguments));
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        openssl(&[&["req", "-x509"][..], &key, &["-config", "authority.cnf", "-keyout", "authority.key", "-out", "authority.pem", "-days", "3650"]].concat());
        openssl(&[&["req", "-new"][..], &key, &["-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.csr"]].concat());
        openssl(&[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "authority.pem",
            "-CAkey",
            "authority.key",
            "-CAcreateserial",
            "-days",
            "3650",
            "-extfile",
            "server.cnf",
            "-out",
            "server.pem",
        ]);
        let made = Self { authority: at("authority.pem"), certificate: at("server.pem"), key: at("server.key") };
        home.own(&made.certificate);
        home.own(&made.key);
        Ok(made)
    }
}
