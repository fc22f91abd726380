// Runs of build scripts that are kept, in another checkout: what depends on where a checkout is is that of its own.
import { describe, expect } from 'bun:test';
import { mkdirSync, readdirSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Env, Files } from '../support/lab.ts';
import { HIT, KEPT_RUN, manifest, type ScriptOptions, scripted, scriptTests } from '../support/script-lab.ts';

const MINUTES = 60_000;
const { scripts, lab, onLinux } = scriptTests('kept build-script runs in other places');

interface Move {
  readonly script: string;
  readonly files?: Files;
  /** The first checkout and the second, below a folder of this test. */
  readonly at?: readonly [string, string];
  readonly options?: (dir: string, root: string) => ScriptOptions;
  /** What is another way in the second checkout. */
  readonly change?: (dir: string, root: string) => void;
  /** Options of the second build. */
  readonly later?: (dir: string) => ScriptOptions;
  readonly first?: string;
  readonly second?: string;
}

let count = 0;
/** Two checkouts: each must be as plain cargo builds it there. */
function moved(name: string, move: Move): void {
  onLinux(
    name,
    () => {
      const root = lab.path(`places/${++count}`);
      const [a, b] = (move.at ?? ['a/here', 'b/here']).map((at) => join(root, at)) as [string, string];
      const files = scripted(scripts.own(move.script), move.files);
      for (const dir of [a, b]) lab.write(dir, files);
      const first = scripts.right(a, move.options?.(a, root));
      if (move.first !== undefined) expect(first).toEqual([move.first]);
      move.change?.(b, root);
      const second = scripts.right(b, { ...move.options?.(b, root), ...move.later?.(b) });
      if (move.second !== undefined) expect(second).toEqual([move.second]);
    },
    2 * MINUTES,
  );
}

const outside: Pick<Move, 'options'> = { options: (dir) => ({ target: `${dir}-target` }) };
const edit =
  (name: string) =>
  (dir: string): void =>
    writeFileSync(join(dir, name), 'another\n');

describe('a place of its own', () => {
  moved('a checkout at another depth', {
    script: '"nothing".to_string()',
    at: ['a', 'some/where/deeper/b'],
    first: KEPT_RUN,
    second: HIT,
  });
  moved('checkouts among the settings of a user, and a file found by walking up', {
    script: 'text(out.ancestors().nth(5).unwrap().join("note.txt"))',
    files: { 'note.txt': 'one\n' },
    at: ['home/.local/share/a/here', 'home/.local/share/b/here'],
    options: (_dir, root) => ({ env: { HOME: `${root}/home` } }),
    change: edit('note.txt'),
  });
  moved('a target folder outside of the workspace', {
    script: 'text("data.txt")',
    files: { 'scripted/data.txt': 'one' },
    ...outside,
    first: KEPT_RUN,
    second: HIT,
  });
  moved('the OUT_DIR in a variable, a warning and a search path', {
    script:
      'let out = out.display(); println!("cargo:rustc-env=SAID={out}/x"); println!("cargo:warning=made {out}"); println!("cargo:rustc-link-search=native={out}"); String::new()',
    first: KEPT_RUN,
    second: HIT,
  });
  moved('the OUT_DIR in a linker argument', {
    script: 'println!("cargo:rustc-link-arg=-L{}", out.display()); String::new()',
    first: 'scripted skipped output-not-repeatable',
  });
  moved('the OUT_DIR in a file', {
    script: 'out.display().to_string()',
    first: 'scripted skipped holds-a-path',
  });
  moved('the package in a file', {
    script: 'variable("CARGO_MANIFEST_DIR")',
    first: 'scripted skipped holds-a-path',
  });
  moved('the folder of the program in a file', {
    script: 'env::current_exe().unwrap().parent().unwrap().display().to_string()',
    first: 'scripted skipped holds-a-path',
  });
  moved('the name the program is called by', {
    script: 'format!("{:?}", Path::new(&env::args_os().next().unwrap()).file_name())',
    first: KEPT_RUN,
    second: HIT,
  });
  moved('the OUT_DIR in the debug information of an object', {
    script:
      'assert!(Command::new("cc").args(["-g", "-c", "x.c", "-o"]).arg(out.join("x.o")).status().unwrap().success()); String::new()',
    files: {
      'scripted/x.c': 'int x(void) { return 1; }\n',
      'scripted/src/main.rs':
        'fn main() { let o = include_bytes!(concat!(env!("OUT_DIR"), "/x.o")); println!("{}", o.windows(9).any(|w| w == b"/scripted")); let here = env!("CARGO_MANIFEST_DIR").as_bytes(); println!("{}", o.windows(here.len()).any(|w| w == here)); }\n',
    },
    first: 'scripted skipped holds-a-path',
  });
});

