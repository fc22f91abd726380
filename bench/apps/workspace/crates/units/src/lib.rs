//! Quantities the other members compute with; at the bottom of the workspace.
use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Millilitres(pub f64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Days(pub u32);

impl Millilitres {
    pub fn times(self, factor: f64) -> Self {
        Millilitres(self.0 * factor)
    }
}

impl fmt::Display for Millilitres {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 >= 1000.0 {
            write!(out, "{:.2} l", self.0 / 1000.0)
        } else {
            write!(out, "{:.0} ml", self.0)
        }
    }
}

impl fmt::Display for Days {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} day{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}
