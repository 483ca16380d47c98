//! What the benches share: the cases, how they are measured, and how results are printed.

// Each bench is a crate of its own and uses a part of this.
#![allow(dead_code)]

pub mod bars;
pub mod cases;
pub mod ceiling;
pub mod copy;
pub mod machine;
pub mod memory;
pub mod page;
pub mod plan;
pub mod python;
pub mod race;
pub mod report;
