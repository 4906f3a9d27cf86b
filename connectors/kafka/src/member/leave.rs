//! The end of a member: commit, let everything go that the client must not wait for, leave the group.

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use broadway_core::Deadline;

use super::Member;
use crate::{
    client::Client,
    events::{Rebalance, give_up, take_up},
    shared::{Farewell, Order, SLEEP_MAX},
};

/// How long one poll waits while the group lets go.
const POLL: Duration = Duration::from_millis(20);

impl Member {
    /// The last thing that the thread does.
    pub(super) fn leave(mut self, order: Order) {
        self.shared.stopped.store(true, Ordering::Release);
        let farewell = match order {
            Order::Close(farewell) => farewell,
            Order::Abandon => {
                self.drain();
                Farewell::unheard()
            }
        };
        let deadline = Deadline::after(self.source.close_timeout);
        // Nobody is told where the future of `close` was dropped, or there never was one.
        let _ = farewell
            .committed
            .send(self.last_commit(deadline).map_err(Into::into));
        let client = self.let_go();
        let left = match Arc::strong_count(&client) {
            1 => {
                client.free();
                Ok(())
            }
            // Records are still held somewhere; the last of them frees the client, but the group is left now.
            _ => close(&client, deadline).map_err(|()| {
                "the group did not let this member go in time (`close_timeout`)".into()
            }),
        };
        let _ = farewell.left.send(left);
    }

    /// Waits for what is in flight, as at a revocation.
    fn drain(&mut self) {
        let partitions = self.shared.assigned();
        self.drain_partitions(&partitions);
        let deadline = Deadline::after(self.source.revoke_timeout);
        while !deadline.is_over() && !partitions.iter().all(|partition| partition.is_drained()) {
            self.serve_client();
            self.commits.serve();
            thread::park_timeout(SLEEP_MAX.min(deadline.remaining()));
        }
    }

    fn last_commit(&mut self, deadline: Deadline) -> Result<(), String> {
        if self.assignment_is_lost() {
            let uncommitted = self
                .shared
                .assigned()
                .iter()
                .any(|partition| partition.to_commit().is_some());
            return if uncommitted {
                Err("the group had taken the partitions away before the last commit".to_owned())
            } else {
                Ok(())
            };
        }
        self.catch_up();
        self.commits.flush(deadline).map_err(|error| {
            format!("{error}; messages that were handled since the commit before come again")
        })
    }

    /// Drops every handle that would keep the client from closing, and answers what the group still waits for.
    fn let_go(self) -> Arc<Client> {
        for partition in self.shared.assigned() {
            let repeats = partition.release().repeats;
            self.shared.repeats.fetch_add(repeats, Ordering::Relaxed);
        }
        self.make_stale();
        self.mailbox.close();
        if let Some(revoking) = &self.revoking {
            let _ = give_up(&self.client, &revoking.list);
        }
        while let Some(rebalance) = self.mailbox.next_rebalance() {
            let _ = match rebalance {
                Rebalance::Assign(list) => take_up(&self.client, &list),
                Rebalance::Revoke(list) => give_up(&self.client, &list),
            };
        }
        self.client
        // The rest of `self` is dropped here, the queue of commit results with it.
    }
}

/// Leaves the group while messages are still held.
fn close(client: &Client, deadline: Deadline) -> Result<(), ()> {
    if client.close_queue().is_err() {
        return Ok(()); // Closed already, or after a fatal error: there is nothing to leave.
    }
    while !client.closed() {
        if deadline.is_over() {
            return Err(());
        }
        drop(client.poll(POLL));
    }
    Ok(())
}
