// The licences of everything inside the binary, as one text that every package carries.
import type { Part } from './bundled.ts';

const heading = ({ name, version, licence }: Part): string =>
  `${name}${version === undefined ? '' : ` ${version}`} (${licence})`;

/** Markdown; the same parts give the same bytes. */
export function licencesOf(packages: readonly Part[], [bun, ...linked]: readonly Part[]): string {
  const lines = [
    '# Licences of what the kache binary holds',
    '',
    'kache itself is licensed under Apache-2.0: see LICENSE.',
    '',
    '## The runtime',
    '',
    ...(bun === undefined ? [] : [`${heading(bun)}, ${bun.url}, unchanged. It says that it holds:`]),
    '',
    ...linked.map((part) => `- ${heading(part)}, ${part.url}`),
    '',
    'JavaScriptCore and tinycc are under the LGPL and linked statically. Their sources, and how to link Bun again with',
    "changed ones, are described in Bun's LICENSE.md. The sources of kache and `npm run build` put the program into such",
    'a runtime again.',
    '',
    '## Packages',
    ...packages.flatMap((part) => ['', `### ${heading(part)}`, ...textsOf(part)]),
  ];
  return `${lines.join('\n')}\n`;
}

function textsOf({ texts }: Part): string[] {
  if (texts.length === 0) return ['', 'The package brings no text of its own.'];
  return texts.flatMap(([, text]) => ['', ...text.split(/\r?\n/).map((line) => `    ${line}`.trimEnd())]);
}