describe('what lies beside', () => {
  const lock = 'text(Path::new(&variable("CARGO_MANIFEST_DIR")).join("../conf.txt"))';
  const files: Files = { 'conf.txt': 'one\n' };
  moved('a file of the workspace, from the package', { script: lock, files, change: edit('conf.txt') });
  moved('a file of the workspace, from the package, with the target folder outside', {
    script: lock,
    files,
    options: (dir, root) => ({ target: `${lab.path('targets')}${root}${dir.slice(-8)}` }),
    change: edit('conf.txt'),
  });
  moved('a file of the workspace, from the OUT_DIR', {
    script: 'text(out.ancestors().nth(5).unwrap().join("conf.txt"))',
    files,
    change: edit('conf.txt'),
  });
  moved('a file above the workspace, from the OUT_DIR', {
    script: 'text(out.ancestors().nth(6).unwrap().join("beside.txt"))',
    at: ['here', 'deeper/here'],
    change: (_, root) => writeFileSync(join(root, 'deeper/beside.txt'), 'another\n'),
  });
  moved('a file of a workspace that is on PATH', {
    script: lock,
    files: { ...files, 'tools/bin/x': '' },
    options: (_, root) => ({ env: { PATH: `${root}/a/here/tools/bin:${process.env['PATH']}` } }),
    change: edit('conf.txt'),
  });
  moved('the head of a repository', {
    script: 'text("../.git/HEAD")',
    files: { '.git/HEAD': 'ref: refs/heads/a\n' },
    change: edit('.git/HEAD'),
  });
  moved('a file in the folder Cargo was called in', {
    script: 'text(Path::new(&variable("PWD")).join("conf.txt"))',
    files,
    options: (dir) => ({ env: { PWD: dir } }),
    change: edit('conf.txt'),
  });
  moved('a file in the folder Cargo was called in, with the target folder outside', {
    script: 'text(Path::new(&variable("PWD")).join("conf.txt"))',
    files,
    options: (dir) => ({ env: { PWD: dir }, target: `${dir}-target` }),
    change: edit('conf.txt'),
  });
  moved('the folder Cargo was called in', {
    script: 'variable("PWD")',
    options: (dir) => ({ env: { PWD: dir } }),
    first: 'scripted skipped holds-a-path',
  });
  moved('a folder of the package that is a target folder in one checkout only', {
    script: 'text(Path::new(&variable("CARGO_MANIFEST_DIR")).join("../target/conf.txt"))',
    options: (dir) => {
      mkdirSync(join(dir, 'target'), { recursive: true });
      writeFileSync(join(dir, 'target/conf.txt'), dir.includes('/a/') ? 'one' : 'two');
      return { again: true };
    },
    later: (dir) => ({ target: `${dir}-target`, again: true }),
  });
  const way = `let here = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let shared = here.components().zip(out.components()).take_while(|(a, b)| a == b).count();
    let mut way = PathBuf::new();
    for _ in out.components().skip(shared) { way.push(".."); }
    way.extend(here.components().skip(shared));`;
  moved('the way from the OUT_DIR to the package', {
    script: `${way} way.display().to_string()`,
    files,
    options: (dir) => ({ target: `${dir}-target` }),
    later: (dir) => ({ target: join(dir, 'more/deep/target') }),
  });
});

