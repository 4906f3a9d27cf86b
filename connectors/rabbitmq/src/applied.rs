//! Waits until a quorum queue has applied the settlements that were sent to it, before their channel closes.
//!
//! For each channel and quorum queue, the broker counts the commands that the queue has not applied yet. From
//! `quorum_commands_soft_limit` (32) it holds further settlements back in the channel's process, until the queue confirms some commands.
//! Closing the channel drops them: the queue delivers those messages again, although the broker confirmed the close. `basic.consume` and
//! `basic.cancel` wait until the queue has applied all earlier commands, so a second consumer, which is cancelled at once, makes the
//! broker send the settlements that it holds back.

use lapin::{
    Channel,
    options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::{FieldTable, ShortString},
};

/// The most frames after `basic.cancel` that need no wait: with the three that the broker may still send itself, they stay below its limit.
pub(crate) const UNWAITED_FRAMES_MAX: u64 = 16;

/// Waits until `queue` has applied all settlements of `channel`, whose own consumer is cancelled.
///
/// The queue may deliver one message to the second consumer, if no other one has room for it. The message returns to the queue with the
/// channel, and counts as delivered once more.
///
/// # Errors
///
/// Fails if the channel is lost, or if the broker does not let it read the queue any more.
pub(crate) async fn wait_until_applied(channel: &Channel, queue: &str) -> lapin::Result<()> {
    channel.basic_qos(1, BasicQosOptions::default()).await?;
    let mut arguments = FieldTable::default();
    // Other consumers come first.
    arguments.insert(ShortString::from("x-priority"), (-1_000).into());
    let options = BasicConsumeOptions::default();
    let consumer = channel
        .basic_consume(queue.into(), "".into(), options, arguments)
        .await?;
    let cancelled = channel.basic_cancel(consumer.tag(), BasicCancelOptions::default());
    cancelled.await
}
