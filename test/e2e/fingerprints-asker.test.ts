// Target folders that are filled for somebody else than the daemon takes itself for: what a script learns of its process is
// that of the build, wherever it is decided what it would say.
import { afterAll } from 'bun:test';
import { FreshLab, given } from '../support/fresh-lab.ts';
import type { Files } from '../support/lab.ts';
import { linuxOnly } from '../support/linux.ts';
import { notRun } from '../support/required.ts';
import { manifest } from '../support/script-lab.ts';

const TIMEOUT_MS = 120_000;
const onLinux = linuxOnly('folders filled for others', 'target folders are filled on Linux alone');
const fresh = new FreshLab();
afterAll(() => fresh[Symbol.dispose](), TIMEOUT_MS);

fresh.lab.write(
  `${fresh.home}/registry/src/crates`,
  given('asks-who', {
    'build.rs': `extern "C" { fn getuid() -> u32; fn getgid() -> u32; fn umask(mask: u32) -> u32; fn gethostname(name: *mut u8, length: usize) -> i32; }
fn main() {
    let mut name = [0u8; 64];
    let (uid, gid, mask) = unsafe { gethostname(name.as_mut_ptr(), 64); (getuid(), getgid(), umask(0)) };
    let host = String::from_utf8(name.iter().copied().take_while(|byte| *byte != 0).collect()).unwrap();
    println!("cargo:rerun-if-changed=build.rs\\ncargo:rustc-env=WHO={uid} {gid} {mask:o} {host}");
}
`,
    'src/lib.rs': 'pub const X: &str = env!("WHO");\n',
  }),
);
const SHOWN: Files = {
  'Cargo.toml': manifest('app', '[dependencies]\nasks-who = "0.1"\n'),
  'src/main.rs': 'fn main() { println!("{}", asks_who::X); }\n',
};

const WAYS: Readonly<Record<string, readonly string[]>> = {
  'another user of a namespace': ['unshare', '--user', '--map-user=1234', '--map-group=1234'],
  'another group': ['setpriv', '--regid=4321', '--keep-groups'],
  'another name of the host': ['unshare', '--uts', 'sh', '-c', 'hostname elsewhere; exec "$@"', 'sh'],
  'another umask': ['sh', '-c', 'umask 077; exec "$@"', 'sh'],
  'other numbers of processes': ['unshare', '--pid', '--fork', 'sh', '-c', 'umask 027; exec "$@"', 'sh'],
};

for (const [what, through] of Object.entries(WAYS))
  onLinux(
    `${what}: as plain cargo`,
    async () => {
      if (Bun.spawnSync([...through, 'true']).exitCode !== 0) {
        notRun(`a folder filled for ${what}`, 'this user may not be that');
        return;
      }
      await fresh.learn(fresh.checkout(SHOWN));
      await fresh.right(fresh.checkout(SHOWN));
      await fresh.right(fresh.checkout(SHOWN), { through });
      await fresh.right(fresh.checkout(SHOWN), { through });
      await fresh.right(fresh.checkout(SHOWN));
    },
    TIMEOUT_MS,
  );
