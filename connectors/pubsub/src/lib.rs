//! Google Cloud Pub/Sub for broadway.
