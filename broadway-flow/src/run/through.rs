//! [`Through`]: external stages between two segments.

use std::{marker::PhantomData, sync::Arc};

use broadway_core::{BoxError, Callback, Reason, StartError, stage::Output};
use futures_util::future::BoxFuture;

use super::unpack::unpack;
use crate::{
    live::FlowState,
    sink::{OperatorInfo, Packet},
    source::{Counter, start_pack},
    stages::{Stages, StartBetween, WorkerOutput},
};

/// External stages. `F` starts them behind an output, and returns theirs.
pub(crate) struct Through<T, F> {
    f: F,
    info: Arc<OperatorInfo>,
    events: PhantomData<fn(T)>,
}

impl<T, F> Through<T, F> {
    pub(crate) const fn new(f: F, info: Arc<OperatorInfo>) -> Self {
        Self {
            f,
            info,
            events: PhantomData,
        }
    }
}

impl<T, U, F, O> StartBetween for Through<T, F>
where
    T: Send + 'static,
    U: Send + 'static,
    F: FnOnce(Output<T>) -> O + Send + 'static,
    O: Future<Output = Result<Output<U>, BoxError>> + Send + 'static,
{
    fn start<'a>(
        self: Box<Self>,
        outputs: Vec<Output<Packet>>,
        state: &'a Arc<FlowState>,
        stages: &'a mut Stages,
    ) -> BoxFuture<'a, Result<WorkerOutput, StartError>> {
        Box::pin(async move {
            let Self { f, info, .. } = *self;
            let (output, stage) = unpack::<T>(outputs, state).await?;
            stages.all.push(stage);
            let output = f(output).await.map_err(|error| StartError::Init {
                stage: info.to_string().into(),
                reason: Reason::error(Callback::Init, error),
            })?;
            let started = start_pack(output, Counter::Operator(info), state).await?;
            Ok(stages.add(started))
        })
    }
}
