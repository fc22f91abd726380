// The project most end-to-end tests build: several members, a proc macro of its own used directly and through a
// re-export, generated code, a static C library, real paths at run time, warnings, and a binary that prints it all.
import type { Files } from './lab.ts';

const manifest = (name: string, rest = ''): string =>
  `[package]\nname = "${name}"\nversion = "0.1.0"\nedition = "2021"\n${rest}`;

/** Reads, lists, looks for and asks the environment, the way sqlx, include_dir, dotenvy and friends do. */
const MACROS = `
use proc_macro::TokenStream;
use std::{env, fs};
fn literal(text: &str) -> TokenStream { format!("{text:?}").parse().unwrap() }
fn home() -> String { env::var("CARGO_MANIFEST_DIR").unwrap() }
fn text(path: &str) -> TokenStream { literal(&fs::read_to_string(format!("{}/{path}", home())).unwrap_or("none".into())) }
#[proc_macro] pub fn own_file(_: TokenStream) -> TokenStream { text("data/text.txt") }
#[proc_macro] pub fn shared_file(_: TokenStream) -> TokenStream { text("../shared/words.txt") }
#[proc_macro] pub fn optional_file(_: TokenStream) -> TokenStream { text("../.env") }
#[proc_macro] pub fn variable(_: TokenStream) -> TokenStream { literal(&env::var("GREETING_OF_TESTS").unwrap_or("unset".into())) }
#[proc_macro] pub fn listing(_: TokenStream) -> TokenStream {
    let mut names: Vec<String> = fs::read_dir(format!("{}/items", home())).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    literal(&names.join(","))
}
#[proc_macro] pub fn generated_file(_: TokenStream) -> TokenStream { literal(&fs::read_to_string(format!("{}/query.txt", env::var("OUT_DIR").unwrap())).unwrap()) }
#[proc_macro] pub fn named_variable(name: TokenStream) -> TokenStream { literal(&env::var(name.to_string().trim_matches('"')).unwrap_or("nothing".into())) }
`;

export const WORKSPACE: Files = {
  'Cargo.toml':
    '[workspace]\nmembers = ["app", "macros", "facade", "place", "generated", "native"]\nresolver = "2"\n',
  'macros/Cargo.toml': manifest('macros', '[lib]\nproc-macro = true\n'),
  'macros/src/lib.rs': MACROS,
  'facade/Cargo.toml': manifest('facade', '[dependencies]\nmacros = { path = "../macros" }\n'),
  'facade/src/lib.rs':
    'pub use macros::*;\n#[macro_export] macro_rules! observed { () => { [$crate::own_file!(), $crate::shared_file!(), $crate::optional_file!(), $crate::variable!(), $crate::listing!()] } }\n',
  'place/Cargo.toml': manifest('place'),
  'place/src/lib.rs': 'pub fn dir() -> &\'static str { env!("CARGO_MANIFEST_DIR") }\n',
  'generated/Cargo.toml': manifest('generated', '[dependencies]\nmacros = { path = "../macros" }\n'),
  'generated/build.rs':
    'fn main() {\n    let out = std::env::var("OUT_DIR").unwrap();\n    std::fs::write(format!("{out}/answer.rs"), "pub const ANSWER: u32 = 42;\\n").unwrap();\n    std::fs::write(format!("{out}/query.txt"), "select").unwrap();\n    println!("cargo:rerun-if-changed=build.rs");\n}\n',
  'generated/src/lib.rs':
    'include!(concat!(env!("OUT_DIR"), "/answer.rs"));\npub const QUERY: &str = macros::generated_file!();\n',
  'native/Cargo.toml': manifest('native', 'links = "tiny"\n'),
  'native/build.rs':
    'use std::process::Command;\nfn main() {\n    let out = std::env::var("OUT_DIR").unwrap();\n    let run = |program: &str, args: &[&str]| assert!(Command::new(program).args(args).status().unwrap().success());\n    for (source, archive) in [("tiny", "libtiny.a"), ("odd", "odd.archive")] {\n        let object = format!("{out}/{source}.o");\n        run("cc", &["-c", "-O1", &format!("c/{source}.c"), "-o", &object]);\n        let archive = format!("{out}/{archive}");\n        let _ = std::fs::remove_file(&archive);\n        run("ar", &["crsD", &archive, &object]);\n        println!("cargo:rerun-if-changed=c/{source}.c");\n    }\n    println!("cargo:rustc-link-search=native={out}");\n}\n',
  'native/c/tiny.c': 'int tiny(void) { return 7; }\n',
  'native/c/odd.c': 'int odd(void) { return 70; }\n',
  'native/src/lib.rs':
    '#[link(name = "tiny", kind = "static")]\nunsafe extern "C" { fn tiny() -> i32; }\n#[link(name = "odd.archive", kind = "static", modifiers = "+verbatim")]\nunsafe extern "C" { fn odd() -> i32; }\npub fn number() -> i32 { unsafe { tiny() } }\npub fn odd_number() -> i32 { unsafe { odd() } }\n',
  'app/Cargo.toml': manifest(
    'app',
    '[features]\nloud = []\n[dependencies]\nfacade = { path = "../facade" }\nmacros = { path = "../macros" }\nplace = { path = "../place" }\ngenerated = { path = "../generated" }\nnative = { path = "../native" }\n',
  ),
  'app/data/text.txt': 'one\n',
  'app/data/included.txt': 'included\n',
  'app/items/a.txt': '',
  'app/items/b.txt': '',
  'shared/words.txt': 'words\n',
  'app/src/lib.rs': `pub mod left;
pub mod right;
pub fn observed() -> [&'static str; 5] { facade::observed!() }
pub fn direct() -> &'static str { macros::own_file!() }
pub const NAMED: &str = macros::named_variable!("CHOSEN_BY_SOURCE");
pub const DOTTED: &str = macros::named_variable!("chosen.by-source");
pub const OPTION: Option<&str> = option_env!("OPTION_OF_TESTS");
pub const INCLUDED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/data/included.txt"));
pub const LOUD: bool = cfg!(feature = "loud");
pub const FLAGGED: bool = cfg!(flagged_by_tests);
pub fn file() -> &'static str { file!() }
pub fn warned() { let unused = 1; }
`,
  'app/src/left.rs': 'pub fn side() -> &\'static str { "left" }\n',
  'app/src/right.rs': 'pub fn side() -> &\'static str { "right" }\n',
  'app/src/main.rs': `fn main() {
    println!("{:?} {} {:?} {} {} {}", app::observed(), app::direct(), app::OPTION, app::INCLUDED, app::LOUD, app::FLAGGED);
    println!("{} {} {} {} {}", app::left::side(), app::right::side(), app::file(), generated::ANSWER, native::number());
    println!("{} {} {} {} {}", place::dir(), app::NAMED, app::DOTTED, generated::QUERY, native::odd_number());
}
`,
  'app/tests/sides.rs': '#[test] fn sides() { assert_ne!(app::left::side(), ""); }\n',
};

/** Its libraries whose outputs hold no path of the checkout: these are shared. `place` holds one and is not. */
export const SHARED = ['facade', 'generated', 'native'];
