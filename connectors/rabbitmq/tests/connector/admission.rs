//! Permissions: a user without them, and credentials and vhosts that are gone when the source reconnects.

use broadway_core::{Outgoing, Publisher, testing::Reader};
use broadway_rabbitmq::{Declare, RabbitMq, RabbitMqPublisher};

use crate::common::{Queue, broker, management, unique};

/// Nothing, and everything.
const NOTHING: &str = r#"{"configure":"^$","write":"^$","read":"^$"}"#;
const EVERYTHING: &str = r#"{"configure":".*","write":".*","read":".*"}"#;

/// A user of a test, gone with it.
struct User {
    name: String,
}

impl User {
    async fn create(permissions: &'static str) -> Self {
        let user = Self {
            name: unique("user"),
        };
        user.set_password("hush").await;
        let path = format!("/api/permissions/%2F/{}", user.name);
        management::change("PUT", path, permissions.to_owned()).await;
        user
    }

    async fn set_password(&self, password: &str) {
        let path = format!("/api/users/{}", self.name);
        let user = format!(r#"{{"password":"{password}","tags":""}}"#);
        management::change("PUT", path, user).await;
    }

    fn uri(&self, address: &str) -> String {
        format!("amqp://{}:hush@{address}/%2f", self.name)
    }

    async fn delete(self) {
        let path = format!("/api/users/{}", self.name);
        management::change("DELETE", path, String::new()).await;
    }
}

fn says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    assert!(!said.contains("hush"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_names_the_permission_that_the_user_lacks() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "forbidden").await;
    let user = User::create(NOTHING).await;
    let uri = user.uri(&address);
    let refusal = async |source: RabbitMq| {
        let source = source.uri(&uri);
        Reader::open(&source).await.err().unwrap().to_string()
    };
    let about = ["`uri`", &user.name, &queue.name, "permission"];
    let said = refusal(queue.source()).await;
    says(&said, &[&about[..], &["read the queue", "`read`"]].concat());
    let said = refusal(queue.source().declare(Declare::classic())).await;
    says(&said, &[&about[..], &["`declare`", "`configure`"]].concat());
    let said = refusal(queue.source().bind("amq.topic", "#")).await;
    says(&said, &[&about[..], &["`bind`", "`write`"]].concat());

    let publisher = RabbitMqPublisher::queue(&queue.name).uri(&uri);
    let said = match publisher.open().await {
        Err(error) => error.to_string(),
        // The broker asks for it only when something is published.
        Ok(publisher) => {
            let sent = publisher.publish_one(Outgoing::new("x")).await;
            sent.unwrap_err().to_string()
        }
    };
    println!("{said}");
    says(&said, &[&user.name, "refused", "permission"]);
    queue.delete().await;
    user.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_refused_again_and_again_fail_the_producer() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "changed").await;
    let user = User::create(EVERYTHING).await;
    let name = unique("reader");
    let source = queue
        .source()
        .uri(user.uri(&address))
        .connection_name(&name);
    let mut reader = Reader::open(&source).await.unwrap();
    user.set_password("other").await;
    let ((), failed) = tokio::join!(management::kill(&name), reader.some(1));
    let said = failed.err().unwrap().to_string();
    let words = ["6 times in a row", "`uri`", &user.name, "the password"];
    says(&said, &words);
    // The broker may be starting, so each rejection was reported and tried again.
    assert!(reader.recorder().count("source_error") >= 6);
    queue.delete().await;
    user.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vhost_that_is_gone_fails_the_producer() {
    let Some(address) = broker() else { return };
    let vhost = unique("vhost");
    let path = format!("/api/vhosts/{vhost}");
    management::change("PUT", path.clone(), String::new()).await;
    let may = format!("/api/permissions/{vhost}/guest");
    management::change("PUT", may, EVERYTHING.to_owned()).await;
    let source = RabbitMq::queue("orders")
        .uri(format!("amqp://guest:guest@{address}/{vhost}"))
        .declare(Declare::classic());
    let mut reader = Reader::open(&source).await.unwrap();
    let gone = management::change("DELETE", path, String::new());
    let ((), failed) = tokio::join!(gone, reader.some(1));
    let said = failed.err().unwrap().to_string();
    says(&said, &["6 times in a row", "`uri`", &vhost]);
}
