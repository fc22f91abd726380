// Writes docs/configuration.md from the table of settings in the code; with `--check`, fails when the file is stale.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SETTINGS, type SettingSpec } from '../src/core/config.ts';
import { LATER_SETTINGS } from '../src/core/later-settings.ts';

const path = join(import.meta.dir, '..', 'docs', 'configuration.md');
const cell = (text: string | undefined): string => (text === undefined || text === '' ? '–' : `\`${text}\``);
const rows = (specs: readonly SettingSpec[]): string =>
  specs
    .map(
      (spec) =>
        `| ${cell(spec.key)} | ${cell(spec.variable)} | ${spec.default === '' ? '–' : spec.default} | ${spec.summary} |`,
    )
    .join('\n');
const TABLE = '| key | variable | default | what it is |\n|---|---|---|---|';
const text = `# Configuration

<!-- Written by scripts/settings-table.ts from src/core/config.ts and later-settings.ts. -->

A setting in the environment goes before the config file, the config file before the default. The file is the one
\`KACHE_CONFIG\` names (it need not exist), else the nearest \`.kache.toml\` from the output folder upward, else
\`~/.config/kache/config.toml\`. \`kache config list\` shows what holds and where it comes from; \`kache config set\` checks
a value and writes it into the file, comments kept, \`kache config unset\` takes it out. Unknown keys and wrong values never fail a build: \`kache doctor\` names file and line.

\`\`\`sh
kache config list
kache config set cache.local_max_size 20GiB
kache config get cache.local_max_size
kache config unset cache.local_max_size
kache config path
\`\`\`

A folder is an absolute path: a relative \`KACHE_CACHE_DIR\` is refused, and the default holds. Sizes are written \`10GiB\` or \`500MB\`, durations \`30m\`, \`24h\`, \`7d\` (a bare number is hours).

${TABLE}
${rows(SETTINGS)}

These are read and checked, and change nothing yet:

${TABLE}
${rows(LATER_SETTINGS)}

A package may name files its macros read in a way kache cannot see, in a \`kache.toml\` of its own beside its
\`Cargo.toml\`: \`extra_inputs = ["data/**/*.txt"]\`.
`;

if (process.argv.includes('--check')) {
  if (existsSync(path) && readFileSync(path, 'utf8') === text) process.exit(0);
  console.error(`Cannot accept "docs/configuration.md": it is stale. Run \`bun scripts/settings-table.ts\`.`);
  process.exit(1);
}
writeFileSync(path, text);
