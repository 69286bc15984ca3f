//! tls:// addresses with a certificate authority of one's own.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::harness::cluster::{NatsServer, environment};
use crate::harness::service::Service;
use crate::harness::{process, within};

async fn openssl(dir: &Path, words: &str) {
    let mut command = Command::new("openssl");
    command.args(words.split(' ')).current_dir(dir).stdin(Stdio::null()).kill_on_drop(true);
    let made = within("openssl", command.output()).await.unwrap();
    assert!(made.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&made.stderr));
}

/// An authority and a certificate for 127.0.0.1, made as docs/farm.md says.
async fn certificates(dir: &Path) -> (PathBuf, PathBuf, PathBuf) {
    openssl(
        dir,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test-ca -keyout ca-key.pem -out ca.pem",
    )
    .await;
    openssl(
        dir,
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=nats -addext subjectAltName=IP:127.0.0.1 -keyout node-key.pem -out node.csr",
    )
    .await;
    openssl(dir, "x509 -req -in node.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -copy_extensions copy -out node.pem")
        .await;
    (dir.join("ca.pem"), dir.join("node.pem"), dir.join("node-key.pem"))
}

#[tokio::test]
async fn servers_are_checked_against_the_authority_of_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, certificate, key) = certificates(dir.path()).await;
    let flags = ["--tls", "--tlscert", certificate.to_str().unwrap(), "--tlskey", key.to_str().unwrap()];
    let server = NatsServer::single_with(&flags).await;
    let url = server.url.replace("nats://", "tls://");

    let data = tempfile::tempdir().unwrap();
    let mut trusting = environment(&url, "api");
    trusting.push(("RSM__NATS__CA_FILE", ca.to_str().unwrap().to_owned()));
    let api = Service::api(data.path(), &trusting).await;
    api.until_ready().await;

    // Another authority did not sign it.
    let other = tempfile::tempdir().unwrap();
    let (ca, ..) = certificates(other.path()).await;
    let segments = tempfile::tempdir().unwrap();
    let mut deceived = environment(&url, "worker-default");
    deceived.push(("RSM__NATS__CA_FILE", ca.to_str().unwrap().to_owned()));
    let worker = Service::worker("w1", segments.path(), &deceived).await;
    worker.until_unready("nats.ca_file").await;
}

#[tokio::test]
async fn a_file_of_certificates_that_is_not_there_is_named_before_anything_starts() {
    let mut command = Command::new(process::rsm());
    command.arg("api").env("RSM__NATS__CA_FILE", "/no/such/ca.pem").stdin(Stdio::null()).kill_on_drop(true);
    let ended = within("rsm api to end", command.output()).await.unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(64), "{said}");
    assert!(said.contains("nats.ca_file") && said.contains("/no/such/ca.pem"), "{said}");
}
