// The Makefile fragment rustc writes for `--emit=dep-info`: which files and environment variables a compile read.

import { mapList } from '../core/lists.ts';

export interface DepInfo {
  /** The files whose rules the fragment holds, in order: the `.d` itself and the other outputs. */
  readonly targets: readonly string[];
  /** Files the compile read, in the order rustc gives, as spelled there. */
  readonly files: readonly string[];
  /** Variables the compile asked for by `env!` and `option_env!`; undefined when unset. */
  readonly env: readonly { readonly name: string; readonly value: string | undefined }[];
}

/** Reads what {@link renderDepInfo} and rustc write; undefined when the text is something else. */
export function parseDepInfo(text: string): DepInfo | undefined {
  const targets: string[] = [];
  const files = new Set<string>();
  const env: { name: string; value: string | undefined }[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('# env-dep:')) {
      const [name, value] = splitOnce(line.slice('# env-dep:'.length), '=');
      env.push({ name: unescapeEnv(name), value: value === undefined ? undefined : unescapeEnv(value) });
    } else if (line !== '' && !line.startsWith('#')) {
      const rule = parseRule(line);
      if (rule === undefined) return undefined;
      // A rule without prerequisites only says that a file may disappear.
      if (rule.files.length === 0) continue;
      targets.push(rule.target);
      for (const file of rule.files) files.add(file);
    }
  }
  return targets.length === 0 ? undefined : { targets, files: [...files], env };
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}

/** rustc escapes blanks in prerequisites, and nothing in targets. */
function parseRule(line: string): { target: string; files: string[] } | undefined {
  // A rule without prerequisites ends in the colon; no file rustc reads does.
  if (line.endsWith(':')) return { target: line.slice(0, -1), files: [] };
  const at = targetEnd(line);
  if (at < 0) return undefined;
  const files: string[] = [];
  let pending = '';
  for (const word of line.slice(at + 2).split(' ')) {
    if (word.endsWith('\\')) pending += `${word.slice(0, -1)} `;
    else {
      if (pending + word !== '') files.push(pending + word);
      pending = '';
    }
  }
  return { target: line.slice(0, at), files };
}

/** Targets are not escaped, so a folder may hold `: `: the first one behind the name of an output ends the target. */
function targetEnd(line: string): number {
  for (let at = line.indexOf(': '); at >= 0; at = line.indexOf(': ', at + 1)) {
    if (/\.(d|rlib|rmeta|so|dylib|dll|a|lib|exe|wasm)$/.test(line.slice(0, at))) return at;
  }
  return line.indexOf(': ');
}

/** The same fragment as text. */
export function renderDepInfo(info: DepInfo): string {
  const files = mapList(info.files, (file) => file.replaceAll(' ', '\\ '));
  const rules = mapList(info.targets, (target) => `${target}: ${files.join(' ')}\n`);
  const phony = mapList(files, (file) => `${file}:\n`).join('');
  const env = mapList(
    info.env,
    ({ name, value }) => `# env-dep:${escapeEnv(name)}${value === undefined ? '' : `=${escapeEnv(value)}`}\n`,
  );
  return `${rules.join('\n')}\n${phony}${env.length === 0 ? '' : `\n${env.join('')}`}`;
}

const escapeEnv = (text: string): string =>
  text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('\r', '\\r');

const unescapeEnv = (text: string): string =>
  text.replace(/\\(.)/gs, (_, char: string) => (char === 'n' ? '\n' : char === 'r' ? '\r' : char));
