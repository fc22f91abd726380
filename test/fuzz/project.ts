// From the description of a project to its files: a workspace in `ws`, path packages beside it in `ext`.
import type { PackageSpec, ProjectSpec } from './case.ts';
import { buildDep, type Piece, piecesOf, type Source, type Sources } from './parts.ts';
import { ODD_FEATURE, SCRIPT_ITEMS, scriptPiecesOf, treeItems } from './scripts.ts';

const folderOf = (spec: PackageSpec): string => `${spec.outside ? 'ext' : 'ws'}/${spec.name}`;

/** Every file of a project, by path below the checkout. */
export function render(project: ProjectSpec): Sources {
  const files: Record<string, Source> = {
    'ws/Cargo.toml': workspaceManifest(project),
    'ws/shared/words.txt': 'words 9000\n',
    'ws/.cargo/config.toml': '[env]\nFUZZ_CONFIGURED = "9000"\n',
  };
  for (const spec of project.packages.filter(({ registry }) => registry === undefined))
    for (const [name, source] of Object.entries(packageFiles(spec, project)))
      files[`${folderOf(spec)}/${name}`] = source;
  return files;
}

/** Every file of every package of the registry, by path below the folder of those. */
export function renderRegistry(project: ProjectSpec): Sources {
  const files: Record<string, Source> = {};
  for (const spec of project.packages)
    for (let patch = 0; patch < (spec.registry?.patches ?? 0); patch++) {
      const folder = `${cargoNameOf(spec)}-0.${spec.registry?.minor}.${9000 + patch}`;
      files[`${folder}/.cargo-checksum.json`] = '{"files":{},"package":null}';
      for (const [name, source] of Object.entries(packageFiles(spec, project)))
        files[`${folder}/${name}`] =
          typeof source === 'string' ? source.replaceAll(/\b9000\b/g, String(9000 + patch)) : source;
    }
  return files;
}

export const cargoNameOf = ({ name, cargoName = name }: PackageSpec): string => cargoName;

function workspaceManifest({ packages, profile }: ProjectSpec): string {
  const members = packages.filter(({ outside }) => !outside).map(({ name }) => JSON.stringify(name));
  return `[workspace]\nresolver = "2"\nmembers = [${members.join(', ')}]\n\n[profile.dev]\n${profile.join('\n')}\n`;
}

function packageFiles(spec: PackageSpec, project: ProjectSpec): Sources {
  switch (spec.kind) {
    case 'macro':
      return macroFiles(spec, project);
    case 'app':
      return appFiles(spec, project);
    default:
      return libraryFiles(spec, project);
  }
}

function manifest(spec: PackageSpec, project: ProjectSpec, rest: readonly string[]): string {
  const name = spec.cargoName ?? spec.name;
  const dependency = (dep: string): string => {
    const other = project.packages.find((candidate) => candidate.name === dep);
    if (other?.registry !== undefined)
      return `${dep} = { version = "0.${other.registry.minor}", package = "${cargoNameOf(other)}" }`;
    const path = `${spec.outside === other?.outside ? '..' : `../../${other?.outside ? 'ext' : 'ws'}`}/${dep}`;
    const renamed = other?.cargoName === undefined ? '' : `, package = "${other.cargoName}"`;
    return `${dep} = { path = "${path}"${renamed} }`;
  };
  const withFeatures = spec.deps.filter(
    (dep) => project.packages.find((other) => other.name === dep)?.kind !== 'macro',
  );
  const odd = spec.scripts?.includes('env') ? [ODD_FEATURE] : [];
  const build = spec.parts.includes('build-dep') ? buildDep(spec, project) : undefined;
  return [
    '[package]',
    `name = "${name}"`,
    `version = "0.${spec.registry?.minor ?? (spec.cargoName === undefined ? 1 : 2)}.9000"`,
    `edition = "${spec.edition}"`,
    'description = "described 9000"',
    ...(spec.native === undefined ? [] : [`links = "fuzz_${spec.name}"`]),
    ...rest,
    '[lints.rust]',
    'unused_variables = "warn"',
    'unexpected_cfgs = { level = "warn", check-cfg = ["cfg(fuzz_flag)"] }',
    '[features]',
    `loud = [${[...withFeatures.map((dep) => `${dep}/loud`), ...odd].map((name) => `"${name}"`).join(', ')}]`,
    ...odd.map((name) => `"${name}" = []`),
    '[dependencies]',
    ...spec.deps.map(dependency),
    ...(build === undefined ? [] : ['[build-dependencies]', dependency(build)]),
    '',
  ].join('\n');
}

