// The changelog is folded from fragments: one file in changelog/ for each change, one paragraph that a user understands.
// `bun release/changelog.ts --check` says what is ill-formed; with a version, it makes the section of that release, and
// with `--notes` as well it prints it.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

export interface Fragment {
  readonly name: string;
  readonly text: string;
}

/** What is wrong with a fragment; undefined when nothing is. */
export function problemOf({ name, text }: Fragment): string | undefined {
  if (!/^[a-z0-9]+(-[a-z0-9]+)*\.md$/.test(name)) return 'its name is not like "what-changed.md"';
  if (!/^\S[^\n]*\n$/.test(text)) return 'it is not one line with a line end';
  if (!/^[A-Z`]/.test(text) || !/\.\n$/.test(text))
    return 'it is not a sentence, from a capital to a full stop';
  return undefined;
}

/** The changelog with everything unreleased under the heading of a release, fragments in the order of their names. */
export function foldChangelog(changelog: string, fragments: readonly Fragment[], heading: string): string {
  const lines = fragments.map(({ text }) => `- ${text}`).join('');
  const unreleased = '\n## Unreleased\n\n';
  const at = changelog.indexOf(unreleased);
  if (at < 0) return changelog.replace('# Changelog\n', `# Changelog\n\n## ${heading}\n\n${lines}`);
  const start = at + unreleased.length;
  const next = changelog.indexOf('\n## ', start);
  const end = next < 0 ? changelog.length : next;
  return `${changelog.slice(0, at)}\n## ${heading}\n\n${changelog.slice(start, end)}${lines}${changelog.slice(end)}`;
}

/** What a release's section holds; undefined when there is none. */
export function notesOf(changelog: string, version: string): string | undefined {
  const section = changelog.split(/^## /m).find((text) => text.startsWith(`${version}, `));
  return section?.slice(section.indexOf('\n')).trim();
}

/** A JSON file with another version of kache and its action, otherwise byte for byte. */
const withVersion = (text: string, from: string, to: string): string =>
  text.replaceAll(
    new RegExp(`("name": "kache(?:-action)?",\\s+"version": )"${from.replaceAll('.', '\\.')}"`, 'g'),
    `$1"${to}"`,
  );

function main(): number {
  const root = join(import.meta.dir, '..');
  const folder = join(root, 'changelog');
  const { values, positionals } = parseArgs({
    options: { check: { type: 'boolean', default: false }, notes: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  const fragments = readdirSync(folder)
    .filter((name) => name !== 'README.md')
    .sort()
    .map((name) => ({ name, text: readFileSync(join(folder, name), 'utf8') }));
  const wrong = fragments.flatMap((fragment) => {
    const problem = problemOf(fragment);
    return problem === undefined ? [] : [`Cannot use "changelog/${fragment.name}": ${problem}.`];
  });
  if (wrong.length > 0) {
    console.error(wrong.join('\n'));
    return 1;
  }
  if (values.check) return 0;
  const [version] = positionals;
  if (version === undefined || !/^\d+\.\d+\.\d+$/.test(version)) {
    console.error('Cannot make a release: no version is named. Run `npm run changelog -- 1.2.3`.');
    return 2;
  }
  if (values.notes) {
    const notes = notesOf(readFileSync(join(root, 'CHANGELOG.md'), 'utf8'), version);
    if (notes === undefined) {
      console.error(`Cannot print the notes of "${version}": CHANGELOG.md has no such section.`);
      return 1;
    }
    console.log(notes);
    return 0;
  }
  const edit = (name: string, change: (text: string) => string): void =>
    writeFileSync(join(root, name), change(readFileSync(join(root, name), 'utf8')));
  const { version: before } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const today = new Date().toISOString().slice(0, 10);
  edit('CHANGELOG.md', (text) => foldChangelog(text, fragments, `${version}, ${today}`));
  for (const name of ['package.json', 'package-lock.json', 'action/package.json'])
    edit(name, (text) => withVersion(text, before, version));
  for (const { name } of fragments) rmSync(join(folder, name));
  console.log(
    `CHANGELOG.md and the packages say ${version}. Run \`npm run action:build\`, look, commit, tag v${version}.`,
  );
  return 0;
}

if (import.meta.main) process.exit(main());
