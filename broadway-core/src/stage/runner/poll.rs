//! What happens to a stage next.
//!
//! Orders come before all else, then what consumers say and ask. Messages, timers and events take turns, so that none of them
//! can starve the others.

use std::task::{Context as Task, Poll};

use super::{Runner, RunnerEvent};
use crate::{
    caught::{self, guarded},
    stage::{End, body::Body, emission::Emits},
};

impl<B: Body, O: Emits<B::Out>> Runner<B, O> {
    pub(super) fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<RunnerEvent<B>> {
        if let Poll::Ready(Some(control)) = self.desk.control.poll_recv(task) {
            return Poll::Ready(RunnerEvent::Control(control));
        }
        if self.resting {
            // What is asked meanwhile is told after the rest; but if nobody can ask any more, there is nothing to rest for.
            while let Poll::Ready(demand) = self.output.poll_demand(task) {
                if demand.is_none() {
                    return Poll::Ready(RunnerEvent::Unreachable(End::Shutdown));
                }
            }
            // Its timers were forgotten: the one that is left ends the rest.
            return self.cx.timers.poll_next(task).map(|_| RunnerEvent::Restart);
        }
        if let Poll::Ready(Some(notice)) = self.desk.notices.poll_recv(task) {
            return Poll::Ready(RunnerEvent::Notice(notice));
        }
        if std::mem::take(&mut self.demand_last)
            && !self.output.is_full()
            && let Some(event) = self.poll_aside(task)
        {
            return Poll::Ready(event);
        }
        if let Some(event) = self.poll_output(task) {
            return Poll::Ready(event);
        }
        if let Some(mail) = self.poll_behind() {
            return Poll::Ready(mail);
        }
        if self.output.is_full() {
            let ended = self.inputs.poll_ended(task);
            return ended.map(RunnerEvent::Came);
        }
        if let Poll::Ready(timer) = self.cx.timers.poll_next(task) {
            return Poll::Ready(RunnerEvent::Timer(timer));
        }
        self.mail_first = !self.mail_first;
        if self.mail_first {
            self.poll_mail(task).or_else(|| self.poll_events(task))
        } else {
            self.poll_events(task).or_else(|| self.poll_mail(task))
        }
        .or_else(|| self.lonely())
        .map_or(Poll::Pending, Poll::Ready)
    }

    fn poll_output(&mut self, task: &mut Task<'_>) -> Option<RunnerEvent<B>> {
        let demand = self.output.poll_demand(task);
        self.note_output();
        if let Some(trouble) = self.output.trouble() {
            return Some(RunnerEvent::Trouble(trouble));
        }
        match demand {
            Poll::Ready(Some(demand)) => {
                self.demand_last = true;
                Some(RunnerEvent::Demand(demand.get()))
            }
            Poll::Ready(None) => Some(RunnerEvent::Unreachable(End::Shutdown)),
            Poll::Pending => None,
        }
    }

    /// What would have no turn if consumers asked faster than the stage emits.
    fn poll_aside(&mut self, task: &mut Task<'_>) -> Option<RunnerEvent<B>> {
        if let Some(mail) = self.poll_behind() {
            return Some(mail);
        }
        if let Poll::Ready(timer) = self.cx.timers.poll_next(task) {
            return Some(RunnerEvent::Timer(timer));
        }
        self.poll_mail(task)
    }

    fn poll_behind(&mut self) -> Option<RunnerEvent<B>> {
        let (point, _) = self.behind.front_mut()?;
        if !self.output.has_passed(point) {
            return None;
        }
        let (_, mail) = self.behind.pop_front()?;
        Some(RunnerEvent::InTurn(mail))
    }

    fn poll_mail(&mut self, task: &mut Task<'_>) -> Option<RunnerEvent<B>> {
        if self.desk.mail_closed || self.behind.len() >= self.desk.mail.max_capacity() {
            return None;
        }
        match self.desk.mail.poll_recv(task) {
            Poll::Ready(Some(mail)) => Some(RunnerEvent::Mail(mail)),
            Poll::Ready(None) => {
                self.desk.mail_closed = true;
                None
            }
            Poll::Pending => None,
        }
    }

    fn poll_events(&mut self, task: &mut Task<'_>) -> Option<RunnerEvent<B>> {
        if B::GATED && self.output.asked() == 0 {
            return match self.inputs.poll_ended(task) {
                Poll::Ready(ended) => Some(RunnerEvent::Came(ended)),
                Poll::Pending => None,
            };
        }
        if let Poll::Ready(came) = self.inputs.poll_next(task, &mut self.chunk) {
            return Some(RunnerEvent::Came(came));
        }
        self.cx.asked = self.output.asked();
        let (body, cx) = (&mut self.body, &mut self.cx);
        match guarded(|| body.poll_more(task, cx)) {
            Ok(Poll::Ready(result)) => {
                Some(RunnerEvent::More(result.map_err(caught::Failure::Error)))
            }
            // What it emitted must not wait for it to be ready, whatever it says.
            Ok(Poll::Pending) if !self.cx.emitted.is_empty() => Some(RunnerEvent::More(Ok(()))),
            Ok(Poll::Pending) => None,
            Err(panicked) => Some(RunnerEvent::More(Err(caught::Failure::Panic(panicked)))),
        }
    }

    /// A stage that lives on what it receives, and nothing can come any more from anywhere.
    fn lonely(&self) -> Option<RunnerEvent<B>> {
        let lonely = B::RECEIVES
            && self.desk.mail_closed
            // Who left may have subscribed it just before.
            && self.desk.control.is_empty()
            && self.inputs.is_empty()
            && self.behind.is_empty()
            && self.cx.timers.is_empty();
        lonely.then_some(RunnerEvent::Unreachable(End::Normal))
    }
}
