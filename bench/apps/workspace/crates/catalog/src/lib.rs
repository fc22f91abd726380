//! The plants and what they need. The table comes from the build script.
use greenhouse_describe_derive::Describe;
use greenhouse_units::{Days, Millilitres};
use serde::{Deserialize, Serialize};

include!(concat!(env!("OUT_DIR"), "/plants.rs"));

#[derive(Clone, Debug, Serialize, Deserialize, Describe)]
pub struct Plant {
    pub name: String,
    pub portion: Millilitres,
    pub interval: Days,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Catalog {
    pub plants: Vec<Plant>,
}

impl Catalog {
    pub fn built_in() -> Self {
        let plants = PLANTS
            .iter()
            .map(|&(name, portion, interval)| Plant {
                name: name.to_owned(),
                portion: Millilitres(portion),
                interval: Days(interval),
            })
            .collect();
        Catalog { plants }
    }
}
