//! Threads settle the shares of one event.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use loom::thread;

use super::share::Share;
use crate::{
    PREEMPTIONS,
    ack::Outcome,
    check,
    error::{Callback, Reason},
};

/// The outcomes that the source received. Not modelled: the threads do not synchronize here.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn share(&self) -> Share {
        let told = self.0.clone();
        Share::new(move |outcome| {
            let text = match outcome {
                Outcome::Done => "done".to_owned(),
                Outcome::Failed(reason) => reason.as_error().expect("no panic").to_string(),
                Outcome::Released => "released".to_owned(),
                Outcome::Delayed(time) | Outcome::Parked { pause: time, .. } => {
                    format!("delayed by {time:?}")
                }
            };
            told.lock().expect("no panic").push(text);
        })
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }
}

fn failed(text: &str) -> Outcome {
    Outcome::Failed(Reason::error(Callback::HandleEvents, text))
}

fn delayed(seconds: u64) -> Outcome {
    Outcome::Delayed(Duration::from_secs(seconds))
}

#[test]
fn an_event_is_done_once_when_its_last_share_is() {
    check(PREEMPTIONS, || {
        let told = Told::default();
        let share = told.share();
        let other = share.split();
        let thread = thread::spawn(move || {
            // A share of a share counts like any other.
            let third = other.split();
            other.settle(Outcome::Done);
            third.settle(Outcome::Done);
        });
        share.settle(Outcome::Done);
        thread.join().expect("no panic");
        assert_eq!(told.all(), ["done"]);
    });
}

#[test]
fn one_share_that_fails_fails_the_event_whichever_is_the_last() {
    check(PREEMPTIONS, || {
        let told = Told::default();
        let share = told.share();
        let (second, third) = (share.split(), share.split());
        let failing = thread::spawn(move || second.settle(failed("no")));
        let releasing = thread::spawn(move || third.settle(Outcome::Released));
        share.settle(Outcome::Done);
        failing.join().expect("no panic");
        releasing.join().expect("no panic");
        assert_eq!(told.all(), ["no"]);
    });
}

#[test]
fn one_share_that_is_released_releases_the_event_whichever_is_the_last() {
    check(PREEMPTIONS, || {
        let told = Told::default();
        let share = told.share();
        let other = share.split();
        let releasing = thread::spawn(move || other.settle(Outcome::Released));
        share.settle(Outcome::Done);
        releasing.join().expect("no panic");
        assert_eq!(told.all(), ["released"]);
    });
}

#[test]
fn the_longest_delay_of_the_shares_counts_whichever_is_the_last() {
    check(PREEMPTIONS, || {
        let told = Told::default();
        let share = told.share();
        let (second, third) = (share.split(), share.split());
        let delaying = thread::spawn(move || second.settle(delayed(2)));
        let releasing = thread::spawn(move || third.settle(Outcome::Released));
        share.settle(delayed(1));
        delaying.join().expect("no panic");
        releasing.join().expect("no panic");
        assert_eq!(told.all(), ["delayed by 2s"]);
    });
}

#[test]
fn one_share_that_is_dropped_fails_the_event_whichever_is_the_last() {
    check(PREEMPTIONS, || {
        let told = Told::default();
        let share = told.share();
        let other = share.split();
        let dropping = thread::spawn(move || drop(other));
        share.settle(Outcome::Done);
        dropping.join().expect("no panic");
        let unsettled = "a share of the event was dropped before it was settled";
        assert_eq!(told.all(), [unsettled]);
    });
}

#[test]
fn of_two_failures_one_is_reported() {
    check(PREEMPTIONS, || {
        let told = Told::default();
        let share = told.share();
        let other = share.split();
        let failing = thread::spawn(move || other.settle(failed("one")));
        share.settle(failed("two"));
        failing.join().expect("no panic");
        let told = told.all();
        assert!(told == ["one"] || told == ["two"], "{told:?}");
    });
}
