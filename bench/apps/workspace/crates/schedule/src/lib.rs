//! Which plant is watered on which of the next seven days.
use greenhouse_catalog::Catalog;
use greenhouse_describe_derive::Describe;
use greenhouse_units::Millilitres;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Serialize, Deserialize, Describe)]
pub struct Watering {
    pub plant: String,
    pub amount: Millilitres,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Plan {
    pub days: BTreeMap<u32, Vec<Watering>>,
}

pub fn plan_week(catalog: &Catalog) -> Plan {
    let mut plan = Plan::default();
    for day in 1..=7 {
        let due = catalog
            .plants
            .iter()
            .filter(|plant| day % plant.interval.0 == 0);
        let waterings = due.map(|plant| Watering {
            plant: plant.name.clone(),
            amount: plant.portion.times(if day == 7 { 1.5 } else { 1.0 }),
        });
        plan.days.insert(day, waterings.collect());
    }
    plan
}
