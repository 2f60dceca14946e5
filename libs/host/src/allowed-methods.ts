import type { FastifyInstance } from 'fastify';

/** Which methods a path has, for `Allow`. Fastify does not say so itself: to it, a wrong method is an unknown path. */
export class AllowedMethods {
  readonly #routes: Array<{ readonly pattern: RegExp; readonly methods: readonly string[] }> = [];

  constructor(server: FastifyInstance) {
    server.addHook('onRoute', ({ url, method }) => {
      this.#routes.push({ pattern: patternOf(url), methods: Array.isArray(method) ? method : [method] });
    });
  }

  /** In alphabetical order; empty when there is no such path. */
  at(url: string): readonly string[] {
    const path = url.split('?', 1)[0]!;
    const methods = this.#routes.filter(({ pattern }) => pattern.test(path)).flatMap((route) => route.methods);
    return [...new Set(methods)].sort();
  }
}

/** Of Fastify's patterns: `:name` is a segment, `*` the rest, `::` a colon. */
function patternOf(url: string): RegExp {
  const source = url
    .split(/(::|:[A-Za-z_]\w*|\*)/)
    .map((piece) => {
      if (piece === '::') return ':';
      if (piece === '*') return '.*';
      return piece.startsWith(':') ? '[^/]+' : piece.replace(/[.+?^${}()|[\]\\]/g, '\\$&');
    })
    .join('');
  return new RegExp(`^${source}$`, 's');
}
