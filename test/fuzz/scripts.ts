// What the build scripts of a generated project do beyond writing code, where their runs are to be kept: each part reads
// or makes something else, and what it came to is in the report of its crate. A script says `rerun-if-changed` of all it
// reads: what Cargo does not run again is not asked of kache.
import type { PackageSpec, ProjectSpec, ScriptPart } from './case.ts';
import type { Piece } from './parts.ts';

/** Where a part looks for what is not there at first, by the path of a file that is there; and what may come to be there. */
export const MAY_APPEAR: readonly (readonly [beside: RegExp, name: string, text: string])[] = [
  [/script\/always\.txt$/, 'maybe.txt', 'maybe 9000\n'],
  [/script\/always\.txt$/, 'first.txt', 'first 9000\n'],
  [/script\/always\.txt$/, 'second.txt', 'second 9000\n'],
  [/script\/items\/a\.txt$/, 'c.txt', '9000\n'],
  [/headers\/second\/value\.h$/, '../first/value.h', '#define VALUE earlier 9000\n'],
  [/headers\/second\/value\.h$/, 'extra.h', 'extra 9000\n'],
  [/headers\/main\.c$/, 'value.h', '#define VALUE nearest 9000\n'],
  [/shared\/words\.txt$/, 'extra.txt', 'extra 9000\n'],
];

/** A file that only scripts read. */
export const IS_OF_SCRIPT = /\/(script|headers|probe|tree|takes|place|gen|c)\/|\/build\.rs$|\/shared\//;

/** Longer than what makes a run worth keeping. */
const slow: Piece = { build: ['std::thread::sleep(std::time::Duration::from_millis(40));'] };

const shown = (name: string): string => `include_str!(concat!(env!("OUT_DIR"), "/${name}"))`;

const reads: Piece = {
  report: { reads: shown('reads.txt'), read: 'env!("FUZZ_READ")', chosen: 'cfg!(fuzz_chosen)' },
  files: {
    'script/always.txt': 'always 9000\n',
    'script/items/a.txt': '9000\n',
    'script/items/b é.txt': '9000\n',
    'script/way': { link: 'always.txt' },
  },
  build: [
    'println!("cargo:rerun-if-changed=script");',
    'println!("cargo::rustc-check-cfg=cfg(fuzz_chosen)");',
    'let choice = ["script/first.txt", "script/second.txt", "script/always.txt"].iter().copied().find(|name| Path::new(name).exists());',
    'let chosen = choice.map(|name| fs::read_to_string(name).unwrap()).unwrap_or_default();',
    'let way = fs::symlink_metadata("script/way").map(|info| info.is_symlink()).ok();',
    'let length = fs::metadata("script/always.txt").map(|info| info.len()).ok();',
    'fs::write(format!("{out}/reads.txt"), format!("{:?} {:?} {:?} {way:?} {length:?} {chosen:?}", fs::read_to_string("script/maybe.txt").ok(), fs::read_to_string("script/way").ok(), names("script/items"))).unwrap();',
    'println!("cargo:rustc-env=FUZZ_READ={}", chosen.lines().next().unwrap_or_default());',
    'println!("cargo:warning=chose {choice:?}");',
    'eprintln!("chose {choice:?}");',
    'if choice == Some("script/first.txt") { println!("cargo:rustc-cfg=fuzz_chosen"); }',
  ],
};

/** Its variable has a name that no shell would give one. */
export const ODD_FEATURE = 'c++20';

const env: Piece = {
  report: {
    script_env: shown('env.txt'),
    script_home: 'env!("FUZZ_HOME_DIR")',
    script_folder: 'env!("FUZZ_FOLDER")',
  },
  build: [
    'println!("cargo:rerun-if-env-changed=FUZZ_BUILD");',
    `let told = ["FUZZ_BUILD", "FUZZ_NAMED", "fuzz.odd-name", "FUZZ_CONFIGURED", "CARGO_PKG_VERSION", "CARGO_PKG_DESCRIPTION", "PROFILE", "OPT_LEVEL", "CARGO_ENCODED_RUSTFLAGS", "CARGO_FEATURE_${ODD_FEATURE.toUpperCase()}"].map(|name| format!("{name}={:?}", env::var(name).ok()));`,
    'fs::write(format!("{out}/env.txt"), told.join("\\n")).unwrap();',
    'println!("cargo:rustc-env=FUZZ_HOME_DIR={}", env::var("CARGO_MANIFEST_DIR").unwrap());',
    'println!("cargo:rustc-env=FUZZ_FOLDER={}", env::current_dir().unwrap().display());',
  ],
};

