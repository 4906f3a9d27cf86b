//! A task per event: limits, restarts, shutdown.
