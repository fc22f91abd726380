//! Greetings, written as JSON.

use serde::Serialize;

#[derive(Serialize)]
pub struct Greeting<'a> {
    pub to: &'a str,
}

pub fn as_json(greeting: &Greeting) -> String {
    serde_json::to_string(greeting).expect("a greeting is always JSON")
}

#[test]
fn is_json() {
    assert_eq!(as_json(&Greeting { to: "all" }), r#"{"to":"all"}"#);
}
