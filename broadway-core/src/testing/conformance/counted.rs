//! How often a message was delivered, according to its record.

use super::{
    ConnectorUnderTest, Redelivery, Verdict,
    fixture::{Fixture, must},
};
use crate::message::Record;

/// The deliveries that are compared.
const DELIVERIES: u32 = 3;

/// [`Record::deliveries`] counts the deliveries of a message that fails: 1, 2, 3. A broker that does not count, or not always, has
/// `None` where it does not know, and no other number.
pub async fn redeliveries_are_counted<S: ConnectorUnderTest>(connector: &S) -> Verdict {
    let capabilities = connector.capabilities();
    let fixture = Fixture::with(connector, "counted", 0..1).await;
    let mut reader = fixture.open().await;
    for expected in 1..=DELIVERIES {
        let received = reader.exactly(1).await;
        let counted = received[0].item.deliveries();
        let is_right = match counted {
            Some(counted) => counted == expected,
            None => !capabilities.counts_deliveries,
        };
        assert!(is_right, "delivery {expected} was counted as {counted:?}");
        if expected == DELIVERIES {
            reader.done(received).await;
            break;
        }
        reader.failed(received).await;
        if capabilities.redelivery == Redelivery::AfterReopening {
            must("close", reader.close().await);
            reader = fixture.open().await;
        }
    }
    must("close", reader.close().await);
    Verdict::Kept
}
