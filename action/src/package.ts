// The npm packages that hold the binary, as the release names them.

/** One for each platform: `<name>-linux-x64`. */
export const PACKAGE = '@kache-build/kache';

/** Where the binary is in such a package. */
export const BINARY = 'bin/kache';
