//! The methods of [`Topology`] that change a running topology. None of them loses or reorders a message.

use super::{super::describe::Description, RunningBatcher, Topology, TopologyState};
use crate::{error::Problem, telemetry::Event};

impl<T: Send + 'static> Topology<T> {
    /// Returns the shape of the topology, with its present values: the values set last by the methods of this handle, or chosen by
    /// [`autoscale`](crate::Processors::autoscale).
    #[must_use]
    pub fn describe(&self) -> Description {
        self.state.describe()
    }

    /// Returns the batcher of this name, to change its options or flush it. Names are the variants of
    /// the [`batchers!`](crate::batchers) enum, in snake case.
    ///
    /// # Errors
    ///
    /// Fails if no batcher has this name. The error lists the names.
    pub fn batcher(&self, name: &str) -> Result<RunningBatcher<'_>, Problem> {
        Ok(RunningBatcher {
            state: &self.state,
            index: self.state.live.find_batcher(name)?,
        })
    }

    /// Changes the number of processors: how many messages are handled at once. New processors take messages at once. Surplus ones end
    /// when they have handled, settled and forwarded the messages that they hold; messages that wait go to the others. Nothing is
    /// lost, and order per key is kept. The number of messages that wait for processors changes with it. Reported as
    /// [`Event::Resized`].
    ///
    /// With [`autoscale`](crate::Processors::autoscale) the number changes again when the load asks for it.
    ///
    /// The number that it is already has no effect, and so has any number when the source has ended and no message is left.
    ///
    /// # Errors
    ///
    /// Fails, and changes nothing, if the number is not within 1 to 65,536 or the topology has ended.
    pub fn set_processors(&self, processors: usize) -> Result<(), Problem> {
        self.state.set_processors(processors)
    }

    /// Sends all open batches of all batchers to their batch processors now, whether they are due or not. Returns how many. They are
    /// handled like other batches; their [trigger](crate::Trigger) is `Flush`.
    ///
    /// Messages that processors hold, or that wait for a processor, are not in batches yet and stay there. More batches than usual
    /// may wait for a batch processor afterwards; processors wait until they are taken. Returns 0 after the end.
    pub fn flush(&self) -> usize {
        self.state.live.flush_all()
    }

    /// Stops asking the producers of this source for messages, until [`resume_source`](Self::resume_source). The other sources go
    /// on. Messages in flight are handled. Has no effect if the source is paused already.
    ///
    /// [`pause`](Self::pause) holds all sources, and is independent of this: a producer is asked while neither holds it.
    ///
    /// # Errors
    ///
    /// Fails if no source has this name. The error lists the names. The only source of a pipeline is called `"source"`, unless
    /// [`source_name`](crate::Pipeline::source_name) sets another name.
    pub fn pause_source(&self, name: &str) -> Result<(), Problem> {
        self.state.pause_source(name, true)
    }

    /// Asks the producers of this source for messages again. Has no effect if the source is not paused.
    ///
    /// # Errors
    ///
    /// Fails as [`pause_source`](Self::pause_source) does.
    pub fn resume_source(&self, name: &str) -> Result<(), Problem> {
        self.state.pause_source(name, false)
    }
}

impl TopologyState {
    fn describe(&self) -> Description {
        let (mut description, control) = (self.live.description(), self.control.state());
        description.rate_limit = self.rate_limit();
        description.paused = control.is_paused();
        for (index, source) in description.sources.iter_mut().enumerate() {
            source.paused = control.pauses_source(index);
        }
        description
    }

    pub(in crate::pipeline) fn set_processors(&self, processors: usize) -> Result<(), Problem> {
        let from = self.live.resize_processors(processors)?;
        self.report_resize(None, from, processors);
        Ok(())
    }

    pub(super) fn report_resize(&self, batcher: Option<&'static str>, from: usize, to: usize) {
        if from != to {
            self.emitter.emit(&Event::Resized { batcher, from, to });
        }
    }

    fn pause_source(&self, name: &str, paused: bool) -> Result<(), Problem> {
        let index = self.live.find_source(name)?;
        if self.control.pause_source(index, paused) {
            let source = name;
            self.emitter.emit(&match paused {
                true => Event::SourcePaused { source },
                false => Event::SourceResumed { source },
            });
        }
        Ok(())
    }
}