describe('names of a place', () => {
  const linked = (dir: string): ScriptOptions => {
    mkdirSync(`${dir}-real`, { recursive: true });
    rmSync(`${dir}-link`, { force: true });
    symlinkSync(`${dir}-real`, `${dir}-link`);
    return { target: `${dir}-link/target` };
  };
  moved('the real folder behind a link, by the working folder', {
    script:
      'env::set_current_dir(&out).unwrap(); let here = env::current_dir().unwrap(); println!("cargo:rustc-env=SAID={}", here.ancestors().nth(5).unwrap().display()); here.display().to_string()',
    options: linked,
  });
  moved('the real folder behind a link, resolved', {
    script: 'fs::canonicalize(&out).unwrap().display().to_string()',
    options: linked,
  });
  moved('where a link above the OUT_DIR leads', {
    script:
      'let link = out.ancestors().find(|at| at.is_symlink()).unwrap(); format!("{:?}", fs::read_link(link).unwrap())',
    options: linked,
  });
  onLinux(
    'links in the OUT_DIR lead to what they led to, in each checkout',
    () => {
      const script =
        'fs::write(out.join("a"), "x").unwrap(); symlink(out.join("a"), out.join("absolute")).unwrap(); symlink("a", out.join("relative")).unwrap(); symlink(Path::new(&variable("CARGO_MANIFEST_DIR")).join("src"), out.join("sources")).unwrap(); fs::create_dir_all(out.join("some/empty")).unwrap(); fs::set_permissions(out.join("a"), std::os::unix::fs::PermissionsExt::from_mode(0o751)).unwrap(); String::new()';
      const a = lab.write('links/a', scripted(script));
      const b = lab.write('links/deeper/b', scripted(script));
      expect(scripts.right(a)).toEqual([KEPT_RUN]);
      expect(scripts.right(b)).toEqual([HIT]);
      const found = (dir: string, target: string): string[] =>
        readdirSync(join(dir, target, 'debug/build'), { recursive: true, withFileTypes: true })
          .filter(({ parentPath }) => /\/out(\/|$)/.test(parentPath))
          .map((entry) => {
            const path = join(entry.parentPath, entry.name);
            const what = entry.isSymbolicLink()
              ? readlinkSync(path).replace(`${dir}/${target}`, 'TARGET').replace(dir, 'CHECKOUT')
              : (statSync(path).mode & 0o777).toString(8);
            return `${path.replace(/.*\/out\//, '')} ${what.replace(/-[0-9a-f]{16}/, '')}`;
          })
          .sort();
      expect(found(b, 'target')).toEqual(found(b, 'target-plain'));
      expect(found(b, 'target')).toContain('a 751');
    },
    2 * MINUTES,
  );
});

describe('layouts', () => {
  const script = 'format!("{} {} {}", text("data.txt"), variable("PROFILE"), variable("TARGET"))';
  const files: Files = { 'scripted/data.txt': 'one' };
  const host = lab.run(['rustc', '--print', 'host-tuple']).stdout.trim();
  const layouts: [string, ScriptOptions][] = [
    ['--release', { args: ['build', '--release'], program: 'release/scripted' }],
    ['--target', { args: ['build', '--target', host], program: `${host}/debug/scripted` }],
  ];
  for (const [name, options] of layouts)
    moved(name, { script, files, options: () => options, first: KEPT_RUN, second: HIT });
  onLinux(
    'a build folder apart from the target folder',
    () => {
      for (const at of ['a', 'deeper/b']) {
        const dir = lab.write(`apart/${at}`, scripted('text("data.txt")', files));
        const env: Env = { CARGO_BUILD_BUILD_DIR: `${dir}-build` };
        expect(scripts.build(dir, { env }).status).toBe(0);
        expect(lab.run([join(dir, 'target/debug/scripted')]).stdout).toBe('one None\n');
      }
    },
    MINUTES,
  );
  onLinux(
    'check, then build: the script runs once',
    () => {
      for (const [at, run] of [
        ['a', KEPT_RUN],
        ['b', HIT],
      ] as const) {
        const dir = lab.write(`checked/${at}`, scripted('format!("checked {}", text("data.txt"))', files));
        expect(scripts.build(dir, { args: ['check'] })).toMatchObject({ status: 0, runs: [run] });
        expect(scripts.build(dir)).toMatchObject({ status: 0, runs: [] });
        expect(lab.run([join(dir, 'target/debug/scripted')]).stdout).toBe('checked one None\n');
      }
    },
    MINUTES,
  );
  onLinux(
    'two workspaces share a target folder',
    () => {
      const target = lab.path('together/target');
      const body = 'format!("together {}", text("data.txt"))';
      const [a, b] = ['a', 'b'].map((name) =>
        lab.write(`together/${name}`, scripted(body, { 'scripted/data.txt': name })),
      ) as [string, string];
      for (const dir of [a, b, a, b]) {
        expect(scripts.build(dir, { target }).status).toBe(0);
        const says = lab.run([join(target, 'debug/scripted')]).stdout;
        expect(says).toBe(`together ${dir === a ? 'a' : 'b'} None\n`);
      }
    },
    2 * MINUTES,
  );
});

