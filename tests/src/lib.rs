//! Black-box, golden and fault tests.
