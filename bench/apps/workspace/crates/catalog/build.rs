//! Turns `plants.txt` into a Rust table under OUT_DIR.
use std::{env, fmt::Write as _, fs, path::Path};

fn main() {
    println!("cargo:rerun-if-changed=plants.txt");
    println!("cargo:rerun-if-changed=build.rs");
    let text = fs::read_to_string("plants.txt").expect("plants.txt can be read");
    let mut code = String::from("pub static PLANTS: &[(&str, f64, u32)] = &[\n");
    for line in text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
    {
        let fields: Vec<&str> = line.split(';').map(str::trim).collect();
        let [name, amount, interval] = fields[..] else {
            panic!("plants.txt: bad line {line:?}")
        };
        let amount: f64 = amount.parse().expect("an amount is a number");
        let interval: u32 = interval.parse().expect("an interval is a whole number");
        writeln!(code, "    ({name:?}, {amount:?}, {interval}),")
            .expect("writing to a string works");
    }
    code.push_str("];\n");
    let out = env::var_os("OUT_DIR").expect("Cargo sets OUT_DIR");
    fs::write(Path::new(&out).join("plants.rs"), code).expect("plants.rs can be written");
}
