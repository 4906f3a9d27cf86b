//! A fake broker that implements Kafka's protocol up to the login: it supports one SASL mechanism and rejects every password.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const SASL_HANDSHAKE: i16 = 17;
const API_VERSIONS: i16 = 18;
const SASL_AUTHENTICATE: i16 = 36;

const UNSUPPORTED_SASL_MECHANISM: i16 = 33;
const UNSUPPORTED_VERSION: i16 = 35;
const SASL_AUTHENTICATION_FAILED: i16 = 58;

/// The broker's answer to every password.
pub const VERDICT: &str = "Authentication failed: Invalid username or password";

/// Starts the broker and returns its `host:port`.
pub async fn start(mechanism: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, mechanism));
        }
    });
    address
}

async fn serve(mut stream: TcpStream, mechanism: &str) -> std::io::Result<()> {
    loop {
        let mut request = vec![0; usize::try_from(stream.read_i32().await?).unwrap()];
        stream.read_exact(&mut request).await?;
        let number = |at: usize| i16::from_be_bytes([request[at], request[at + 1]]);
        let (api, version) = (number(0), number(2));
        let mut answer = request[4..8].to_vec(); // The correlation ID.
        match api {
            API_VERSIONS => {
                // Answers the oldest version, and rejects others in the format of the oldest.
                let error = if version == 0 { 0 } else { UNSUPPORTED_VERSION };
                answer.extend(error.to_be_bytes());
                answer.extend(i32::from(SASL_AUTHENTICATE + 1).to_be_bytes());
                for api in 0..=SASL_AUTHENTICATE {
                    let version_max = if api == API_VERSIONS || api == SASL_AUTHENTICATE {
                        0
                    } else {
                        4
                    };
                    answer.extend([api, 0, version_max].map(i16::to_be_bytes).concat());
                }
            }
            SASL_HANDSHAKE => {
                let asked = 10 + usize::try_from(number(8)).unwrap();
                let is_known = &request[asked + 2..] == mechanism.as_bytes();
                let error = if is_known {
                    0
                } else {
                    UNSUPPORTED_SASL_MECHANISM
                };
                answer.extend(error.to_be_bytes());
                answer.extend(1_i32.to_be_bytes());
                text(&mut answer, mechanism);
            }
            SASL_AUTHENTICATE => {
                answer.extend(SASL_AUTHENTICATION_FAILED.to_be_bytes());
                text(&mut answer, VERDICT);
                answer.extend(0_i32.to_be_bytes());
            }
            _ => return Ok(()),
        }
        stream
            .write_i32(i32::try_from(answer.len()).unwrap())
            .await?;
        stream.write_all(&answer).await?;
    }
}

fn text(answer: &mut Vec<u8>, text: &str) {
    answer.extend(i16::try_from(text.len()).unwrap().to_be_bytes());
    answer.extend(text.as_bytes());
}