/** The compiler's version, and whether it compiles a file of the package: asked as crates ask that want to know its features. */
const tools: Piece = {
  report: { tools: shown('tools.txt'), probed: 'cfg!(fuzz_probed)' },
  files: {
    'probe/probe.rs': 'mod part;\npub const VALUE: u32 = 9000;\n',
    'probe/part.rs': 'pub const PART: u32 = 9000;\n',
  },
  build: [
    'println!("cargo:rerun-if-changed=probe");',
    'println!("cargo::rustc-check-cfg=cfg(fuzz_probed)");',
    'let rustc = env::var("RUSTC").unwrap();',
    'let version = Command::new(&rustc).arg("--version").output().unwrap().stdout;',
    'let mut probe = Command::new(env::var("RUSTC_WRAPPER").unwrap_or(rustc.clone()));',
    'if env::var_os("RUSTC_WRAPPER").is_some() { probe.arg(&rustc); }',
    'let probed = probe.args(["--edition=2021", "--crate-type=lib", "--crate-name=probe", "--emit=metadata", "--cap-lints=allow", "--out-dir", &out, "probe/probe.rs"]).stderr(std::process::Stdio::null()).status().unwrap().success();',
    'let _ = fs::remove_file(format!("{out}/libprobe.rmeta"));',
    'fs::write(format!("{out}/tools.txt"), format!("{:?} {probed}", String::from_utf8_lossy(&version))).unwrap();',
    'if probed { println!("cargo:rustc-cfg=fuzz_probed"); }',
  ],
};

/** A header that is found in the second of two folders, until the first has one of its name. */
const headers: Piece = {
  report: { headers: shown('headers.txt') },
  files: {
    'headers/main.c':
      '#include "value.h"\n#if __has_include("extra.h")\n#include "extra.h"\n#endif\nVALUE 9000 __FILE__\n',
    'headers/first/other.h': '#define OTHER 9000\n',
    'headers/second/value.h': '#define VALUE 9000\n',
  },
  build: [
    'println!("cargo:rerun-if-changed=headers");',
    'run("cc", &["-E", "-P", "-Iheaders/first", "-Iheaders/second", "headers/main.c", "-o", &format!("{out}/headers.txt")]);',
  ],
};

/** Files, folders and links of all sorts, some of them by the number in a file. */
const tree: Piece = {
  report: {
    tree: 'include_str!(concat!(env!("FUZZ_TREE"), "/file.txt"))',
    by_link: shown('absolute'),
    to_package: shown('to_package'),
  },
  files: { 'tree/number.txt': '9000\n' },
  build: [
    'println!("cargo:rerun-if-changed=tree");',
    'let text = fs::read_to_string("tree/number.txt").unwrap();',
    'let number: u32 = text.trim().parse().unwrap_or(0);',
    'let home = env::var("CARGO_MANIFEST_DIR").unwrap();',
    'fs::create_dir_all(format!("{out}/deep/empty é")).unwrap();',
    'fs::write(format!("{out}/deep/file.txt"), format!("tree {number}")).unwrap();',
    'for index in 0..number % 5 { fs::write(format!("{out}/deep/{index}.txt"), format!("{number} {index}")).unwrap(); }',
    'fs::write(format!("{out}/run.txt"), "#!/bin/sh").unwrap();',
    'let mode = |name: &str, mode| fs::set_permissions(format!("{out}/{name}"), fs::Permissions::from_mode(mode)).unwrap();',
    'mode("run.txt", 0o755);',
    'if number % 2 == 1 { mode("deep/file.txt", 0o444); }',
    'if number % 5 == 1 { mode("deep/empty é", 0o700); }',
    'for (name, to) in [("deep/by name", "file.txt"), ("folder", "deep"), ("nowhere", "deep/no file"), ("absolute", &format!("{out}/deep/file.txt")), ("to_package", &format!("{home}/tree/number.txt"))] { symlink(to, format!("{out}/{name}")).unwrap(); }',
    'let through = [fs::read_to_string(format!("{out}/to_package")).ok(), fs::read_to_string(format!("{out}/folder/file.txt")).ok()];',
    'fs::write(format!("{out}/through.txt"), format!("{through:?}")).unwrap();',
    'println!("cargo:rustc-env=FUZZ_TREE={out}/folder");',
    'println!("cargo:rustc-link-search=native={out}/deep");',
    'println!("cargo:rustc-link-search=native={home}/tree");',
  ],
};

