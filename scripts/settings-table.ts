// Writes docs/configuration.md from the table of settings in the code; with `--check`, fails when the file is stale.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SETTINGS } from '../src/core/config.ts';

const path = join(import.meta.dir, '..', 'docs', 'configuration.md');
const cell = (text: string | undefined): string => (text === undefined || text === '' ? '–' : `\`${text}\``);
const rows = SETTINGS.map(
  (spec) =>
    `| ${cell(spec.key)} | ${cell(spec.variable)} | ${spec.default === '' ? '–' : spec.default} | ${spec.summary} |`,
);
const text = `# Configuration

<!-- Written by scripts/settings-table.ts from src/core/config.ts. -->

A setting in the environment goes before the config file, the config file before the default. The file is the one
\`KACHE_CONFIG\` names (it need not exist), else the nearest \`.kache.toml\` from the output folder upward, else
\`~/.config/kache/config.toml\`. \`kache config list\` shows what holds and where it comes from; \`kache config set\` edits
the file and keeps its comments. Unknown keys and wrong values never fail a build: \`kache doctor\` names file and line.

Sizes are written \`10GiB\` or \`500MB\`, durations \`30m\`, \`24h\`, \`7d\` (a bare number is hours).

| key | variable | default | what it is |
|---|---|---|---|
${rows.join('\n')}

A package may name files its macros read in a way kache cannot see, in a \`kache.toml\` of its own beside its
\`Cargo.toml\`: \`extra_inputs = ["data/**/*.txt"]\`.
`;

if (process.argv.includes('--check')) {
  if (existsSync(path) && readFileSync(path, 'utf8') === text) process.exit(0);
  console.error(`Cannot accept "docs/configuration.md": it is stale. Run \`bun scripts/settings-table.ts\`.`);
  process.exit(1);
}
writeFileSync(path, text);
