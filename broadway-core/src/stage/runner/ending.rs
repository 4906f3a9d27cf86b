//! How a stage fails, begins anew, and ends.

use super::{Flow, Runner};
use crate::{
    caught::{caught, guarded},
    end::Failure,
    engine::{clock, spawn},
    error::{Callback, Reason},
    machine::restart::RestartDecision,
    stage::{End, body::Body, emission::Emits},
    telemetry::StageEvent,
};

impl<B: Body, O: Emits<B::Out>> Runner<B, O> {
    /// A callback failed: the stage rests and begins anew, or ends.
    pub(super) async fn fail(&mut self, reason: Reason, lost: usize) -> Flow {
        self.cx.emitted.clear();
        self.cx.stop = None;
        self.counters.lost(lost);
        let decision = self
            .again
            .as_mut()
            .map(|again| again.restart.failed(clock::now(), spawn::jitter()));
        let restart_after = match decision {
            Some(RestartDecision::After(delay)) => Some(delay),
            Some(RestartDecision::GiveUp) | None => None,
        };
        self.tell(StageEvent::Failed {
            reason: &reason,
            lost,
            restart_after,
        });
        let is_panic = reason.is_panic();
        let end = End::Failed(Failure::new(self.cx.shared_name(), reason));
        let Some(delay) = restart_after else {
            return self.finish_as(end, !is_panic).await;
        };
        if !is_panic {
            self.terminate(&end).await;
        }
        // What a destructor does wrong is no worse than the failure.
        let _ = guarded(|| self.body.discard());
        self.cx.timers.clear();
        self.cx.start_timer(delay);
        self.resting = true;
        Flow::Continue(())
    }

    /// Begins anew, with what the stage was subscribed to and asked for.
    pub(super) async fn restart(&mut self) -> Flow {
        self.resting = false;
        let Some(again) = &mut self.again else {
            return Flow::Continue(());
        };
        again.restarts += 1;
        let restarts = again.restarts;
        let made = caught(async { Ok((again.make)()) }).await;
        match made {
            Ok(stage) => self.body = B::new(stage),
            Err(failure) => return self.fail(failure.reason(Callback::Init), 0).await,
        }
        self.counters.restarted();
        self.output.retell();
        self.cx.asked = 0;
        if let Err(reason) = self.begin().await {
            return self.fail(reason, 0).await;
        }
        if let Some(again) = &mut self.again {
            again.restart.healthy(clock::now());
        }
        self.tell(StageEvent::Restarted { restarts });
        self.open().await
    }

    pub(super) async fn finish(&mut self, end: End) -> Flow {
        self.finish_as(end, true).await
    }

    /// Ends: the stage is told, consumers get what is buffered and then the end, producers learn that it is gone.
    async fn finish_as(&mut self, mut end: End, terminate: bool) -> Flow {
        // What `handle_discarded` emitted is left, if it was the last call.
        self.counters.emitted(self.cx.emitted.len());
        self.output.emit(&mut self.cx.emitted, &mut self.discarded);
        self.counters.discarded(self.discarded.len());
        self.output.drain();
        self.note_output();
        if let Some(reason) = self.output.trouble()
            && !end.is_failed()
        {
            end = End::Failed(Failure::new(self.cx.shared_name(), reason));
        }
        if terminate && !self.resting {
            self.terminate(&end).await;
        }
        self.output.close(end.clone());
        self.note_output();
        self.inputs.leave_as(&end);
        let end = self.body.conclude(end).await;
        self.end = Some(end);
        Flow::Break(())
    }

    async fn terminate(&mut self, end: &End) {
        // It has ended anyway, and its end has a reason already.
        let _ = caught(async {
            self.body.terminate(end).await;
            Ok(())
        })
        .await;
    }
}
