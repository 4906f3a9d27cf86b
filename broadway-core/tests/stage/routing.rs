//! Events that go to several targets, and are settled when all are done.