/** Items and the report that every crate but a macro has. */
function crateBody(spec: PackageSpec, project: ProjectSpec, pieces: readonly Piece[]): string[] {
  const { name } = spec;
  const kindOf = (dep: string): string | undefined =>
    project.packages.find((other) => other.name === dep)?.kind;
  const libraries = spec.deps.filter((dep) => kindOf(dep) !== 'macro');
  // Each report is printed once: by the first that depends on the crate.
  const children = libraries.filter(
    (dep) => project.packages.find(({ deps }) => deps.includes(dep))?.name === name,
  );
  const shown = Object.entries(Object.assign({}, ...pieces.map(({ report }) => report ?? {}))).map(
    ([label, expression]) => `lines.push(format!("${name}.${label} {:?}", ${String(expression)}));`,
  );
  const value = spec.deps
    .filter((dep) => kindOf(dep) === 'macro')
    .map((dep) => `lines.push(format!("${name} uses ${dep} {:?}", ${dep}::own!()));`);
  return [
    ...pieces.flatMap(({ items }) => items ?? []),
    'pub const VALUE: u32 = 9000;',
    '#[inline]\npub fn inlined() -> u32 { 9000 }',
    'pub fn generic<T: Default>() -> u32 { let _ = T::default(); 9000 }',
    `#[macro_export]\nmacro_rules! ${name}_macro { () => { 9000u32 } }`,
    '#[track_caller]\nfn here() -> String { std::panic::Location::caller().to_string() }',
    'pub fn report() -> Vec<String> {',
    `let mut lines = vec![format!("${name} {} {} {} {}", VALUE, file!(), module_path!(), here())];`,
    ...shown,
    ...value,
    ...libraries.map(
      (dep) =>
        `lines.push(format!("${name} sees ${dep} {} {} {} {}", ${dep}::VALUE, ${dep}::inlined(), ${dep}::generic::<u8>(), ${dep}::${dep}_macro!()));`,
    ),
    ...children.map((dep) => `lines.extend(${dep}::report());`),
    'lines',
    '}',
    ...(isRich(project) ? treeItems(spec, children) : []),
    '#[cfg(test)]\nmod fuzz_tests { #[test] fn prints() { for line in super::report() { println!("{line}"); } } }',
  ];
}

const isRich = ({ packages }: ProjectSpec): boolean => packages.some(({ scripts }) => scripts !== undefined);

function buildScript(pieces: readonly Piece[], { scripts, registry }: PackageSpec): Sources {
  const isRich = scripts !== undefined;
  const statements = pieces.flatMap(({ build }) => build ?? []);
  if (statements.length === 0) return {};
  return {
    'build.rs': [
      '#![allow(unused)]',
      'use std::{env, fs, process::Command};',
      'fn run(program: &str, args: &[&str]) { assert!(Command::new(program).args(args).status().unwrap().success()); }',
      ...(isRich ? SCRIPT_ITEMS : []),
      'fn main() {',
      'let out = env::var("OUT_DIR").unwrap();',
      ...(isRich ? ['empty(&out);'] : []),
      // What does not change is not watched either, unless a part says so: Cargo notes another thing of such a script.
      ...(registry === undefined ? ['println!("cargo:rerun-if-changed=build.rs");'] : []),
      ...statements,
      '}',
      '',
    ].join('\n'),
  };
}

const filesOf = (pieces: readonly Piece[]): Sources =>
  Object.assign({}, ...pieces.map(({ files }) => files ?? {}));

function libraryFiles(spec: PackageSpec, project: ProjectSpec): Sources {
  const pieces = [
    ...piecesOf(spec, project),
    ...(spec.native === undefined ? [] : [nativePiece(spec)]),
    ...scriptPiecesOf(spec, project),
  ];
  const facade = spec.kind === 'facade' ? spec.deps.map((dep) => `pub use ${dep}::*;`) : [];
  const exported = spec.crateTypes.some((type) => type !== 'lib' && type !== 'rlib')
    ? [
        `#[unsafe(no_mangle)]\npub extern "C" fn ${spec.name}_c(sink: extern "C" fn(*const u8, usize)) { for line in report() { sink(line.as_ptr(), line.len()); } }`,
      ]
    : [];
  return {
    'Cargo.toml': manifest(spec, project, [
      '[lib]',
      'doctest = false',
      `crate-type = ${JSON.stringify(spec.crateTypes)}`,
    ]),
    'src/lib.rs': `${[...facade, ...crateBody(spec, project, pieces), ...exported].join('\n')}\n`,
    ...filesOf(pieces),
    ...buildScript(pieces, spec),
  };
}

