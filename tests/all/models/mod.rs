//! Networks: shipped weights against their golden values, shapes against the oracle.

mod foreign;
mod golden;
