import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';

/** Charts as SVG text: nothing to load, readable without scripts, on paper and in both colour schemes. */
const WIDTHS = { wide: 860, narrow: 360 } as const;
export type Width = keyof typeof WIDTHS;

/** Drawn twice, and the page shows one: an image made for a desk and shrunk to a phone has letters that nobody can read. */
function bothWidths(draw: (width: Width) => string): string {
  return `<div class="desk">${draw('wide')}</div><div class="phone">${draw('narrow')}</div>`;
}

/** Colours come from the page, so that light, dark and print each have their own. */
export const ARM_COLOURS = { domain: ['monolith', 'services'], range: ['var(--monolith)', 'var(--services)'] };
export function figure(caption: string, draw: (width: Width) => Plot.PlotOptions): string {
  return `<figure><figcaption>${escape(caption)}</figcaption>${bothWidths((width) => svg(width, caption, draw(width)))}</figure>`;
}

/** Without this 0.6 reads `600m`. */
export const plain = (value: number) => String(Number(value.toPrecision(6)));

/** The types of Plot and of the stand-in for a browser speak of the DOM, which this program does not have. */
const draw = Plot.plot as unknown as (options: object) => { setAttribute(name: string, value: string): void; readonly outerHTML: string };
const parse = parseHTML as unknown as (html: string) => { readonly document: object };

function svg(width: Width, caption: string, options: Plot.PlotOptions): string {
  const { document } = parse('<html><body></body></html>');
  const plot = draw({ width: WIDTHS[width], document, style: { background: 'transparent', fontSize: '12px' }, ...options });
  plot.setAttribute('role', 'img');
  plot.setAttribute('aria-label', caption);
  return plot.outerHTML;
}

export function escape(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
