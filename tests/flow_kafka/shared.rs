//! Instances that come and go under load.

use crate::instances::Topics;

/// They take 40 s, and 400 s in event time: 38 complete windows of 100 users.
const VIEWS: u64 = 20_000;

#[test]
fn counts_are_complete_when_an_instance_is_killed_and_others_come_and_leave() {
    let Some(broker) = broadway_test_brokers::broker("kafka") else {
        return;
    };
    let topics = Topics::unique(broker);
    let [one, two, three] = ["one", "two", "three"].map(|name| topics.start(name));
    let mut producer = topics.produce(VIEWS);
    producer.reach(5);
    two.kill();
    producer.reach(6);
    let four = topics.start("four");
    producer.reach(13);
    // Leaves in order.
    three.interrupt();
    producer.reach(20);

    let checked = topics.check(VIEWS);
    let output = String::from_utf8_lossy(&checked.stdout);
    let verdict = output
        .lines()
        .find(|line| line.contains(" counts: "))
        .unwrap_or_default();
    println!("{verdict}");
    let logs = || format!("{output}\n{}\n{}", one.log(), four.log());
    assert!(checked.status.success(), "{}", logs());
    assert!(verdict.contains("0 missing, 0 wrong"), "{}", logs());
    let counts: usize = verdict.split(' ').next().unwrap().parse().unwrap();
    assert!(counts > 3_700, "{verdict}");
    for instance in [one, four] {
        let report = instance.interrupt();
        assert!(report.contains("reduce"), "took no part: {report}");
    }
    topics.forget();
}
