// A registry on loopback with one package in it, as npm's own answers for one version.
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface Package {
  readonly name: string;
  readonly version: string;
  /** Path in the package to the file that is there. */
  readonly files: Readonly<Record<string, string>>;
}

export class NpmRegistry implements Disposable {
  readonly requests: string[] = [];
  /** Answers in the place of the registry; undefined: the right answer. */
  fault: (path: string) => Response | undefined = () => undefined;
  /** Of the tarball as published. */
  integrity: string;
  readonly #server: Bun.Server<undefined>;

  /** `folder` is for the tarball. */
  constructor(published: Package, folder: string) {
    for (const [path, source] of Object.entries(published.files)) {
      const to = join(folder, 'package', path);
      mkdirSync(dirname(to), { recursive: true });
      copyFileSync(source, to);
    }
    writeFileSync(join(folder, 'package', 'package.json'), JSON.stringify(published));
    const packed = Bun.spawnSync(['tar', '-I', 'gzip -1', '-cf', 'package.tgz', 'package'], { cwd: folder });
    if (packed.exitCode !== 0) throw new Error(packed.stderr.toString());
    const tarball = readFileSync(join(folder, 'package.tgz'));
    this.integrity = `sha512-${createHash('sha512').update(tarball).digest('base64')}`;
    this.#server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: (request) => {
        const { pathname } = new URL(request.url);
        this.requests.push(pathname);
        const fault = this.fault(pathname);
        if (fault !== undefined) return fault;
        if (pathname === '/package.tgz') return new Response(tarball);
        const name = decodeURIComponent(pathname.slice(1));
        if (![`${published.name}/${published.version}`, `${published.name}/latest`].includes(name))
          return Response.json('version not found', { status: 404 });
        const dist = { tarball: `${this.url}/package.tgz`, integrity: this.integrity };
        return Response.json({ name: published.name, version: published.version, dist });
      },
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  [Symbol.dispose](): void {
    this.#server.stop(true);
  }
}
