// What the scaling lab's processes run of an app: its program and all that it imports, in a few files, made from what the compiler wrote (`dist/main.js`, which all others run). `node tools/nx/bundle.mjs <app>`
import { globSync, rmSync } from 'node:fs';
import { build } from 'esbuild';

const [app] = process.argv.slice(2);
const outdir = `apps/${app}/dist/bundle`;

/** Nest tries to load these at its start, in case that an app uses them. None does; one that comes to needs it left out here. */
const UNUSED =
  /^(@nestjs\/(microservices|platform-express|websockets)|@fastify\/(multipart|static|view)|class-(transformer|validator))(\/|$)/;

/** @type {import('esbuild').Plugin} */
const withoutUnused = {
  name: 'without unused',
  setup(build) {
    build.onResolve({ filter: UNUSED }, ({ path }) => ({ path, namespace: 'unused' }));
    build.onLoad({ filter: /./, namespace: 'unused' }, ({ path }) => ({ contents: `throw new Error('${path} is not in this bundle');` }));
  },
};

/**
 * What a module imports of Node by name, Node takes from it at once, the whole of it: of `node:http` that is also a client of WebSockets that it would load when somebody first asks
 * for it, and that costs a tenth of a start. Who asks by `getBuiltinModule` gets what it asks for.
 *
 * @type {import('esbuild').Plugin}
 */
const lazyHttp = {
  name: 'lazy http',
  setup(build) {
    build.onResolve({ filter: /^(node:)?http$/ }, ({ kind }) => (kind === 'import-statement' ? { path: 'http', namespace: 'lazy' } : null));
    build.onLoad({ filter: /./, namespace: 'lazy' }, () => ({ contents: `module.exports = process.getBuiltinModule('node:http');` }));
  },
};

// Files are named by their contents, so older ones would stay.
rmSync(outdir, { recursive: true, force: true });
await build({
  entryPoints: [
    `apps/${app}/dist/main.js`,
    // Threads are programs of their own, and are looked for beside whoever starts them.
    ...globSync([`apps/${app}/dist/*-thread.js`, ...(app === 'log' || app === 'monolith' ? ['libs/log/dist/engine/*-worker.js'] : [])]),
  ],
  outdir,
  entryNames: '[name]',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  plugins: [withoutUnused, lazyHttp],
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: 'none',
  logLevel: 'warning',
  // Packages of CommonJS ask for Node's own modules by `require`.
  banner: { js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);" },
});
