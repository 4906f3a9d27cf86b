//! Decides what happens to a stage next.
//!
//! Commands come first, then what consumers notify and demand. Messages, timers and events take turns, so that none of them starves
//! the others.

use std::task::{Context as Task, Poll};

use super::{Runner, RunnerEvent};
use crate::{
    caught::{self, guarded},
    stage::{End, any_stage::AnyStage, stage_output::StageOutput},
};

impl<S: AnyStage, O: StageOutput<S::Out>> Runner<S, O> {
    pub(super) fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<RunnerEvent<S>> {
        if let Poll::Ready(Some(command)) = self.mailboxes.commands.poll_recv(task) {
            return Poll::Ready(RunnerEvent::Command(command));
        }
        if self.backing_off {
            return self.poll_restart(task);
        }
        if let Poll::Ready(Some(notice)) = self.mailboxes.notices.poll_recv(task) {
            return Poll::Ready(RunnerEvent::Notice(notice));
        }
        if std::mem::take(&mut self.demand_was_last)
            && !self.output.is_full()
            && let Some(event) = self.poll_before_demand(task)
        {
            return Poll::Ready(event);
        }
        if let Some(event) = self.poll_output(task) {
            return Poll::Ready(event);
        }
        if let Some(message) = self.poll_due_message() {
            return Poll::Ready(message);
        }
        if self.output.is_full() {
            // Messages, timers and events wait until there is room, as each of them could emit more. Only the end of a producer is
            // still handled.
            let ended = self.inputs.poll_ended(task);
            return ended.map(RunnerEvent::Input);
        }
        if let Poll::Ready(timer) = self.cx.timers.poll_next(task) {
            return Poll::Ready(RunnerEvent::Timer(timer));
        }
        self.messages_first = !self.messages_first;
        if self.messages_first {
            self.poll_message(task).or_else(|| self.poll_events(task))
        } else {
            self.poll_events(task).or_else(|| self.poll_message(task))
        }
        .or_else(|| self.unreachable())
        .map_or(Poll::Pending, Poll::Ready)
    }

    /// Waits for the end of the back-off.
    fn poll_restart(&mut self, task: &mut Task<'_>) -> Poll<RunnerEvent<S>> {
        // Demand that comes now is reported after the restart. But if no consumer can ask any more, the stage is not restarted.
        while let Poll::Ready(demand) = self.output.poll_demand(task) {
            if demand.is_none() {
                return Poll::Ready(RunnerEvent::Unreachable(End::Shutdown));
            }
        }
        // The failure cancelled the stage's timers: only the timer of the back-off is left.
        self.cx.timers.poll_next(task).map(|_| RunnerEvent::Restart)
    }

    fn poll_output(&mut self, task: &mut Task<'_>) -> Option<RunnerEvent<S>> {
        let demand = self.output.poll_demand(task);
        self.report_output();
        if let Some(reason) = self.output.take_error() {
            return Some(RunnerEvent::DispatchFailed(reason));
        }
        match demand {
            Poll::Ready(Some(demand)) => {
                self.demand_was_last = true;
                Some(RunnerEvent::Demand(demand.get()))
            }
            Poll::Ready(None) => Some(RunnerEvent::Unreachable(End::Shutdown)),
            Poll::Pending => None,
        }
    }

    /// Polls what would never get a turn if consumers asked faster than the stage emits.
    fn poll_before_demand(&mut self, task: &mut Task<'_>) -> Option<RunnerEvent<S>> {
        if let Some(message) = self.poll_due_message() {
            return Some(message);
        }
        if let Poll::Ready(timer) = self.cx.timers.poll_next(task) {
            return Some(RunnerEvent::Timer(timer));
        }
        self.poll_message(task)
    }

    fn poll_due_message(&mut self) -> Option<RunnerEvent<S>> {
        let (position, _) = self.after_events.front_mut()?;
        if !self.output.has_passed(position) {
            return None;
        }
        let (_, message) = self.after_events.pop_front()?;
        Some(RunnerEvent::DueMessage(message))
    }

    fn poll_message(&mut self, task: &mut Task<'_>) -> Option<RunnerEvent<S>> {
        // Messages that wait behind events count against the size of the mailbox, or there could be any number of them.
        let messages = &mut self.mailboxes.messages;
        if self.mailboxes.messages_closed || self.after_events.len() >= messages.max_capacity() {
            return None;
        }
        match messages.poll_recv(task) {
            Poll::Ready(Some(message)) => Some(RunnerEvent::Message(message)),
            Poll::Ready(None) => {
                self.mailboxes.messages_closed = true;
                None
            }
            Poll::Pending => None,
        }
    }

    fn poll_events(&mut self, task: &mut Task<'_>) -> Option<RunnerEvent<S>> {
        if S::NEEDS_DEMAND && self.output.outstanding() == 0 {
            return match self.inputs.poll_ended(task) {
                Poll::Ready(ended) => Some(RunnerEvent::Input(ended)),
                Poll::Pending => None,
            };
        }
        if let Poll::Ready(event) = self.inputs.poll_next(task, &mut self.chunk) {
            return Some(RunnerEvent::Input(event));
        }
        self.cx.outstanding = self.output.outstanding();
        let (stage, cx) = (&mut self.stage, &mut self.cx);
        match guarded(|| stage.poll_more(task, cx)) {
            Ok(Poll::Ready(result)) => {
                Some(RunnerEvent::More(result.map_err(caught::Failure::Error)))
            }
            // Emitted events are sent now, even though the stage returned pending: the next wake may be far away.
            Ok(Poll::Pending) if !self.cx.emitted.is_empty() => Some(RunnerEvent::More(Ok(()))),
            Ok(Poll::Pending) => None,
            Err(panicked) => Some(RunnerEvent::More(Err(caught::Failure::Panic(panicked)))),
        }
    }

    /// Ends a stage that receives, if nothing can reach it any more: no handle, command, subscription, message or timer is left.
    fn unreachable(&self) -> Option<RunnerEvent<S>> {
        let unreachable = S::RECEIVES
            && self.mailboxes.messages_closed
            // The last handle may have subscribed the stage just before it was dropped.
            && self.mailboxes.commands.is_empty()
            && self.inputs.is_empty()
            && self.after_events.is_empty()
            && self.cx.timers.is_empty();
        unreachable.then_some(RunnerEvent::Unreachable(End::Normal))
    }
}
