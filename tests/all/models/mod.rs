//! Networks: shipped weights against their golden values, shapes against the oracle.

mod foreign;
mod framenet;
mod golden;
mod slopes;
mod turned;
