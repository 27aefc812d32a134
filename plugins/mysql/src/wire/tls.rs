//! Encryption, verified as `sslmode` says, and never less.

use crate::config::{Server, SslMode};
use crate::error::Fault;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, StreamOwned};
use std::net::TcpStream;
use std::sync::Arc;

/// Encrypts a connection.
pub(crate) fn connect(server: &Server, stream: TcpStream) -> Result<StreamOwned<ClientConnection, TcpStream>, Fault> {
    let name = ServerName::try_from(server.host.clone()).map_err(|error| Fault::Driver(Box::new(error)))?;
    let mut connection = ClientConnection::new(Arc::new(configuration(server)?), name).map_err(|error| Fault::Driver(Box::new(error)))?;
    let mut stream = stream;
    // The handshake happens now, so that a certificate that does not fit is told from a broken connection.
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(|error| match error.downcast::<Error>() {
            Ok(error) => Fault::Driver(Box::new(error)),
            Err(error) => Fault::Io(error),
        })?;
    }
    Ok(StreamOwned::new(connection, stream))
}

fn configuration(server: &Server) -> Result<ClientConfig, Fault> {
    let driver = |error: Error| Fault::Driver(Box::new(error));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().map_err(driver)?;
    let verifier: Arc<dyn ServerCertVerifier> = if server.sslmode == SslMode::Require {
        Arc::new(Anybody(provider))
    } else {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots(server)?), provider).build().map_err(|error| Fault::Driver(Box::new(error)))?;
        if server.sslmode == SslMode::VerifyCa { Arc::new(AnyName(verifier)) } else { verifier }
    };
    Ok(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

fn roots(server: &Server) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    let Some(path) = &server.ca else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| Fault::Driver(format!("certificates in `{}`: {error}", path.display()).into()))? {
        let certificate = certificate.map_err(|error| Fault::Driver(format!("certificates in `{}`: {error}", path.display()).into()))?;
        roots.add(certificate).map_err(|error| Fault::Driver(Box::new(error)))?;
    }
    Ok(roots)
}

/// `verify_ca`: signed by a known authority, whatever name it says.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(&self, end: &CertificateDer<'_>, between: &[CertificateDer<'_>], name: &ServerName<'_>, ocsp: &[u8], now: UnixTime) -> Result<ServerCertVerified, Error> {
        match self.0.verify_server_cert(end, between, name, ocsp, now) {
            Err(Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(&self, message: &[u8], certificate: &CertificateDer<'_>, signature: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(&self, message: &[u8], certificate: &CertificateDer<'_>, signature: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// `require`: encrypted, whoever it is.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(&self, _: &CertificateDer<'_>, _: &[CertificateDer<'_>], _: &ServerName<'_>, _: &[u8], _: UnixTime) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(&self, message: &[u8], certificate: &CertificateDer<'_>, signature: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(&self, message: &[u8], certificate: &CertificateDer<'_>, signature: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
