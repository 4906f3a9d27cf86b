//! TLS: messages pass with a valid certificate, and opening fails in time with another.
//!
//! The TLS is that of a small server here, which passes everything on to the broker, with certificates that are made for the test.

use std::{net::SocketAddr, sync::Arc};

use broadway_core::{Outgoing, Publisher, testing::Reader};
use broadway_rabbitmq::{RabbitMq, RabbitMqPublisher};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

use crate::common::{Queue, broker};

/// A certificate authority, and a TLS server in front of the broker, whose certificate names `name`.
struct Secured {
    address: SocketAddr,
    authority: String,
}

impl Secured {
    async fn with_name(name: &str, broker: String) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = certificate.signed_by(&key, &authority).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (acceptor, broker) = (acceptor.clone(), broker.clone());
                tokio::spawn(async move {
                    // Fails if the client rejects the certificate.
                    if let Ok(mut client) = acceptor.accept(client).await {
                        let mut broker = TcpStream::connect(broker).await.unwrap();
                        drop(copy_bidirectional(&mut client, &mut broker).await);
                    }
                });
            }
        });
        Self {
            address,
            authority: authority.pem(),
        }
    }

    fn uri(&self, host: &str) -> String {
        format!("amqps://guest:guest@{host}:{}/%2f", self.address.port())
    }
}

/// The errors of the source and of the publisher.
async fn refusals(uri: &str, authority: Option<&str>) -> [String; 2] {
    let mut source = RabbitMq::queue("orders").uri(uri);
    let mut publisher = RabbitMqPublisher::queue("orders").uri(uri);
    if let Some(pem) = authority {
        source = source.ca_certificate(pem);
        publisher = publisher.ca_certificate(pem);
    }
    let source = Reader::open(&source).await.err().unwrap();
    let publisher = publisher.open().await.err().unwrap();
    [source.to_string(), publisher.to_string()]
}

fn say(refusals: &[String], words: &[&str]) {
    for said in refusals {
        for word in words {
            assert!(said.contains(word), "{word:?} is not in: {said}");
        }
        assert!(!said.contains("guest:guest"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_pass_through_tls_with_a_custom_authority() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "tls").await;
    let secured = Secured::with_name("localhost", address).await;
    let uri = secured.uri("localhost");
    let publisher = RabbitMqPublisher::queue(&queue.name)
        .uri(&uri)
        .ca_certificate(&secured.authority);
    let publisher = publisher.open().await.unwrap();
    for number in 0..10 {
        let message = Outgoing::new(number.to_string());
        publisher.publish_one(message).await.unwrap();
    }
    publisher.close().await.unwrap();
    let source = queue.source().uri(&uri).ca_certificate(&secured.authority);
    let mut reader = Reader::open(&source).await.unwrap();
    let received = reader.exactly(10).await;
    assert_eq!(crate::common::numbers(&received), Vec::from_iter(0..10));
    reader.done(received).await;
    reader.close().await.unwrap();
    assert_eq!(queue.ready().await, 0);
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_host_is_reported() {
    let secured = Secured::with_name("rabbit.example.com", String::new()).await;
    let uri = secured.uri("localhost");
    let said = refusals(&uri, Some(&secured.authority)).await;
    say(
        &said,
        &[
            "`uri`",
            "must name the host",
            "localhost",
            "rabbit.example.com",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untrusted_authority_is_reported() {
    let secured = Secured::with_name("localhost", String::new()).await;
    let said = refusals(&secured.uri("localhost"), None).await;
    say(
        &said,
        &["`uri`", "`ca_certificate`", "its authority must be trusted"],
    );
    // The signature of another authority does not count either.
    let other = Secured::with_name("localhost", String::new()).await;
    let said = refusals(&secured.uri("localhost"), Some(&other.authority)).await;
    say(
        &said,
        &["`uri`", "`ca_certificate`", "its authority must be trusted"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_without_tls_is_reported() {
    let Some(address) = broker() else { return };
    let said = refusals(&format!("amqps://guest:guest@{address}/%2f"), None).await;
    say(&said, &["`uri`", "does not use TLS", "correct the port"]);
}
