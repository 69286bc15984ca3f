//! A certificate for rtsps://, made at start and kept in memory.

use std::net::IpAddr;

use gstreamer_rtsp_server::gio;

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the certificate cannot be made")]
    Certificate(#[from] rcgen::Error),
    #[error("GIO does not take the certificate (glib-networking installed?)")]
    Gio(#[from] gstreamer_rtsp_server::gst::glib::Error),
}

/// Signed by itself, for `address` and `localhost`.
///
/// # Errors
/// When GIO has no TLS.
pub fn certificate(address: IpAddr) -> Result<gio::TlsCertificate, TlsError> {
    let made = rcgen::generate_simple_self_signed([address.to_string(), "localhost".to_owned()])?;
    Ok(gio::TlsCertificate::from_pem(&(made.cert.pem() + &made.signing_key.serialize_pem()))?)
}
