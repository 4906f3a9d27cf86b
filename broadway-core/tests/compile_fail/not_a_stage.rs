//! A number is no stage of any kind.

use broadway_core::stage;

fn main() {
    stage::producer(1);
    stage::consumer(1);
    stage::producer_consumer(1);
}
