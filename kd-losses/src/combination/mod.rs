//! Weighted sums of losses, and weights that change with time.
