// Target folders that are filled in odd places, with much in the environment, and by runs of Cargo beside each other and
// within each other: as plain cargo.
import { afterAll, expect } from 'bun:test';
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { FreshLab, PROGRAM } from '../support/fresh-lab.ts';
import { freshness } from '../support/lab.ts';
import { linuxOnly } from '../support/linux.ts';
import { processesLeft, until } from '../support/wrapper-call.ts';

const TIMEOUT_MS = 180_000;
const onLinux = linuxOnly('folders filled in odd places', 'target folders are filled on Linux alone');
const fresh = new FreshLab();
const { lab } = fresh;
afterAll(() => fresh[Symbol.dispose](), TIMEOUT_MS);

let places = 0;
const at = (name: string): string => lab.write(join(`place-${places++}`, name), PROGRAM);

onLinux(
  'checkouts with odd names',
  async () => {
    for (const name of [
      'with "quotes" and \'such\'',
      'mit Ümläuten 名',
      'a\nb',
      '$HOME;`x`=y',
      'x'.repeat(200),
    ]) {
      await fresh.learn(at(name));
      expect([name, (await fresh.right(at(name))).asked]).toEqual([name, []]);
    }
    expect((await fresh.right(fresh.checkout())).asked).toEqual([]);
  },
  TIMEOUT_MS,
);

onLinux(
  'a checkout behind a link, and a target folder that is one',
  async () => {
    await fresh.learn(fresh.checkout());
    const dir = fresh.checkout();
    symlinkSync(dir, lab.path('linked'));
    await fresh.right(lab.path('linked'));
    await fresh.right(dir);
    for (const isThere of [true, false]) {
      const other = fresh.checkout();
      if (isThere) mkdirSync(lab.path('targets', `${isThere}`), { recursive: true });
      symlinkSync(lab.path('targets', `${isThere}`), join(other, 'target'));
      if (isThere) await fresh.right(other);
      else {
        const built = lab.run(['cargo', 'build', '--offline'], { cwd: other, env: fresh.env() });
        const plain = lab.run(['cargo', 'build', '--offline'], {
          cwd: other,
          env: { CARGO_HOME: fresh.home },
        });
        expect(built.status).toBe(plain.status);
      }
    }
  },
  TIMEOUT_MS,
);

onLinux(
  'a large environment',
  async () => {
    const env = Object.fromEntries(
      Array.from({ length: 45 }, (_, nth) => [`MUCH_${nth}`, 'x'.repeat(40_000)]),
    );
    await fresh.learn(fresh.checkout(), { env });
    expect((await fresh.right(fresh.checkout(), { env })).asked).toEqual([]);
  },
  TIMEOUT_MS,
);

const VERBS = [['build'], ['check'], ['test', '--no-run'], ['build', '--release']];
onLinux(
  'several runs of Cargo at once, in one checkout and in others',
  async () => {
    for (const verb of VERBS) {
      const dir = fresh.checkout();
      expect(lab.run(['cargo', ...verb, '--offline'], { cwd: dir, env: fresh.env() }).status).toBe(0);
      await fresh.kept();
    }
    for (let round = 0; round < 2; round++) {
      const dirs = [fresh.checkout(), fresh.checkout()];
      const runs = dirs.flatMap((cwd) =>
        VERBS.map((verb) => ({ cwd, command: ['cargo', ...verb, '--offline', '--message-format=json'] })),
      );
      const started = runs.map(({ cwd, command }) =>
        Bun.spawn(command, { cwd, env: fresh.env(), stdio: ['ignore', 'ignore', 'pipe'] }),
      );
      for (const child of started) {
        const said = await new Response(child.stderr).text();
        expect([await child.exited, said]).toEqual([0, expect.anything()]);
      }
      for (const { cwd, command } of runs) {
        const again = lab.run(command, { cwd, env: fresh.env() });
        expect([again.status, command, freshness(again.stdout).rebuilt]).toEqual([0, command, []]);
      }
      for (const cwd of dirs) await fresh.right(cwd);
      for (const dir of dirs) rmSync(dir, { recursive: true });
    }
  },
  TIMEOUT_MS,
);

onLinux(
  'a program and a test that run cargo elsewhere',
  async () => {
    const nested = {
      'src/main.rs': `fn main() {
    println!("{} {} {:?} {}", top::said(), linked::SAID, option_env!("APP_SAYS"), cfg!(debug_assertions));
    let Some(dir) = std::env::args().nth(1) else { return };
    assert!(std::process::Command::new("cargo").args(["build", "--offline"]).current_dir(dir).status().unwrap().success());
}
#[test] fn builds() {
    let dir = std::env::var("BUILDS_IN").unwrap();
    assert!(std::process::Command::new("cargo").args(["build", "--offline"]).current_dir(dir).status().unwrap().success());
}
`,
    };
    await fresh.learn(fresh.checkout());
    for (const [verb, ...args] of [['run', '--'], ['test']]) {
      const outer = fresh.checkout(nested);
      for (let round = 0; round < 3; round++) {
        const inner = fresh.checkout();
        const command = ['cargo', verb ?? '', '--offline', ...args, ...(verb === 'run' ? [inner] : [])];
        const done = lab.run(command, { cwd: outer, env: fresh.env({ BUILDS_IN: inner }) });
        expect([done.status, done.stderr]).toEqual([0, expect.anything()]);
        expect(existsSync(join(inner, 'target/debug/app'))).toBe(true);
        await fresh.right(inner);
        if (round === 1) rmSync(join(outer, 'target'), { recursive: true });
      }
      await fresh.right(outer);
    }
  },
  TIMEOUT_MS,
);

onLinux(
  'a daemon that was killed, and left its socket',
  async () => {
    await fresh.learn(fresh.checkout());
    await fresh.right(fresh.checkout());
    for (const pid of processesLeft(lab.store)) process.kill(pid, 'SIGKILL');
    await until('it has ended', () => processesLeft(lab.store).length === 0);
    expect((await fresh.right(fresh.checkout())).asked).toEqual([]);
  },
  TIMEOUT_MS,
);
