// The folders a build script has made in its OUT_DIR come back with the mode they had.
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { filesBelow } from '../support/invariants.ts';
import { ScriptLab, scripted } from '../support/script-checkouts.ts';

const TIMEOUT_MS = 120_000;

const BODIES = {
  'with files':
    'fs::create_dir_all(out.join("made/below")).unwrap(); fs::write(out.join("made/below/file.txt"), "").unwrap(); String::new()',
  empty: 'fs::create_dir_all(out.join("made/below")).unwrap(); String::new()',
};

const inherited = process.umask();
beforeAll(() => {
  // As where everybody is in a group of their own.
  process.umask(0o002);
});
afterAll(() => {
  process.umask(inherited);
});

for (const [name, body] of Object.entries(BODIES))
  test.if(process.platform === 'linux')(
    `folders ${name}, where a group may write`,
    () => {
      using place = new ScriptLab();
      const results = ['first', 'second'].map((name) => {
        const dir = place.lab.write(name, scripted(body));
        return [place.build(dir).runs, modesIn(dir)];
      });
      expect(results).toEqual([
        [['scripted miss'], ['775', '775']],
        [['scripted local_hit'], ['775', '775']],
      ]);
    },
    TIMEOUT_MS,
  );

/** The modes of the folders that the script has made. */
function modesIn(dir: string): string[] {
  const file = filesBelow(join(dir, 'target')).find(({ path }) => path.endsWith('/out/out.txt'));
  if (file === undefined)
    throw new Error(`Cannot look at what the script made in "${dir}": there is nothing.`);
  const out = join(file.path, '..');
  return ['made', 'made/below'].map((name) => (statSync(join(out, name)).mode & 0o777).toString(8));
}
