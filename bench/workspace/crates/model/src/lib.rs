use describe_derive::Describe;
use serde::{Deserialize, Serialize};

#[derive(Debug, Describe, Serialize, Deserialize)]
pub struct Parcel {
    pub to: String,
    pub grams: u64,
}

impl Parcel {
    pub fn weight(&self) -> String {
        units::grams(self.grams)
    }
}
