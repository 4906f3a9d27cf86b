//! A fake of the service that rejects: every REST request with one answer, every gRPC call with one code.

use std::net::SocketAddr;

use http::{HeaderMap, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Its answers.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    /// To REST: the HTTP status, and its name in `google.rpc.Code`.
    pub rest: (u16, &'static str),
    /// To gRPC: the number of the code.
    pub grpc: u8,
    pub words: &'static str,
}

pub async fn start(refusal: Refusal) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, refusal));
        }
    });
    address
}

async fn serve(stream: TcpStream, refusal: Refusal) {
    let mut begin = [0; 3];
    // HTTP/2 begins with `PRI`.
    if stream.peek(&mut begin).await.is_ok() && &begin == b"PRI" {
        grpc(stream, refusal).await;
    } else {
        drop(rest(stream, refusal).await);
    }
}

async fn grpc(stream: TcpStream, refusal: Refusal) {
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    while let Some(Ok((_request, mut respond))) = connection.accept().await {
        let mut response = Response::new(());
        let headers: &mut HeaderMap = response.headers_mut();
        headers.insert("content-type", "application/grpc".parse().unwrap());
        headers.insert("grpc-status", u16::from(refusal.grpc).into());
        headers.insert("grpc-message", refusal.words.parse().unwrap());
        drop(respond.send_response(response, true));
    }
}

async fn rest(mut stream: TcpStream, refusal: Refusal) -> std::io::Result<()> {
    let (status, name) = refusal.rest;
    let body = format!(
        r#"{{"error":{{"code":{status},"status":"{name}","message":"{}"}}}}"#,
        refusal.words
    );
    loop {
        // The requests have no body.
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await?);
        }
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await?;
    }
}
