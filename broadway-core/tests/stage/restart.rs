//! Stages that fail begin anew, and what is lost then.
