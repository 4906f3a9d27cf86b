//! Starts a stage: checks its options, subscribes it, calls its `init`, and spawns its loop.

use std::{collections::VecDeque, panic::AssertUnwindSafe, sync::Arc};

use futures_util::future::FutureExt;
use tokio::sync::mpsc;

use super::{
    Context, End, Output,
    any_stage::AnyStage,
    exit_notifier::{ExitNotifier, exit_channel},
    handle::{self, HandleCore, OutputFactory},
    input::Inputs,
    notice::ConsumerNotice,
    options::{OutputOptions, StageOptions},
    runner::{Mailboxes, RestartState, Runner},
    stage_output::{LinkOutput, StageOutput},
};
use crate::{
    end::Failure,
    engine::{actor, link::Link, runtime, spawn},
    error::{Callback, Problem, Reason, StartError},
    machine::{dispatch::Dispatch, restart::Restart},
    telemetry::StageEvent,
};

type CoreOf<S> = HandleCore<<S as AnyStage>::Stage, <S as AnyStage>::In, <S as AnyStage>::Out>;
type NoticeChannel = (
    mpsc::UnboundedSender<ConsumerNotice>,
    mpsc::UnboundedReceiver<ConsumerNotice>,
);
type StartedSender<S, D> = (CoreOf<S>, OutputFactory<<S as AnyStage>::Out, D>);

/// Starts a stage that sends events.
pub(super) async fn start_sender<S, D>(
    stage: S,
    options: StageOptions<S::Stage>,
    output: OutputOptions<D>,
    outputs: Vec<Output<S::In>>,
) -> Result<StartedSender<S, D>, StartError>
where
    S: AnyStage,
    D: Dispatch<S::Out, Options: Send> + Send + 'static,
{
    let mut problems = options.problems();
    output.check(&mut problems);
    let OutputOptions {
        dispatcher,
        buffer,
        forward,
    } = output;
    let link = Arc::new(Link::on_demand(dispatcher));
    let outlet = link.outlet(usize::MAX);
    let (notices, receiver) = mpsc::unbounded_channel();
    let channel = (notices.clone(), receiver);
    let output = || LinkOutput::new(outlet, buffer, forward);
    let core = start(stage, options, problems, outputs, channel, output).await?;
    Ok((core, OutputFactory { link, notices }))
}

/// Starts a stage of any kind, with the sending side that `output` makes.
///
/// # Errors
///
/// Fails with `problems` and the problems of subscriptions, if there are any; if `init` failed; or without a tokio runtime with timers.
pub(super) async fn start<S: AnyStage, O: StageOutput<S::Out> + 'static>(
    stage: S,
    options: StageOptions<S::Stage>,
    mut problems: Vec<Problem>,
    outputs: Vec<Output<S::In>>,
    (notices, notice_receiver): NoticeChannel,
    output: impl FnOnce() -> O,
) -> Result<CoreOf<S>, StartError> {
    runtime::current()?;
    let name: Arc<str> = Arc::from(options.name.as_str());
    let (commands, command_receiver) = mpsc::unbounded_channel();
    let mut inputs = Inputs::new();
    for output in &outputs {
        match handle::new_input(&commands, output) {
            Ok(input) => inputs.add(input),
            Err(error) => problems.push(Problem::new("subscribe_to", error.to_string())),
        }
    }
    if !problems.is_empty() {
        return Err(StartError::Invalid(problems));
    }
    let (messages, message_receiver) = mpsc::channel(options.mailbox);
    let counters = options.counters;
    let mut runner = Runner {
        stage,
        restart: options.restart.map(|(policy, make)| RestartState {
            policy: Restart::new(policy),
            make,
            restarts: 0,
        }),
        cx: Context::new(Arc::clone(&name)),
        inputs,
        output: output(),
        mailboxes: Mailboxes {
            commands: command_receiver,
            notices: notice_receiver,
            messages: message_receiver,
            messages_closed: false,
            _keep_open: (commands.clone(), notices),
        },
        emitter: options.observers.into_emitter(&name),
        counters: Arc::clone(&counters),
        chunk: Vec::new(),
        discarded: Vec::new(),
        after_events: VecDeque::new(),
        backing_off: false,
        messages_first: false,
        demand_was_last: false,
        end: None,
    };
    runner.init().await.map_err(|reason| StartError::Init {
        stage: Arc::clone(&name),
        reason,
    })?;
    runner.report(StageEvent::Started);
    // Made before the task is spawned: a task that is aborted before its first poll must notify of its end, too.
    let (notifier, exit) = exit_channel(runner.emitter.clone());
    let abort = spawn::spawn(Box::pin(run(runner, Arc::clone(&name), notifier)));
    Ok(HandleCore {
        name,
        commands,
        messages,
        counters,
        exit,
        abort,
    })
}

/// Runs a stage to its end, then notifies of it.
async fn run<S: AnyStage, O: StageOutput<S::Out>>(
    mut runner: Runner<S, O>,
    name: Arc<str>,
    notifier: ExitNotifier,
) {
    let life = async move {
        if runner.open().await.is_continue() {
            runner = actor::run(runner).await;
        }
        runner.end.take()
    };
    // The runner is dropped before the notification: when `join` returns, the stage holds nothing any more.
    let lived = AssertUnwindSafe(life).catch_unwind().await;
    notifier.notify(match lived {
        Ok(Some(end)) => end,
        Ok(None) => End::Normal,
        // Panics of callbacks are caught where they are called. Only a destructor of the user's can panic here.
        Err(payload) => {
            let reason = Reason::panic(Callback::Terminate, payload);
            End::Failed(Failure::new(&name, reason))
        }
    });
}
