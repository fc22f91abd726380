// action.yml, its README and what the sources read are about the same inputs and outputs; the sources keep their form.
import { expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import manifest from '../../action/package.json' with { type: 'json' };
import main from '../../package.json' with { type: 'json' };
import { ACTION } from '../support/actions-runner.ts';

const ROOT = join(import.meta.dir, '..', '..');
const SRC = join(ROOT, 'action', 'src');
const README = readFileSync(join(ROOT, 'action', 'README.md'), 'utf8');
const sources = readdirSync(SRC).map((name) => ({ name, text: readFileSync(join(SRC, name), 'utf8') }));
const code = sources.map(({ text }) => text).join('\n');

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

test('the tables of the README are those of action.yml', () => {
  const inputs = Object.entries(ACTION.inputs).map(([name, { description, default: value = '' }]) =>
    value === ''
      ? `| \`${name}\` | – | ${cell(description)} |`
      : `| \`${name}\` | \`${value}\` | ${cell(description)} |`,
  );
  expect(README).toContain(['| input | default | |', '|---|---|---|', ...inputs, ''].join('\n'));
  const outputs = Object.entries(ACTION.outputs).map(
    ([name, { description }]) => `| \`${name}\` | ${cell(description)} |`,
  );
  expect(README).toContain(['| output | |', '|---|---|', ...outputs, ''].join('\n'));
});

test('the sources read every input and set every output, and no other', () => {
  const read = [...code.matchAll(/(?:getInput|flag|oneOf|wholeNumber)\('([\w-]+)'/g)].map(
    (match) => match[1] ?? '',
  );
  expect([...new Set(read)].sort()).toEqual(Object.keys(ACTION.inputs).sort());
  const set = [...code.matchAll(/setOutput\('([\w-]+)'/g)].map((match) => match[1] ?? '');
  expect(set.sort()).toEqual(Object.keys(ACTION.outputs).sort());
});

/** The workflows in the README, as what they mean. */
const workflows = [...README.matchAll(/```yaml\n([\s\S]*?)```/g)].map(
  (match) => Bun.YAML.parse(match[1] ?? '') as { jobs: Record<string, { steps: Record<string, unknown>[] }> },
);

test('every workflow in the README uses inputs there are', () => {
  const uses = workflows.flatMap(({ jobs }) =>
    Object.values(jobs).flatMap(({ steps }) =>
      steps.filter((step) => String(step['uses']).endsWith('/kache@v1')),
    ),
  );
  expect(workflows.length).toBeGreaterThanOrEqual(5);
  expect(uses.length).toBeGreaterThanOrEqual(workflows.length);
  const given = uses.flatMap((step) => Object.keys((step['with'] ?? {}) as object));
  expect(given.filter((name) => ACTION.inputs[name] === undefined)).toEqual([]);
});

test('its links lead somewhere', () => {
  const anchor = (heading: string): string =>
    heading
      .toLowerCase()
      .replaceAll(/[^\w -]/g, '')
      .trim()
      .replaceAll(' ', '-');
  for (const [, path = '', , wanted] of README.matchAll(/\]\(([^)#:]+)(#([\w-]+))?\)/g)) {
    const text = readFileSync(join(ROOT, 'action', path), 'utf8');
    const headings = [...text.matchAll(/^#+ (.+)$/gm)].map((match) => anchor(match[1] ?? ''));
    if (wanted !== undefined) expect([path, headings]).toEqual([path, expect.arrayContaining([wanted])]);
  }
});

test('the action has the version of what it installs', () => {
  expect(manifest.version).toBe(main.version);
});

test('its files say what they own and stay short', () => {
  for (const { name, text } of sources) {
    expect([name, /^[a-z-]+\.ts$/.test(name), text.startsWith('// ')]).toEqual([name, true, true]);
    expect(text.split('\n').length).toBeLessThan(200);
  }
});
