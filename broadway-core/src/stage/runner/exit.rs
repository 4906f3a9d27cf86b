//! How a stage fails, restarts, and ends.

use std::ops::ControlFlow;

use super::Runner;
use crate::{
    caught::{caught, guarded},
    end::Failure,
    engine::{clock, spawn},
    error::{Callback, Reason},
    machine::restart::RestartDecision,
    stage::{End, any_stage::AnyStage, stage_output::StageOutput},
    telemetry::StageEvent,
};

impl<S: AnyStage, O: StageOutput<S::Out>> Runner<S, O> {
    /// Handles the failure of a callback, in which `lost` events were lost: the stage backs off to be restarted, or ends.
    pub(super) async fn fail(&mut self, reason: Reason, lost: usize) -> ControlFlow<()> {
        self.cx.emitted.clear();
        self.cx.stop = None;
        self.counters.lost(lost);
        let decision = self
            .restart
            .as_mut()
            .map(|restart| restart.policy.failed(clock::now(), spawn::jitter()));
        let restart_after = match decision {
            Some(RestartDecision::After(delay)) => Some(delay),
            Some(RestartDecision::GiveUp) | None => None,
        };
        self.report(StageEvent::Failed {
            reason: &reason,
            lost,
            restart_after,
        });
        let is_panic = reason.is_panic();
        let end = End::Failed(Failure::new(self.cx.shared_name(), reason));
        let Some(delay) = restart_after else {
            return self.finish_as(end, !is_panic).await;
        };
        // A value that panicked may be inconsistent, so it is not called again.
        if !is_panic {
            self.terminate(&end).await;
        }
        // A panic of its destructor adds nothing to the failure.
        let _ = guarded(|| self.stage.drop_inner());
        self.cx.timers.clear();
        self.cx.start_timer(delay);
        self.backing_off = true;
        ControlFlow::Continue(())
    }

    /// Makes the stage anew. Subscriptions, buffer, mailbox and outstanding demand are kept.
    pub(super) async fn restart(&mut self) -> ControlFlow<()> {
        self.backing_off = false;
        let Some(restart) = &mut self.restart else {
            return ControlFlow::Continue(());
        };
        restart.restarts += 1;
        let restarts = restart.restarts;
        let made = caught(async { Ok((restart.make)()) }).await;
        match made {
            Ok(stage) => self.stage = S::new(stage),
            Err(failure) => return self.fail(failure.reason(Callback::Init), 0).await,
        }
        self.counters.restarted();
        self.output.report_again();
        self.cx.outstanding = 0;
        if let Err(reason) = self.init().await {
            return self.fail(reason, 0).await;
        }
        if let Some(restart) = &mut self.restart {
            restart.policy.healthy(clock::now());
        }
        self.report(StageEvent::Restarted { restarts });
        self.open().await
    }

    pub(super) async fn finish(&mut self, end: End) -> ControlFlow<()> {
        self.finish_as(end, true).await
    }

    /// Ends the stage: calls `terminate`, sends consumers the buffered events and then the end, and leaves the producers.
    async fn finish_as(&mut self, mut end: End, terminate: bool) -> ControlFlow<()> {
        // Only events that `handle_discarded` emitted are left here, if that was the last callback.
        self.counters.emitted(self.cx.emitted.len());
        self.output.emit(&mut self.cx.emitted, &mut self.discarded);
        self.counters.discarded(self.discarded.len());
        self.output.send_buffered();
        self.report_output();
        if let Some(reason) = self.output.take_error()
            && !end.is_failed()
        {
            end = End::Failed(Failure::new(self.cx.shared_name(), reason));
        }
        // A stage that backs off was terminated when it failed, or had panicked.
        if terminate && !self.backing_off {
            self.terminate(&end).await;
        }
        self.output.close(end.clone());
        self.report_output();
        self.inputs.cancel_all(&end);
        let end = self.stage.finish(end).await;
        self.end = Some(end);
        ControlFlow::Break(())
    }

    async fn terminate(&mut self, end: &End) {
        // A failure here is ignored: the stage ends anyway, and its end has a reason already.
        let _ = caught(async {
            self.stage.terminate(end).await;
            Ok(())
        })
        .await;
    }
}
