// The source of the launcher is a text inside the binary.
declare module '*.rs' {
  const text: string;
  // biome-ignore lint/style/noDefaultExport: that is how the runtime gives a text.
  export default text;
}
