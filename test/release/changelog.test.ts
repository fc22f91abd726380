// Folding the changelog: nothing is lost, nothing else moves; and what a fragment may be.
import { expect, test } from 'bun:test';
import { foldChangelog, notesOf, problemOf } from '../../release/changelog.ts';

const fragments = [
  { name: 'a.md', text: 'First.\n' },
  { name: 'b.md', text: 'Second.\n' },
];

test('the first release takes over what was written as unreleased, the next goes on top', () => {
  const before = '# Changelog\n\n## Unreleased\n\n- Old.\n';
  const one = foldChangelog(before, fragments, '1.0.0, 2026-01-02');
  expect(one).toBe('# Changelog\n\n## 1.0.0, 2026-01-02\n\n- Old.\n- First.\n- Second.\n');
  expect(foldChangelog(one, [{ name: 'c.md', text: 'Third.\n' }], '1.1.0, 2026-02-03')).toBe(
    '# Changelog\n\n## 1.1.0, 2026-02-03\n\n- Third.\n\n## 1.0.0, 2026-01-02\n\n- Old.\n- First.\n- Second.\n',
  );
});

test('the notes of a release are its section', () => {
  const changelog = '# Changelog\n\n## 1.1.0, 2026-02-03\n\n- Third.\n\n## 1.0.0, 2026-01-02\n\n- First.\n';
  expect(notesOf(changelog, '1.1.0')).toBe('- Third.');
  expect(notesOf(changelog, '1.0.0')).toBe('- First.');
  expect(notesOf(changelog, '1.0')).toBeUndefined();
});

test('an unreleased section that stands above others is the one that is taken', () => {
  const before = '# Changelog\n\n## Unreleased\n\n- New.\n\n## 0.9.0, 2025-12-01\n\n- Old.\n';
  expect(foldChangelog(before, fragments, '1.0.0, 2026-01-02')).toBe(
    '# Changelog\n\n## 1.0.0, 2026-01-02\n\n- New.\n- First.\n- Second.\n\n## 0.9.0, 2025-12-01\n\n- Old.\n',
  );
});

test('a fragment is one sentence in one line, under a name that says what changed', () => {
  expect(problemOf({ name: 'init-keeps-comments.md', text: '`init` keeps comments.\n' })).toBeUndefined();
  for (const [name, text] of [
    ['Init.md', 'Fine.\n'],
    ['init.txt', 'Fine.\n'],
    ['init.md', ''],
    ['init.md', '- A bullet.\n'],
    ['init.md', 'no capital.\n'],
    ['init.md', 'No full stop\n'],
    ['init.md', 'No line end.'],
    ['init.md', 'Two.\nLines.\n'],
  ] as const)
    expect([name, text, typeof problemOf({ name, text })]).toEqual([name, text, 'string']);
});
