//! [`PacketSender`]: sends packets from the task of a source to its stage.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::{
    live::{FlowState, Stopping},
    sink::Packet,
};

/// Sends packets to the stage of a source, until the flow fails or its time to stop is over.
///
/// The flow keeps a second sender: if the task panics, its workers do not take that for the end of the input, at which windows fire.
pub(super) struct PacketSender {
    packets: mpsc::Sender<Packet>,
    stopping: Stopping,
    state: Arc<FlowState>,
    /// A packet was not sent. From then on no barrier is complete, so none may be sent.
    is_broken: bool,
}

impl PacketSender {
    pub(super) fn new(
        packets: mpsc::Sender<Packet>,
        stopping: Stopping,
        state: &Arc<FlowState>,
    ) -> Self {
        state.keep(packets.clone());
        Self {
            packets,
            stopping,
            state: Arc::clone(state),
            is_broken: false,
        }
    }

    /// Whether a packet was not sent.
    pub(super) const fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Waits until there is room for a packet. Returns false if the stage has ended. Cancel safe.
    pub(super) async fn has_room(&self) -> bool {
        self.packets.reserve().await.is_ok()
    }

    /// Sends a packet, unless one before it was not sent.
    pub(super) async fn send(&mut self, packet: Packet) {
        if self.is_broken {
            return;
        }
        let is_sent = tokio::select! {
            biased;
            sent = self.packets.send(packet) => sent.is_ok(),
            _ = self.state.failed() => false,
            () = self.stopping.over() => false,
        };
        self.is_broken = !is_sent;
    }

    /// Ends the input of the workers.
    pub(super) fn end(self) {
        self.state.keep(());
    }
}
