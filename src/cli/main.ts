// The command line.
export async function runCli(argv: readonly string[]): Promise<void> {
  console.log('kache', argv.join(' '));
}
