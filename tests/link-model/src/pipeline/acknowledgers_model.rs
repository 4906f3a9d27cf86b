//! The last settlement of an acknowledger meets its retirement.

use loom::thread;

use super::acknowledgers::AcknowledgerTable;
use crate::{PREEMPTIONS, check, sync::Arc};

#[test]
fn the_number_of_a_retired_acknowledger_is_free_when_its_last_message_is_settled() {
    check(PREEMPTIONS, || {
        let table = Arc::new(AcknowledgerTable::default());
        let entry = table.register(0, Arc::new('a')).expect("a free number");
        entry.add_delivered(2);
        let settling = thread::spawn({
            let (table, entry) = (table.clone(), entry.clone());
            move || {
                table.add_settled(&entry, 1);
                table.add_settled(&entry, 1);
            }
        });
        table.retire(&entry);
        settling.join().expect("no panic");
        let next = table.register(0, Arc::new('b')).expect("a free number");
        assert_eq!(next.number, entry.number);
    });
}

#[test]
fn removing_an_acknowledger_leaves_the_next_owner_of_its_number_alone() {
    check(PREEMPTIONS - 1, || {
        let table = Arc::new(AcknowledgerTable::default());
        let entry = table.register(0, Arc::new('a')).expect("a free number");
        entry.add_delivered(1);
        let settling = thread::spawn({
            let (table, entry) = (table.clone(), entry.clone());
            move || table.add_settled(&entry, 1)
        });
        let reopening = thread::spawn({
            let table = table.clone();
            move || {
                let next = table.register(0, Arc::new('b')).expect("a free number");
                next.add_delivered(1);
                assert_eq!(*table.get(next.number).acknowledger, 'b');
                next
            }
        });
        table.retire(&entry);
        settling.join().expect("no panic");
        let next = reopening.join().expect("no panic");
        assert_eq!(*table.get(next.number).acknowledger, 'b');
    });
}

#[test]
fn an_acknowledger_stays_while_a_message_of_it_is_in_flight() {
    check(PREEMPTIONS - 1, || {
        let table = Arc::new(AcknowledgerTable::default());
        let entry = table.register(0, Arc::new('a')).expect("a free number");
        entry.add_delivered(2);
        let settling = [(); 2].map(|()| {
            let (table, number) = (table.clone(), entry.number);
            thread::spawn(move || {
                let entry = table.get(number);
                assert_eq!(*entry.acknowledger, 'a');
                table.add_settled(&entry, 1);
            })
        });
        table.retire(&entry);
        for thread in settling {
            thread.join().expect("no panic");
        }
        let next = table.register(0, Arc::new('b')).expect("a free number");
        assert_eq!(next.number, entry.number);
    });
}
