//! How far the queue is behind, told every `lag_interval`: the queue is asked how many messages it holds.

use std::{sync::Arc, time::Duration};

use aws_sdk_sqs::types::QueueAttributeName::{
    self, ApproximateNumberOfMessages as Visible, ApproximateNumberOfMessagesNotVisible as InFlight,
};
use broadway_core::Deadline;

use crate::{shared::Shared, trouble::Trouble};

/// When the queue is asked for the first time, unless the interval is shorter.
const FIRST: Duration = Duration::from_secs(5);

/// Never ends.
pub(crate) async fn tell(shared: Arc<Shared>) {
    let interval = shared.source.lag_interval;
    if interval == Duration::MAX {
        return;
    }
    let mut pause = FIRST.min(interval);
    let mut is_known = true;
    loop {
        Deadline::after(pause).reached().await;
        pause = interval;
        let messages = ask(&shared).await;
        if let (Err(why), true) = (&messages, is_known) {
            let url = &shared.source.access.url;
            shared.tell_trouble(&format!(
                "the lag of {url} is unknown: {why}; it is asked for again every {interval:?} (`lag_interval`)"
            ));
        }
        is_known = messages.is_ok();
        shared.tell_lag(messages.ok());
    }
}

/// How many messages the queue holds, visible or in flight. The client has limits of its own.
async fn ask(shared: &Shared) -> Result<u64, String> {
    let ask = shared
        .acks
        .get_queue_attributes()
        .queue_url(&shared.source.access.url)
        .attribute_names(Visible)
        .attribute_names(InFlight);
    let answer = ask
        .send()
        .await
        .map_err(|error| Trouble::of(&error).text().to_owned())?;
    let count = |name: &QueueAttributeName| {
        let text = answer.attributes()?.get(name)?;
        text.parse::<u64>().ok()
    };
    let counts = count(&Visible).zip(count(&InFlight));
    let counts = counts.ok_or("the answer does not say how many messages there are")?;
    Ok(counts.0 + counts.1)
}
