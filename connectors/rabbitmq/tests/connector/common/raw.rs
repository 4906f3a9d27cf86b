//! AMQP by hand: publishes messages that no client would send, with any bytes.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;

/// The flags of properties.
pub const HEADERS: u16 = 1 << 13;
pub const TYPE: u16 = 1 << 5;

/// A connection with one channel, in the mode that confirms.
pub struct Raw(TcpStream);

impl Raw {
    /// Without heartbeats.
    pub async fn connect(address: &str) -> Self {
        Self::connect_with(address, 0).await
    }

    /// Negotiates heartbeats at this interval in seconds, and sends none.
    pub async fn connect_with(address: &str, heartbeat: u16) -> Self {
        let mut raw = Self(TcpStream::connect(address).await.unwrap());
        raw.0.write_all(b"AMQP\x00\x00\x09\x01").await.unwrap();
        raw.answer([0, 10, 0, 10]).await;
        let start_ok = [
            b"\x00\x0a\x00\x0b\x00\x00\x00\x00".as_slice(),
            &short(b"PLAIN"),
            &long(b"\x00guest\x00guest"),
            &short(b"en_US"),
        ];
        raw.send(METHOD, 0, &start_ok.concat()).await;
        let tune = raw.answer([0, 10, 0, 30]).await;
        // The broker's values, except for the heartbeat.
        let heartbeat = heartbeat.to_be_bytes();
        let tune_ok = [b"\x00\x0a\x00\x1f", &tune[4..10], &heartbeat].concat();
        raw.send(METHOD, 0, &tune_ok).await;
        raw.send(METHOD, 0, b"\x00\x0a\x00\x28\x01/\x00\x00").await;
        raw.answer([0, 10, 0, 41]).await;
        raw.send(METHOD, 1, b"\x00\x14\x00\x0a\x00").await;
        raw.answer([0, 20, 0, 11]).await;
        raw.send(METHOD, 1, b"\x00\x55\x00\x0a\x00").await;
        raw.answer([0, 85, 0, 11]).await;
        raw
    }

    /// Publishes, and waits until the broker has it.
    pub async fn publish(
        &mut self,
        exchange: &str,
        routing_key: &[u8],
        (flags, properties): (u16, &[u8]),
        body: &[u8],
    ) {
        let publish = [
            b"\x00\x3c\x00\x28\x00\x00".as_slice(),
            &short(exchange.as_bytes()),
            &short(routing_key),
            &[0],
        ];
        self.send(METHOD, 1, &publish.concat()).await;
        let n = u64::try_from(body.len()).unwrap().to_be_bytes();
        let header = [
            b"\x00\x3c\x00\x00".as_slice(),
            &n,
            &flags.to_be_bytes(),
            properties,
        ];
        self.send(HEADER, 1, &header.concat()).await;
        self.send(BODY, 1, body).await;
        self.answer([0, 60, 0, 80]).await;
    }

    /// Sends nothing more, until the broker closes the connection.
    pub async fn until_closed(mut self) {
        while let Ok(1..) = self.0.read(&mut [0; 64]).await {}
    }

    async fn send(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let head = [&[kind][..], &channel.to_be_bytes()].concat();
        let frame = [head, long(payload), vec![0xce]].concat();
        self.0.write_all(&frame).await.unwrap();
    }

    /// The next method, which has to be this one.
    async fn answer(&mut self, method: [u8; 4]) -> Vec<u8> {
        let mut head = [0; 7];
        self.0.read_exact(&mut head).await.unwrap();
        let n = u32::from_be_bytes(head[3..].try_into().unwrap());
        let mut payload = vec![0; n as usize + 1];
        self.0.read_exact(&mut payload).await.unwrap();
        let shown = payload.escape_ascii();
        assert_eq!(payload[..4], method, "the broker sent: {shown}");
        payload
    }
}

pub fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

pub fn long(bytes: &[u8]) -> Vec<u8> {
    let n = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&n, bytes].concat()
}

/// One header of this name, which has no value.
pub fn one_header(name: &[u8]) -> Vec<u8> {
    long(&[short(name), b"V".to_vec()].concat())
}

/// One header with lists that are nested this deep.
pub fn deep_header(levels: usize) -> Vec<u8> {
    let mut value = b"V".to_vec();
    for _ in 0..levels {
        value = [b"A".to_vec(), long(&value)].concat();
    }
    long(&[short(b"deep"), value].concat())
}
