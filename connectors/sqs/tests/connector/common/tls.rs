//! A TLS server with a certificate from an authority of its own, which only clients with [`Identity::authority_file`] trust.

use std::{path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, pem::PemObject},
    },
    server::TlsStream,
};

/// A server certificate and its authority.
pub struct Identity {
    acceptor: TlsAcceptor,
    authority: String,
}

impl Identity {
    /// A certificate for these hosts, by name or address.
    pub fn of<const N: usize>(hosts: [&str; N]) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        // A name that differs from the default one, or the server's certificate would look self-signed.
        params
            .distinguished_name
            .push(DnType::CommonName, "Authority for tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(hosts.map(str::to_owned)).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            authority: authority.pem(),
        }
    }

    /// Serves every connection whose handshake succeeds. Returns the port on 127.0.0.1.
    pub async fn listen<F>(
        &self,
        serve: impl Fn(TlsStream<TcpStream>) -> F + Send + Sync + 'static,
    ) -> u16
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (acceptor, serve) = (self.acceptor.clone(), Arc::new(serve));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, serve) = (acceptor.clone(), serve.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream).await;
                    }
                });
            }
        });
        port
    }

    /// A file with the authority's certificate, in the folder for temporary files, where it stays.
    pub fn authority_file(&self) -> PathBuf {
        let file =
            std::env::temp_dir().join(format!("{}.pem", super::unique("broadway-authority")));
        std::fs::write(&file, &self.authority).unwrap();
        file
    }
}
