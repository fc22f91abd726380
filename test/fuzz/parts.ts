// What a crate of a generated project is made of: each part adds items, lines of the crate's report, files and pieces of
// the build script. Every number from 9000 on is there to be edited.
import type { PackageSpec, Part, ProjectSpec } from './case.ts';

/** Text, or where a symbolic link leads. */
export type Source = string | { readonly link: string };
export type Sources = Readonly<Record<string, Source>>;

export interface Piece {
  readonly items?: readonly string[];
  /** Expressions; the report shows each with its name. */
  readonly report?: Readonly<Record<string, string>>;
  /** By path below the package. */
  readonly files?: Sources;
  /** Statements of the build script's `main`. */
  readonly build?: readonly string[];
}

const CONSTANT = 'pub const VALUE: u32 = 9000;\n';

/** The dependency whose macros a package uses. */
export function macroDep(spec: PackageSpec, project: ProjectSpec): string | undefined {
  return spec.deps.find((name) => {
    const kind = project.packages.find((other) => other.name === name)?.kind;
    return kind === 'macro' || kind === 'facade';
  });
}

/**
 * The first library a package depends on: its build script depends on it, too. Not one of several crate types: Cargo
 * would make two variants of one file.
 */
export const buildDep = (spec: PackageSpec, project: ProjectSpec): string | undefined =>
  spec.deps.find((name) => {
    const other = project.packages.find((candidate) => candidate.name === name);
    return other?.kind !== 'macro' && other?.crateTypes.length === 1;
  });

const modules: Piece = {
  items: ['pub mod one;', 'pub mod left;', 'pub mod right;'],
  report: { one: 'one::VALUE', inner: 'one::inner::value()', left: 'left::VALUE', right: 'right::VALUE' },
  files: {
    'src/one.rs': `pub mod inner;\n${CONSTANT}`,
    'src/one/inner.rs': "pub fn value() -> (u32, &'static str) { (9000, file!()) }\n",
    'src/left.rs': 'pub const VALUE: u32 = 9001;\n',
    'src/right.rs': 'pub const VALUE: u32 = 9002;\n',
  },
};

const pathModule: Piece = {
  items: ['#[path = "odd place/größe é.rs"]\npub mod odd;'],
  report: { odd: '(odd::VALUE, odd::deep::VALUE)' },
  files: {
    'src/odd place/größe é.rs': `#[path = "../deep.rs"]\npub mod deep;\n${CONSTANT}`,
    'src/deep.rs': CONSTANT,
  },
};

const includes: Piece = {
  items: [
    'pub const SNIPPET: (u32, u32) = include!("snippet.in");',
    'pub static BYTES: &[u8] = include_bytes!("../data/some bytes.bin");',
  ],
  report: {
    snippet: 'SNIPPET',
    bytes: 'BYTES',
    text: 'include_str!("../data/täxt.txt")',
    rooted: 'include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/data/rooted.txt"))',
  },
  files: {
    'src/snippet.in': '(9000, 1)',
    'data/some bytes.bin': '9000',
    'data/täxt.txt': 'text 9000\n',
    'data/rooted.txt': 'rooted 9000\n',
  },
};

const env: Piece = {
  report: {
    option: 'option_env!("FUZZ_OPTION")',
    configured: 'option_env!("FUZZ_CONFIGURED")',
    version: '(env!("CARGO_PKG_VERSION"), env!("CARGO_CRATE_NAME"))',
    described: 'env!("CARGO_PKG_DESCRIPTION")',
  },
};

const place = ({ registry }: PackageSpec): Piece => ({
  items: ['const PLACE_LENGTH: usize = env!("CARGO_MANIFEST_DIR").len();'],
  report: {
    place: 'env!("CARGO_MANIFEST_DIR")',
    length:
      registry === undefined
        ? 'std::env::var("FUZZ_CHECKOUT").map(|checkout| PLACE_LENGTH - checkout.len())'
        : 'PLACE_LENGTH',
  },
});

const generated = (spec: PackageSpec): Piece => ({
  items: ['pub mod generated { include!(concat!(env!("OUT_DIR"), "/generated.rs")); }'],
  report: {
    generated: 'generated::GENERATED',
    from_build: 'env!("FUZZ_FROM_BUILD")',
    odd_cfg: 'cfg!(fuzz_odd)',
    seen: 'include_str!(concat!(env!("OUT_DIR"), "/seen.txt"))',
    ...(spec.parts.includes('place') ? { out: 'env!("OUT_DIR")' } : {}),
  },
  files: { 'gen/input.txt': '9000\n' },
  build: [
    'println!("cargo:rerun-if-changed=gen/input.txt");',
    'println!("cargo:rerun-if-env-changed=FUZZ_BUILD");',
    'println!("cargo::rustc-check-cfg=cfg(fuzz_odd)");',
    'let number: u32 = fs::read_to_string("gen/input.txt").unwrap().trim().parse().unwrap();',
    'let asked = env::var("FUZZ_BUILD");',
    'fs::write(format!("{out}/generated.rs"), format!("pub const GENERATED: u32 = {number};\\npub fn by_script() {{ let unused = {number}; }}\\n")).unwrap();',
    'fs::write(format!("{out}/query.txt"), format!("query {number} {asked:?}")).unwrap();',
    'println!("cargo:rustc-env=FUZZ_FROM_BUILD={number}");',
    'if number % 2 == 1 { println!("cargo:rustc-cfg=fuzz_odd"); }',
    'let mut seen: Vec<String> = env::vars().filter(|(name, _)| (name.starts_with("DEP_") && !name.ends_with("_INCLUDE")) || name.starts_with("CARGO_FEATURE_")).map(|(name, value)| format!("{name}={value}")).collect();',
    'seen.sort();',
    'fs::write(format!("{out}/seen.txt"), seen.join(";")).unwrap();',
  ],
});

