//! A fake of SQS, for faults that a broker does not make on command: partial failures, throttling, silence, answers that are cut off.
//!
//! It has one queue in memory, over HTTP and JSON. A test sets which answers are faulty, and inspects the requests. Received messages
//! stay hidden unless they are made visible.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use broadway_core::testing::Collector;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpListener,
    sync::Notify,
};

/// A faulty answer.
#[derive(Debug, Clone)]
pub enum Fault {
    /// An error with this HTTP status and code; the request has no effect.
    Refuse(u16, &'static str),
    /// As [`Refuse`](Self::Refuse), with this message.
    Explain(u16, &'static str, &'static str),
    /// These entries of the batch (by index) fail, as a fault of the service or of the sender.
    Entries { places: Vec<usize>, ours: bool },
    /// No answer; the request has no effect.
    Silence,
    /// The request has its effect, and the connection is closed without an answer.
    Cut,
}

/// A request: its action and its body.
#[derive(Debug, Clone)]
pub struct Request {
    pub action: String,
    pub body: Value,
}

impl Request {
    /// The handles (or bodies) of the entries of a batch.
    pub fn entries(&self, field: &str) -> Vec<String> {
        let entries = self.body["Entries"].as_array().unwrap();
        let text = |entry: &Value| entry[field].as_str().unwrap().to_owned();
        entries.iter().map(text).collect()
    }
}

#[derive(Clone)]
pub struct Fake {
    pub address: String,
    pub requests: Collector<Request>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    inner: Mutex<Inner>,
    sent: Notify,
}

#[derive(Default)]
struct Inner {
    visible: VecDeque<String>,
    hidden: BTreeMap<String, String>,
    handles: u64,
    faults: BTreeMap<String, VecDeque<Fault>>,
}

impl Fake {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            address: listener.local_addr().unwrap().to_string(),
            requests: Collector::new(),
            state: Arc::default(),
        };
        let server = fake.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        fake
    }

    pub fn url(&self) -> String {
        format!("http://{}/000000000000/fake", self.address)
    }

    pub fn send(&self, bodies: impl IntoIterator<Item = String>) {
        self.inner().visible.extend(bodies);
        self.state.sent.notify_waiters();
    }

    /// Makes the next answer to this action faulty. Further calls queue further faults.
    pub fn fault(&self, action: &str, fault: Fault) {
        let mut inner = self.inner();
        inner
            .faults
            .entry(action.to_owned())
            .or_default()
            .push_back(fault);
    }

    /// How many messages are visible, and how many hidden.
    pub fn counts(&self) -> (usize, usize) {
        let inner = self.inner();
        (inner.visible.len(), inner.hidden.len())
    }

    /// The requests of one action.
    pub fn of(&self, action: &str) -> Vec<Request> {
        let mut all = self.requests.all();
        all.retain(|request| request.action == action);
        all
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.state.inner.lock().unwrap()
    }

    /// Answers on this connection until it ends.
    pub async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut stream = BufReader::new(stream);
        while let Some(request) = read(&mut stream).await {
            self.requests.push(request.clone());
            let fault = {
                let mut inner = self.inner();
                let faults = inner.faults.get_mut(&request.action);
                faults.and_then(VecDeque::pop_front)
            };
            let (status, code, answer) = match &fault {
                Some(Fault::Silence) => std::future::pending().await,
                Some(Fault::Refuse(status, code)) => refusal(*status, code, "by order"),
                Some(Fault::Explain(status, code, words)) => refusal(*status, code, words),
                _ => (200, None, self.act(&request, fault.as_ref()).await),
            };
            if let Some(Fault::Cut) = fault {
                return;
            }
            let header = code.map_or(String::new(), |code| {
                format!("x-amzn-query-error: {code};Sender\r\n")
            });
            let text = answer.to_string();
            let head = format!(
                "HTTP/1.1 {status} x\r\ncontent-type: application/x-amz-json-1.0\r\n{header}content-length: {}\r\n\r\n",
                text.len()
            );
            if stream.write_all((head + &text).as_bytes()).await.is_err() {
                return;
            }
        }
    }

    async fn act(&self, request: &Request, fault: Option<&Fault>) -> Value {
        match request.action.as_str() {
            "GetQueueAttributes" => {
                let (visible, hidden) = self.counts();
                json!({ "Attributes": {
                    "VisibilityTimeout": "30",
                    "ApproximateNumberOfMessages": visible.to_string(),
                    "ApproximateNumberOfMessagesNotVisible": hidden.to_string(),
                } })
            }
            "ReceiveMessage" => self.receive(&request.body).await,
            "DeleteMessageBatch" => self.each(request, fault, |inner, entry| {
                inner
                    .hidden
                    .remove(entry["ReceiptHandle"].as_str().unwrap());
            }),
            "ChangeMessageVisibilityBatch" => {
                let answer = self.each(request, fault, |inner, entry| {
                    let handle = entry["ReceiptHandle"].as_str().unwrap();
                    if entry["VisibilityTimeout"] == 0
                        && let Some(body) = inner.hidden.remove(handle)
                    {
                        inner.visible.push_back(body);
                    }
                });
                self.state.sent.notify_waiters();
                answer
            }
            "SendMessageBatch" => self.each(request, fault, |inner, entry| {
                let body = entry["MessageBody"].as_str().unwrap();
                inner.visible.push_back(body.to_owned());
            }),
            other => panic!("the fake does not know {other}"),
        }
    }

    async fn receive(&self, body: &Value) -> Value {
        let max = usize::try_from(body["MaxNumberOfMessages"].as_u64().unwrap()).unwrap();
        let wait = std::time::Duration::from_secs(body["WaitTimeSeconds"].as_u64().unwrap());
        let there = async {
            loop {
                let sent = self.state.sent.notified();
                tokio::pin!(sent);
                sent.as_mut().enable();
                if self.counts().0 > 0 {
                    return;
                }
                sent.await;
            }
        };
        drop(tokio::time::timeout(wait, there).await);
        let mut inner = self.inner();
        let n = max.min(inner.visible.len());
        let bodies: Vec<String> = inner.visible.drain(..n).collect();
        let messages = bodies.into_iter().map(|body| {
            inner.handles += 1;
            let handle = format!("handle-{}", inner.handles);
            inner.hidden.insert(handle.clone(), body.clone());
            json!({ "MessageId": body, "ReceiptHandle": handle, "Body": body })
        });
        let messages: Vec<Value> = messages.collect();
        json!({ "Messages": messages })
    }

    fn each(
        &self,
        request: &Request,
        fault: Option<&Fault>,
        act: impl Fn(&mut Inner, &Value),
    ) -> Value {
        let (bad, is_ours) = match fault {
            Some(Fault::Entries { places, ours }) => (places.clone(), *ours),
            _ => (Vec::new(), false),
        };
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        let entries = request.body["Entries"].as_array().unwrap();
        assert!(entries.len() <= 10, "{} entries in a batch", entries.len());
        for (place, entry) in entries.iter().enumerate() {
            if bad.contains(&place) {
                failed.push(json!({ "Id": entry["Id"], "SenderFault": is_ours, "Code": "Oops" }));
            } else {
                act(&mut self.inner(), entry);
                done.push(json!({ "Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "d" }));
            }
        }
        json!({ "Successful": done, "Failed": failed })
    }
}

fn refusal(status: u16, code: &'static str, words: &str) -> (u16, Option<&'static str>, Value) {
    let answer = json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": words });
    (status, Some(code), answer)
}

async fn read(stream: &mut BufReader<impl AsyncRead + Unpin>) -> Option<Request> {
    let (mut action, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "x-amz-target" => action = value.trim().strip_prefix("AmazonSQS.")?.to_owned(),
            "content-length" => length = value.trim().parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let body = serde_json::from_slice(&body).ok()?;
    Some(Request { action, body })
}
