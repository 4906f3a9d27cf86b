//! Subscribing, resubscribing and cancelling at run time.
