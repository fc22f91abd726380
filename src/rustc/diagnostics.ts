// What rustc prints while it compiles: lines of JSON under Cargo. Paths are shown to people as plain Cargo shows them,
// stored without this checkout's paths, and announced outputs are told apart from diagnostics.
import { basename } from '../sys/paths.ts';
import { type PathMap, replacePath } from './path-map.ts';

/** One line of a compiler's stderr: text, or the announcement that an output is complete. */
export type DiagnosticLine =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'artifact'; readonly emit: string; readonly file: string };

/** Recognises `{"$message_type":"artifact","artifact":"…","emit":"…"}`. */
export function parseLine(line: string): DiagnosticLine {
  if (line.startsWith('{') && line.includes('"artifact"')) {
    const message = parseJson(line);
    if (typeof message?.['artifact'] === 'string' && typeof message['emit'] === 'string') {
      return { kind: 'artifact', emit: message['emit'], file: message['artifact'] };
    }
  }
  return { kind: 'text', text: line };
}

function parseJson(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** The announcement of a finished output, in rustc's own form. */
export const artifactLine = (path: string, emit: string): string =>
  JSON.stringify({ $message_type: 'artifact', artifact: path, emit });

/** A path as it appears inside a JSON string. */
const inJson = (path: string): string => JSON.stringify(path).slice(1, -1);

const escapeFor = (line: string): ((path: string) => string) =>
  line.startsWith('{') ? inJson : (path) => path;

/** Placeholders in what other compiles made, with the paths behind them here. */
export type Places = Readonly<Record<string, string>>;

/**
 * A line without the placeholders of `--remap-path-prefix`, as a compile with real paths would have printed it. `behind`
 * is asked only when some are left that this call has no root for: a note that points into another crate.
 */
export function withRealPaths(line: string, map: PathMap, behind: () => Places = () => ({})): string {
  if (!line.includes(PLACEHOLDER_BASE)) return line;
  const spell = escapeFor(line);
  let result = line;
  for (const root of map.roots) {
    if (root.placeholder?.startsWith(PLACEHOLDER_BASE))
      result = replacePath(result, root.placeholder, spell(root.path));
  }
  if (!result.includes(PLACEHOLDER_BASE)) return result;
  const places = behind();
  for (const placeholder of Object.keys(places))
    result = replacePath(result, placeholder, spell(places[placeholder] ?? placeholder));
  return result;
}

/** What the outputs of a call hold in place of its generated and vendored sources: other calls have no such root. */
export function placesOf(map: PathMap): Places {
  const places: Record<string, string> = {};
  for (const { name, placeholder, path } of map.roots)
    if (placeholder !== undefined && (name === 'out' || name === 'vendor')) places[placeholder] = path;
  return places;
}

/** What every placeholder but the workspace's (`.`) begins with. */
export const PLACEHOLDER_BASE = '/kache/';

/** The line as it is stored: this checkout's paths as tokens. */
export const toTemplate = (line: string, map: PathMap): string => map.tokenize(line, escapeFor(line));

/** A stored line with the paths of this checkout; `behind` as for {@link withRealPaths}. */
export const fromTemplate = (line: string, map: PathMap, behind?: () => Places): string =>
  withRealPaths(map.detokenize(line, escapeFor(line)), map, behind);

/** The file name an announcement is about. */
export const announcedName = (line: { file: string }): string => basename(line.file);
