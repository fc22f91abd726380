use greeting::{as_json, Greeting};

fn main() {
    println!("{}", as_json(&Greeting { to: "world" }));
}
