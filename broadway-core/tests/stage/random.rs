//! Random topologies, with a ledger of every event.
