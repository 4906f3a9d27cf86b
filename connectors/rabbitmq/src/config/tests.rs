//! Options that cannot work, alone or in a pipeline.

use broadway_core::Source;

use super::*;

fn options(source: &RabbitMq) -> Vec<String> {
    let problems = source.problems();
    problems
        .iter()
        .map(|problem| problem.option().to_owned())
        .collect()
}

#[test]
fn defaults_have_no_problem() {
    assert!(options(&RabbitMq::queue("orders")).is_empty());
    assert!(options(&RabbitMq::queue("").declare(Declare::classic())).is_empty());
}

#[test]
fn every_option_that_cannot_work_is_listed() {
    let source = RabbitMq::queue("")
        .bind("x".repeat(256), "")
        .prefetch(65_536)
        .close_timeout(Duration::ZERO)
        .lag_interval(Duration::ZERO);
    assert_eq!(
        options(&source),
        ["queue", "prefetch", "close_timeout", "lag_interval", "bind"]
    );
    let source = RabbitMq::queue("orders")
        .declare(Declare::quorum())
        .stream_offset(StreamOffset::First);
    assert_eq!(options(&source), ["stream_offset"]);
}

#[test]
fn a_pause_beyond_the_consumer_timeout_is_a_problem() {
    let second = Duration::from_secs(1);
    let source = RabbitMq::queue("orders").requeue_delay(1_500 * second);
    assert_eq!(options(&source), ["requeue_delay"]);
    assert!(options(&source.clone().consumer_timeout(2_000 * second)).is_empty());
    let source = source.requeue_delay(Duration::MAX);
    assert!(options(&source.consumer_timeout(Duration::MAX)).is_empty());
    let queue = Declare::quorum().argument("x-consumer-timeout", 60_000);
    let source = RabbitMq::queue("orders")
        .declare(queue)
        .on_failure(OnFailure::RequeueAfter(120 * second));
    let [problem] = &source.problems()[..] else {
        panic!("{source:?}");
    };
    let text = format!("{problem:?}");
    for word in ["on_failure", "120s", "60s", "48s", "`consumer_timeout`"] {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[test]
fn names_that_amqp_cannot_carry_are_reported_with_their_length() {
    let long = "x".repeat(300);
    let source = RabbitMq::queue(&long)
        .uri(format!("amqp://localhost/{long}"))
        .declare(Declare::quorum().argument(&long, 1))
        .bind(&long, &long)
        .consumer_tag(&long)
        .consumer_argument(&long, true);
    let problems = source.problems();
    let all = ["uri", "queue", "consumer_tag", "bind", "bind", "declare"];
    assert_eq!(
        options(&source),
        [&all[..], &["consumer_argument"]].concat()
    );
    for problem in problems {
        assert!(format!("{problem:?}").contains("300 bytes"), "{problem:?}");
    }
}

#[test]
fn the_window_follows_the_pipeline_within_the_limits_of_amqp() {
    let source = RabbitMq::queue("orders");
    let window = |source: &RabbitMq, held, batch| source.window(&cx(1, held, batch));
    assert_eq!(window(&source, 40, 0), 300);
    assert_eq!(window(&source, 1_000, 0), 1_000);
    assert_eq!(window(&source, 1_000, 5_000), 6_000);
    assert_eq!(window(&source, 1_000_000, 0), 65_535);
    assert_eq!(window(&source.prefetch(1), 1_000, 1), 1);
}

#[test]
fn a_batch_that_could_never_fill_is_a_problem() {
    let source = RabbitMq::queue("orders").prefetch(300);
    assert!(source.problems_in(&cx(1, 40, 300)).is_empty());
    assert!(source.problems_in(&cx(4, 40, 1_200)).is_empty());
    for (producers, batch, least) in [(1, 301, "301"), (4, 1_201, "301"), (1, 1_800, "1800")] {
        let text = source.problems_in(&cx(producers, 40, batch))[0].to_string();
        assert!(text.contains("prefetch") && text.contains(least), "{text}");
    }
    // More than AMQP can express.
    let source = RabbitMq::queue("orders");
    assert_eq!(source.problems_in(&cx(1, 40, 70_000)).len(), 1);
    assert!(source.problems_in(&cx(2, 40, 70_000)).is_empty());
}

#[tokio::test]
async fn options_that_cannot_work_in_a_pipeline_are_listed_with_those_that_never_work() {
    let source = RabbitMq::queue("orders").prefetch(10).exclusive(true);
    let source = source.close_timeout(Duration::ZERO);
    let text = source.open(&cx(2, 40, 100)).await.unwrap_err().to_string();
    for option in ["close_timeout", "prefetch", "exclusive"] {
        assert!(text.contains(&format!("\n  - {option}: ")), "{text}");
    }
}

fn cx(producers: usize, in_flight_max: usize, batch_size_max: usize) -> OpenContext {
    OpenContext::for_test()
        .with_producers(producers)
        .with_in_flight_max(in_flight_max)
        .with_batch_size_max(batch_size_max)
}

#[test]
fn secrets_are_not_shown() {
    let source = RabbitMq::queue("orders").uri("amqp://me:hush@localhost");
    assert!(!format!("{source:?}").contains("hush"));
}
