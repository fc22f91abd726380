include!(concat!(env!("OUT_DIR"), "/codes.rs"));
