//! Shuts a member down: commit, release every handle that the client would wait for, leave the group.

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use broadway_core::{Deadline, connector::ConnectorError};

use super::Member;
use crate::{
    assignment::{assign, unassign},
    client::MemberClient,
    client_events::Rebalance,
    shared::{CloseReplies, MemberCommand, SLEEP_MAX},
};

/// How long one poll waits while the member leaves the group.
const POLL: Duration = Duration::from_millis(20);

impl Member {
    /// The last call of the thread.
    pub(super) fn shut_down(mut self, command: MemberCommand) {
        self.shared.stopped.store(true, Ordering::Release);
        let replies = match command {
            // The engine has drained the pipeline before it closes the producer, so nothing is in flight.
            MemberCommand::Close(replies) => replies,
            MemberCommand::Abandon => {
                self.drain();
                CloseReplies::discarded()
            }
        };
        let deadline = Deadline::after(self.source.close_timeout);
        // The receivers are gone if the future of `close` was dropped, or there was none.
        let _ = replies.committed.send(self.last_commit(deadline));
        let client = self.release();
        let left = match Arc::strong_count(&client) {
            1 => {
                client.free();
                Ok(())
            }
            // Records are still in use. The last of them frees the client, but the group is left now.
            _ => leave_group(&client, deadline).map_err(|()| {
                ConnectorError::transient(
                    "leaving the group timed out (`close_timeout`); the client continues to leave in the background",
                )
            }),
        };
        let _ = replies.left.send(left);
    }

    /// Waits for messages in flight, as at a revocation.
    fn drain(&mut self) {
        let partitions = self.shared.assigned();
        self.drain_partitions(&partitions);
        let deadline = Deadline::after(self.source.revoke_timeout);
        while !deadline.is_over() && !partitions.iter().all(|partition| partition.is_drained()) {
            self.poll_client();
            self.committer.serve();
            thread::park_timeout(SLEEP_MAX.min(deadline.remaining()));
        }
    }

    fn last_commit(&mut self, deadline: Deadline) -> Result<(), ConnectorError> {
        if self.assignment_is_lost() {
            let uncommitted = self
                .shared
                .assigned()
                .iter()
                .any(|partition| partition.to_commit().is_some());
            return match uncommitted {
                true => Err(ConnectorError::transient(
                    "the group took the partitions away before the last commit",
                )),
                false => Ok(()),
            };
        }
        self.catch_up();
        self.committer.flush(deadline).map_err(|error| {
            let text = format!("{error}; messages handled since the previous commit are repeated");
            ConnectorError::new(error.kind(), text)
        })
    }

    /// Drops every handle that would keep the client from closing, and answers rebalances that the group still waits for.
    fn release(self) -> Arc<MemberClient> {
        for partition in self.shared.assigned() {
            let repeats = partition.release().repeats;
            self.shared.repeats.fetch_add(repeats, Ordering::Relaxed);
        }
        self.advance_generation();
        // From here on the callback answers revocations itself, so the queued ones are the last to be answered here.
        self.events.close();
        if let Some(revocation) = &self.revocation {
            let _ = unassign(&self.client, &revocation.list);
        }
        while let Some(rebalance) = self.events.next_rebalance() {
            let _ = match rebalance {
                Rebalance::Assign(list) => assign(&self.client, &list),
                Rebalance::Revoke(list) => unassign(&self.client, &list),
            };
        }
        self.client
        // The rest of `self` is dropped here, including the queues of the committer, the topic IDs and the lag.
    }
}

/// Leaves the group while messages are still in use.
fn leave_group(client: &MemberClient, deadline: Deadline) -> Result<(), ()> {
    if client.close_queue().is_err() {
        return Ok(()); // Closed already, or the client has a fatal error and is out of the group.
    }
    while !client.closed() {
        if deadline.is_over() {
            return Err(());
        }
        drop(client.poll(POLL));
    }
    Ok(())
}
