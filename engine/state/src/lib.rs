//! What survives a run: positions, leases, history.
