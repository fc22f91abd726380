import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { escapeHtml, html, jsonForScript } from '../../src/cli/markup.ts';

const decoded = (text: string): string =>
  text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&');

test('escaped text holds no markup and reads as it was', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), (text) => {
      const escaped = escapeHtml(text);
      expect(escaped).not.toMatch(/[<>"']/);
      expect(decoded(escaped)).toBe(text.replace(/[^\P{Cc}\n\t]/gu, '\uFFFD'));
    }),
  );
});

test('a template escapes values, keeps markup, and leaves out what is not there', () => {
  expect(html`<p class="${'"x'}">${'<b>'}${undefined}${3}${[html`<i>${'&'}</i>`]}</p>`.text).toBe(
    '<p class="&quot;x">&lt;b&gt;3<i>&amp;</i></p>',
  );
});

test('JSON inside a script ends no element, and is the same JSON', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const { text } = jsonForScript(value);
      expect(text).not.toMatch(/[<>&\u2028\u2029]/);
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
  expect(jsonForScript('</script><!--\u2028').text).not.toContain('</');
});
