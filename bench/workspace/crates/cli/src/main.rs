use model::Parcel;

fn main() {
    let parcel = Parcel { to: "Zürich".into(), grams: 2345 };
    let words = regex::Regex::new(r"\w+").expect("a valid pattern");
    println!("{} {} {}", Parcel::describe(), parcel.weight(), words.is_match(&parcel.to));
    println!("{} {}", serde_json::to_string(&parcel).expect("plain data"), codes::CODES.len());
}
