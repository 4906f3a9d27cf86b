//! TLS faults, recognized by the texts of rustls and hyper: [`TlsFault`].

/// Why a TLS connection was not made, and what to do about it.
///
/// Client libraries hide the types of rustls and hyper, so the fault is recognized by its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFault {
    /// The server's certificate is for another host, has expired, or its authority is not trusted.
    Certificate,
    /// The client uses TLS and the server does not.
    ServerIsPlain,
    /// The client does not use TLS, and the server seems to.
    ServerUsesTls,
}

impl TlsFault {
    /// The fault that the text of an error chain shows, if it shows one.
    ///
    /// ```
    /// use broadway_core::connector::TlsFault;
    ///
    /// let text = "client error (Connect): invalid peer certificate: UnknownIssuer";
    /// assert_eq!(TlsFault::in_text(text), Some(TlsFault::Certificate));
    /// assert_eq!(TlsFault::in_text("connection refused"), None);
    /// ```
    #[must_use]
    pub fn in_text(text: &str) -> Option<Self> {
        let marks = [
            ("invalid peer certificate", Self::Certificate),
            ("InvalidContentType", Self::ServerIsPlain),
            ("invalid HTTP version", Self::ServerUsesTls),
        ];
        let found = marks.into_iter().find(|(mark, _)| text.contains(mark));
        found.map(|(_, fault)| fault)
    }

    /// What to do, as the end of an error text.
    #[must_use]
    pub const fn help(self) -> &'static str {
        match self {
            Self::Certificate => {
                "the certificate must name the host that the address names, and its authority must be trusted on this machine; \
                 SSL_CERT_FILE names a file with further authorities"
            }
            Self::ServerIsPlain => {
                "the server does not use TLS: use http:// if that is intended, or correct the port"
            }
            Self::ServerUsesTls => "the server may expect TLS: use https://, or correct the port",
        }
    }
}
