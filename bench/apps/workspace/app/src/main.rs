//! Prints next week's watering plan, as text or (with `--json`) as JSON.
use greenhouse_catalog::Catalog;
use greenhouse_schedule::plan_week;

fn main() {
    let catalog = Catalog::built_in();
    let plan = plan_week(&catalog);
    if std::env::args().any(|argument| argument == "--json") {
        match serde_json::to_string(&plan) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("Cannot print the plan: {error}"),
        }
    } else {
        print!("{}", greenhouse_report::render(&plan));
    }
}