/** What Cargo hands on, to its own crate and to the scripts of dependents, by variables of which it is told and by others. */
const prints = ({ native }: PackageSpec): Piece => ({
  report: { printed: '(env!("FUZZ_PRINTED"), env!("FUZZ_HANDED"))', marked: 'cfg!(fuzz_marked)' },
  build: [
    'println!("cargo:rerun-if-env-changed=FUZZ_BUILD");',
    'println!("cargo::rustc-check-cfg=cfg(fuzz_marked)");',
    'println!("cargo:rustc-env=FUZZ_PRINTED={:?} {:?}", env::var("FUZZ_BUILD").ok(), env::var("FUZZ_NAMED").ok());',
    'if env::var("FUZZ_MACRO").is_ok_and(|value| value == "first") { println!("cargo:rustc-cfg=fuzz_marked"); }',
    'let mut handed: Vec<String> = env::vars().filter(|(name, _)| name.starts_with("DEP_") && name.ends_with("_HANDED")).map(|(_, value)| value).collect();',
    'handed.sort();',
    'println!("cargo:rustc-env=FUZZ_HANDED={}", handed.join(";"));',
    ...(native === undefined
      ? []
      : ['println!("cargo:handed={:?} {:?}", env::var("fuzz.odd-name").ok(), env::var("FUZZ_BUILD").ok());']),
  ],
});

/** Headers of this package in its OUT_DIR, for the scripts of dependents. */
const gives: Piece = {
  build: [
    'fs::create_dir_all(format!("{out}/include")).unwrap();',
    'fs::write(format!("{out}/include/sys.h"), format!("#define SYS {}\\n", fs::read_to_string("c/meta.txt").unwrap())).unwrap();',
    'println!("cargo:include={out}/include");',
  ],
};

const takes: Piece = {
  report: { takes: shown('takes.txt') },
  files: { 'takes/main.c': '#include "sys.h"\nSYS 9000\n' },
  build: [
    'println!("cargo:rerun-if-changed=takes");',
    'let include = env::vars().find(|(name, _)| name.starts_with("DEP_") && name.ends_with("_INCLUDE")).unwrap().1;',
    'run("cc", &["-E", "-P", &format!("-I{include}"), "takes/main.c", "-o", &format!("{out}/taken.txt")]);',
    'fs::write(format!("{out}/takes.txt"), format!("{:?} {}", names(&include), fs::read_to_string(format!("{out}/taken.txt")).unwrap())).unwrap();',
  ],
};

/** What lies beside the package is another file in every checkout. */
const beside = ({ outside }: PackageSpec): Piece => {
  const shared = outside ? '../../ws/shared' : '../shared';
  return {
    report: { beside: shown('beside.txt') },
    build: [
      `println!("cargo:rerun-if-changed=${shared}");`,
      `fs::write(format!("{out}/beside.txt"), format!("{:?} {:?} {:?}", fs::read_to_string("${shared}/words.txt").ok(), fs::read_to_string("${shared}/extra.txt").ok(), names("${shared}"))).unwrap();`,
    ],
  };
};

