/// A weight as people write it.
pub fn grams(grams: u64) -> String {
    if grams < 1000 {
        format!("{grams} g")
    } else {
        format!("{}.{} kg", grams / 1000, grams % 1000 / 100)
    }
}
