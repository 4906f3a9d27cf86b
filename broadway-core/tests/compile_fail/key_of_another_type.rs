//! Only types that implement `PartitionKey` are keys.

use std::{ffi::OsString, hash::Hash};

use broadway_core::{Message, Processors};

#[derive(Hash)]
struct Customer(u64);

fn main() {
    let _ = Processors::new(1).partition_by(|message: &Message<u64>| Customer(*message.data()));
    let _ = Processors::new(1).partition_by(|message: &Message<OsString>| message.data().clone());
    let _ = Processors::<u64>::new(1).by_record_key();
}
