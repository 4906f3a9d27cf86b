//! Waiting for a flow with a progress bar.

use super::{Options, Report, RunningFlow};
use crate::FlowError;

impl RunningFlow {
    /// As [`wait`](Self::wait), and draws a progress bar on standard error meanwhile, ten times per second. Draws nothing if standard error
    /// is not a terminal.
    ///
    /// The bar has the name of the flow, and the [progress](Self::progress) of its sources: share, amount, rate and time left. If the total is
    /// unknown, it is a spinner with amount and rate. At the end it stays with the amount and the time, and after an error with the amount
    /// that was read until then.
    ///
    /// ```text
    /// orders [========>           ] 45%, 4,500 of 10,000 events, 900/s, 7 s left
    /// ```
    ///
    /// # Limits
    ///
    /// The share counts what sources have read, so the bar may be full while the last events, or windows at the end, are still on their
    /// way: it shows `finishing` then.
    ///
    /// The task that waits draws the bar: while operators occupy all threads of the runtime, updates come late.
    ///
    /// The bar is redrawn in its line. Other output to the terminal, such as logs or the bar of another flow, breaks that line, and leaves
    /// parts of the bar behind.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`wait`](Self::wait): the flow goes on, and the bar stays as it was drawn last.
    #[cfg(feature = "progress")]
    #[cfg_attr(docsrs, doc(cfg(feature = "progress")))]
    pub async fn wait_with_bar(&mut self) -> Result<Report, FlowError> {
        super::bar::wait_drawing(self, indicatif::ProgressDrawTarget::stderr()).await
    }

    /// Waits for the end, with a progress bar if the options have one.
    pub(crate) async fn wait_with(&mut self, options: &Options) -> Result<Report, FlowError> {
        #[cfg(feature = "progress")]
        if let Some(target) = options.bar {
            return super::bar::wait_drawing(self, target()).await;
        }
        let _ = options;
        self.wait().await
    }
}