/** Where the OUT_DIR is: in a file, as the kernel calls it, and from the package. */
const place: Piece = {
  report: {
    placed: shown('place.txt'),
    real_place: 'env!("FUZZ_REAL")',
    from_package: 'include_str!(concat!("../", env!("FUZZ_RELATIVE"), "/place.txt"))',
  },
  files: { 'place/number.txt': '9000\n' },
  build: [
    'println!("cargo:rerun-if-changed=place");',
    'let number: u32 = fs::read_to_string("place/number.txt").unwrap().trim().parse().unwrap_or(0);',
    'let home = env::var("CARGO_MANIFEST_DIR").unwrap();',
    'fs::write(format!("{out}/place.txt"), if number % 5 == 4 { &out } else { "nowhere" }).unwrap();',
    'println!("cargo:rustc-env=FUZZ_REAL={}", fs::canonicalize(&out).unwrap().display());',
    "let shared = out.split('/').zip(home.split('/')).take_while(|(a, b)| a == b).count();",
    'let up = home.split(\'/\').skip(shared).map(|_| "..");',
    'println!("cargo:rustc-env=FUZZ_RELATIVE={}", up.chain(out.split(\'/\').skip(shared)).collect::<Vec<_>>().join("/"));',
  ],
};

/** What the script of a package does by its `scripts`; what lacks what it needs adds nothing. */
export function scriptPiecesOf(spec: PackageSpec, { packages }: ProjectSpec): Piece[] {
  const isGiver = ({ name, native, scripts = [] }: PackageSpec): boolean =>
    native !== undefined && scripts.includes('gives') && spec.deps.includes(name);
  const pieces: Readonly<Record<ScriptPart, Piece | undefined>> = {
    slow,
    reads,
    env,
    tools,
    headers,
    tree,
    prints: prints(spec),
    gives: spec.native === undefined ? undefined : gives,
    takes: packages.some(isGiver) ? takes : undefined,
    beside: beside(spec),
    place,
  };
  return (spec.scripts ?? []).flatMap((part) => {
    const piece = pieces[part];
    return piece === undefined ? [] : [{ ...piece, build: ['{', ...(piece.build ?? []), '}'] }];
  });
}

/** What scripts use, and what they begin with: an empty OUT_DIR, as in the clean build. */
export const SCRIPT_ITEMS: readonly string[] = [
  'use std::{os::unix::fs::{symlink, PermissionsExt}, path::Path};',
  'fn names(folder: &str) -> Vec<String> {',
  'let mut names: Vec<String> = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();',
  'names.sort();',
  'names',
  '}',
  'fn empty(folder: &str) {',
  'for entry in fs::read_dir(folder).unwrap() {',
  'let entry = entry.unwrap();',
  'if entry.file_type().unwrap().is_dir() { fs::remove_dir_all(entry.path()).unwrap() } else { fs::remove_file(entry.path()).unwrap() }',
  '}',
  '}',
];

/** Items that say, when the program runs, what is in the OUT_DIR of a crate and of those below it. */
export function treeItems(spec: PackageSpec, children: readonly string[]): string[] {
  const { name, scripts } = spec;
  const own = scripts?.includes('tree') === true;
  return [
    'pub fn trees() -> Vec<String> {',
    'let mut lines = Vec::new();',
    ...(own ? [`tree_below(std::path::Path::new(env!("OUT_DIR")), "${name}", &mut lines);`] : []),
    'lines.sort();',
    ...children.map((dep) => `lines.extend(${dep}::trees());`),
    'lines',
    '}',
    ...(own ? [TREE_BELOW] : []),
  ];
}

const TREE_BELOW = `fn tree_below(folder: &std::path::Path, shown: &str, lines: &mut Vec<String>) {
    use std::os::unix::fs::PermissionsExt;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let info = std::fs::symlink_metadata(&path).unwrap();
        let shown = format!("{shown}/{}", path.file_name().unwrap().to_str().unwrap());
        let holds = if info.is_symlink() { std::fs::read_link(&path).unwrap().display().to_string() }
            else if info.is_file() && shown.ends_with(".txt") { std::fs::read_to_string(&path).unwrap() } else { String::new() };
        lines.push(format!("{shown} {:o} {holds:?}", info.permissions().mode()));
        if info.is_dir() { tree_below(&path, &shown, lines); }
    }
}`;
