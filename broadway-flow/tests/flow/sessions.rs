//! Sessions of keys: by windows, and by hand.

use std::collections::BTreeMap;

use broadway_flow::{EventTime, Flow, Timestamp, Windows};

use crate::feed::s;

/// A user and a second.
type Click = (u8, i64);

const CLICKS: [Click; 8] = [
    (1, 1),
    (2, 2),
    (1, 3),
    (2, 20),
    (1, 21),
    (1, 25),
    (2, 26),
    (1, 60),
];

#[tokio::test]
async fn a_session_ends_when_its_key_was_silent_for_the_gap() {
    let times = EventTime::new(|click: &Click| Timestamp::from_millis(click.1 * 1_000));
    let grouped = Flow::from_iter(CLICKS)
        .event_time(times)
        .partition(|click| click.0)
        .workers(2);
    let sessions = grouped.window(Windows::session(s(10))).count();
    let sessions = sessions.map(|session| {
        let second = |at: Option<Timestamp>| at.unwrap().as_millis() / 1_000;
        (
            session.value.0,
            second(session.start()),
            second(session.end()),
            session.value.1,
        )
    });
    let mut sessions = sessions.collect().await.unwrap();
    sessions.sort_unstable();
    let expected = [
        (1, 1, 13, 2),
        (1, 21, 35, 2),
        (1, 60, 70, 1),
        (2, 2, 12, 1),
        (2, 20, 36, 2),
    ];
    assert_eq!(sessions, expected);
}

#[tokio::test]
async fn sessions_can_be_written_as_a_reduction_that_emits() {
    // The user, the first and the last second, and the number of clicks.
    type Session = (u8, i64, i64, u64);
    let flow = Flow::from_iter(CLICKS).workers(1).emit_and_reduce(
        BTreeMap::<u8, Session>::new,
        |open, (user, second), over| {
            let session = open.entry(user).or_insert((user, second, second, 0));
            if second - session.2 >= 10 {
                over.push(std::mem::replace(session, (user, second, second, 0)));
            }
            session.2 = second;
            session.3 += 1;
        },
        BTreeMap::into_values,
    );
    let expected = [
        (2, 2, 2, 1),
        (1, 1, 3, 2),
        (1, 21, 25, 2),
        (1, 60, 60, 1),
        (2, 20, 26, 2),
    ];
    assert_eq!(flow.collect().await.unwrap(), expected);
}
