//! The last settlement of an acknowledger meets its retirement.

use loom::thread;

use super::registry::Registry;
use crate::{PREEMPTIONS, check, sync::Arc};

#[test]
fn the_number_of_a_retired_acknowledger_is_free_when_its_last_message_is_settled() {
    check(PREEMPTIONS, || {
        let registry = Arc::new(Registry::default());
        let entry = registry.enter(0, Arc::new('a')).expect("a free number");
        entry.delivered(2);
        let settling = thread::spawn({
            let (registry, entry) = (registry.clone(), entry.clone());
            move || {
                registry.settled(&entry, 1);
                registry.settled(&entry, 1);
            }
        });
        registry.retire(&entry);
        settling.join().expect("no panic");
        let next = registry.enter(0, Arc::new('b')).expect("a free number");
        assert_eq!(next.number, entry.number);
    });
}

#[test]
fn a_number_is_not_taken_from_who_has_it_next() {
    check(PREEMPTIONS - 1, || {
        let registry = Arc::new(Registry::default());
        let entry = registry.enter(0, Arc::new('a')).expect("a free number");
        entry.delivered(1);
        let settling = thread::spawn({
            let (registry, entry) = (registry.clone(), entry.clone());
            move || registry.settled(&entry, 1)
        });
        let reopening = thread::spawn({
            let registry = registry.clone();
            move || {
                let next = registry.enter(0, Arc::new('b')).expect("a free number");
                next.delivered(1);
                assert_eq!(*registry.get(next.number).acknowledger, 'b');
                next
            }
        });
        registry.retire(&entry);
        settling.join().expect("no panic");
        let next = reopening.join().expect("no panic");
        assert_eq!(*registry.get(next.number).acknowledger, 'b');
    });
}

#[test]
fn an_acknowledger_stays_while_a_message_of_it_is_in_flight() {
    check(PREEMPTIONS - 1, || {
        let registry = Arc::new(Registry::default());
        let entry = registry.enter(0, Arc::new('a')).expect("a free number");
        entry.delivered(2);
        let settling = [(); 2].map(|()| {
            let (registry, number) = (registry.clone(), entry.number);
            thread::spawn(move || {
                let entry = registry.get(number);
                assert_eq!(*entry.acknowledger, 'a');
                registry.settled(&entry, 1);
            })
        });
        registry.retire(&entry);
        for thread in settling {
            thread.join().expect("no panic");
        }
        let next = registry.enter(0, Arc::new('b')).expect("a free number");
        assert_eq!(next.number, entry.number);
    });
}
