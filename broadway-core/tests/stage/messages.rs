//! Messages to a stage beside the events: calls, casts, infos, timers.
