//! SQS for broadway.