/** C code, compiled by the build script into an archive; another value goes to the build scripts of dependents. */
function nativePiece(spec: PackageSpec): Piece {
  const { name, native } = spec;
  const archive = native === 'verbatim' ? `${name}.archive` : `lib${name}.a`;
  const kind = { whole: 'static:+whole-archive', 'not-bundled': 'static:-bundle' } as const;
  const linked =
    native === 'verbatim' ? `#[link(name = "${archive}", kind = "static", modifiers = "+verbatim")]\n` : '';
  const asked = native === 'whole' || native === 'not-bundled' ? kind[native] : 'static';
  return {
    items: [`${linked}unsafe extern "C" { fn ${name}_value() -> i32; fn ${name}_second() -> i32; }`],
    report: { native: `unsafe { (${name}_value(), ${name}_second()) }` },
    files: {
      'c/one.c': `#include "one.h"\nint ${name}_value(void) { return HEADER * 10000 + 9000; }\n`,
      'c/two.c': `int ${name}_second(void) { return 9000; }\n`,
      'c/one.h': '#define HEADER 9000\n',
      'c/meta.txt': '9000',
    },
    build: [
      'println!("cargo:rerun-if-changed=c");',
      `let archive = format!("{out}/${archive}");`,
      'let _ = fs::remove_file(&archive);',
      'for source in ["one", "two"] {',
      'let object = format!("{out}/{source}.o");',
      `run("cc", &["-c", "-O1", "-fPIC", ${native === 'debug-info' ? '"-g", ' : ''}&format!("c/{source}.c"), "-o", &object]);`,
      'run("ar", &["crsD", &archive, &object]);',
      '}',
      'println!("cargo:rustc-link-search=native={out}");',
      ...(native === 'verbatim' ? [] : [`println!("cargo:rustc-link-lib=${asked}=${name}");`]),
      'println!("cargo:value={}", fs::read_to_string("c/meta.txt").unwrap());',
    ],
  };
}

function macroFiles(spec: PackageSpec, project: ProjectSpec): Sources {
  const deps = spec.deps.map((dep) => `${dep}::report().join(" ")`);
  return {
    'Cargo.toml': manifest(spec, project, ['[lib]', 'proc-macro = true', 'doctest = false']),
    'template.txt': 'template 9000\n',
    'src/lib.rs': `use proc_macro::{TokenStream, TokenTree};
use std::{env, fs};
fn literal(text: &str) -> TokenStream { format!("{text:?}").parse().unwrap() }
fn argument(input: TokenStream) -> String { input.to_string().trim_matches('"').to_string() }
fn home() -> String { env::var("CARGO_MANIFEST_DIR").unwrap() }
fn text(path: String) -> TokenStream { literal(fs::read_to_string(path).unwrap_or("none".into()).trim()) }
#[proc_macro] pub fn read_file(input: TokenStream) -> TokenStream { text(format!("{}/{}", home(), argument(input))) }
#[proc_macro] pub fn out_file(input: TokenStream) -> TokenStream { text(format!("{}/{}", env::var("OUT_DIR").unwrap(), argument(input))) }
#[proc_macro] pub fn template(_: TokenStream) -> TokenStream { text(concat!(env!("CARGO_MANIFEST_DIR"), "/template.txt").into()) }
#[proc_macro] pub fn list_dir(input: TokenStream) -> TokenStream {
    let Ok(folder) = fs::read_dir(format!("{}/{}", home(), argument(input))) else { return literal("no folder") };
    let mut names: Vec<String> = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    literal(&names.join(","))
}
#[proc_macro] pub fn fixed_env(_: TokenStream) -> TokenStream { literal(&format!("{:?}", env::var("FUZZ_MACRO").ok())) }
#[proc_macro] pub fn named_env(input: TokenStream) -> TokenStream { literal(&format!("{:?}", env::var(argument(input)).ok())) }
#[proc_macro] pub fn home_dir(_: TokenStream) -> TokenStream { literal(&home()) }
#[proc_macro] pub fn own(_: TokenStream) -> TokenStream {
    let parts: Vec<String> = vec!["9000".to_string(), format!("{:?}", option_env!("FUZZ_OPTION"))${deps.map((part) => `, ${part}`).join('')}];
    literal(&parts.join(" "))
}
#[proc_macro_derive(Tell)] pub fn tell(input: TokenStream) -> TokenStream {
    let mut words = input.into_iter().filter_map(|tree| match tree { TokenTree::Ident(name) => Some(name.to_string()), _ => None });
    let name = words.by_ref().skip_while(|word| word != "struct").nth(1).unwrap();
    format!("impl {name} {{ pub fn tell() -> u32 {{ 9000 }} }}").parse().unwrap()
}
`,
  };
}

const CHOICES = Array.from({ length: 10 }, (_, index) => `choice_${9000 + index} ${9000 + index}`).join(', ');

