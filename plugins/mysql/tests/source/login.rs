//! Logins and encryption.

use crate::world::{server, source, source_of};
use karat_plugin_api::{ConnectContext, ConnectorError, ErrorKind, Plugin, Source, SourceObject, StreamId, TargetObject};
use karat_testkit::servers::{MysqlServer, ServerOptions};
use std::sync::Arc;

async fn look(source: &Arc<dyn Source>) -> Result<usize, ConnectorError> {
    source.describe(&SourceObject::Table("t".into())).await.map(|schema| schema.columns.len())
}

/// The sink's connection is the driver's.
async fn write_with(settings: serde_json::Value) -> Result<(), ConnectorError> {
    let context = ConnectContext { root: "/".into(), scratch: "/tmp".into() };
    let sink = karat_mysql::MYSQL.open_sink(settings.as_object().unwrap(), &context).unwrap();
    sink.target_state(&StreamId::new("p", "t"), &TargetObject { table: "t".into() }).await.map(|_| ())
}

async fn write(url: &str) -> Result<(), ConnectorError> {
    write_with(serde_json::json!({ "url": url })).await
}

#[tokio::test]
async fn certificates_are_verified_as_the_mode_says() {
    let test = "certificates_are_verified_as_the_mode_says";
    let server = match MysqlServer::start_with(&ServerOptions::default().with_tls()) {
        Ok(server) => server,
        Err(skip) => return skip.report(test),
    };
    let database = server.database();
    database.execute("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1)");
    let settings = |host: &str, mode: &str, ca: Option<&str>| {
        let mut settings = serde_json::json!({"host": host, "port": database.port(), "user": "root", "database": database.name(), "sslmode": mode});
        if let Some(ca) = ca {
            settings["ca"] = ca.into();
        }
        source_of(settings)
    };
    let ours = server.authority().unwrap().to_str().unwrap();
    assert_eq!(look(&settings("127.0.0.1", "verify_full", Some(ours))).await.unwrap(), 1);
    assert_eq!(look(&settings("localhost", "verify_full", Some(ours))).await.unwrap(), 1);
    // Another spelling of 127.0.0.1, which the certificate does not name.
    let other_name = "0x7f000001";
    assert_eq!(look(&settings(other_name, "verify_ca", Some(ours))).await.unwrap(), 1);
    let error = look(&settings(other_name, "verify_full", Some(ours))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}", error.chain());
    assert_eq!(look(&settings("127.0.0.1", "require", None)).await.unwrap(), 1);
    database.execute(&format!("CREATE USER somebody IDENTIFIED BY 'pw'; GRANT ALL ON {}.* TO somebody", database.name()));
    let with_password = format!("mysql://somebody:pw@127.0.0.1:{}/{}?sslmode=verify_full&ca={ours}", database.port(), database.name());
    assert_eq!(look(&source(&with_password)).await.unwrap(), 1);
    write(&with_password).await.unwrap();

    // The public authorities did not sign it, in whatever mode that verifies.
    for mode in ["verify_full", "verify_ca"] {
        let error = look(&settings("127.0.0.1", mode, None)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{}", error.chain());
        assert!(error.help().unwrap().contains("`ca`"));
    }
    // The server takes no plain connection.
    let error = look(&settings("127.0.0.1", "disable", None)).await.unwrap_err();
    assert!(!error.kind().is_transient(), "{}", error.chain());
}

#[tokio::test]
async fn encryption_is_never_left_out_in_silence() {
    let test = "encryption_is_never_left_out_in_silence";
    let Some(server) = server(test) else { return };
    let database = server.database();
    let error = look(&source(&format!("{}?sslmode=require", database.url()))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadConfiguration);
    assert!(error.chain().contains("the server offers no encryption"), "{}", error.chain());
}

#[tokio::test]
async fn passwords_sockets_and_refusals() {
    let test = "passwords_sockets_and_refusals";
    let Some(server) = server(test) else { return };
    let database = server.database();
    let name = database.name();
    database.execute(&format!(
        "CREATE TABLE t (id INT PRIMARY KEY); CREATE USER p_{name} IDENTIFIED BY 'pä:s/s@%'; GRANT ALL ON {name}.* TO p_{name}; CREATE USER n_{name} IDENTIFIED BY 'x'"
    ));
    let good = database.url().replace("root@", &format!("p_{name}:p%C3%A4%3As%2Fs%40%25@"));
    assert_eq!(look(&source(&good)).await.unwrap(), 1);
    let through_socket = |user: &str, password: &str| serde_json::json!({"host": server.socket(), "user": user, "password": password, "database": name});
    assert_eq!(look(&source_of(through_socket("root", ""))).await.unwrap(), 1);
    // The server forgets who has proved a password; the next one to come does it again, by whichever way.
    for settings in [serde_json::json!({"url": good}), through_socket(&format!("p_{name}"), "pä:s/s@%")] {
        database.execute("FLUSH PRIVILEGES");
        assert_eq!(look(&source_of(settings.clone())).await.unwrap(), 1);
        database.execute("FLUSH PRIVILEGES");
        write_with(settings).await.unwrap();
    }

    let error = look(&source(&database.url().replace("root@", &format!("p_{name}:wrong-secret@")))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(!error.chain().contains("wrong-secret"));
    let error = look(&source(&database.url().replace("root@", &format!("n_{name}:x@")))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let error = look(&source(&database.url().replace(name, "no_such_database"))).await.unwrap_err();
    assert_eq!((error.kind(), error.help()), (ErrorKind::NotFound, Some("correct `database`, or create it")));
    database.execute(&format!("DROP USER p_{name}, n_{name}"));
}