onLinux(
  'a package that makes a header for another one',
  () => {
    const files = (word: string): Files => ({
      'Cargo.toml': '[workspace]\nmembers = ["maker", "user"]\nresolver = "2"\n',
      'maker/Cargo.toml': manifest('maker', 'links = "made"\n'),
      'maker/word.txt': word,
      'maker/build.rs':
        'fn main() { std::thread::sleep(std::time::Duration::from_millis(40)); let out = std::env::var("OUT_DIR").unwrap(); let word = std::fs::read_to_string("word.txt").unwrap(); std::fs::create_dir(format!("{out}/include")).unwrap_or(()); std::fs::write(format!("{out}/include/made.h"), format!("#define MADE {word}\\n")).unwrap(); println!("cargo:include={out}/include"); println!("cargo:rerun-if-changed=word.txt"); }\n',
      'maker/src/lib.rs': '',
      'user/Cargo.toml': manifest('user', '[dependencies]\nmaker = { path = "../maker" }\n'),
      'user/x.c': '#include <made.h>\nMADE\n',
      'user/build.rs':
        'fn main() { std::thread::sleep(std::time::Duration::from_millis(40)); let out = std::env::var("OUT_DIR").unwrap(); let include = std::env::var("DEP_MADE_INCLUDE").unwrap(); assert!(std::process::Command::new("cc").args(["-E", "-P", "-I", &include, "x.c", "-o", &format!("{out}/x.txt")]).status().unwrap().success()); println!("cargo:rerun-if-changed=x.c"); }\n',
      'user/src/main.rs':
        'fn main() { println!("{}", include_str!(concat!(env!("OUT_DIR"), "/x.txt")).trim()); }\n',
    });
    const program = 'debug/user';
    const a = lab.write('chain/a', files('1'));
    expect(scripts.right(a, { program })).toEqual(['maker miss', 'user miss']);
    expect(scripts.right(a, { program })).toEqual(['maker local_hit', 'user local_hit']);
    const b = lab.write('chain/b', files('1'));
    scripts.right(b, { program });
    for (const word of ['2', '1', '3']) {
      writeFileSync(join(b, 'maker/word.txt'), word);
      scripts.right(b, { program, again: true });
    }
    writeFileSync(join(a, 'maker/word.txt'), '2');
    scripts.right(a, { program });
  },
  3 * MINUTES,
);

onLinux(
  'a target that is added to the toolchain is seen, and one that is taken away',
  () => {
    const real = lab.run(['rustc', '--print', 'sysroot']).stdout.trim();
    const own = lab.path('toolchain');
    mkdirSync(join(own, 'lib/rustlib'), { recursive: true });
    for (const below of ['lib', 'lib/rustlib'])
      for (const name of readdirSync(join(real, below)))
        if (name !== 'rustlib') symlinkSync(join(real, below, name), join(own, below, name));
    lab.write('toolchain/bin', {});
    mkdirSync(join(own, 'bin'), { recursive: true });
    writeFileSync(join(own, 'bin/rustc'), `#!/bin/sh\nexec ${real}/bin/rustc --sysroot ${own} "$@"\n`, {
      mode: 0o755,
    });
    const env: Env = { RUSTC: join(own, 'bin/rustc') };
    const script =
      'let sysroot = said(&variable("RUSTC"), &["--print", "sysroot"]); format!("{}", Path::new(sysroot.trim()).join("lib/rustlib/of-tests").exists())';
    const dir = lab.write('targets-of-toolchain', scripted(script));
    expect(scripts.right(dir, { env })).toEqual([KEPT_RUN]);
    mkdirSync(join(own, 'lib/rustlib/of-tests/lib'), { recursive: true });
    scripts.right(dir, { env });
    rmSync(join(own, 'lib/rustlib/of-tests'), { recursive: true });
    scripts.right(dir, { env });
  },
  MINUTES,
);
