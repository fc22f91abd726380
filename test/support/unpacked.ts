// What a packed entry unpacks to, in memory.

import type { Refused, Unpacked } from '../../src/remote/pack.ts';
import type { StoredOutput } from '../../src/store/entries.ts';

export interface UnpackedOutputs {
  readonly outputs: readonly { readonly output: StoredOutput; readonly bytes: Buffer }[];
  /** Why there are no more. */
  readonly refused: Refused | undefined;
}

/** The outputs that were proven. */
export async function unpackedOutputs(unpacked: Unpacked): Promise<UnpackedOutputs> {
  const outputs: { output: StoredOutput; bytes: Buffer }[] = [];
  const refused = await unpacked.outputs((output) => {
    const pieces: Buffer[] = [];
    return {
      write: (piece) => pieces.push(Buffer.from(piece)),
      finish: () => outputs.push({ output, bytes: Buffer.concat(pieces) }),
      [Symbol.dispose]: () => {},
    };
  });
  return { outputs, refused };
}
