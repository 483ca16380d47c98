//! What the test binaries share: references, measures, tolerances, inputs, and checks that take the backend as an
//! argument.
#![allow(dead_code)] // every binary uses a part

pub mod accuracy;
pub mod backend;
pub mod case;
pub mod contract;
pub mod fused;
pub mod gradcheck;
pub mod guard;
pub mod inplace;
pub mod inputs;
pub mod layouts;
pub mod limits;
pub mod operand;
pub mod parallel;
pub mod process;
pub mod reference;
pub mod sweep;
pub mod table;
pub mod ulp;
