// A registry of npm packages on a free loopback port: it serves the tarballs of a folder, by what is written in them.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Manifest {
  readonly name: string;
  readonly version: string;
}

interface Packument {
  readonly name: string;
  readonly 'dist-tags': { latest?: string };
  readonly versions: Record<string, Manifest>;
}

export class Registry implements Disposable {
  readonly #folder: string;
  readonly #versions = new Map<string, Manifest>();
  readonly #server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: (request) => this.#answer(request) });

  constructor(folder: string) {
    this.#folder = folder;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  async #answer(request: Request): Promise<Response> {
    const path = decodeURIComponent(new URL(request.url).pathname).slice(1);
    if (path.endsWith('.tgz')) return new Response(Bun.file(join(this.#folder, path)));
    const packument = (await this.#packuments()).get(path);
    return packument === undefined
      ? Response.json({ error: 'not found' }, { status: 404 })
      : Response.json(packument);
  }

  async #packuments(): Promise<Map<string, Packument>> {
    const found = new Map<string, Packument>();
    const files = readdirSync(this.#folder).filter((name) => name.endsWith('.tgz'));
    for (const file of files.sort()) {
      const version = await this.#versionIn(file);
      const packument = found.get(version.name) ?? { name: version.name, 'dist-tags': {}, versions: {} };
      packument['dist-tags'].latest = version.version;
      packument.versions[version.version] = version;
      found.set(version.name, packument);
    }
    return found;
  }

  /** Read once: a tarball never changes under its name, and is a hundred megabytes. */
  async #versionIn(file: string): Promise<Manifest> {
    const known = this.#versions.get(file);
    if (known !== undefined) return known;
    const bytes = readFileSync(join(this.#folder, file));
    const integrity = `sha512-${createHash('sha512').update(bytes).digest('base64')}`;
    const version = { ...(await manifestIn(bytes)), dist: { tarball: `${this.url}/${file}`, integrity } };
    this.#versions.set(file, version);
    return version;
  }

  [Symbol.dispose](): void {
    this.#server.stop(true);
  }
}

async function manifestIn(tarball: Uint8Array): Promise<Manifest> {
  const file = (await new Bun.Archive(tarball).files()).get('package/package.json');
  if (file === undefined) throw new Error('Cannot serve a package: its tarball has no package.json.');
  return JSON.parse(await file.text());
}