const viaBuildDep = (dep: string): Piece => ({
  report: { by_build_dep: 'include_str!(concat!(env!("OUT_DIR"), "/by_build_dep.txt"))' },
  build: [`fs::write(format!("{out}/by_build_dep.txt"), ${dep}::report().join("\\n")).unwrap();`],
});

const macroFiles = (spec: PackageSpec, from: string): Piece => ({
  items: [`#[derive(${from}::Tell)]\npub struct Told;`],
  report: {
    read: `${from}::read_file!("data/read by macro.txt")`,
    listed: `${from}::list_dir!("items")`,
    optional: `${from}::read_file!("optional.txt")`,
    own: `${from}::own!()`,
    told: 'Told::tell()',
    // What lies outside the package of a path package beside the workspace is not watched: documented.
    ...(spec.outside
      ? {}
      : { template: `${from}::template!()`, shared: `${from}::read_file!("../shared/words.txt")` }),
  },
  files: {
    'data/read by macro.txt': 'read 9000\n',
    'items/a.txt': '9000\n',
    'items/b é.txt': '9000\n',
  },
});

const macroEnv = (from: string): Piece => ({
  report: {
    fixed_env: `${from}::fixed_env!()`,
    named_env: `${from}::named_env!("FUZZ_NAMED")`,
    odd_env: `${from}::named_env!("fuzz.odd-name")`,
    home: `${from}::home_dir!()`,
  },
});

const macroOut = (from: string): Piece => ({ report: { queried: `${from}::out_file!("query.txt")` } });

const features: Piece = {
  report: {
    cfgs: '(cfg!(feature = "loud"), cfg!(fuzz_flag), cfg!(debug_assertions), cfg!(panic = "abort"), cfg!(test))',
  },
};

const links = (spec: PackageSpec): Piece => ({
  items: ['pub mod by_link;'],
  report: { linked: 'by_link::VALUE', through: 'include_str!("../folder link/words.txt")' },
  files: {
    'real/linked.rs': 'pub const VALUE: (u32, &str) = (9000, file!());\n',
    'src/by_link.rs': { link: '../real/linked.rs' },
    'folder link': { link: spec.outside ? 'real' : '../shared' },
    ...(spec.outside ? { 'real/words.txt': 'words 9000\n' } : {}),
  },
});

const lint: Piece = { items: ['pub fn warned() { let unused = 9000; }'] };

/** Read by the assembler; the build script has Cargo compile the crate again, which knows of no such file. */
const assembled: Piece = {
  items: [
    `#[cfg(target_arch = "x86_64")]
fn assembled() -> String {
    let (from, to): (*const u8, *const u8);
    unsafe {
        std::arch::asm!(".pushsection .rodata", "2:", concat!(r#".incbin ""#, env!("CARGO_MANIFEST_DIR"), r#"/data/assembled.txt""#), "3:", ".popsection", "lea {0}, [rip + 2b]", "lea {1}, [rip + 3b]", out(reg) from, out(reg) to);
        String::from_utf8_lossy(std::slice::from_raw_parts(from, to.offset_from(from) as usize)).into_owned()
    }
}
#[cfg(not(target_arch = "x86_64"))]
fn assembled() -> &'static str { include_str!("../data/assembled.txt") }`,
  ],
  report: { assembled: 'assembled()' },
  files: { 'data/assembled.txt': 'assembled 9000\n' },
  build: ['println!("cargo:rerun-if-changed=data/assembled.txt");'],
};

/** What the parts of a package come to. Parts that lack what they need (a macro, a build script) add nothing. */
export function piecesOf(spec: PackageSpec, project: ProjectSpec): Piece[] {
  const macros = macroDep(spec, project);
  const dep = buildDep(spec, project);
  const hasOut = spec.parts.includes('generated');
  const pieces: Readonly<Record<Part, Piece | undefined>> = {
    modules,
    'path-module': pathModule,
    includes,
    env,
    place: place(spec),
    generated: generated(spec),
    'build-dep': dep === undefined || !hasOut ? undefined : viaBuildDep(dep),
    'macro-files': macros === undefined ? undefined : macroFiles(spec, macros),
    'macro-env': macros === undefined ? undefined : macroEnv(macros),
    'macro-out': macros === undefined || !hasOut ? undefined : macroOut(macros),
    features,
    links: links(spec),
    lint,
    assembled: hasOut ? assembled : undefined,
  };
  return spec.parts.flatMap((part) => pieces[part] ?? []);
}
