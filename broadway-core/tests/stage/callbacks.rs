//! Which callback is called when, and what its failure means.
