//! One message of a call that the broker closes the channel over: it is refused, and the others arrive.

use std::collections::BTreeMap;

use broadway_core::{Outgoing, PublishError, PublishErrorKind, Publisher};
use broadway_rabbitmq::RabbitMqPublisher;

use super::broker::{Queue, broker, in_time, kinds, management, unique};
use crate::common::management::change;

/// How often each payload is in the queue.
async fn arrived(queue: &Queue) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for payload in queue.payloads().await {
        *times.entry(payload).or_default() += 1;
    }
    times
}

/// The culprits are refused, with this word in the reason; the others are confirmed, and arrived once, or twice where they had no answer when the
/// broker closed the channel.
async fn assert_refused_alone(
    results: &[Result<(), PublishError>],
    culprits: &[usize],
    word: &str,
    queue: &Queue,
) {
    let times = arrived(queue).await;
    for (at, result) in results.iter().enumerate() {
        let n = times.get(&at.to_string()).copied().unwrap_or_default();
        match result {
            Ok(()) => assert!(!culprits.contains(&at) && (1..=2).contains(&n), "{at}: {n}"),
            Err(error) => {
                assert_eq!(error.kind(), PublishErrorKind::Refused, "{at}: {error}");
                assert!(culprits.contains(&at) && n == 0, "{at}: {n} {error}");
                assert!(error.to_string().contains(word), "{at}: {error}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_the_broker_takes_for_routes_is_refused_before_it_is_sent() {
    let Some(address) = broker() else { return };
    for name in ["CC", "BCC"] {
        let queue = Queue::create(&address, "routes").await;
        let publisher = queue.publisher().open().await.unwrap();
        let messages = (0..20).map(|n| match n {
            7 => Outgoing::new("7").header(name, "somewhere"),
            n => Outgoing::new(n.to_string()),
        });
        let results = in_time(publisher.publish(messages.collect())).await;
        let said = results[7].as_ref().unwrap_err();
        assert_eq!(said.kind(), PublishErrorKind::Refused);
        assert!(said.to_string().contains(&format!("`{name}`")), "{said}");
        assert_eq!(kinds(&results).iter().flatten().count(), 1);
        // Each once: the broker had nothing to object to.
        let times = arrived(&queue).await;
        assert!(times.len() == 19 && times.values().all(|n| *n == 1));
        in_time(publisher.close()).await.unwrap();
        queue.delete().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_routing_key_that_is_forbidden_is_refused_alone() {
    let Some(address) = broker() else { return };
    let Some(_) = management() else { return };
    let queue = Queue::create(&address, "forbidden").await;
    let exchange = unique("forbidding");
    let guest = format!("amqp://guest:guest@{address}/%2f");
    // Makes the exchange.
    let open = RabbitMqPublisher::exchange(&exchange).uri(&guest);
    let owner = open.create_if_missing().open().await.unwrap();
    queue.bind(&exchange, "#").await;
    let user = unique("clerk");
    let password = r#"{"password":"secret","tags":""}"#.to_owned();
    change("PUT", format!("/api/users/{user}"), password).await;
    let all = r#"{"configure":".*","write":".*","read":".*"}"#.to_owned();
    change("PUT", format!("/api/permissions/%2f/{user}"), all).await;
    let topics = format!(r#"{{"exchange":"{exchange}","write":"^open.*","read":".*"}}"#);
    change("PUT", format!("/api/topic-permissions/%2f/{user}"), topics).await;

    let publisher = RabbitMqPublisher::exchange(&exchange)
        .uri(format!("amqp://{user}:secret@{address}/%2f"))
        .open()
        .await
        .unwrap();
    for culprits in [&[13][..], &[0, 5, 6, 49]] {
        let messages = (0..50).map(|n| {
            let key = if culprits.contains(&n) {
                "closed"
            } else {
                "open"
            };
            Outgoing::new(n.to_string()).to(key)
        });
        let results = in_time(publisher.publish(messages.collect())).await;
        let refused = kinds(&results).iter().flatten().count();
        assert_eq!(refused, culprits.len(), "{results:?}");
        assert_refused_alone(&results, culprits, "closed", &queue).await;
    }
    in_time(publisher.close()).await.unwrap();
    in_time(owner.close()).await.unwrap();
    queue.delete_exchange(&exchange).await;
    change("DELETE", format!("/api/users/{user}"), String::new()).await;
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_above_the_broker_s_limit_is_refused_alone() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "huge").await;
    // More than the 16 MiB of the broker.
    let publisher = queue.publisher().bytes_max(20 << 20).open().await.unwrap();
    let messages = (0..20).map(|n| match n {
        11 => Outgoing::new(vec![b'x'; 17 << 20]),
        n => Outgoing::new(n.to_string()),
    });
    let results = in_time(publisher.publish(messages.collect())).await;
    assert_eq!(kinds(&results).iter().flatten().count(), 1);
    assert_refused_alone(&results, &[11], "size", &queue).await;
    in_time(publisher.close()).await.unwrap();
    queue.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_is_gone_refuses_each_and_the_connection_stays() {
    let Some(address) = broker() else { return };
    let queue = Queue::create(&address, "gone").await;
    let exchange = unique("going");
    let open = RabbitMqPublisher::exchange(&exchange).uri(&queue.uri);
    let publisher = open.create_if_missing().open().await.unwrap();
    queue.delete_exchange(&exchange).await;
    let messages = (0..10).map(|n| Outgoing::new(n.to_string()));
    let results = in_time(publisher.publish(messages.collect())).await;
    assert_eq!(kinds(&results), vec![Some(PublishErrorKind::Refused); 10]);
    in_time(publisher.close()).await.unwrap();
    queue.delete().await;
}