/** A program whose linker is told by a file which function \`picked\` is. */
const LINKED = `macro_rules! choices { ($($name:ident $value:expr),*) => {
    $(#[unsafe(no_mangle)] pub extern "C" fn $name() -> u32 { $value })*
    #[used] static KEEP: [extern "C" fn() -> u32; 10] = [$($name),*];
} }
choices!(${CHOICES});
unsafe extern "C" { fn picked() -> u32; }
fn main() { println!("picked {}", unsafe { picked() }); }
`;

function linkPiece({ linkMode }: PackageSpec): Piece {
  const rerun = 'println!("cargo:rerun-if-changed=link");';
  const home = 'let home = env::var("CARGO_MANIFEST_DIR").unwrap();';
  const argument = (text: string): string => `println!("cargo:rustc-link-arg-bin=linked=${text}");`;
  switch (linkMode) {
    case 'response-file':
      return {
        build: [rerun, home, argument('-Wl,@{home}/link/args')],
        files: { 'link/args': '--defsym=picked=choice_9000\n' },
      };
    case 'linker-script':
      return {
        build: [rerun, home, argument('-Wl,{home}/link/one.ld')],
        files: { 'link/one.ld': 'picked = choice_9000;\n' },
      };
    case 'included-script':
      return {
        build: [rerun, argument('-Wl,app/link/one.ld')],
        files: { 'link/one.ld': 'INCLUDE app/link/two.ld\n', 'link/two.ld': 'picked = choice_9000;\n' },
      };
    default:
      return {};
  }
}

function appFiles(spec: PackageSpec, project: ProjectSpec): Sources {
  const pieces = [...piecesOf(spec, project), linkPiece(spec), ...scriptPiecesOf(spec, project)];
  const linked = spec.linkMode === undefined || spec.linkMode === 'none' ? [] : ['linked'];
  const loaded = project.packages.filter(({ crateTypes }) =>
    crateTypes.some((type) => type === 'cdylib' || type === 'dylib'),
  );
  const loads = loaded.map(
    ({ name, cargoName }) => `load(c"lib${(cargoName ?? name).replaceAll('-', '_')}.so", c"${name}_c");`,
  );
  const users = spec.deps
    .filter((dep) => project.packages.find((other) => other.name === dep)?.kind !== 'macro')
    .map((dep) => `for line in ${dep}::report() { println!("{line}"); }`)
    .join('\n');
  return {
    'Cargo.toml': manifest(spec, project, [
      '[[bin]]\nname = "app"\npath = "src/main.rs"',
      ...linked.map((name) => `[[bin]]\nname = "${name}"\npath = "src/${name}.rs"\ntest = false`),
      '[[bench]]\nname = "measure"\nharness = false',
    ]),
    'src/main.rs': `${[
      ...crateBody(spec, project, pieces),
      ...(loads.length === 0 ? [] : [LOADER]),
      `fn main() { for line in report() { println!("{line}"); } ${isRich(project) ? 'for line in trees() { println!("{line}"); } ' : ''}${loads.join(' ')} }`,
    ].join('\n')}\n`,
    ...Object.fromEntries(linked.map((name) => [`src/${name}.rs`, LINKED])),
    'examples/demo.rs': `fn main() { println!("demo 9000"); ${users} }\n`,
    'benches/measure.rs': `fn main() { println!("measure 9000"); ${users} }\n`,
    'tests/together.rs': `#[test] fn together() { println!("together 9000 {} {}", env!("CARGO_BIN_EXE_app"), env!("CARGO_TARGET_TMPDIR")); ${users} }\n`,
    ...filesOf(pieces),
    ...buildScript(pieces, spec),
  };
}

/** Loads a dynamic library from the folder the program lies in, and prints its report. */
const LOADER = `use std::ffi::{c_void, CStr, CString};
unsafe extern "C" {
    fn dlopen(path: *const std::ffi::c_char, flags: i32) -> *mut c_void;
    fn dlsym(handle: *mut c_void, name: *const std::ffi::c_char) -> *mut c_void;
}
extern "C" fn sink(text: *const u8, length: usize) {
    println!("loaded {}", String::from_utf8_lossy(unsafe { std::slice::from_raw_parts(text, length) }));
}
fn load(file: &CStr, function: &CStr) {
    let program = std::env::current_exe().unwrap();
    let path = CString::new(format!("{}/{}", program.parent().unwrap().display(), file.to_str().unwrap())).unwrap();
    let handle = unsafe { dlopen(path.as_ptr(), 1) };
    if handle.is_null() { println!("no {file:?}"); return; }
    let found: extern "C" fn(extern "C" fn(*const u8, usize)) = unsafe { std::mem::transmute(dlsym(handle, function.as_ptr())) };
    found(sink);
}`;
