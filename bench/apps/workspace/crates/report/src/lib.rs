//! A plan as text.
use greenhouse_catalog::Plant;
use greenhouse_schedule::{Plan, Watering};
use std::fmt::Write as _;

pub fn render(plan: &Plan) -> String {
    let mut text = String::new();
    for (title, fields) in [Plant::describe(), Watering::describe()] {
        let _ = writeln!(text, "{title}: {}", fields.join(", "));
    }
    for (day, waterings) in &plan.days {
        let entries: Vec<String> = waterings
            .iter()
            .map(|watering| format!("{} {}", watering.plant, watering.amount))
            .collect();
        let _ = writeln!(text, "day {day}: {}", entries.join("; "));
    }
    let size = serde_json::to_string(plan)
        .map(|json| json.len())
        .unwrap_or_default();
    let _ = writeln!(text, "as JSON: {size} bytes");
    text
}
