// Path arithmetic on absolute and relative POSIX paths, without node:path (0.2 ms a process). Purely textual.

/** Everything before the last `/`; `.` for a bare name, `/` for a name directly under the root. */
export function dirname(path: string): string {
  const slash = path.lastIndexOf('/');
  if (slash < 0) return '.';
  return slash === 0 ? '/' : path.slice(0, slash);
}

/** Everything after the last `/`. */
export const basename = (path: string): string => path.slice(path.lastIndexOf('/') + 1);

/** `path` made absolute against `base` and freed of `.`, `..` and doubled slashes. */
export function resolve(base: string, path: string): string {
  const whole = path.startsWith('/') ? path : `${base}/${path}`;
  if (!whole.includes('//') && !whole.includes('/.') && (whole === '/' || !whole.endsWith('/'))) return whole;
  const parts: string[] = [];
  for (const part of whole.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') parts.pop();
    else parts.push(part);
  }
  return `/${parts.join('/')}`;
}

/** Whether `path` is `root` or lies below it; whole components only, so `/a/bc` is not within `/a/b`. */
export const isWithin = (path: string, root: string): boolean =>
  path.startsWith(root) &&
  (path.length === root.length || root === '/' || path.charCodeAt(root.length) === 47);
