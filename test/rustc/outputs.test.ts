import { expect, test } from 'bun:test';
import { readdirSync } from 'node:fs';
import { parseInvocation } from '../../src/rustc/invocation.ts';
import { Lab } from '../support/lab.ts';

const KINDS = {
  lib: 'library',
  rlib: 'library',
  bin: 'linked',
  'proc-macro': 'linked',
  cdylib: 'linked',
  dylib: 'linked',
  staticlib: 'linked',
} as const;

for (const [type, unitKind] of Object.entries(KINDS)) {
  test(`the files planned for ${type} are the files rustc writes`, () => {
    using lab = new Lab();
    const source = lab.write('src', { 'lib.rs': type === 'bin' ? 'fn main() {}\n' : '' });
    const out = lab.write('out', {});
    Bun.spawnSync(['mkdir', '-p', out]);
    const emit = unitKind === 'library' ? 'dep-info,metadata,link' : 'dep-info,link';
    const args = [
      '--crate-name',
      'it',
      '--edition=2021',
      '--crate-type',
      type,
      `--emit=${emit}`,
      '-C',
      'extra-filename=-x1',
      '--out-dir',
      out,
      `${source}/lib.rs`,
    ];
    expect(lab.run(['rustc', ...args]).status).toBe(0);
    const invocation = parseInvocation(['rustc', ...args], {}, lab.root);
    if ('reason' in invocation) throw new Error(invocation.reason);
    expect(invocation.outputs.unitKind).toBe(unitKind);
    const planned = [...invocation.outputs.files.map(({ name }) => name), invocation.outputs.depInfo ?? ''];
    expect(planned.sort()).toEqual(readdirSync(out).sort());
  });
}
